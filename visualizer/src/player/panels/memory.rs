//! Memory that peers can name: its bytes around the latest access, what each key opens, who touched which bytes, and
//! what was denied.

use std::cmp::Reverse;

use ferroce_engine::Access;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing};
use crate::film::{Key, KeyScene, LINE, Memory};
use crate::tui::screen::line;

/// Draws the bytes above, and the latest accesses below, the newest at the bottom.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let memory = Memory::at(view.film, view.scene.position);
    if memory.accesses.is_empty() && view.scene.hosts.iter().all(|host| host.keys.is_empty()) {
        return nothing(area, buf, view, "No memory is known, and no packet has named any.");
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

/// The keys of regions and windows, those first that were denied or used: what they open to peers, and how often they
/// were used. Says how many rows that took.
fn keys(area: Rect, row: u16, buf: &mut Buffer, view: &View<'_>, memory: &Memory) -> u16 {
    let keys = known(view, memory);
    // Accesses have a third of the panel, if there are so many.
    let accesses = (memory.accesses.len() as u16).min(area.height / 3);
    let shown = keys.len().min(usize::from(area.height.saturating_sub(row + accesses).max(1)));
    for (index, known) in keys.iter().take(shown).enumerate() {
        let mut text = known.text(view);
        if index + 1 == shown && shown < keys.len() {
            text.push_str(&format!("; {} more", keys.len() - shown));
        }
        let style = if known.used.denied > 0 { view.look.bad() } else { view.look.strong() };
        line(area, row + index as u16, buf, &[(&text, style)]);
    }
    shown as u16
}

/// What is known of a key: from its owner, if that tells, and from the packets that named it.
struct Known {
    owner: usize,
    rkey: u32,
    opens: Option<KeyScene>,
    used: Key,
}

/// All keys, those of most interest first.
fn known(view: &View<'_>, memory: &Memory) -> Vec<Known> {
    let mut all: Vec<Known> = Vec::new();
    for (owner, host) in view.scene.hosts.iter().enumerate() {
        for opens in host.keys.values() {
            let used = memory.keys.get(&(owner as u32, opens.key)).copied().unwrap_or_default();
            all.push(Known { owner, rkey: opens.key, opens: Some(*opens), used });
        }
    }
    for ((owner, rkey), used) in &memory.keys {
        let owner = *owner as usize;
        if !all.iter().any(|known| (known.owner, known.rkey) == (owner, *rkey)) {
            all.push(Known { owner, rkey: *rkey, opens: None, used: *used });
        }
    }
    all.sort_by_key(|known| Reverse((known.used.denied, known.used.writes + known.used.reads)));
    all
}

impl Known {
    fn text(&self, view: &View<'_>) -> String {
        let Known { owner, rkey, opens, used } = self;
        let span = |(from, to): (u64, u64)| format!("{from:#x}..{to:#x}");
        let tells = view.scene.hosts.get(*owner).is_some_and(|host| !host.keys.is_empty());
        let what = match opens {
            // Its owner has told of others.
            None if tells => "opens nothing".to_owned(),
            None => used.range.map_or("unknown".to_owned(), span),
            Some(KeyScene { open: false, .. }) => "opens nothing now".to_owned(),
            Some(KeyScene { addr, len, access, window, .. }) => {
                let kind = window.map_or(String::new(), |(region, _)| format!("window in {region:#010x} "));
                format!("{kind}{} {}", rights(*access), span((*addr, addr.saturating_add(*len))))
            }
        };
        let counts = [(used.denied, "denied"), (used.writes, "written"), (used.reads, "read")];
        let counts: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let counts = if counts.is_empty() { "untouched".to_owned() } else { counts.join(", ") };
        format!(" {} key {rkey:#010x} {what}, {counts}", view.name(*owner))
    }
}

/// What peers may do: write, read, use atomics.
fn rights(access: Access) -> String {
    let letters = [(Access::REMOTE_WRITE, 'w'), (Access::REMOTE_READ, 'r'), (Access::REMOTE_ATOMIC, 'a')];
    letters.map(|(right, letter)| if access.contains(right) { letter } else { '-' }).iter().collect()
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
