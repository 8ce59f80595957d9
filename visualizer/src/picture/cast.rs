//! Screens as a recording of a terminal: asciicast, version 2, as `asciinema play` shows it.

use ratatui::style::Color;
use serde_json::json;

use super::{Dress, Run, Shot, runs};

/// Writes the shots one after the other.
pub fn cast(title: &str, shots: &[Shot]) -> String {
    let area = shots.first().map_or_else(Default::default, |shot| shot.screen.area);
    let header = json!({ "version": 2, "width": area.width, "height": area.height, "title": title });
    let mut out = format!("{header}\n");
    let mut at = 0.0;
    for shot in shots {
        out.push_str(&format!("{}\n", json!([at, "o", screen(shot)])));
        at += shot.lasts.as_secs_f64();
    }
    out + &format!("{}\n", json!([at, "o", ""]))
}

/// From the upper left corner on, every cell.
fn screen(shot: &Shot) -> String {
    let mut text = String::from("\u{1b}[H");
    for y in 0..shot.screen.area.height {
        if y > 0 {
            text.push_str("\r\n");
        }
        for Run { dress, text: cells, .. } in runs(&shot.screen, y) {
            text.push_str(&codes(dress));
            text.push_str(&cells);
        }
    }
    text + "\u{1b}[0m"
}

/// ECMA-48, "select graphic rendition".
fn codes(dress: Dress) -> String {
    let mut codes = String::from("\u{1b}[0");
    for (wanted, code) in [(dress.bold, ";1"), (dress.dim, ";2"), (dress.reversed, ";7")] {
        if wanted {
            codes.push_str(code);
        }
    }
    codes.push_str(match dress.colour {
        Color::Red => ";31",
        Color::Green => ";32",
        Color::Magenta => ";35",
        Color::Blue => ";34",
        _ => "",
    });
    codes + "m"
}
