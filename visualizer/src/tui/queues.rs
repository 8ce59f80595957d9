//! The queues of a NIC: what is posted, under way, acknowledged and completed.

use ferroce_engine::{
    CqSnapshot, QpSnapshot, RequesterSnapshot, SendOp, SendProgress, SendSlot, WcOpcode, WcStatus,
};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::model::{Model, name};
use super::rung::short;
use super::screen::{heading, line};

/// Draws the queues of NIC `who`.
pub(super) fn render(area: Rect, buf: &mut Buffer, model: &Model, who: usize) {
    let look = &model.look;
    let snapshot = &model.snapshots[who];
    let Some(qp) = snapshot.qps.first() else {
        heading(area, buf, &model.look, name(who));
        return;
    };
    let title = format!("{} {} {}", name(who), model.addrs[who], qp.state.name());
    let area = heading(area, buf, &model.look, &title);
    let timer = timer(model, &qp.requester);
    let (unacked, next) = (short(qp.requester.unacked), short(qp.requester.next));
    line(area, 0, buf, &[(&format!(" unacked {unacked} next {next}{timer}"), Style::new())]);

    // Three lines are heads; the rest is for the requests, mostly those of the send queue.
    let details = area.height.saturating_sub(4);
    let for_cq = details.div_ceil(3).min(details);
    let for_sq = details - for_cq;
    let slots = &qp.requester.queue;
    let cells: Vec<(char, Style)> =
        slots.iter().map(|slot| (glyph(model, qp, slot), look.strong())).collect();
    strip(area, 1, buf, model, "SQ", &cells, qp.requester.depth);
    for (row, slot) in slots.iter().take(usize::from(for_sq)).enumerate() {
        let text = format!("  #{} {} {} B {}", slot.wr_id, op_name(&slot.op), slot.len, progress(qp, slot));
        line(area, 2 + row as u16, buf, &[(&text, Style::new())]);
    }
    let cells = vec![(look.glyphs.posted, look.strong()); qp.responder.queue.len()];
    let column = strip(area, 2 + for_sq, buf, model, "RQ", &cells, qp.responder.depth);
    let expects = format!(" wants {}", short(qp.responder.expected));
    let rest = Rect { x: column, width: area.right() - column, ..area };
    line(rest, 2 + for_sq, buf, &[(&expects, Style::new())]);
    let Some(cq) = snapshot.cqs.first() else { return };
    completions(area, 3 + for_sq, for_cq, buf, model, cq);
}

/// One cell for each request, and free places. Returns the column behind it.
fn strip(
    area: Rect,
    row: u16,
    buf: &mut Buffer,
    model: &Model,
    label: &str,
    cells: &[(char, Style)],
    depth: u32,
) -> u16 {
    let room = usize::from(area.width).saturating_sub(12);
    let mut pieces = vec![(format!(" {label} "), model.look.strong())];
    pieces.extend(cells.iter().take(room).map(|(cell, style)| (cell.to_string(), *style)));
    let free = (depth as usize).saturating_sub(cells.len()).min(room.saturating_sub(cells.len()));
    pieces.push((model.look.glyphs.free.to_string().repeat(free), model.look.faint()));
    pieces.push((format!(" {}/{depth}", cells.len()), Style::new()));
    let pieces: Vec<(&str, Style)> = pieces.iter().map(|(text, style)| (text.as_str(), *style)).collect();
    line(area, row, buf, &pieces)
}

fn completions(area: Rect, row: u16, details: u16, buf: &mut Buffer, model: &Model, cq: &CqSnapshot) {
    let look = &model.look;
    let cells: Vec<(char, Style)> = cq
        .entries
        .iter()
        .map(|wc| match wc.status {
            WcStatus::Success => (look.glyphs.completed, look.good()),
            _ => (look.glyphs.end, look.bad()),
        })
        .collect();
    strip(area, row, buf, model, "CQ", &cells, cq.capacity);
    for (index, wc) in cq.entries.iter().take(usize::from(details)).enumerate() {
        let what = match wc.opcode {
            WcOpcode::Send => "SEND",
            WcOpcode::RdmaWrite => "WRITE",
            WcOpcode::RdmaRead => "READ",
            WcOpcode::CompSwap => "CMP&SWAP",
            WcOpcode::FetchAdd => "FETCH&ADD",
            WcOpcode::Recv => "received",
            WcOpcode::RecvRdmaWithImm => "received imm",
            _ => "done",
        };
        let text = match wc.status {
            WcStatus::Success => format!("  #{} {what} {} B", wc.wr_id, wc.byte_len),
            status => format!("  #{} {status:?}", wc.wr_id),
        };
        line(area, row + 1 + index as u16, buf, &[(&text, Style::new())]);
    }
}

/// How long the retransmission timer or the wait for a receive still runs.
fn timer(model: &Model, requester: &RequesterSnapshot) -> String {
    let left = |until: ferroce_engine::Time| until.since(model.now).as_micros();
    match (requester.rnr_wait, requester.timer) {
        (Some(until), _) => format!(" waits {}", left(until)),
        (None, Some(until)) => format!(" ~{}", left(until)),
        (None, None) => String::new(),
    }
}

fn glyph(model: &Model, qp: &QpSnapshot, slot: &SendSlot) -> char {
    let glyphs = &model.look.glyphs;
    match slot.progress {
        SendProgress::Posted => glyphs.posted,
        _ if acknowledged(qp, slot) > 0 => glyphs.acknowledged,
        SendProgress::Sending => glyphs.sending,
        SendProgress::InFlight => glyphs.in_flight,
    }
}

fn progress(qp: &QpSnapshot, slot: &SendSlot) -> String {
    match (slot.progress, slot.psns) {
        (SendProgress::Posted, _) | (_, None) => "posted".to_owned(),
        (_, Some((first, last))) => match acknowledged(qp, slot) {
            0 if slot.progress == SendProgress::Sending => "sending".to_owned(),
            0 => "sent".to_owned(),
            acked => format!("acked {acked}/{}", last.distance(first) + 1),
        },
    }
}

/// Packets of the request that are acknowledged.
fn acknowledged(qp: &QpSnapshot, slot: &SendSlot) -> i32 {
    slot.psns
        .map_or(0, |(first, last)| qp.requester.unacked.distance(first).clamp(0, last.distance(first) + 1))
}

fn op_name(op: &SendOp) -> &'static str {
    match op {
        SendOp::Send => "SEND",
        SendOp::SendImm(_) => "SEND+imm",
        SendOp::SendInv(_) => "SEND+inv",
        SendOp::Write(_) => "WRITE",
        SendOp::WriteImm(..) => "WRITE+imm",
        SendOp::Read(_) => "READ",
        SendOp::CompareSwap { .. } => "CMP&SWAP",
        SendOp::FetchAdd { .. } => "FETCH&ADD",
        SendOp::AtomicWrite(_) => "ATOMIC WRITE",
        SendOp::Flush { .. } => "FLUSH",
        SendOp::BindMw(_) => "BIND",
        SendOp::LocalInv(_) => "INVALIDATE",
        SendOp::RegMr { .. } => "REG MR",
    }
}
