//! The line at the top and the line at the bottom.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::super::keys::KEYS;
use super::super::view::View;
use super::micros;
use crate::tui::screen::line;

/// Columns of the bar that shows how far the film has gone.
const BAR: usize = 20;

/// What this is, where it is, and whether time runs.
pub(in super::super) fn title(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let bar = view.look.bar();
    buf.set_style(area, bar);
    let frames = view.film.frames.len();
    let position = view.scene.position;
    let done = (position * (BAR - 1)).checked_div(frames).unwrap_or(0);
    let progress: String = (0..BAR).map(|at| if at == done { '|' } else { '=' }).collect();
    let state = if view.running { format!("{}/s", view.pace) } else { "PAUSED".to_owned() };
    let branch = if view.changed { " CHANGED" } else { "" };
    let right = format!("e{position}/{frames} t={} us {state}{branch} [{progress}] ", micros(view.scene.now));
    let room = usize::from(area.width).saturating_sub(right.len() + 1);
    let title: String = format!(" {}", view.film.title).chars().take(room).collect();
    line(area, 0, buf, &[(&title, bar.patch(view.look.strong()))]);
    let start = area.width.saturating_sub(right.len() as u16);
    line(Rect { x: area.x + start, width: area.width - start, ..area }, 0, buf, &[(&right, bar)]);
}

/// What is typed, or what is to tell, or the keys, as many as fit.
pub(in super::super) fn keys(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let (bar, strong) = (view.look.bar(), view.look.bar().patch(view.look.strong()));
    buf.set_style(area, bar);
    if let Some((prompt, text)) = view.entry {
        let what = if prompt == '/' { "words to find" } else { "event or part" };
        let typed = format!(" {what} {prompt}{text}_");
        line(area, 0, buf, &[(&typed, strong), ("  Enter goes there, Esc does not", bar)]);
        return;
    }
    if !view.message.is_empty() {
        line(area, 0, buf, &[(" ", bar), (view.message, strong)]);
        return;
    }
    let mut used = 1;
    for key in KEYS.iter().filter(|key| !key.short.is_empty()) {
        let text = format!(" {}  ", key.short);
        let width = key.name.len() + text.len();
        if used + width > usize::from(area.width) {
            break;
        }
        let at = Rect { x: area.x + used as u16, width: area.width - used as u16, ..area };
        line(at, 0, buf, &[(key.name, strong), (&text, bar)]);
        used += width;
    }
}
