//! What happened, in sentences.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::model::Model;
use super::screen::{heading, line};

/// Draws the latest sentences, the newest at the bottom, or the failure that ended it.
pub(super) fn render(area: Rect, buf: &mut Buffer, model: &Model) {
    let look = &model.look;
    let area = heading(area, buf, &model.look, "What happens");
    if let Some(failure) = &model.failure {
        line(area, 0, buf, &[("WRONG: ", look.bad()), (failure, look.strong())]);
        return;
    }
    if model.story.is_empty() {
        line(area, 0, buf, &[(" Nothing out of the ordinary yet. Press l to lose a packet.", look.faint())]);
        return;
    }
    let skipped = model.story.len().saturating_sub(usize::from(area.height));
    for (row, (time, text)) in model.story.iter().skip(skipped).enumerate() {
        let is_last = row + skipped + 1 == model.story.len();
        let nanos = time.nanos();
        let when = format!("{:>6}.{} ", nanos / 1000, nanos % 1000 / 100);
        let style = if is_last { look.strong() } else { Style::new() };
        line(area, row as u16, buf, &[(&when, look.faint()), (text, style)]);
    }
}
