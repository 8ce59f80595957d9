//! The list on a terminal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

use super::app::{Top, render};
use crate::tui::play::next_event;
use crate::tui::{Look, on_terminal};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Shows running NICs until the user ends it or `stop` is set. The terminal is as it was before when this returns, and
/// when it panics.
///
/// # Errors
/// When the terminal or the user's directory cannot be used.
pub fn show(look: &Look, stop: &AtomicBool) -> io::Result<()> {
    let mut top = Top::default();
    top.refresh().map_err(io::Error::other)?;
    on_terminal(|terminal| run(terminal, look, &mut top, stop))
}

fn run(
    terminal: &mut ratatui::DefaultTerminal,
    look: &Look,
    top: &mut Top,
    stop: &AtomicBool,
) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let until = Instant::now() + EVERY;
        loop {
            terminal.draw(|frame| render(frame.area(), frame.buffer_mut(), look, top))?;
            let Some(event) = next_event(until)? else { break };
            let Event::Key(key) = event else { continue };
            match key.code {
                _ if key.kind == KeyEventKind::Release => {}
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('j') | KeyCode::Down => top.pick(1),
                KeyCode::Char('k') | KeyCode::Up => top.pick(-1),
                KeyCode::Char('f') => top.toggle_faults(),
                KeyCode::Char('r') => top.toggle_recording(&std::env::current_dir()?),
                _ => {}
            }
        }
        top.refresh().map_err(io::Error::other)?;
    }
    Ok(())
}
