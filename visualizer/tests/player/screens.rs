//! What the screen shows, kept as text files beside this one.
//!
//! Where a change is wanted, `FERROCE_BLESS=1 cargo test -p ferroce-visualizer --test player` writes them anew; look at
//! them before committing.

use std::path::PathBuf;

use ferroce_visualizer::film::Film;
use ferroce_visualizer::player::{App, Panel};
use ferroce_visualizer::tui::{Glyphs, Look};

use crate::{UNICODE, draw, lost_packet, press, refused};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (160, 50)];

fn check(name: &str, screen: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/player/screens")).join(name);
    if std::env::var_os("FERROCE_BLESS").is_some() {
        std::fs::write(&path, screen).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == screen, "{name} shows something else now (FERROCE_BLESS=1 keeps it):\n{screen}");
}

fn app(film: Film, look: Look, keys: &str) -> App {
    let mut app = App::new(film, look);
    press(&mut app, keys);
    app
}

#[test]
fn every_panel_at_three_sizes() {
    for (number, panel) in Panel::ALL.into_iter().enumerate() {
        let tab = number + 1;
        // The failure, for what is about failures; the moment after the resent packet for all else.
        let app = match panel {
            Panel::Why | Panel::Memory => app(refused(), UNICODE, &format!("G{tab}")),
            Panel::States => app(refused(), UNICODE, &format!("es{tab}")),
            Panel::Branches => app(lost_packet(), UNICODE, &format!("dv{tab}")),
            _ => app(lost_packet(), UNICODE, &format!("rp{tab}")),
        };
        for (width, height) in SIZES {
            check(
                &format!("{}-{width}x{height}.txt", panel.name().to_lowercase()),
                &draw(&app, width, height),
            );
        }
    }
}

#[test]
fn help_small_terminals_and_ascii() {
    check("help-80x24.txt", &draw(&app(lost_packet(), UNICODE, "?"), 80, 24));
    check("small-40x12.txt", &draw(&app(lost_packet(), UNICODE, "rp"), 40, 12));
    let ascii = Look { glyphs: Glyphs::ASCII, colours: false };
    let screen = draw(&app(lost_packet(), ascii, "rp6"), 80, 24);
    assert!(screen.is_ascii(), "{screen}");
    check("ascii-80x24.txt", &screen);
}

#[test]
fn without_colours_the_same_is_told() {
    let plain = Look { colours: false, ..UNICODE };
    for keys in ["rp1", "d", "G8"] {
        assert_eq!(draw(&app(refused(), plain, keys), 80, 24), draw(&app(refused(), UNICODE, keys), 80, 24));
    }
}
