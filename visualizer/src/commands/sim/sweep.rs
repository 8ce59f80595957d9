//! Many runs: every combination of values, split into parts, on all cores. Each run has one thread, so that no
//! result depends on how many there are.

use std::num::NonZero;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferroce_engine::NoTrace;
use ferroce_fabric::{Outcome, Scenario, Simulation};

use super::progress::stop_flag;
use super::{Args, wrong};
use crate::failure::Failure;

/// Most runs of a sweep.
const MAX_JOBS: usize = 100_000;

/// A run of a sweep.
#[derive(Debug)]
pub(super) struct Job {
    /// What is other than in the file: keys and values.
    pub changes: Vec<(String, String)>,
    pub scenario: Scenario,
}

/// One of several parts of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    part: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let fault = || format!("{text:?} is no part: 1/4 to 4/4 are");
        let (part, of) = text.split_once('/').ok_or_else(fault)?;
        let (part, of) = (part.parse().map_err(|_| fault())?, of.parse().map_err(|_| fault())?);
        if (1..=of).contains(&part) { Ok(Shard { part, of }) } else { Err(fault()) }
    }
}

fn split<'a>(option: &str, text: &'a str) -> Result<(&'a str, &'a str), Failure> {
    text.split_once('=').ok_or_else(|| {
        let next = "write for example switch.k_max=400KB";
        Failure::new(format_args!("--{option} {text}: there is no '='"), next)
    })
}

/// The keys that have other values in every run.
pub(super) fn settings(args: &Args) -> Result<Vec<(String, String)>, Failure> {
    args.set
        .iter()
        .map(|set| split("set", set).map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect()
}

/// All runs that were asked for, those of other parts left out.
pub(super) fn jobs(text: &str, args: &Args) -> Result<Vec<Job>, Failure> {
    let fixed = settings(args)?;
    let mut combinations: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for sweep in &args.sweep {
        let (key, values) = split("sweep", sweep)?;
        let values: Vec<&str> = values.split(',').collect();
        if combinations.len() * values.len() > MAX_JOBS {
            return Err(Failure::new(format_args!("more than {MAX_JOBS} runs"), "sweep fewer values"));
        }
        combinations = combinations
            .iter()
            .flat_map(|before| values.iter().map(move |value| (before, value)))
            .map(|(before, value)| {
                before.iter().cloned().chain([(key.to_owned(), (*value).to_owned())]).collect()
            })
            .collect();
    }
    let mut jobs = Vec::new();
    for (index, (combination, seed)) in combinations
        .iter()
        .flat_map(|one| (0..u64::from(args.seeds.max(1))).map(move |seed| (one, seed)))
        .enumerate()
    {
        let elsewhere = args.shard.is_some_and(|shard| index % shard.of != shard.part - 1);
        if elsewhere {
            continue;
        }
        let all = fixed.iter().chain(combination);
        let changes: Vec<(&str, &str)> = all.map(|(key, value)| (&key[..], &value[..])).collect();
        let mut scenario =
            Scenario::parse_with(text, &changes).map_err(|error| wrong("the scenario", &error))?;
        scenario.seed = args.seed.unwrap_or(scenario.seed).wrapping_add(seed);
        jobs.push(Job { changes: combination.clone(), scenario });
    }
    Ok(jobs)
}

/// Runs them all, and gives the outcomes in their order; `None` for those that Ctrl-C left out.
pub(super) fn run(jobs: &[Job], threads: Option<usize>) -> Vec<Option<Outcome>> {
    let stop = stop_flag();
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Outcome>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let mut simulation = Simulation::<NoTrace>::new(&job.scenario);
            while !simulation.advance(1 << 16).over {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            *outcomes[index].lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(simulation.outcome());
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(cores).clamp(1, jobs.len().max(1)) {
            scope.spawn(work);
        }
    });
    outcomes
        .into_iter()
        .map(|outcome| outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
        .collect()
}
