//! What commands need that draw a screen.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ferroce_visualizer::tui::{Glyphs, Look};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;
use crate::text::is_unicode;

/// Whether a person sits at a terminal that can show a screen.
pub(crate) fn has_screen() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    !dumb && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// The characters and colours that suit the terminal.
pub(crate) fn look(ascii: bool) -> Look {
    let glyphs = if ascii || !is_unicode() { Glyphs::ASCII } else { Glyphs::UNICODE };
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Look { glyphs, colours }
}

/// A flag that Ctrl-C and friends raise. The second time they end the program at once. SIGHUP does so the first
/// time: there is no terminal left to restore, and waiting for keys from one that is gone would never end.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let next = "'ferroce doctor' looks at what this machine lacks";
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let again = signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop));
        let first = again.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        first.map_err(|error| Failure::new(format_args!("cannot watch for signals: {error}"), next))?;
    }
    Ok(stop)
}
