//! The line at the top and the line at the bottom.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::keys::KEYS;
use super::model::Model;
use super::screen::line;
use crate::demo::stage::Fate;

/// What this is, and whether time passes.
pub(super) fn title(area: Rect, buf: &mut Buffer, model: &Model) {
    buf.set_style(area, model.look.bar());
    let pace = match model.pace {
        pace if pace < 1000 => format!("{pace} ms"),
        pace => format!("{}.{} s", pace / 1000, pace % 1000 / 100),
    };
    let state = match (&model.failure, model.paused || model.help) {
        (Some(_), _) => "FAILED",
        (None, true) => "PAUSED",
        (None, false) => "running",
    };
    let right = format!("t={}  1 µs lasts {pace}  {state} ", micros(model));
    let bar = model.look.bar();
    line(area, 0, buf, &[(" Ferroce demo: two NICs", bar.patch(model.look.strong()))]);
    let start = area.width.saturating_sub(right.chars().count() as u16);
    line(Rect { x: area.x + start, width: area.width - start, ..area }, 0, buf, &[(&right, bar)]);
}

/// The keys, as many as fit; and what has been wished for.
pub(super) fn keys(area: Rect, buf: &mut Buffer, model: &Model) {
    let (bar, strong) = (model.look.bar(), model.look.bar().patch(model.look.strong()));
    buf.set_style(area, bar);
    let wish = match model.wish {
        Some(Fate::Lost) => "the next is lost ",
        Some(Fate::Doubled) => "the next is doubled ",
        Some(Fate::Late) => "the next is late ",
        Some(Fate::Damaged) => "the next is damaged ",
        Some(Fate::Passes) | None if model.chance => "",
        Some(Fate::Passes) | None => "faults off ",
    };
    let room = usize::from(area.width).saturating_sub(wish.len());
    let mut used = 1;
    for key in KEYS.iter().filter(|key| !key.short.is_empty()) {
        let text = format!(" {}  ", key.short);
        let width = key.name.len() + text.len();
        if used + width > room {
            break;
        }
        let at = Rect { x: area.x + used as u16, width: area.width - used as u16, ..area };
        line(at, 0, buf, &[(key.name, strong), (&text, bar)]);
        used += width;
    }
    let start = area.width.saturating_sub(wish.len() as u16);
    line(Rect { x: area.x + start, width: area.width - start, ..area }, 0, buf, &[(wish, strong)]);
}

fn micros(model: &Model) -> String {
    let nanos = model.now.nanos();
    format!("{}.{} µs", nanos / 1000, nanos % 1000 / 100)
}
