//! A run under way: how far it is, how fast, and how to stop it.

use std::convert::Infallible;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferroce_fabric::{Advance, Outcome, Simulation, Watch};
use signal_hook::consts::SIGINT;

use crate::text::thousands;

/// Steps of the simulation between two looks at the clock. In one of them a thousand hosts may have something to do.
const STEPS: u64 = 256;

/// Time between two lines of progress.
const EVERY: Duration = Duration::from_millis(250);

/// Columns of the narrowest terminal that is thought of.
const NARROWEST: usize = 80;

/// Becomes true at Ctrl-C, after which a second one ends the program.
pub(super) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    // Without the handler Ctrl-C ends the program at once, which is no worse than before.
    let _ = signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&stop));
    let _ = signal_hook::flag::register(SIGINT, Arc::clone(&stop));
    stop
}

/// Shows one line on a terminal while a simulation runs.
pub(super) struct Progress<'a> {
    name: &'a str,
    began: Instant,
    shown: Instant,
    visible: bool,
}

impl Progress<'_> {
    pub(super) fn new(name: &str) -> Progress<'_> {
        let now = Instant::now();
        Progress { name, began: now, shown: now, visible: stderr().is_terminal() }
    }

    /// Runs a simulation to its end, or to Ctrl-C.
    pub(super) fn drive<T: Watch>(self, simulation: &mut Simulation<T>) -> Outcome {
        let Ok(outcome) = self.drive_with(simulation, |_| Ok::<(), Infallible>(()));
        outcome
    }

    /// The same, and does something every so many steps and at the end.
    pub(super) fn drive_with<T: Watch, E>(
        mut self,
        simulation: &mut Simulation<T>,
        mut each: impl FnMut(&mut Simulation<T>) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let stop = stop_flag();
        loop {
            let advance = simulation.advance(STEPS);
            each(simulation)?;
            if advance.over || stop.load(Ordering::Relaxed) {
                break;
            }
            if self.visible && self.shown.elapsed() >= EVERY {
                self.shown = Instant::now();
                let _ = write!(stderr(), "\r\x1b[K{}", line(self.name, &advance, self.began.elapsed()));
            }
        }
        if self.visible {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        Ok(simulation.outcome())
    }
}

fn line(name: &str, advance: &Advance, elapsed: Duration) -> String {
    let share = advance.now.as_secs_f64() / advance.of.as_secs_f64().max(1e-12);
    let rate = advance.packets as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = elapsed.as_secs_f64() * (1.0 - share) / share.max(1e-9);
    let (percent, now, of) = (share * 100.0, advance.now, advance.of);
    let text = format!(
        "{name}: {percent:.1} % · {now:.1?} of {of:?} · at most {left:.0} s left · {} packets/s",
        thousands(rate as u64)
    );
    // A line that wraps could not be taken back.
    text.chars().take(NARROWEST - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let advance = Advance {
            now: Duration::from_micros(500),
            of: Duration::from_millis(2),
            packets: 50_000,
            over: false,
        };
        let text = line("incast", &advance, Duration::from_secs(1));
        assert_eq!(text, "incast: 25.0 % · 500.0µs of 2ms · at most 3 s left · 50 000 packets/s");
    }
}
