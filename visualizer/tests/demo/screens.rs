//! What the screen shows, kept as text files beside this one.
//!
//! Where a change is wanted, `FERROCE_BLESS=1 cargo test -p ferroce-visualizer --test demo` writes them anew; look
//! at them before committing.

use std::path::PathBuf;
use std::time::Duration;

use ferroce_visualizer::demo::FaultShares;
use ferroce_visualizer::demo::stage::Fate;
use ferroce_visualizer::tui::{Action, App, Glyphs, KEYS, Look, screen};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use crate::stage;

const UNICODE: Look = Look { glyphs: Glyphs::UNICODE, colours: true };

/// What packets suffer, and when: milliseconds from the beginning. Chance has no part in it.
const WISHES: [(u64, Fate); 4] =
    [(1_000, Fate::Lost), (6_000, Fate::Doubled), (8_500, Fate::Damaged), (12_000, Fate::Late)];

/// An app after so many milliseconds, at the usual pace.
fn app(look: Look, millis: u64) -> App {
    let mut app = App::new(stage(11, FaultShares::default()), look);
    for now in (0..millis).step_by(50) {
        for (_, fate) in WISHES.iter().filter(|(at, _)| *at == now) {
            app.act(Action::Wish(*fate));
        }
        app.tick(Duration::from_millis(50));
    }
    app
}

fn draw(app: &App, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::render(frame.area(), frame.buffer_mut(), app.model())).unwrap();
    terminal
}

/// The characters of a screen, without spaces at the ends of lines.
fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let lines = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

fn expect(name: &str, terminal: &Terminal<TestBackend>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/demo/screens").join(name);
    let shown = text(terminal);
    if std::env::var_os("FERROCE_BLESS").is_some() {
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(shown == expected, "{name} was\n{expected}\nand now is\n{shown}");
}

#[test]
fn at_80x24() {
    expect("80x24.txt", &draw(&app(UNICODE, 9_300), 80, 24));
}

#[test]
fn at_120x40() {
    expect("120x40.txt", &draw(&app(UNICODE, 15_000), 120, 40));
}

#[test]
fn at_160x50() {
    expect("160x50.txt", &draw(&app(UNICODE, 30_000), 160, 50));
}

#[test]
fn help_fits_the_smallest_terminal_and_names_every_key() {
    let mut app = app(UNICODE, 1_000);
    app.act(Action::Help);
    let terminal = draw(&app, 80, 24);
    expect("help.txt", &terminal);
    let shown = text(&terminal);
    for key in KEYS {
        assert!(shown.contains(key.long), "{}", key.name);
    }
}

#[test]
fn too_small_a_terminal_is_told_so() {
    expect("40x12.txt", &draw(&app(UNICODE, 1_000), 40, 12));
}

#[test]
fn plain_terminals_get_plain_characters() {
    let terminal = draw(&app(Look { glyphs: Glyphs::ASCII, colours: false }, 9_300), 80, 24);
    expect("80x24-ascii.txt", &terminal);
    // The micro sign has no ASCII form that everybody reads as one.
    assert!(text(&terminal).replace('µ', "u").is_ascii());
}

#[test]
fn nothing_is_told_by_colour_alone() {
    let mono = draw(&app(Look { colours: false, ..UNICODE }, 9_300), 80, 24);
    assert_eq!(text(&mono), text(&draw(&app(UNICODE, 9_300), 80, 24)));
    assert!(
        mono.backend().buffer().content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    let reversed =
        mono.backend().buffer().content.iter().filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    assert_eq!(reversed.count(), 160, "the top line and the bottom line");
}

#[test]
fn colours_suit_light_and_dark_terminals() {
    let terminal = draw(&app(UNICODE, 30_000), 160, 50);
    for cell in &terminal.backend().buffer().content {
        assert_eq!(cell.bg, Color::Reset);
        assert!(!matches!(cell.fg, Color::White | Color::Black | Color::Yellow | Color::Rgb(..)), "{cell:?}");
    }
}

#[test]
fn time_stands_still_when_paused_and_a_step_shows_something_new() {
    let mut app = app(UNICODE, 3_000);
    app.act(Action::Pause);
    let before = text(&draw(&app, 80, 24));
    app.tick(Duration::from_secs(1));
    assert_eq!(text(&draw(&app, 80, 24)), before);
    for _ in 0..50 {
        app.act(Action::Step);
        let after = text(&draw(&app, 80, 24));
        assert_ne!(after, before);
        assert!(after.contains("PAUSED"));
    }
    app.act(Action::Pause);
    let before = app.model().now;
    app.tick(Duration::from_millis(100));
    assert!(app.model().now > before);
}
