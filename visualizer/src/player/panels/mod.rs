//! The panels, one file each: functions of a [`View`].

mod branches;
mod counters;
mod events;
pub(super) mod help;
pub(super) mod ladder;
mod links;
mod memory;
mod packet;
pub(super) mod queues;
mod states;
pub(super) mod status;
mod why;
mod window;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::view::{Panel, View};
use crate::tui::screen::line;

pub(super) use packet::fields;

/// The tabs, and the panel that is chosen.
pub(super) fn below(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let rule: String = std::iter::repeat_n(look.glyphs.rule, usize::from(area.width)).collect();
    buf.set_stringn(area.x, area.y, rule, usize::from(area.width), look.faint());
    let mut x = area.x + 1;
    for (number, panel) in Panel::ALL.into_iter().enumerate() {
        let chosen = panel == view.panel;
        // Not by the look alone: the chosen one stands in brackets.
        let tab = match chosen {
            true => format!("[{} {}]", number + 1, panel.name()),
            false => format!("{} {}", number + 1, panel.name()),
        };
        let style = if chosen { look.strong() } else { Style::new() };
        let left = usize::from(area.right().saturating_sub(x));
        x = buf.set_stringn(x, area.y, tab, left, style).0.saturating_add(1);
    }
    let inside = Rect { y: area.y + 1, height: area.height - 1, ..area };
    match view.panel {
        Panel::Window => window::render(inside, buf, view),
        Panel::Events => events::render(inside, buf, view),
        Panel::Packet => packet::render(inside, buf, view),
        Panel::States => states::render(inside, buf, view),
        Panel::Memory => memory::render(inside, buf, view),
        Panel::Links => links::render(inside, buf, view),
        Panel::Counters => counters::render(inside, buf, view),
        Panel::Why => why::render(inside, buf, view),
        Panel::Branches => branches::render(inside, buf, view),
    }
}

/// A sentence over as many lines as it needs. Returns the row after it.
fn sentence(area: Rect, row: u16, buf: &mut Buffer, style: Style, text: &str) -> u16 {
    let width = usize::from(area.width.saturating_sub(2));
    let mut row = row;
    let mut start = String::from(" ");
    for word in text.split_whitespace() {
        if start.chars().count() + 1 + word.chars().count() > width && start.len() > 1 {
            line(area, row, buf, &[(&start, style)]);
            row += 1;
            start = String::from(" ");
        }
        start.push(' ');
        start.push_str(word);
    }
    line(area, row, buf, &[(&start, style)]);
    row + 1
}

/// What a panel says that has nothing to show.
fn nothing(area: Rect, buf: &mut Buffer, view: &View<'_>, text: &str) {
    sentence(area, 0, buf, view.look.faint(), text);
}

/// Microseconds with three places.
fn micros(time: ferroce_engine::Time) -> String {
    format!("{}.{:03}", time.nanos() / 1_000, time.nanos() % 1_000)
}
