//! Packets between the two NICs, one line each, time running downwards.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::model::Model;
use super::rung::{Kind, Rung, State};
use super::screen::{heading, line};

/// Columns for the time a packet set out.
const TIME: u16 = 8;

/// Draws the latest packets, the newest at the bottom.
pub(super) fn render(area: Rect, buf: &mut Buffer, model: &Model) {
    let look = &model.look;
    let area = heading(area, buf, &model.look, "Packets");
    if area.height < 2 || area.width < 40 {
        return;
    }
    let note = (area.width / 3).clamp(15, 24);
    let field = area.width - TIME - 3 - note;
    let [left, right] = [area.x + TIME, area.x + TIME + 1 + field];
    let ends = Rect { height: 1, ..area };
    line(ends, 0, buf, &[("     µs ", look.faint())]);
    buf.set_string(left, area.y, "A", look.strong());
    buf.set_string(right, area.y, "B", look.strong());
    let rows = Rect { y: area.y + 1, height: area.height - 1, ..area };
    for y in rows.top()..rows.bottom() {
        for x in [left, right] {
            buf[(x, y)].set_char(look.glyphs.post).set_style(look.faint());
        }
    }
    let skipped = model.rungs.len().saturating_sub(usize::from(rows.height));
    for (row, rung) in model.rungs.iter().skip(skipped).enumerate() {
        let row = row as u16;
        let nanos = rung.start.nanos();
        let time = format!("{:>5}.{} ", nanos / 1000, nanos % 1000 / 100);
        line(rows, row, buf, &[(&time, look.faint())]);
        let style = style(model, rung);
        for (index, cell) in arrow(model, rung, usize::from(field)).into_iter().enumerate() {
            buf[(left + 1 + index as u16, rows.y + row)].set_char(cell).set_style(style);
        }
        let style = if rung.state == State::Arrived { Style::new() } else { look.bad() };
        let at = Rect { x: right + 2, width: area.right() - right - 2, ..rows };
        line(at, row, buf, &[(&rung.note, style)]);
    }
}

fn style(model: &Model, rung: &Rung) -> Style {
    let look = &model.look;
    match (rung.state, rung.kind) {
        (State::Lost | State::Dropped, _) => look.bad(),
        _ if rung.again || rung.copy => look.again().patch(look.strong()),
        (_, Kind::Request) => look.strong(),
        (_, Kind::Answer) => look.answer(),
        (_, Kind::Refusal) => look.bad(),
    }
}

/// The cells between the NICs: at the sender's side the name, then the line as far as the packet has come, and
/// its head, or where it ended.
fn arrow(model: &Model, rung: &Rung, width: usize) -> Vec<char> {
    let glyphs = &model.look.glyphs;
    let stroke = if rung.kind == Kind::Request { glyphs.data } else { glyphs.answer };
    let mut label = String::new();
    if rung.again {
        label.push(glyphs.again);
    }
    if rung.copy {
        label.push(glyphs.copy);
    }
    label.push_str(&rung.label);
    let mut cells = vec![stroke];
    cells.extend(label.chars().take(width.saturating_sub(4)));
    // From here on the head moves, in the last column at the end of the way.
    let way = width.saturating_sub(cells.len() + 1);
    let gone = match rung.state {
        State::Lost => way / 2,
        _ => (rung.progress(model.now) * way as f64) as usize,
    };
    cells.extend(std::iter::repeat_n(stroke, gone));
    cells.push(match rung.state {
        State::Lost | State::Dropped => glyphs.end,
        State::UnderWay | State::Arrived => glyphs.heads[rung.from],
    });
    cells.resize(width, ' ');
    if rung.from == 1 {
        // The same seen from the other side, except for the name, which is read from left to right.
        cells.reverse();
        let end = width - 1;
        let start = end - label.chars().count().min(width.saturating_sub(4));
        cells[start..end].reverse();
    }
    cells
}
