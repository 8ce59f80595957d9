//! Results that were published, and what Ferroce gives: each is a run, judged with a tolerance that says why.

mod attacks;
mod congestion;
mod formulas;
mod lossless;
mod recovery;

use std::fmt::Write;

pub use formulas::Thresholds;

use ferroce_engine::NoTrace;
use ferroce_fabric::{Outcome, Scenario, Simulation, named};

/// A published result beside Ferroce's.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Paper and section.
    pub source: &'static str,
    /// What was measured.
    pub what: String,
    /// What the paper says.
    pub says: String,
    /// What Ferroce gives.
    pub gives: String,
    /// When that counts as the same, and why.
    pub tolerance: &'static str,
    /// Whether it does.
    pub holds: bool,
}

/// All of them, in the order of the table.
pub fn claims() -> Vec<Claim> {
    [
        recovery::livelock(),
        lossless::unfairness(),
        lossless::victim(),
        congestion::convergence(),
        formulas::thresholds(),
        lossless::deadlock(),
        lossless::storm(),
        congestion::bursts(),
        recovery::micro_behaviour(),
        attacks::keys_and_psns(),
        formulas::closed_forms(),
        congestion::fixed_point(),
    ]
    .concat()
}

/// The table as Markdown.
pub fn table(claims: &[Claim]) -> String {
    let mut text = "| source | what | the paper says | Ferroce gives | tolerance | |\n".to_owned();
    text += "| --- | --- | --- | --- | --- | --- |\n";
    for Claim { source, what, says, gives, tolerance, holds } in claims {
        let verdict = if *holds { "✓" } else { "differs" };
        writeln!(text, "| {source} | {what} | {says} | {gives} | {tolerance} | {verdict} |")
            .expect("a string takes everything");
    }
    text
}

/// Runs a scenario of the library with some keys changed.
fn run(name: &str, changes: &[(&str, &str)]) -> Outcome {
    let text = named(name).expect("a scenario of the library");
    let scenario = Scenario::parse_with(text, changes).expect("its keys exist");
    Simulation::<NoTrace>::new(&scenario).run()
}

/// Goodputs of the connections of the flow with this name, in Gb/s.
fn goodputs(outcome: &Outcome, name: &str) -> Vec<f64> {
    outcome.flows.iter().filter(|flow| flow.name == name).map(|flow| flow.goodput / 1e9).collect()
}

/// Numbers with one decimal, in a row.
fn row(numbers: &[f64]) -> String {
    numbers.iter().map(|number| format!("{number:.1}")).collect::<Vec<_>>().join(", ")
}
