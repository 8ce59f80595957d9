//! A scenario of the simulated network as the origin of a film.

use ferroce_engine::{Time, TraceEvent};
use ferroce_fabric::{Rule, Scenario, ScenarioError, Simulation, named};
use ferroce_recording::Header;
use serde::{Deserialize, Serialize};

use super::story::{Fault, StoryError};
use super::{Film, MAX_FRAMES};

/// Steps of the simulation between two looks at how much has come out.
const STEPS: u64 = 1 << 12;

/// A scenario file, what was changed in it, and packets that meet a fate of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkStory {
    /// The text of the scenario file (TOML).
    pub network: String,
    /// Keys of it that have other values: `("switch.k_max", "400KB")`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Another seed than the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Packets that meet a fate of their own, before all rules of the scenario.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl NetworkStory {
    /// The scenario of this name that comes with Ferroce.
    pub fn named(name: &str) -> Option<NetworkStory> {
        Some(NetworkStory { network: named(name)?.to_owned(), ..NetworkStory::default() })
    }

    /// The scenario that is run.
    ///
    /// # Errors
    /// When the text is none.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let set: Vec<(&str, &str)> = self.set.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        let mut scenario = Scenario::parse_with(&self.network, &set)?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        Ok(scenario)
    }

    /// What comes before the records of it, in a recording of `simulation`.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which does not happen.
    pub fn header(&self, simulation: &Simulation<Vec<(Time, TraceEvent)>>) -> serde_json::Result<Header> {
        Ok(Header { scenario: Some(serde_json::to_value(self)?), ..simulation.fabric().header() })
    }

    /// Runs it, with an eye on everything.
    ///
    /// # Errors
    /// When it is no scenario, or too much.
    pub fn play(&self) -> Result<Film, StoryError> {
        let scenario = self.scenario()?;
        let rules: Vec<Rule> = self.faults.iter().map(Fault::rule).collect();
        let mut simulation = Simulation::<Vec<(Time, TraceEvent)>>::with_rules(&scenario, &rules);
        let Header { hosts, switches, .. } = simulation.fabric().header();
        let mut film = Film { title: scenario.title.clone(), hosts, switches, ..Film::default() };
        loop {
            let over = simulation.advance(STEPS).over;
            film.frames.extend(simulation.take_records());
            if film.frames.len() > MAX_FRAMES {
                film.frames.truncate(MAX_FRAMES);
                film.remarks.push(format!("Only the first {MAX_FRAMES} frames are kept."));
                break;
            }
            if over {
                break;
            }
        }
        Ok(film)
    }
}
