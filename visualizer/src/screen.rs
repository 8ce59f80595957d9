//! What commands need that draw a screen.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferroce_visualizer::tui::{Glyphs, Look};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::text::is_unicode;

/// Whether a person sits at a terminal that can show a screen.
pub(crate) fn has_screen() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    !dumb && io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// The characters and colours that suit the terminal.
pub(crate) fn look(ascii: bool) -> Look {
    let glyphs = if ascii || !is_unicode() { Glyphs::ASCII } else { Glyphs::UNICODE };
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Look { glyphs, colours }
}

/// How long a program whose terminal is gone may take to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A flag that Ctrl-C and friends raise. The second time they end the program at once. Where there is a screen, so does
/// SIGHUP some time after the first: mostly the terminal is gone then, and whoever waits for it would never end.
pub(crate) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let next = "'ferroce doctor' looks at what this machine lacks";
    let stop = Arc::new(AtomicBool::new(false));
    let watch = || {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        // Without a screen, whoever started this with `nohup` has said what SIGHUP is to do.
        if has_screen() { end_without_terminal(Arc::clone(&stop)) } else { Ok(()) }
    };
    watch().map_err(|error| Failure::new(format_args!("cannot watch for signals: {error}"), next))?;
    Ok(stop)
}

fn end_without_terminal(stop: Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            stop.store(true, Ordering::Relaxed);
            std::thread::sleep(LAST_WORDS);
            signal_hook::low_level::emulate_default_handler(SIGHUP).ok();
        }
    });
    Ok(())
}
