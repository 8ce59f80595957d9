//! Memory as packets name it: who touched which bytes, and what was denied.

use ferroce_engine::TraceEvent;
use ferroce_recording::{Record, What};
use ferroce_wire::Packet;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing};
use crate::tui::screen::line;

/// Frames that are searched for accesses, back from the present.
const SEARCHED: usize = 20_000;

/// Draws the latest accesses, the newest at the bottom.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let played = &view.film.frames[..view.scene.position.min(view.film.frames.len())];
    let recent = played.iter().rev().take(SEARCHED);
    let mut lines: Vec<(String, bool)> = Vec::new();
    for frame in recent {
        if lines.len() >= usize::from(area.height) {
            break;
        }
        lines.extend(access(view, frame));
    }
    if lines.is_empty() {
        return nothing(area, buf, view, "No packet has named remote memory yet.");
    }
    for (row, (text, denied)) in lines.iter().rev().enumerate() {
        let style = if *denied { view.look.bad() } else { Style::new() };
        line(area, row as u16, buf, &[(text, style)]);
    }
}

/// An access in a line, and whether it was denied.
fn access(view: &View<'_>, frame: &Record) -> Option<(String, bool)> {
    let (at, host) = (micros(frame.at), view.name(frame.host as usize));
    match &frame.what {
        What::Packet(packet) => {
            let headers = Packet::parse(&packet.bytes).ok()?.headers;
            let owner = packet.to.map_or("?", |to| view.name(to as usize));
            let opcode = headers.bth.opcode.name();
            let (va, rkey, len) = match (headers.reth, headers.atomic) {
                (Some(reth), _) => (reth.va, reth.rkey, reth.len),
                (None, Some(atomic)) => (atomic.va, atomic.rkey, 8),
                (None, None) => return None,
            };
            let end = va.saturating_add(u64::from(len));
            Some((
                format!(" {at:>12} us {host} {opcode} of {owner}'s {va:#x}..{end:#x} R_Key {rkey:#010x}"),
                false,
            ))
        }
        What::Device(TraceEvent::Refused { syndrome, denied, .. }) => {
            let why = denied.map_or(syndrome.to_string(), |denied| denied.to_string());
            Some((format!(" {at:>12} us {host} DENIED it: {why}"), true))
        }
        What::Device(_) => None,
    }
}
