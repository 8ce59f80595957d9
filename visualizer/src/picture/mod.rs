//! Pictures of screens, for pages: what the panels draw, as SVG that moves, and as a recording of a terminal.
//!
//! A [`Shot`] is a screen and how long it is looked at. Nothing of a shot depends on the machine that makes it.

mod cast;
mod svg;

use std::time::Duration;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::player::{App, screen};

pub use cast::cast;
pub use svg::svg;

/// A screen, and how long it is looked at.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The screen.
    pub screen: Buffer,
    /// For so long.
    pub lasts: Duration,
}

impl Shot {
    /// What the player shows now.
    pub fn of(app: &App, width: u16, height: u16, lasts: Duration) -> Shot {
        let mut screen = Buffer::empty(Rect::new(0, 0, width, height));
        screen::render(screen.area, &mut screen, &app.view());
        Shot { screen, lasts }
    }

    /// The rows as text, without what does not show.
    pub fn text(&self) -> String {
        let Rect { width, height, .. } = self.screen.area;
        let row = |y| (0..width).map(|x| self.screen[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
    }
}

/// How cells look that stand beside each other and look the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Dress {
    colour: Color,
    bold: bool,
    dim: bool,
    reversed: bool,
}

/// Cells beside each other that look the same.
struct Run {
    x: u16,
    dress: Dress,
    text: String,
}

/// The runs of a row.
fn runs(screen: &Buffer, y: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for x in 0..screen.area.width {
        let cell: &Cell = &screen[(x, y)];
        let has = |modifier| cell.modifier.contains(modifier);
        let dress = Dress {
            colour: cell.fg,
            bold: has(Modifier::BOLD),
            dim: has(Modifier::DIM),
            reversed: has(Modifier::REVERSED),
        };
        match runs.last_mut() {
            Some(run) if run.dress == dress => run.text.push_str(cell.symbol()),
            _ => runs.push(Run { x, dress, text: cell.symbol().to_owned() }),
        }
    }
    runs
}
