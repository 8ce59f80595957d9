//! The player: what the screen shows, and that no key and no event breaks it.

mod keys;
mod screens;
mod tasks;

use ferroce_visualizer::film::{Fault, FaultKind, Film, Message, Op, Story};
use ferroce_visualizer::player::{App, screen};
use ferroce_visualizer::tui::{Glyphs, Look};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

const UNICODE: Look = Look { glyphs: Glyphs::UNICODE, colours: true };

/// One message in four packets, of which the second is lost.
fn lost_packet() -> Film {
    let faults = vec![Fault { host: 0, nth: 2, kind: FaultKind::Drop }];
    let messages = vec![Message { len: 4_000, ..Message::default() }];
    let film = Story { messages, faults, ..Story::default() }.play().unwrap();
    Film { title: "lost-packet.frec".to_owned(), ..film }
}

/// A SEND and a READ, and then a WRITE that the other end refuses.
fn refused() -> Film {
    let message = |at_ns, op, len| Message { at_ns, op, len, ..Message::default() };
    let bad = Message { bad_key: true, ..message(9_000, Op::Write, 64) };
    let messages = vec![message(0, Op::Send, 100), message(3_000, Op::Read, 3_000), bad];
    let film = Story { messages, ..Story::default() }.play().unwrap();
    Film { title: "refused.frec".to_owned(), ..film }
}

/// Presses keys, one for each character.
fn press(app: &mut App, keys: &str) {
    for c in keys.chars() {
        let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
        app.press(&KeyEvent::new(code, KeyModifiers::NONE));
    }
}

fn draw(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::render(frame.area(), frame.buffer_mut(), &app.view())).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned() + "\n").collect()
}
