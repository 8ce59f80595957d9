//! Benchmarks: every figure beside a reference measured in the same run.

mod ends;
pub mod engine;
pub mod flame;
pub mod local;
pub mod loopback;
mod processes;
pub mod programs;
mod reference;
pub mod rewind;
pub mod scale;
pub mod simulation;
pub mod vm;
pub mod watched;
pub mod wire;

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;

/// Figures of one run.
#[derive(Serialize)]
pub struct Report {
    #[serde(skip)]
    rounds: u32,
    /// Only figures whose names contain this are measured.
    #[serde(skip)]
    only: String,
    /// No references are measured.
    #[serde(skip)]
    alone: bool,
    figures: Vec<Figure>,
}

/// A measured quantity and what it is compared with.
#[derive(Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    ours: Spread,
    reference: String,
    theirs: Spread,
    /// Ours divided by theirs, medians.
    ratio: f64,
}

/// The outcome of several rounds.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut rounds: Vec<f64>) -> Spread {
        rounds.sort_by(f64::total_cmp);
        Spread { min: rounds[0], median: rounds[rounds.len() / 2], max: rounds[rounds.len() - 1] }
    }
}

impl Report {
    /// An empty report, of figures whose names contain `only` and that will take so many rounds each. `alone` leaves
    /// out the references.
    pub fn new(rounds: u32, only: String, alone: bool) -> Report {
        println!("{:<44} {:>11}  {:>11}  {:>6}  reference", "", "ferroce", "reference", "ratio");
        Report { rounds, only, alone, figures: Vec::new() }
    }

    /// Measures `ours` and `theirs` in turns and prints the line. Both return the quantity in `unit`.
    fn figure(
        &mut self,
        name: &str,
        unit: &'static str,
        reference: &str,
        mut ours: impl FnMut() -> f64,
        mut theirs: impl FnMut() -> f64,
    ) {
        let Ok(()) = self.try_figure::<Infallible>(name, unit, reference, || Ok(ours()), || Ok(theirs()));
    }

    /// The same of what can fail. The first failure ends it.
    fn try_figure<E>(
        &mut self,
        name: &str,
        unit: &'static str,
        reference: &str,
        mut ours: impl FnMut() -> Result<f64, E>,
        mut theirs: impl FnMut() -> Result<f64, E>,
    ) -> Result<(), E> {
        if !name.contains(&self.only) {
            return Ok(());
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            a.push(ours()?);
            b.push(if self.alone { f64::NAN } else { theirs()? });
        }
        let (ours, theirs) = (Spread::of(a), Spread::of(b));
        let ratio = ours.median / theirs.median;
        let label = format!("{name}, {unit}");
        println!("{label:<44} {:>11.3}  {:>11.3}  {ratio:>6.2}  {reference}", ours.median, theirs.median);
        let (name, reference) = (name.to_owned(), reference.to_owned());
        self.figures.push(Figure { name, unit, ours, reference, theirs, ratio });
        Ok(())
    }
}

/// Nanoseconds per call of `act`, over `count` calls.
fn nanos_per<R>(count: u32, mut act: impl FnMut() -> R) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(act());
    }
    start.elapsed().as_nanos() as f64 / f64::from(count)
}
