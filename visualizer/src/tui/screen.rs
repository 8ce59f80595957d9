//! Which panel stands where.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use ratatui::style::Style;
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::look::Look;
use super::model::Model;
use super::{counters, help, ladder, queues, status, story};

/// Smallest terminal that everything fits into.
pub const SMALLEST: (u16, u16) = (80, 24);

/// From this width on each NIC has its queues on its own side of the ladder.
const WIDE: u16 = 120;

/// Draws everything.
pub fn render(area: Rect, buf: &mut Buffer, model: &Model) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return too_small(area, buf);
    }
    let tall = area.height.saturating_sub(SMALLEST.1);
    let heights = [
        Constraint::Length(1),
        Constraint::Min(14),
        Constraint::Length(4 + (tall / 6).min(6)),
        Constraint::Length(4),
        Constraint::Length(1),
    ];
    let [top, middle, told, counted, bottom] = Layout::vertical(heights).areas(area);
    status::title(top, buf, model);
    if model.help {
        help::render(middle.union(told).union(counted), buf, model);
    } else {
        if area.width >= WIDE {
            let side = Constraint::Length((area.width / 5).clamp(28, 40));
            let [left, centre, right] =
                Layout::horizontal([side, Constraint::Min(40), side]).spacing(1).areas(middle);
            queues::render(left, buf, model, 0);
            ladder::render(centre, buf, model);
            queues::render(right, buf, model, 1);
        } else {
            let [left, right] =
                Layout::horizontal([Constraint::Length(27), Constraint::Min(40)]).spacing(1).areas(middle);
            let [above, below] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(left);
            queues::render(above, buf, model, 0);
            queues::render(below, buf, model, 1);
            ladder::render(right, buf, model);
        }
        story::render(told, buf, model);
        counters::render(counted, buf, model);
    }
    status::keys(bottom, buf, model);
}

fn too_small(area: Rect, buf: &mut Buffer) {
    let (width, height) = SMALLEST;
    let text = format!(
        "This terminal has {}x{} characters; the demo needs {width}x{height}. Make it larger, or press q and try \
         'ferroce demo --plain'.",
        area.width, area.height
    );
    Paragraph::new(text).wrap(Wrap { trim: true }).render(area, buf);
}

/// A rule across the top of a panel, with its name; what is left of the panel below it.
pub(crate) fn heading(area: Rect, buf: &mut Buffer, look: &Look, name: &str) -> Rect {
    if area.height == 0 {
        return area;
    }
    let rule: String = std::iter::repeat_n(look.glyphs.rule, usize::from(area.width)).collect();
    buf.set_stringn(area.x, area.y, rule, usize::from(area.width), look.faint());
    let name = format!(" {name} ");
    buf.set_stringn(area.x + 1, area.y, name, usize::from(area.width.saturating_sub(2)), look.strong());
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// Writes a line of pieces with styles of their own, cut at the right edge. Returns the column behind it.
pub(crate) fn line(area: Rect, row: u16, buf: &mut Buffer, pieces: &[(&str, Style)]) -> u16 {
    let mut x = area.x;
    if row < area.height {
        for (text, style) in pieces {
            let left = usize::from(area.right().saturating_sub(x));
            x = buf.set_stringn(x, area.y + row, text, left, *style).0;
        }
    }
    x
}
