//! Packets between the ends, one line each, time running downwards.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::view::View;
use super::micros;
use crate::film::Rung;
use crate::tui::screen::{heading, line};

/// Columns for mark and time.
const TIME: u16 = 12;

/// Draws the latest packets, the selected one among them.
pub(in super::super) fn render(area: Rect, buf: &mut Buffer, view: &View<'_>) {
    let look = view.look;
    let title = if view.filtered {
        format!("Packets of {}", view.name(view.looked_at.0))
    } else {
        "Packets".to_owned()
    };
    let area = heading(area, buf, look, &title);
    if area.height < 2 {
        return;
    }
    let note = (area.width / 4).clamp(9, 24);
    let field = area.width.saturating_sub(TIME + note + 3);
    let [left, right] = [area.x + TIME, area.x + TIME + field + 1];
    line(area, 0, buf, &[("         us ", look.faint())]);
    // With more than two hosts the names stand in the notes.
    let two = view.film.hosts.len() == 2;
    if two {
        let name: String = view.name(1).chars().take(usize::from(field)).collect();
        buf.set_stringn(left, area.y, view.name(0), usize::from(field / 2), look.strong());
        let x = right + 1 - (name.chars().count() as u16).min(field / 2);
        buf.set_stringn(x, area.y, name, usize::from(field / 2), look.strong());
    }
    let rows = Rect { y: area.y + 1, height: area.height - 1, ..area };
    for y in rows.top()..rows.bottom() {
        for x in [left, right] {
            buf[(x, y)].set_char(look.glyphs.post).set_style(look.faint());
        }
    }
    let rungs: Vec<&Rung> = view.rungs().collect();
    let shown = usize::from(rows.height);
    let selected = rungs.iter().position(|rung| Some(rung.frame) == view.selected);
    let last = rungs.len().saturating_sub(shown);
    let skipped = selected.map_or(last, |at| last.min(at));
    for (row, rung) in rungs.iter().skip(skipped).take(shown).enumerate() {
        let chosen = Some(rung.frame) == view.selected;
        let mark = if chosen { '>' } else { ' ' };
        let row = row as u16;
        // Of a run of seconds the last places are left out.
        let time = format!("{mark}{:>10.10} ", micros(rung.at));
        let weight = if chosen { look.strong() } else { look.faint() };
        line(rows, row, buf, &[(&time, weight)]);
        let style = style(view, rung, chosen);
        for (index, cell) in arrow(view, rung, usize::from(field)).into_iter().enumerate() {
            buf[(left + 1 + index as u16, rows.y + row)].set_char(cell).set_style(style);
        }
        let ends = match rung.to {
            Some(to) if !two => format!("{} to {} ", view.name(rung.from), view.name(to)),
            _ => String::new(),
        };
        let at =
            Rect { x: (right + 2).min(area.right()), width: area.right().saturating_sub(right + 2), ..rows };
        let note = if rung.lost || rung.damaged { look.bad() } else { Style::new() };
        line(at, row, buf, &[(&ends, Style::new()), (&rung.note, note)]);
    }
}

fn style(view: &View<'_>, rung: &Rung, chosen: bool) -> Style {
    let look = view.look;
    let style = match rung {
        Rung { lost: true, .. } | Rung { damaged: true, .. } => look.bad(),
        Rung { again: true, .. } => look.again().patch(look.strong()),
        Rung { answer: true, .. } => look.answer(),
        _ => look.strong(),
    };
    if chosen { style.patch(look.bar()) } else { style }
}

/// The cells between the ends.
fn arrow(view: &View<'_>, rung: &Rung, width: usize) -> Vec<char> {
    let glyphs = &view.look.glyphs;
    let rightwards = rung.from == 0;
    let stroke = if rung.answer { glyphs.answer } else { glyphs.data };
    let mut label = String::new();
    if rung.again {
        label.push(glyphs.again);
    }
    label.push_str(&rung.label);
    let label: Vec<char> = label.chars().take(width.saturating_sub(4)).collect();
    let mut cells = vec![stroke];
    cells.extend(&label);
    let way = width.saturating_sub(cells.len() + 1);
    cells.extend(std::iter::repeat_n(stroke, if rung.lost { way / 2 } else { way }));
    cells.push(if rung.lost || rung.damaged { glyphs.end } else { glyphs.heads[usize::from(!rightwards)] });
    cells.resize(width, ' ');
    if !rightwards && width > label.len() {
        cells.reverse();
        let end = width - 1;
        cells[end - label.len()..end].reverse();
    }
    cells
}
