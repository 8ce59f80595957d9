//! What was carried between hosts, or through the ports of switches if there are any.

use std::collections::BTreeMap;

use ferroce_recording::{Record, What};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing};
use crate::film::PortScene;
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

/// Draws a line for each port of a switch, or for each pair of hosts.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let end = view.scene.position.min(view.film.frames.len());
    let frames = &view.film.frames[end.saturating_sub(LOOKED_AT)..end];
    if frames.is_empty() {
        return nothing(area, buf, view, "Nothing was carried yet.");
    }
    if view.scene.ports.is_empty() { pairs(area, buf, view, frames) } else { ports(area, buf, view, frames) }
}

/// Which part of the time that these frames took a frame falls into.
fn bucket(frames: &[Record], frame: &Record) -> usize {
    let nanos = |at: usize| frames.get(at).map_or(0, |frame| frame.at.nanos());
    let (first, last) = (nanos(0), nanos(frames.len() - 1));
    let since = u128::from(frame.at.nanos().saturating_sub(first));
    let span = u128::from(last.saturating_sub(first).max(1));
    ((since * (BUCKETS as u128 - 1) / span) as usize).min(BUCKETS - 1)
}

/// Values as a line of bars; the highest is as high as can be.
fn spark(view: &View<'_>, values: &[u64]) -> String {
    let most = u128::from(values.iter().copied().max().unwrap_or(0).max(1));
    let bars = &BARS[usize::from(view.look.glyphs.post == '|')];
    values.iter().map(|value| bars[(u128::from(*value) * 4).div_ceil(most) as usize]).collect()
}

fn pairs(area: Rect, buf: &mut Buffer, view: &View<'_>, frames: &[Record]) {
    let mut directions: BTreeMap<(u32, Option<u32>), Direction> = BTreeMap::new();
    for frame in frames {
        let What::Packet(packet) = &frame.what else { continue };
        let direction = directions.entry((frame.host, packet.to)).or_default();
        direction.packets += 1;
        direction.bytes += packet.bytes.len() as u64;
        direction.lost += u64::from(packet.is_lost());
        direction.damaged += u64::from(packet.arrivals.iter().any(|arrival| arrival.damaged));
        direction.marked += u64::from(packet.traffic_class & 3 == 3);
        direction.rate[bucket(frames, frame)] += packet.bytes.len() as u64;
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
        line(
            area,
            1 + row as u16,
            buf,
            &[(&text, Style::new()), (&spark(view, &d.rate), view.look.answer())],
        );
    }
}

/// The ports with the longest queues, those in trouble first.
fn ports(area: Rect, buf: &mut Buffer, view: &View<'_>, frames: &[Record]) {
    let mut depth: BTreeMap<(u32, u16), [u64; BUCKETS]> = BTreeMap::new();
    for frame in frames {
        let What::Switch(record) = &frame.what else { continue };
        let depth = depth.entry((record.switch, record.port)).or_default();
        let at = &mut depth[bucket(frames, frame)];
        *at = record.queued.max(*at);
    }
    let head = format!(
        " {:<20} {:>8} {:>8} {:>8} {:>5} {:>5} {:>6}  {:<BUCKETS$}",
        "port", "waiting", "most", "sent", "CE", "drops", "pauses", "queue over time"
    );
    line(area, 0, buf, &[(&head, view.look.faint())]);
    let mut ports: Vec<(&(u32, u16), &PortScene)> = view.scene.ports.iter().collect();
    // What is interesting comes first; what stays the same keeps its place.
    ports.sort_by_key(|(_, port)| std::cmp::Reverse((port.dropped > 0, port.most)));
    for (row, (place, port)) in ports.into_iter().take(usize::from(area.height)).enumerate() {
        let (switch, name) = view.port(place.0, place.1);
        let ends: String = format!("{switch} to {name}").chars().take(20).collect();
        let text = format!(
            " {ends:<20} {:>8} {:>8} {:>8} {:>5} {:>5} {:>6}  ",
            port.waiting(),
            port.most,
            port.sent,
            port.marked,
            port.dropped,
            port.asked
        );
        let style = if port.dropped > 0 { view.look.bad() } else { Style::new() };
        let spark = spark(view, depth.get(place).map_or(&[0; BUCKETS][..], |depth| &depth[..]));
        let state = match port {
            PortScene { since: Some(since), .. } => format!(" PAUSED since {}", micros(*since)),
            PortScene { asking: 1.., .. } => " peer asked to pause".to_owned(),
            _ => String::new(),
        };
        let pieces = [(text.as_str(), style), (&spark, view.look.answer()), (&state, view.look.again())];
        line(area, 1 + row as u16, buf, &pieces);
    }
}
