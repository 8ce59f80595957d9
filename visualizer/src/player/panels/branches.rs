//! Two pasts beside each other, from where they part.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing};
use crate::film::{Film, tell};
use crate::tui::screen::line;

/// Draws the events of both around the present, and of how each ends.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let Some((other, _, parting)) = view.other else {
        let text = "There is one past only. Select a packet with j and k; x loses it, y delays it, z damages it, v \
                    lets it arrive. Then both can be compared here.";
        return nothing(area, buf, view, text);
    };
    let (before, after) = if view.changed { (other, view.film) } else { (view.film, other) };
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(1).areas(area);
    for (half, film, name, here) in
        [(left, before, "as it was", !view.changed), (right, after, "changed", view.changed)]
    {
        let mark = if here { '>' } else { ' ' };
        let ends = film.frames.last().map_or(String::new(), |frame| micros(frame.at));
        let head = format!("{mark}{name}: {} events, ends at {ends} us", film.frames.len());
        line(half, 0, buf, &[(&head, view.look.strong())]);
        column(half, buf, view, film, parting);
    }
}

fn column(area: Rect, buf: &mut Buffer, view: &View<'_>, film: &Film, parting: usize) {
    let height = usize::from(area.height.saturating_sub(1));
    let now = film.frames.partition_point(|frame| frame.at < view.scene.now);
    let first = now.max(parting).saturating_sub(height / 3).max(parting.saturating_sub(1));
    for (row, frame) in film.frames.iter().skip(first).take(height).enumerate() {
        let mark = if first + row == parting { '*' } else { ' ' };
        let text = format!("{mark}{:>10} {}", micros(frame.at), tell(film, frame));
        let style = if frame.at > view.scene.now { view.look.faint() } else { Style::new() };
        line(area, 1 + row as u16, buf, &[(&text, style)]);
    }
}
