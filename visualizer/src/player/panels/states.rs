//! The states of a queue pair, from the engine's own table, and the way it took.

use ferroce_engine::{QpState, QpType, transitions};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing};
use crate::tui::screen::line;

/// Columns of the table; the way stands to its right.
const TABLE: u16 = 40;

/// Draws the table and the way.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let Some((host, _, qp)) = view.qp() else {
        return nothing(area, buf, view, "No queue pair is known yet.");
    };
    for (row, from) in QpState::ALL.into_iter().enumerate() {
        let here = from == qp.state && !qp.path.is_empty();
        let mark = if here { '>' } else { ' ' };
        let to = |to: &QpState| transitions(QpType::Rc).any(|t| (t.from, t.to) == (from, *to));
        let targets: Vec<&str> =
            QpState::ALL.iter().filter(|s| **s != from && to(s)).map(|s| s.name()).collect();
        let text = format!("{mark}{:<6}", from.name());
        let style = if here { look.bar() } else { Style::new() };
        let at = Rect { width: area.width.min(TABLE), ..area };
        line(at, row as u16, buf, &[(&text, style), (&format!(" to {}", targets.join(", ")), look.faint())]);
    }
    let x = area.x + TABLE.min(area.width);
    let right = Rect { x, width: area.right() - x, ..area };
    line(right, 0, buf, &[(&format!("The way of {host}'s queue pair:"), look.strong())]);
    if qp.path.is_empty() {
        line(right, 1, buf, &[(" nothing is known of it", look.faint())]);
    }
    let shown = usize::from(area.height.saturating_sub(1));
    for (row, (time, from, to)) in qp.path.iter().rev().take(shown).enumerate() {
        let way = match from == to {
            true => format!("found in {}", to.name()),
            false => format!("{} to {}", from.name(), to.name()),
        };
        let text = format!(" {:>12} us  {way}", micros(*time));
        line(right, 1 + row as u16, buf, &[(&text, Style::new())]);
    }
}
