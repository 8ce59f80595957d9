//! What was carried in each direction, and how fast.

use std::collections::BTreeMap;

use ferroce_recording::What;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::nothing;
use crate::tui::screen::line;

/// Columns of a sparkline.
const BUCKETS: usize = 24;
/// Frames back from the present that are looked at.
const LOOKED_AT: usize = 50_000;
/// Heights of a sparkline, with and without more than ASCII.
const BARS: [[char; 5]; 2] = [[' ', '▂', '▄', '▆', '█'], [' ', '.', ':', '|', '#']];

#[derive(Default)]
struct Direction {
    packets: u64,
    bytes: u64,
    lost: u64,
    damaged: u64,
    marked: u64,
    rate: [u64; BUCKETS],
}

/// Draws a line for each pair of hosts.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let end = view.scene.position.min(view.film.frames.len());
    let frames = &view.film.frames[end.saturating_sub(LOOKED_AT)..end];
    let (Some(first), Some(last)) = (frames.first(), frames.last()) else {
        return nothing(area, buf, view, "Nothing was carried yet.");
    };
    let span = (last.at.nanos() - first.at.nanos()).max(1);
    let mut directions: BTreeMap<(u32, Option<u32>), Direction> = BTreeMap::new();
    for frame in frames {
        let What::Packet(packet) = &frame.what else { continue };
        let direction = directions.entry((frame.host, packet.to)).or_default();
        direction.packets += 1;
        direction.bytes += packet.bytes.len() as u64;
        direction.lost += u64::from(packet.arrivals.is_empty());
        direction.damaged += u64::from(packet.arrivals.iter().any(|arrival| arrival.damaged));
        direction.marked += u64::from(packet.traffic_class & 3 == 3);
        let bucket = (frame.at.nanos() - first.at.nanos()) as u128 * (BUCKETS as u128 - 1) / u128::from(span);
        direction.rate[bucket as usize] += packet.bytes.len() as u64;
    }
    if directions.is_empty() {
        return nothing(area, buf, view, "There are no packets in this film, only what devices say of them.");
    }
    let head = format!(
        " {:<24} {:>8} {:>10} {:>5} {:>5} {:>5}  bytes over time",
        "from, to", "packets", "bytes", "lost", "bad", "CE"
    );
    line(area, 0, buf, &[(&head, view.look.faint())]);
    for (row, ((from, to), d)) in directions.iter().enumerate() {
        let to = to.map_or("nobody", |to| view.name(to as usize));
        let ends: String = format!("{}, {to}", view.name(*from as usize)).chars().take(24).collect();
        let text = format!(
            " {ends:<24} {:>8} {:>10} {:>5} {:>5} {:>5}  ",
            d.packets, d.bytes, d.lost, d.damaged, d.marked
        );
        let most = d.rate.iter().copied().max().unwrap_or(0).max(1);
        let bars = &BARS[usize::from(view.look.glyphs.post == '|')];
        let spark: String = d.rate.iter().map(|rate| bars[(rate * 4).div_ceil(most) as usize]).collect();
        line(area, 1 + row as u16, buf, &[(&text, Style::new()), (&spark, view.look.answer())]);
    }
}
