//! The app on a terminal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event};

use super::app::App;
use super::keys::action;
use super::screen;
use super::terminal::on_terminal;
use crate::demo::Operation;

/// Time between two pictures.
pub(crate) const FRAME: Duration = Duration::from_millis(33);

/// What there was when the user had seen enough.
#[derive(Clone, Debug)]
pub struct Played {
    /// Verified messages of each kind.
    pub verified: Vec<(Operation, u64)>,
    /// Bytes of them.
    pub bytes: u64,
    /// What was wrong.
    pub failure: Option<String>,
}

/// Plays until the user ends it or `stop` is set. The terminal is as it was before when this returns, and when
/// it panics.
///
/// # Errors
/// When the terminal cannot be used.
pub fn play(mut app: App, stop: &AtomicBool) -> io::Result<Played> {
    on_terminal(|terminal| run(terminal, &mut app, stop))?;
    let model = app.model();
    let verified = Operation::ALL.into_iter().zip(model.verified).collect();
    Ok(Played { verified, bytes: model.bytes, failure: model.failure.clone() })
}

fn run(terminal: &mut ratatui::DefaultTerminal, app: &mut App, stop: &AtomicBool) -> io::Result<()> {
    let mut last = Instant::now();
    while !app.is_over() && !stop.load(Ordering::Relaxed) {
        terminal.draw(|frame| screen::render(frame.area(), frame.buffer_mut(), app.model()))?;
        let until = last + FRAME;
        while let Some(event) = next_event(until)? {
            if let Event::Key(key) = event
                && let Some(action) = action(&key)
            {
                app.act(action);
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

/// The next event from the terminal, `None` if there is none until then.
pub(crate) fn next_event(until: Instant) -> io::Result<Option<Event>> {
    match event::poll(until.saturating_duration_since(Instant::now())) {
        Ok(true) => event::read().map(Some),
        Ok(false) => Ok(None),
        // A signal came; whoever watches `stop` will know.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}
