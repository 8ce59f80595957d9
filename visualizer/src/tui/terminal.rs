//! A terminal while something is drawn on it.

use std::io;

use ratatui::DefaultTerminal;

/// Runs with the terminal's other screen. The terminal is as it was before when this returns, and before the message
/// of a panic is printed.
///
/// # Errors
/// When the terminal cannot be used, and those of `run`.
pub fn on_terminal<T>(run: impl FnOnce(&mut DefaultTerminal) -> io::Result<T>) -> io::Result<T> {
    let mut terminal = ratatui::try_init()?;
    let result = run(&mut terminal);
    ratatui::restore();
    result
}
