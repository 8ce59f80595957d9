//! Unreliable connections and datagrams under random faults: what arrives is what was sent, whole, in order, and
//! not more often than the network has it.
//!
//! A failure prints the line that replays it, cut down to the fewest steps. To run many:
//!
//! ```text
//! FERROCE_PROGRAMS=20000 cargo test --release -p ferroce-fabric --test unreliable -- --nocapture
//! ```

mod judge;
mod plan;
mod play;

use ferroce_engine::{NoTrace, Time, TraceEvent};

use plan::Plan;

/// Steps of a whole program.
const STEPS: usize = 40;

/// Plays a program and judges it. A panic is a verdict like others.
fn verdict(seed: u64, steps: usize) -> Result<(), String> {
    let run = || {
        let plan = Plan::new(seed, steps);
        let outcome = play::play::<NoTrace>(&plan)?;
        judge::judge(&plan, &outcome)?;
        let again = play::play::<Vec<(Time, TraceEvent)>>(&plan)?;
        if again.digest != outcome.digest {
            return Err("watching the devices, or running them again, changes the packets".to_owned());
        }
        Ok(())
    };
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err("a panic, see above".to_owned()))
}

/// As many programs as `FERROCE_PROGRAMS` says, by consecutive seeds from `FERROCE_FIRST` on; or only the one of
/// `FERROCE_SEED`.
#[test]
fn many_random_programs() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = number("FERROCE_SEED").or(number("FERROCE_FIRST")).unwrap_or(0);
    let count = if number("FERROCE_SEED").is_some() { 1 } else { number("FERROCE_PROGRAMS").unwrap_or(150) };
    for seed in first..first + count {
        if let Err(why) = verdict(seed, STEPS) {
            let fewest = (1..=STEPS).find(|steps| verdict(seed, *steps).is_err()).unwrap_or(STEPS);
            let small = Plan::new(seed, fewest);
            panic!(
                "{why}\nreplay: FERROCE_SEED={seed} cargo test -p ferroce-fabric --test unreliable\n\
                 cut down to {fewest} steps: {:?}\n{small:#?}",
                verdict(seed, fewest)
            );
        }
    }
    println!("{count} programs, 0 violations, seeds {first}..{}", first + count);
}
