//! What was counted so far, host by host.

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use crate::tui::screen::line;

/// Columns of a name and of a number.
const NAME: usize = 18;
const NUMBER: usize = 9;

/// Draws a table: a column for each host, in two halves where there is room.
pub(super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let hosts = view.scene.hosts.len().min(4);
    let half = NAME + NUMBER * hosts + 2;
    let names: BTreeSet<&str> =
        view.scene.hosts.iter().flat_map(|host| host.counts.keys().copied()).collect();
    let halves = (usize::from(area.width) / half).max(1);
    let rows = usize::from(area.height.saturating_sub(1)).max(1);
    for column in 0..halves {
        let x = area.x + (column * half) as u16;
        let at = Rect { x, width: area.right().saturating_sub(x).min(half as u16), ..area };
        let head: String = (0..hosts).map(|host| format!("{:>NUMBER$.NUMBER$}", view.name(host))).collect();
        line(at, 0, buf, &[(&format!(" {:<NAME$}{head}", ""), view.look.strong())]);
        for (row, name) in names.iter().skip(column * rows).take(rows).enumerate() {
            let counts =
                view.scene.hosts.iter().take(hosts).map(|host| host.counts.get(name).copied().unwrap_or(0));
            let counts: String = counts.map(|count| format!("{count:>NUMBER$}")).collect();
            line(at, 1 + row as u16, buf, &[(&format!(" {name:<NAME$}{counts}"), Style::new())]);
        }
    }
}
