//! The player on a terminal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ratatui::crossterm::event::Event;

use super::app::App;
use super::screen;
use crate::tui::on_terminal;
use crate::tui::play::{FRAME, next_event};

/// Shows a film until the user ends it or `stop` is set. The terminal is as it was before when this returns, and when
/// it panics.
///
/// # Errors
/// When the terminal cannot be used.
pub fn show(mut app: App, stop: &AtomicBool) -> io::Result<()> {
    on_terminal(|terminal| run(terminal, &mut app, stop))
}

fn run(terminal: &mut ratatui::DefaultTerminal, app: &mut App, stop: &AtomicBool) -> io::Result<()> {
    let mut last = Instant::now();
    while !app.is_over() && !stop.load(Ordering::Relaxed) {
        terminal.draw(|frame| screen::render(frame.area(), frame.buffer_mut(), &app.view()))?;
        let until = last + FRAME;
        while let Some(event) = next_event(until)? {
            if let Event::Key(key) = event {
                app.press(&key);
            }
            if app.is_over() {
                return Ok(());
            }
        }
        let now = Instant::now();
        app.tick(now - last);
        last = now;
    }
    Ok(())
}
