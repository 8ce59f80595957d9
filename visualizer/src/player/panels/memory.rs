//! Remote memory: its bytes around the latest access, who touched which, and what was denied.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing};
use crate::film::{LINE, Memory};
use crate::tui::screen::line;

/// Draws the bytes above, and the latest accesses below, the newest at the bottom.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let memory = Memory::at(view.film, view.scene.position);
    if memory.accesses.is_empty() {
        return nothing(area, buf, view, "No packet has named remote memory yet.");
    }
    let dumped = bytes(area, buf, view, &memory);
    let dumped = dumped + keys(area, dumped, buf, view, &memory);
    let room = usize::from(area.height.saturating_sub(dumped));
    let skipped = memory.accesses.len().saturating_sub(room);
    for (row, access) in memory.accesses.iter().skip(skipped).enumerate() {
        let style = if access.denied { view.look.bad() } else { Style::new() };
        let text = format!(" {:>10} {}", micros(access.at), access.text);
        line(area, dumped + row as u16, buf, &[(&text, style)]);
    }
}

/// The keys of regions and windows, those denied first: what was touched by them, and how often. Says how many rows
/// that took.
fn keys(area: Rect, row: u16, buf: &mut Buffer, view: &View<'_>, memory: &Memory) -> u16 {
    let rows = (area.height / 4).max(1);
    let mut keys: Vec<_> = memory.keys.iter().collect();
    keys.sort_by_key(|(_, key)| std::cmp::Reverse(key.denied));
    for (at, ((owner, rkey), key)) in (row..row + rows).zip(&keys) {
        let owner = view.name(*owner as usize);
        let range =
            key.range.map_or("nothing touched".to_owned(), |(from, to)| format!("{from:#x}..{to:#x}"));
        let text = format!(
            " {owner} R_Key {rkey:#010x} {range}, {} written, {} read, {} denied",
            key.writes, key.reads, key.denied
        );
        let style = if key.denied > 0 { view.look.bad() } else { view.look.strong() };
        line(area, at, buf, &[(&text, style)]);
    }
    rows.min(keys.len() as u16)
}

/// The bytes around the latest access, which are marked; says how many rows that took.
fn bytes(area: Rect, buf: &mut Buffer, view: &View<'_>, memory: &Memory) -> u16 {
    let Some((owner, rkey, start, end)) = memory.last else { return 0 };
    let rows = (area.height / 2).clamp(1, 8);
    let owner_name = view.name(owner as usize);
    let head = format!(" {owner_name}'s memory by R_Key {rkey:#010x} (* touched last, .. not seen)");
    line(area, 0, buf, &[(&head, view.look.strong())]);
    for row in 0..rows.saturating_sub(1) {
        let place = (start / LINE).saturating_add(u64::from(row));
        let address = place.saturating_mul(LINE);
        let known = memory.line((owner, rkey, place));
        let (mut hex, mut text) = (format!(" {address:#012x} "), String::new());
        for (offset, byte) in known.into_iter().enumerate() {
            let at = address.saturating_add(offset as u64);
            let mark = if (start..end).contains(&at) { '*' } else { ' ' };
            hex.push_str(&byte.map_or("..".to_owned(), |byte| format!("{byte:02x}")));
            hex.push(mark);
            let shown = byte.filter(|byte| byte.is_ascii_graphic()).map_or('.', char::from);
            text.push(shown);
        }
        let style = if address < end { Style::new() } else { view.look.faint() };
        line(area, 1 + row, buf, &[(&hex, style), (" ", style), (&text, view.look.faint())]);
    }
    rows
}
