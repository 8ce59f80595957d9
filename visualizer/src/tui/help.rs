//! The help page: keys from the same table that makes them work, and what the signs mean.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::keys::KEYS;
use super::model::Model;
use super::screen::{heading, line};

/// Draws the page.
pub(super) fn render(area: Rect, buf: &mut Buffer, model: &Model) {
    let look = &model.look;
    let [upper, lower] =
        Layout::vertical([Constraint::Length(KEYS.len() as u16 + 1), Constraint::Min(0)]).areas(area);
    let upper = heading(upper, buf, &model.look, "Keys (time stands still on this page)");
    for (row, key) in KEYS.iter().enumerate() {
        let name = format!("  {:<7}", key.name);
        line(upper, row as u16, buf, &[(&name, look.strong()), (key.long, ratatui::style::Style::new())]);
    }
    let lower = heading(lower, buf, &model.look, "Signs");
    for (row, text) in signs(model).iter().enumerate() {
        line(lower, row as u16, buf, &[(text, ratatui::style::Style::new())]);
    }
}

fn signs(model: &Model) -> [String; 8] {
    let g = &model.look.glyphs;
    let [right, left] = g.heads;
    [
        format!(
            "  {0}{0}{0}{right} request, its name and PSN  {left}{1}{1}{1} answer: ACK, NAK, READ data",
            g.data, g.answer
        ),
        format!(
            "  {0}{0}{1}  lost, or dropped by who got it  {2} sent again  {3} second copy",
            g.data, g.end, g.again, g.copy
        ),
        format!(
            "  SQ  send queue: {} posted, {} some packets sent, {} all sent,",
            g.posted, g.sending, g.in_flight
        ),
        format!(
            "      {} some acknowledged.  RQ  receive queue: {} receives posted",
            g.acknowledged, g.posted
        ),
        format!("  CQ  completion queue: {} not yet seen by the application", g.completed),
        "  ~50 the sender waits another 50 µs for an answer before it sends again".to_owned(),
        "  PSNs are hexadecimal. Those of A's requests begin with 0, of B's with 8.".to_owned(),
        "  The sockets are real; only the clock that the NICs are told is slow.".to_owned(),
    ]
}
