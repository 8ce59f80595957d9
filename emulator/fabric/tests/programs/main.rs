//! Random programs under random faults, judged by an executor that knows nothing of packets.
//!
//! A failure prints the one line that replays it. To run many programs:
//!
//! ```text
//! FERROCE_PROGRAMS=100000 cargo test --release -p ferroce-fabric --test programs many -- --nocapture
//! ```

mod check;
mod generate;
mod misuse;
mod oracle;
mod plan;
mod program;
mod requests;
mod run;
mod shrink;
mod verdict;
mod wiring;
mod words;
mod world;

use ferroce_engine::{NoTrace, Time, TraceEvent};
use proptest::prelude::*;

use plan::Plan;
use program::Program;
use run::{Checked, Outcome};
use shrink::Programs;

type Traced = Vec<(Time, TraceEvent)>;

/// Runs a program once and judges it. A panic is a verdict like others.
fn judge(program: &Program) -> Checked<Outcome> {
    let run = || {
        let plan = Plan::new(program);
        let outcome = run::run::<NoTrace>(&plan)?;
        check::check(&plan, &outcome)?;
        Ok(outcome)
    };
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err("a panic, see above".into()))
}

/// Runs a program, and once more with everything recorded: the packets must be the same.
fn judge_twice(program: &Program) -> Checked {
    let outcome = judge(program)?;
    let again = run::run::<Traced>(&Plan::new(program))?;
    if (again.digest, again.carried) != (outcome.digest, outcome.carried) {
        return Err("watching the devices, or running them again, changes the packets".into());
    }
    Ok(())
}

fn replay_line(program: &Program) -> String {
    let what = if program.trouble.is_some() { "troubled" } else { "" };
    let seed = program.seed;
    format!(
        "replay: FERROCE_SEED={seed}{what} cargo test -p ferroce-fabric --test programs many -- --nocapture"
    )
}

fn settings() -> ProptestConfig {
    // Cases are named by seeds, which the replay line prints.
    ProptestConfig { failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    /// Whatever the network does for a while: everything takes effect once, in order, and completes so.
    #[test]
    fn random_programs_have_their_effect(program in Programs { make: generate::program }) {
        let verdict = judge_twice(&program);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), replay_line(&program));
    }

    /// One connection fails: both ends learn it with the right status, everything posted completes once, and
    /// nothing is delivered after the failure.
    #[test]
    fn random_failures_are_told_and_end_the_connection(program in Programs { make: generate::troubled_program }) {
        let verdict = judge_twice(&program);
        prop_assert!(verdict.is_ok(), "{}\n{}", verdict.unwrap_err(), replay_line(&program));
    }
}

/// As many programs of either sort as `FERROCE_PROGRAMS` says, by consecutive seeds from `FERROCE_FIRST` on; or
/// only the one of `FERROCE_SEED`.
#[test]
fn many_random_programs() {
    if let Ok(seed) = std::env::var("FERROCE_SEED") {
        return replay(&seed);
    }
    let number =
        |name, otherwise| std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect(name));
    let (count, first): (u64, u64) = (number("FERROCE_PROGRAMS", 500), number("FERROCE_FIRST", 0));
    let mut steps = 0;
    for done in 0..count {
        let seed = first + done / 2;
        let program = if done % 2 == 0 { generate::program(seed) } else { generate::troubled_program(seed) };
        steps += program.steps.len();
        if let Err(why) = judge(&program) {
            panic!("{why}\n{}", replay_line(&program));
        }
        if (done + 1) % 10_000 == 0 {
            println!("{} programs, {steps} steps, 0 violations", done + 1);
        }
    }
    println!("{count} programs, {steps} steps, 0 violations, seeds {first}..{}", first + count.div_ceil(2));
}

/// Runs one program; if it fails, prints the smallest program that fails in its place, and its packets.
fn replay(text: &str) {
    let seed = text.trim_end_matches("troubled").parse().expect("FERROCE_SEED is a number");
    let troubled = text.ends_with("troubled");
    let program = if troubled { generate::troubled_program(seed) } else { generate::program(seed) };
    let Err(why) = judge_twice(&program) else { return };
    let (small, small_why) = shrink::smallest(program, why.clone(), judge_twice);
    println!("{small:#?}");
    if let Ok(outcome) = run::run::<Traced>(&Plan::new(&small)) {
        for (at, host, sent) in outcome.log.packets() {
            let packet = ferroce_wire::Packet::parse(&sent.bytes).map(|packet| packet.to_string());
            let arrivals: Vec<_> = sent.arrivals.iter().map(|arrival| arrival.at.to_string()).collect();
            println!("{at} host{} {} -> {arrivals:?}", host.0, packet.unwrap_or_default());
        }
    }
    panic!("{why}\nand cut down: {small_why}");
}
