//! The help page: keys from the same table that makes them work, and what the signs mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::keys::KEYS;
use super::super::view::View;
use crate::tui::screen::{heading, line};

/// Columns of a key and its sentence.
const COLUMN: u16 = 40;

/// Draws the page, in two columns where there is room.
pub(in super::super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let area =
        heading(area, buf, look, "Keys (a capital goes back where a small letter goes on; 1 to 9: panels)");
    let g = &look.glyphs;
    let signs = [
        format!("{0}{0}{1} request   {2}{3}{3} answer", g.data, g.heads[0], g.heads[1], g.answer),
        format!("{0}{0}{1} lost      {2} sent again", g.data, g.end, g.again),
        format!("{} posted  {} sending  {} sent", g.posted, g.sending, g.in_flight),
        format!("{} partly acknowledged", g.acknowledged),
    ];
    let keys = KEYS.iter().filter(|key| !key.long.is_empty()).map(|key| (key.name, key.long));
    let signs = signs.iter().map(|sign| ("", sign.as_str()));
    let height = area.height.max(1);
    for (index, (name, text)) in keys.chain(signs).enumerate() {
        let (column, row) = (index as u16 / height, index as u16 % height);
        let x = area.x + column * COLUMN;
        if x + 10 >= area.right() {
            break;
        }
        let at = Rect { x, width: (area.right() - x).min(COLUMN - 1), ..area };
        let name = format!(" {name:<6}");
        line(at, row, buf, &[(&name, look.strong()), (text, Style::new())]);
    }
}
