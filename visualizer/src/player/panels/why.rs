//! Why the queue pair that is looked at is in error.

use ferroce::why::of_trace;
use ferroce_engine::{QpState, Time, TraceEvent};
use ferroce_recording::What;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::{nothing, sentence};

/// Events back from the present that are looked at.
const LOOKED_AT: usize = 50_000;

/// Draws the three sentences.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let Some((host, _, qp)) = view.qp() else {
        return nothing(area, buf, view, "No queue pair is known yet.");
    };
    let end = view.scene.position.min(view.film.frames.len());
    let frames = view.film.frames[end.saturating_sub(LOOKED_AT)..end].iter();
    let own = frames.filter(|frame| frame.host as usize == view.looked_at.0);
    let events: Vec<(Time, TraceEvent)> = own
        .filter_map(|frame| match &frame.what {
            What::Device(event) => Some((frame.at, *event)),
            What::Packet(_) | What::Switch(_) => None,
        })
        .collect();
    let Some(death) = of_trace(events.iter(), qp.qpn) else {
        let found = qp.path.back().is_some_and(|(_, from, to)| from == to && *to == QpState::Err);
        let state = match found {
            true => "was in error already when the recording began",
            false => "is alive, as far as is known. e goes to the next failure",
        };
        let text = format!("{host}'s queue pair {:#x} {state}.", qp.qpn.value());
        return nothing(area, buf, view, &text);
    };
    let row = sentence(area, 0, buf, view.look.bad(), &death.happened);
    let row = sentence(area, row, buf, Style::new(), &death.because);
    sentence(area, row, buf, view.look.strong(), death.change());
}
