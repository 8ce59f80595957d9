//! The queues of a queue pair: what is posted, under way and completed.

use ferroce_engine::WcStatus;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::nothing;
use crate::film::{QpScene, SendScene};
use crate::tui::screen::{heading, line};

/// Draws the queues of the queue pair that is looked at.
pub(in super::super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let Some((host, scene, qp)) = view.qp() else {
        let area = heading(area, buf, look, "Queue pair");
        return nothing(area, buf, view, "None is known yet. l goes on.");
    };
    // A capture shows no states.
    let state = if qp.path.is_empty() { "" } else { qp.state.name() };
    let title = format!("{host} qp {:#x} {state}", qp.qpn.value());
    let area = heading(area, buf, look, &title);
    let room = usize::from(area.width).saturating_sub(10);
    let sends: String = qp.sends.iter().take(room).map(|send| glyph(view, qp, send)).collect();
    line(
        area,
        0,
        buf,
        &[(" SQ ", look.strong()), (&sends, look.strong()), (&format!(" {}", qp.sends.len()), Style::new())],
    );
    let details = usize::from(area.height.saturating_sub(4));
    let for_sends = details - details / 3;
    for (row, send) in qp.sends.iter().take(for_sends).enumerate() {
        let text = format!("  #{} {}", send.wr_id, describe(qp, send));
        line(area, 1 + row as u16, buf, &[(&text, Style::new())]);
    }
    let row = 1 + for_sends as u16;
    // A queue pair without receives of its own takes them from a shared queue, if its host has one.
    let shared = scene.srqs.first().filter(|_| qp.receives.is_empty());
    let (name, posted) =
        shared.map_or((" RQ ", qp.receives.len()), |(_, receives)| (" SRQ ", receives.len()));
    let receives: String = std::iter::repeat_n(look.glyphs.posted, posted.min(room)).collect();
    let count = format!(" {posted}");
    line(area, row, buf, &[(name, look.strong()), (&receives, look.strong()), (&count, Style::new())]);
    let [well, failed, flushed] = qp.ended;
    let text = format!("{well} ok {failed} bad {flushed} flushed");
    line(area, row + 1, buf, &[(" CQ ", look.strong()), (&text, Style::new())]);
    for (at, (time, wc)) in qp.completions.iter().rev().take(details / 3).enumerate() {
        let (style, mark) = if wc.status == WcStatus::Success {
            (look.good(), look.glyphs.completed)
        } else {
            (look.bad(), look.glyphs.end)
        };
        // What went wrong must not be cut off.
        let status =
            if wc.status == WcStatus::Success { "at".to_owned() } else { format!("{:?}", wc.status) };
        let text = format!("  {mark} #{} {status} {}", wc.wr_id, super::micros(*time));
        line(area, row + 2 + at as u16, buf, &[(&text, style)]);
    }
}

fn glyph(view: &View<'_>, qp: &QpScene, send: &SendScene) -> char {
    let glyphs = &view.look.glyphs;
    match send {
        SendScene { psns: None, .. } => glyphs.posted,
        SendScene { psns: Some((first, _)), .. }
            if qp.unacked.is_some_and(|unacked| unacked.is_after(*first)) =>
        {
            glyphs.acknowledged
        }
        SendScene { sent: false, .. } => glyphs.sending,
        _ => glyphs.in_flight,
    }
}

fn describe(qp: &QpScene, send: &SendScene) -> String {
    let (Some(opcode), Some((first, last))) = (send.opcode, send.psns) else { return "posted".to_owned() };
    let name = opcode.name();
    let name = name.strip_prefix("RC_").unwrap_or(name);
    let name = name.strip_suffix("_FIRST").or_else(|| name.strip_suffix("_ONLY")).unwrap_or(name);
    let acked = qp.unacked.map_or(0, |unacked| unacked.distance(first).clamp(0, last.distance(first) + 1));
    let progress = match (send.sent, acked) {
        (false, _) => "sending".to_owned(),
        (true, 0) => "sent".to_owned(),
        (true, acked) => format!("acked {acked}/{}", last.distance(first) + 1),
    };
    format!("{name} {} B {progress}", send.len)
}
