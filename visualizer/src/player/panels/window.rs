//! The PSNs of a queue pair: sent, acknowledged, expected, missing, sent again.

use ferroce_engine::Psn;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing, sentence};
use crate::film::{QpScene, cause_in_words, short};
use crate::tui::screen::line;

/// Columns of a PSN and its mark.
const CELL: usize = 6;

/// Draws the window, and what its marks mean.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let Some((host, _, qp)) = view.qp() else {
        return nothing(area, buf, view, "No queue pair is known yet.");
    };
    let show = |psn: Option<Psn>| psn.map_or("---".to_owned(), short);
    let text = format!(
        " {host} as requester: unacknowledged from {}, next {}, highest sent before {}",
        show(qp.unacked),
        show(qp.next),
        show(qp.highest)
    );
    line(area, 0, buf, &[(&text, Style::new())]);
    cells(area, buf, view, qp);
    let gap = qp.gap.map_or(String::new(), |got| format!(", but {} came: a gap", short(got)));
    let text = format!(" {host} as responder: expects {}{gap}", show(qp.expected));
    line(area, 4, buf, &[(&text, if qp.gap.is_some() { look.bad() } else { Style::new() })]);
    let mut row = 5;
    if let Some((cause, left)) = qp.went_back {
        let text = format!("It went back last because {}; {left} retries were left.", cause_in_words(cause));
        row = sentence(area, row, buf, Style::new(), &text);
    }
    if let Some(until) = qp.waits {
        sentence(
            area,
            row,
            buf,
            look.again(),
            &format!("It waits until {} us for a receive of the peer's.", micros(until)),
        );
    }
}

/// The PSNs from a little before the oldest that is not acknowledged, with a mark under each.
fn cells(area: Rect, buf: &mut Buffer, view: &View<'_>, qp: &QpScene) {
    let look = view.look;
    let Some(unacked) = qp.unacked else { return };
    let fit = (usize::from(area.width).saturating_sub(2) / CELL) as u32;
    let first = unacked - 2;
    for index in 0..fit {
        let psn = first + index;
        let again = qp.again.contains(&psn);
        let sent = qp.highest.is_some_and(|highest| psn.is_before(highest));
        let (mark, style) = match () {
            () if psn.is_before(unacked) => ("ok", look.good()),
            () if !sent => ("-", look.faint()),
            () if again => ("again", look.again()),
            () => ("sent", look.strong()),
        };
        let x = area.x + 1 + (index as usize * CELL) as u16;
        let at = Rect { x, width: (CELL as u16).min(area.right().saturating_sub(x)), ..area };
        let number = format!(
            "{:>5}",
            short(psn).chars().rev().take(5).collect::<String>().chars().rev().collect::<String>()
        );
        let next = if qp.next == Some(psn) { look.bar() } else { Style::new() };
        line(at, 1, buf, &[(&number, next)]);
        line(at, 2, buf, &[(&format!("{mark:>5}"), style)]);
    }
}
