//! What was counted: by the verifying application, by the devices, by the wire.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::model::{Model, name};
use super::screen::{heading, line};
use crate::demo::Operation;

/// Draws the numbers.
pub(super) fn render(area: Rect, buf: &mut Buffer, model: &Model) {
    let look = &model.look;
    let verified = format!("{} messages, {} bytes verified", model.messages(), model.bytes);
    let area = heading(area, buf, &model.look, &verified);
    let mut pieces = Vec::new();
    for (operation, messages) in Operation::ALL.iter().zip(model.verified) {
        let style = if messages > 0 { look.good() } else { look.faint() };
        pieces.push((format!(" {} {messages} ", brief(*operation)), style));
    }
    let pieces: Vec<(&str, Style)> = pieces.iter().map(|(text, style)| (text.as_str(), *style)).collect();
    line(area, 0, buf, &pieces);
    for who in 0..2 {
        let c = &model.snapshots[who].counters;
        let text = format!(
            " {} sent {:<4} resent {:<3} duplicates {:<3} gaps {:<3} timeouts {:<3} wrong ICRC {}",
            name(who),
            c.sent_pkts,
            c.retransmitted_pkts,
            c.duplicate_request,
            c.out_of_seq_request,
            c.local_ack_timeout_err,
            c.drop_icrc
        );
        let end = line(area, 1 + who as u16, buf, &[(&text, Style::new())]);
        // The wire has its place where the lines are long enough.
        let w = &model.wire;
        let text = match who {
            0 => format!("   wire: delivered {} lost {}", w.delivered, w.lost),
            _ => format!("   wire: doubled {} late {} damaged {}", w.doubled, w.late, w.damaged),
        };
        let at = area.x + area.width.min(84);
        if end <= at && area.right() > at + text.len() as u16 {
            line(
                Rect { x: at, width: area.right() - at, ..area },
                1 + who as u16,
                buf,
                &[(&text, Style::new())],
            );
        }
    }
}

fn brief(operation: Operation) -> &'static str {
    match operation {
        Operation::Send => "SEND",
        Operation::SendImm => "+imm",
        Operation::Write => "WRITE",
        Operation::WriteImm => "+imm",
        Operation::Read => "READ",
        Operation::CompareSwap => "CMP&SWAP",
        Operation::FetchAdd => "FETCH&ADD",
        Operation::Fence => "FENCED",
    }
}
