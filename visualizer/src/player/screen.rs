//! Which panel stands where.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::panels;
use super::view::View;

/// Smallest terminal with all panels; smaller ones show the ladder alone.
pub const WHOLE: (u16, u16) = (80, 24);
/// Smallest terminal that shows anything.
pub const SMALLEST: (u16, u16) = (40, 8);

/// Draws everything.
pub fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!("Too small: {}x{}; {width}x{height} will do.", area.width, area.height);
        buf.set_stringn(area.x, area.y, text, usize::from(area.width), ratatui::style::Style::new());
        return;
    }
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    panels::status::title(top, buf, view);
    panels::status::keys(bottom, buf, view);
    if view.help {
        panels::help::render(middle, buf, view);
    } else if area.width < WHOLE.0 || area.height < WHOLE.1 {
        panels::ladder::render(middle, buf, view);
    } else {
        let below = Constraint::Length((middle.height / 3).max(9));
        let [above, below] = Layout::vertical([Constraint::Min(0), below]).areas(middle);
        let side = Constraint::Length((area.width / 3).clamp(28, 44));
        let [left, right] = Layout::horizontal([Constraint::Min(40), side]).spacing(1).areas(above);
        panels::ladder::render(left, buf, view);
        panels::queues::render(right, buf, view);
        panels::below(below, buf, view);
    }
}
