//! The demo in slow motion.

use std::collections::HashSet;

use ferroce_engine::{Personality, Time, TraceEvent};
use ferroce_visualizer::demo::stage::{Fate, News, Stage, udp_links};
use ferroce_visualizer::demo::{FaultShares, Operation};

use crate::{FAULTS, stage, stage_of};

/// Lets 1.5 ms pass in steps as a screen would, and returns the news.
fn watch(stage: &mut Stage) -> Vec<News> {
    let mut news = Vec::new();
    for micros in (0..1500).step_by(7) {
        stage.advance(Time::from_micros(micros)).unwrap();
        news.extend(stage.take_news().into_iter().map(|(_, news)| news));
    }
    news
}

fn verified(news: &[News]) -> HashSet<Operation> {
    news.iter()
        .filter_map(|news| match news {
            News::Verified { operation, .. } => Some(*operation),
            _ => None,
        })
        .collect()
}

#[test]
fn every_operation_is_verified_over_real_sockets_while_packets_suffer() {
    let mut stage = Stage::new(udp_links().unwrap(), 3, FAULTS, &Personality::default()).unwrap();
    let news = watch(&mut stage);
    assert_eq!(verified(&news), HashSet::from(Operation::ALL));
    for fate in [Fate::Passes, Fate::Lost, Fate::Doubled, Fate::Late, Fate::Damaged] {
        let met = news.iter().any(|news| matches!(news, News::Landed { fate: other, .. } if *other == fate));
        assert!(met, "{fate:?} never happened");
    }
}

#[test]
fn every_personality_brings_every_operation_through() {
    for nature in Personality::all() {
        let news = watch(&mut stage_of(&nature, 3, FAULTS));
        assert_eq!(verified(&news), HashSet::from(Operation::ALL), "{}", nature.name);
    }
}

#[test]
fn the_seed_decides_everything() {
    let [one, same, other] = [5, 5, 6].map(|seed| watch(&mut stage(seed, FAULTS)));
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn steps_of_any_length_lead_to_the_same() {
    let (mut one, mut other) = (stage(9, FAULTS), stage(9, FAULTS));
    one.advance(Time::from_micros(700)).unwrap();
    while let Some(next) = other.next_event().filter(|next| *next <= Time::from_micros(700)) {
        other.advance(next).unwrap();
    }
    other.advance(Time::from_micros(700)).unwrap();
    assert_eq!(one.take_news(), other.take_news());
    let counters = |stage: &Stage| stage.snapshots().map(|snapshot| snapshot.counters);
    assert_eq!(counters(&one), counters(&other));
}

#[test]
fn a_wish_falls_on_the_next_request() {
    let mut stage = stage(1, FaultShares::default());
    stage.wish(Fate::Lost);
    let news = watch(&mut stage);
    let lost = |news: &&News| matches!(news, News::Landed { fate: Fate::Lost, .. });
    assert_eq!(news.iter().filter(lost).count(), 1);
    let departed = news.iter().find(|news| matches!(news, News::Departed { .. }));
    let Some(News::Departed { flight, what: TraceEvent::Sent { opcode, .. }, .. }) = departed else {
        panic!("nothing was sent");
    };
    assert!(opcode.is_request());
    assert!(news.contains(&News::Landed { flight: *flight, fate: Fate::Lost }), "not the first one");
    assert_eq!(verified(&news), HashSet::from(Operation::ALL));
}
