//! All events in order, around the present one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::micros;
use crate::film::tell;
use crate::tui::screen::line;

/// Draws the events before and after the present.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let height = usize::from(area.height);
    let here = view.scene.position;
    let first = (here + height / 3).min(view.film.frames.len()).saturating_sub(height);
    for (row, frame) in view.film.frames.iter().skip(first).take(height).enumerate() {
        let number = first + row + 1;
        let mark = if number == here { '>' } else { ' ' };
        let head = format!("{mark}e{number:<7} {:>12} ", micros(frame.at));
        let style = match number.cmp(&here) {
            std::cmp::Ordering::Equal => look.bar(),
            std::cmp::Ordering::Less => Style::new(),
            std::cmp::Ordering::Greater => look.faint(),
        };
        line(area, row as u16, buf, &[(&head, look.faint()), (&tell(view.film, frame), style)]);
    }
}
