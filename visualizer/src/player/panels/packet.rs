//! The selected packet: every field, what it means, and its bytes.

use ferroce_wire::decode::{Field, fields as decode};
use ferroce_wire::{Packet, Part};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::nothing;
use crate::tui::screen::line;

/// From this width on there are sixteen bytes in a line, and eight in narrower ones.
const WIDE: u16 = 110;

/// How many fields the selected packet has.
pub(in super::super) fn fields(view: &View<'_>) -> usize {
    all(view).len()
}

fn all(view: &View<'_>) -> Vec<Field> {
    let mut all = Vec::new();
    if let Some(packet) = view.packet()
        && let Ok(packet) = Packet::parse(&packet.bytes)
        && decode(&packet, &mut |field| all.push(field)).is_err()
    {
        all.clear();
    }
    all
}

/// Draws fields to the left, bytes to the right, the bytes of the chosen field highlighted.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let Some(packet) = view.packet() else {
        return nothing(
            area,
            buf,
            view,
            "No packet with its bytes is selected. j and k select one; recordings of real NICs have none.",
        );
    };
    let all = all(view);
    if all.is_empty() {
        return nothing(area, buf, view, "These bytes are no packet.");
    }
    let look = view.look;
    let chosen = view.field.min(all.len() - 1);
    let in_line = if area.width < WIDE { 8 } else { 16 };
    let columns = 6 + 3 * in_line as u16;
    let left = Rect { width: area.width.saturating_sub(columns), ..area };
    let height = usize::from(area.height);
    let first = chosen.saturating_sub(height / 2).min(all.len().saturating_sub(height));
    for (row, field) in all.iter().enumerate().skip(first).take(height) {
        let mark = if row == chosen { '>' } else { ' ' };
        let meaning = field.meaning.to_string();
        let value = if field.bits > 16 || matches!(field.part, Part::Icrc) {
            format!("{:#x}", field.value)
        } else {
            field.value.to_string()
        };
        let text = format!("{mark}{} {} {value} {meaning}", part(field.part), field.name);
        let style = if row == chosen { look.bar() } else { Style::new() };
        line(left, (row - first) as u16, buf, &[(&text, style)]);
    }
    let right = Rect { x: left.right(), width: area.width - left.width, ..area };
    bytes(right, buf, view, (&packet.bytes, in_line), &all[chosen]);
}

/// The bytes, so many in a line, those of the field highlighted.
fn bytes(area: Rect, buf: &mut Buffer, view: &View<'_>, (bytes, in_line): (&[u8], usize), field: &Field) {
    let look = view.look;
    let lit = field.bytes();
    let height = usize::from(area.height.saturating_sub(1));
    let first = (lit.start / in_line).saturating_sub(height.saturating_sub(1));
    let local = if view.packet().is_some_and(|packet| packet.local) { "; through shared memory" } else { "" };
    let bits = format!(" byte {}, bit {}, {} bits{local}", field.byte, field.bit, field.bits);
    line(area, 0, buf, &[(&bits, look.faint())]);
    for (row, chunk) in bytes.chunks(in_line).enumerate().skip(first).take(height) {
        let y = (row - first) as u16 + 1;
        line(area, y, buf, &[(&format!(" {:03x} ", row * in_line), look.faint())]);
        for (column, byte) in chunk.iter().enumerate() {
            let is_lit = lit.contains(&(row * in_line + column));
            let style = if is_lit { look.bar() } else { Style::new() };
            let x = area.x + 5 + 3 * column as u16;
            if x + 2 <= area.right() {
                let at = Rect { x, width: area.right() - x, ..area };
                line(at, y, buf, &[(&format!("{byte:02x}"), style)]);
            }
        }
    }
}

fn part(part: Part) -> String {
    format!("{part:?}").to_uppercase()
}
