//! Results that were published, and what Ferroce gives: each is a run, judged with a tolerance that says why.

mod attacks;
mod congestion;
mod formulas;
mod lossless;
mod plot;
mod recovery;

use std::fmt::Write;

pub use formulas::Thresholds;
pub use plot::Plot;

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

/// All of them, in the order of the table, and the drawings of what the runs gave.
pub fn results() -> (Vec<Claim>, Vec<Plot>) {
    let mut plots = Vec::new();
    let claims = [
        recovery::livelock(&mut plots),
        lossless::unfairness(&mut plots),
        lossless::victim(&mut plots),
        congestion::convergence(&mut plots),
        formulas::thresholds(&mut plots),
        lossless::deadlock(&mut plots),
        lossless::storm(&mut plots),
        congestion::bursts(&mut plots),
        recovery::micro_behaviour(&mut plots),
        attacks::keys_and_psns(&mut plots),
        formulas::closed_forms(&mut plots),
        congestion::fixed_point(),
    ]
    .concat();
    (claims, plots)
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
