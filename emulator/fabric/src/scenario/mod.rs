//! Scenario files: a network, what it carries and what happens to it, in TOML.

mod check;
mod convert;
mod described;
mod library;
mod reference;
mod sizes;
mod tables;
mod topology;
mod units;

pub(crate) use convert::FIRST_PSN;
pub use described::{Described, Key};
pub use library::{library, named};
pub use reference::reference;
pub use sizes::Size;
pub use tables::{
    Action, AllReduce, Arrivals, BackgroundKind, BackgroundTable, CongestionKind, Event, EventKind, Flow,
    HostTable, Hosts, LinkTable, Measure, Operation, RecoveryKind, RuleTable, Shape, SwitchTable, Topology,
};
pub(crate) use topology::Built;
pub use units::{Bytes, Rate, Share, Span};

use described::described;

/// What is wrong with a scenario file. Displays line, key, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError(pub(crate) String);

impl core::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl core::error::Error for ScenarioError {}

described! {
    /// The file as a whole.
    pub struct Scenario {
        /// What it shows, in a few words.
        title: String = "a scenario".to_owned(),
        /// Where it is from, and what to look at.
        about: String = String::new(),
        /// Decides all that is random.
        seed: u64 = 1,
        /// Virtual time after which the run ends. It ends earlier when everything is done.
        duration: Span = Span::micros(1_000),
        /// The run ends after so many packets, whatever the time.
        most_packets: u64 = 1_000_000_000,
        /// The shape of the network.
        topology: Topology = Topology::default(),
        /// All switches.
        switch: SwitchTable = SwitchTable::default(),
        /// All hosts' NICs.
        host: HostTable = HostTable::default(),
        /// Faults of every cable, by chance.
        link: LinkTable = LinkTable::default(),
        /// Messages from hosts to hosts.
        flow: Vec<Flow> = Vec::new(),
        /// Collective operations.
        all_reduce: Vec<AllReduce> = Vec::new(),
        /// Packets that come from no NIC.
        background: Vec<BackgroundTable> = Vec::new(),
        /// Scripted faults; the first rule that applies to a packet decides.
        rule: Vec<RuleTable> = Vec::new(),
        /// Things that break or are mended.
        event: Vec<Event> = Vec::new(),
        /// What is written down.
        measure: Measure = Measure::default(),
    }
}

impl Scenario {
    /// Reads a scenario from the text of a file.
    ///
    /// # Errors
    /// With line, key and what was expected, when it is no TOML, has a key that does not exist, a value that does
    /// not fit, or asks for more than a run can hold.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| ScenarioError(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The same with some keys set to other values, as `("switch.k_max", "400KB")`. A value is read as TOML if it
    /// is that, else as a string.
    ///
    /// # Errors
    /// As [`parse`](Scenario::parse), and when a key leads through something that is no table.
    pub fn parse_with(text: &str, changes: &[(&str, &str)]) -> Result<Scenario, ScenarioError> {
        if changes.is_empty() {
            // Only the text itself has lines to name.
            return Scenario::parse(text);
        }
        let mut table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| ScenarioError(error.to_string()))?;
        for (key, value) in changes {
            set(&mut table, key, value)?;
        }
        let fault = |error: toml::de::Error| ScenarioError(format!("with {changes:?}: {error}"));
        let scenario: Scenario = table.try_into().map_err(fault)?;
        scenario.check()?;
        Ok(scenario)
    }
}

/// Sets a dotted key; `flow.0.size` is the size of the first flow.
fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), ScenarioError> {
    let fault = || ScenarioError(format!("{key}: no such place in the scenario"));
    let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
    let mut place = table;
    for step in path.into_iter().flat_map(|path| path.split('.')) {
        let number = step.parse::<usize>();
        let next = place.entry(step).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = match (next, number) {
            (toml::Value::Table(table), _) => table,
            (toml::Value::Array(all), _) => {
                all.first_mut().and_then(toml::Value::as_table_mut).ok_or_else(fault)?
            }
            _ => return Err(fault()),
        };
    }
    let parsed =
        format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    place.insert(last.to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Scenario::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_error_has_line_key_and_what_was_expected() {
        let error = fault("title = \"x\"\n[switch]\nbufer = \"1MB\"\n");
        assert!(error.contains("line 3") && error.contains("bufer") && error.contains("buffer"), "{error}");
        let error = fault("[topology]\nkind = \"ring\"\n");
        assert!(error.contains("line 2") && error.contains("fat-tree"), "{error}");
        let error = fault("[switch]\nk_min = \"5 stones\"\n");
        assert!(error.contains("line 2") && error.contains("units are B, KB"), "{error}");
        let error = fault("[[flow]]\nfrom = 0\nto = 7\n");
        assert!(error.contains("flow 0: to") && error.contains("2 hosts"), "{error}");
    }

    #[test]
    fn keys_can_be_changed_by_name() {
        let text = "[switch]\nk_max = \"200KB\"\n[[flow]]\nfrom = 0\nto = 1\n";
        let changes = [("switch.k_max", "400KB"), ("seed", "7"), ("flow.size", "1MB"), ("host.mtu", "4096")];
        let scenario = Scenario::parse_with(text, &changes).unwrap();
        assert_eq!((scenario.switch.k_max, scenario.seed, scenario.host.mtu), (Bytes(400_000), 7, 4096));
        assert_eq!(scenario.flow[0].size, Size::Fixed(1_000_000));
        let error = Scenario::parse_with(text, &[("switch.k_mux", "1")]).unwrap_err().to_string();
        assert!(error.contains("k_mux"), "{error}");
        assert!(Scenario::parse_with(text, &[("seed.x", "1")]).is_err());
    }

    #[test]
    fn every_scenario_of_the_library_is_right() {
        for (name, text) in library() {
            Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
