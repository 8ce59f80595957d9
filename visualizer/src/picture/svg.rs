//! Screens as SVG.

use std::fmt::Write;

use ratatui::style::Color;

use super::{Dress, Run, Shot, runs};

/// Pixels of a cell.
const CELL: (f64, f64) = (8.4, 18.0);
/// Pixels around the screen.
const MARGIN: f64 = 10.0;
const PAPER: &str = "#1c1f26";
const INK: &str = "#d8dee9";

/// Draws the shots one after the other, for ever. Where nothing moves, the first one is seen.
pub fn svg(title: &str, shots: &[Shot]) -> String {
    let area = shots.first().map_or_else(Default::default, |shot| shot.screen.area);
    let width = f64::from(area.width) * CELL.0 + 2.0 * MARGIN;
    let height = f64::from(area.height) * CELL.1 + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-size=\"14\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n<title>{}</title>\n<rect \
         width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n",
        escaped(title)
    );
    let total: f64 = shots.iter().map(|shot| shot.lasts.as_secs_f64()).sum();
    let mut begin = 0.0;
    for (index, shot) in shots.iter().enumerate() {
        let end = begin + shot.lasts.as_secs_f64();
        let hidden = if index == 0 { "" } else { " visibility=\"hidden\"" };
        let _ = writeln!(out, "<g{hidden}>");
        if shots.len() > 1 {
            let (from, to) = (begin / total, (end / total).min(1.0));
            let _ = writeln!(
                out,
                "<animate attributeName=\"visibility\" values=\"hidden;visible;hidden\" \
                 keyTimes=\"0;{from:.4};{to:.4}\" calcMode=\"discrete\" dur=\"{total:.1}s\" \
                 repeatCount=\"indefinite\"/>"
            );
        }
        (0..area.height).for_each(|y| row(&mut out, shot, y));
        out.push_str("</g>\n");
        begin = end;
    }
    out + "</svg>\n"
}

fn row(out: &mut String, shot: &Shot, y: u16) {
    let top = MARGIN + f64::from(y) * CELL.1;
    for Run { x, dress, text } in runs(&shot.screen, y) {
        let (left, cells) = (MARGIN + f64::from(x) * CELL.0, text.chars().count() as f64);
        let (ink, paper) = if dress.reversed { (PAPER, Some(colour(dress))) } else { (colour(dress), None) };
        if let Some(paper) = paper {
            let (width, height) = (cells * CELL.0, CELL.1);
            let _ = writeln!(
                out,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{paper}\"/>"
            );
        }
        let shown = text.trim_end();
        let start = shown.len() - shown.trim_start().len();
        if shown.trim().is_empty() {
            continue;
        }
        // Blanks are left out, so that no program has a say in how wide they are.
        let left = left + text[..start].chars().count() as f64 * CELL.0;
        let (shown, base) = (&shown[start..], top + CELL.1 * 0.75);
        let length = shown.chars().count() as f64 * CELL.0;
        let bold = if dress.bold { " font-weight=\"bold\"" } else { "" };
        let faint = if dress.dim { " opacity=\"0.6\"" } else { "" };
        let _ = writeln!(
            out,
            "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{length:.1}\" fill=\"{ink}\"{bold}{faint} \
             xml:space=\"preserve\">{}</text>",
            escaped(shown)
        );
    }
}

fn colour(dress: Dress) -> &'static str {
    match dress.colour {
        Color::Red => "#ff7b86",
        Color::Green => "#a3d977",
        Color::Magenta => "#e39df5",
        Color::Blue => "#82aaff",
        _ => INK,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
