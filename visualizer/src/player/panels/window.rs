//! The PSNs of a queue pair: sent, acknowledged, expected, missing, sent again.

use ferroce_engine::{Psn, Time};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{micros, nothing, sentence};
use crate::film::{QpScene, cause_in_words, short};
use crate::tui::screen::line;

/// Columns of a PSN and its mark.
const CELL: usize = 6;

/// Draws the window, and what its marks mean.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let Some((host, _, qp)) = view.qp() else {
        let begins = view.scene.position == 0;
        let text = if begins { view.overview } else { "No queue pair is known yet." };
        return nothing(area, buf, view, text);
    };
    let show = |psn: Option<Psn>| psn.map_or("---".to_owned(), short);
    let text = format!(
        " {host} as requester: unacknowledged from {}, next {}, highest sent before {}",
        show(qp.unacked),
        show(qp.next),
        show(qp.highest)
    );
    line(area, 0, buf, &[(&text, Style::new())]);
    cells(area, buf, view, qp);
    let gap = qp.gap.map_or(String::new(), |got| format!(", but {} came: a gap", short(got)));
    let text = format!(" {host} as responder: expects {}{gap}", show(qp.expected));
    line(area, 4, buf, &[(&text, if qp.gap.is_some() { look.bad() } else { Style::new() })]);
    let mut row = 5;
    if let Some((cause, left)) = qp.went_back {
        let text = format!("It went back last because {}; {left} retries were left.", cause_in_words(cause));
        row = sentence(area, row, buf, Style::new(), &text);
    }
    if let Some(timer) = timer(view, qp) {
        sentence(area, row, buf, look.again(), &timer);
    }
}

/// The timer that runs down, if one does.
fn timer(view: &View<'_>, qp: &QpScene) -> Option<String> {
    let now = view.scene.now;
    if let Some(until) = qp.waits {
        let left = micros(Time::from_nanos(until.nanos().saturating_sub(now.nanos())));
        return Some(format!("RNR timer: it waits {left} us more for a receive of the peer's."));
    }
    let waited = now.nanos().saturating_sub(qp.awaits?.nanos());
    let since = micros(Time::from_nanos(waited));
    Some(match view.timeout {
        Some(timeout) => {
            let left = (timeout.as_nanos() as u64).saturating_sub(waited);
            format!("ACK timer: {} us left; it has waited {since} us.", micros(Time::from_nanos(left)))
        }
        None => format!("ACK timer: it has waited {since} us."),
    })
}

/// The PSNs from a little before the oldest that is not acknowledged, with a mark under each.
fn cells(area: Rect, buf: &mut Buffer, view: &View<'_>, qp: &QpScene) {
    let look = view.look;
    let Some(unacked) = qp.unacked else { return };
    let fit = (usize::from(area.width).saturating_sub(2) / CELL) as u32;
    let first = unacked - 2;
    for index in 0..fit {
        let psn = first + index;
        let again = qp.again.contains(&psn);
        let sent = qp.highest.is_some_and(|highest| psn.is_before(highest));
        let (mark, style) = match () {
            () if psn.is_before(unacked) => ("ok", look.good()),
            () if !sent => ("-", look.faint()),
            () if again => ("again", look.again()),
            () => ("sent", look.strong()),
        };
        let x = area.x + 1 + (index as usize * CELL) as u16;
        let at = Rect { x, width: (CELL as u16).min(area.right().saturating_sub(x)), ..area };
        let number = format!(
            "{:>5}",
            short(psn).chars().rev().take(5).collect::<String>().chars().rev().collect::<String>()
        );
        let next = if qp.next == Some(psn) { look.bar() } else { Style::new() };
        line(at, 1, buf, &[(&number, next)]);
        line(at, 2, buf, &[(&format!("{mark:>5}"), style)]);
    }
}
