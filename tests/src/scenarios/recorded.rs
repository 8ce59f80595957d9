//! Checks the table of expectations against what two kernels were recorded to do, without any kernel at hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::expect::{Item, Side};
use super::{Kind, Scenario};

/// Scenarios that go a step further than the recorded ones, and what that changes.
const GOES_FURTHER: &[(&str, &str)] =
    &[("rc_flush", "the queue pairs are moved to ERR again, so that late receives are flushed everywhere")];

#[derive(Deserialize)]
struct Record {
    scenario: String,
    direction: String,
    requester: RecordedSide,
    responder: RecordedSide,
}

#[derive(Deserialize)]
struct RecordedSide {
    wcs: Vec<RecordedCompletion>,
    events: Vec<RecordedEvent>,
    qps: BTreeMap<String, RecordedQp>,
}

#[derive(Deserialize)]
struct RecordedCompletion {
    wr_id: u64,
    status: String,
    opcode: String,
    byte_len: u32,
    imm: Option<String>,
}

#[derive(Deserialize)]
struct RecordedEvent {
    event: String,
}

#[derive(Deserialize)]
struct RecordedQp {
    state: String,
}

#[test]
fn expectations_are_what_was_recorded() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/captures/edge/results.jsonl");
    let text = fs::read_to_string(&path).expect("the recordings are in the repository");
    let records: Vec<Record> =
        text.lines().map(|line| serde_json::from_str(line).expect("a record per line")).collect();
    let mut problems = Vec::new();
    for scenario in Scenario::all() {
        let mut found = 0;
        for record in records.iter().filter(|record| record.scenario == scenario.name) {
            let (requester, responder) = match record.direction.as_str() {
                "61to612" => (Kind::Rxe61, Kind::Rxe612),
                "612to61" => (Kind::Rxe612, Kind::Rxe61),
                _ => continue,
            };
            found += 1;
            let case = scenario.case(requester, responder);
            let name = format!("{} {}", scenario.name, record.direction);
            check_side(
                &format!("{name} requester"),
                case.requester,
                case.events.0,
                &record.requester,
                &mut problems,
            );
            check_side(
                &format!("{name} responder"),
                case.responder,
                case.events.1,
                &record.responder,
                &mut problems,
            );
            let recorded = (states(&record.requester), states(&record.responder));
            let expected = case.states.split_once('/').map(|(req, resp)| (sorted(req), sorted(resp)));
            if expected.as_ref() != Some(&recorded) {
                problems.push(format!("{name}: states {recorded:?} recorded, {} expected", case.states));
            }
        }
        if found != 2 {
            problems.push(format!("{}: {found} recordings instead of one per direction", scenario.name));
        }
    }
    problems.retain(|problem| !GOES_FURTHER.iter().any(|(name, _)| problem.starts_with(&format!("{name} "))));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// In no particular order: the recordings do not say which queue pair was made first.
fn states(side: &RecordedSide) -> Vec<String> {
    sorted(&side.qps.values().map(|qp| qp.state.as_str()).collect::<Vec<_>>().join("+"))
}

fn sorted(states: &str) -> Vec<String> {
    let mut states: Vec<_> = states.split('+').map(str::to_owned).collect();
    states.sort();
    states
}

fn check_side(name: &str, text: &str, events: &str, recorded: &RecordedSide, problems: &mut Vec<String>) {
    let expected = Side::parse(text).expect("a readable table");
    for queue in [&expected.send, &expected.receive] {
        let ids: Vec<_> = queue.iter().map(|item| item.wr_id).collect();
        let seen: Vec<_> = recorded.wcs.iter().filter(|wc| ids.contains(&wc.wr_id)).collect();
        let fits =
            seen.len() == queue.len() && queue.iter().all(|item| seen.iter().any(|wc| matches(item, wc)));
        if !fits {
            let seen: Vec<_> =
                seen.iter().map(|wc| format!("{} {} {}", wc.wr_id, wc.status, wc.opcode)).collect();
            problems.push(format!("{name}: [{}] recorded, [{text}] expected", seen.join(", ")));
        }
    }
    if recorded.wcs.len() != expected.count() {
        problems.push(format!(
            "{name}: {} completions recorded, {} expected",
            recorded.wcs.len(),
            expected.count()
        ));
    }
    let seen: Vec<_> = recorded.events.iter().map(|event| event.event.clone()).collect();
    if !super::expect::events_fit(events, &seen) {
        problems.push(format!("{name}: events [{}] recorded, [{events}] expected", seen.join(" ")));
    }
}

fn matches(item: &Item, wc: &RecordedCompletion) -> bool {
    let imm = wc.imm.as_ref().and_then(|imm| u32::from_str_radix(imm.trim_start_matches("0x"), 16).ok());
    let received = item.what.starts_with("RECV");
    item.wr_id == wc.wr_id
        && item.what == if wc.status == "SUCCESS" { &wc.opcode } else { &wc.status }.as_str()
        && item.byte_len.is_none_or(|length| length == wc.byte_len)
        && (!received || item.imm == imm)
}
