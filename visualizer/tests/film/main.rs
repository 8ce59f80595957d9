//! Films: the same story makes the same film, and every frame of it can be reached from every other.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ferroce_engine::{QpState, Time, TraceEvent};
use ferroce_recording::{HostRecord, Record, What};
use ferroce_visualizer::film::{
    CHECKPOINTS, Fault, FaultKind, Film, Goal, LINE, Memory, Message, NetworkStory, Op, Origin, Reel, Scene,
    Story, load, tell,
};
use proptest::prelude::*;

/// Messages of every kind in both directions.
fn messages(count: u64) -> Vec<Message> {
    const OPS: [Op; 7] =
        [Op::Send, Op::Write, Op::Read, Op::FetchAdd, Op::SendImm, Op::WriteImm, Op::CompareSwap];
    let message = |n: u64| Message {
        at_ns: n * 12_000,
        from: (n % 3 == 2) as u8,
        op: OPS[n as usize % OPS.len()],
        len: (n as u32 * 977) % 5_000,
        ..Message::default()
    };
    (0..count).map(message).collect()
}

fn lossy(count: u64) -> Film {
    let story = Story {
        loss: 30_000,
        corrupt: 10_000,
        duplicate: 10_000,
        messages: messages(count),
        ..Story::default()
    };
    story.play().unwrap()
}

fn straight(film: &Film, position: usize) -> Scene {
    let mut scene = Scene::new(film);
    film.frames[..position].iter().for_each(|frame| scene.play(frame));
    scene
}

#[test]
fn a_story_always_makes_the_same_film_and_a_recording_keeps_it() {
    let film = lossy(40);
    assert_eq!(film, lossy(40));
    let mut file = Vec::new();
    film.write(&mut file).unwrap();
    let back = load("simulation", &file[..]).unwrap();
    assert_eq!(back, film);
    // So short is it: a few bytes for each frame, packets included.
    assert!(file.len() < film.frames.len() * 60, "{} bytes for {} frames", file.len(), film.frames.len());
}

#[test]
fn every_one_of_100_000_frames_is_reached_from_every_other_and_is_the_same() {
    let film = Arc::new(lossy(9_000));
    let frames = film.frames.len();
    assert!(frames > 100_000, "{frames}");
    let mut reel = Reel::new(Arc::clone(&film));
    reel.go(frames);
    let end = reel.scene().clone();
    // There and back again, in steps of all sizes.
    let mut place = 77_777;
    for _ in 0..200 {
        place = (place * 31 + 7) % frames;
        reel.go(place);
        assert_eq!(reel.position(), place);
        for back in 1..4 {
            reel.go(place.saturating_sub(back));
        }
    }
    for place in [0, 1, 63, 64, 65, frames / 2, frames - 1, 4_096] {
        reel.go(place);
        assert_eq!(*reel.scene(), straight(&film, place), "frame {place}");
    }
    reel.go(usize::MAX);
    assert_eq!(*reel.scene(), end);
    assert!(frames / CHECKPOINTS < 1_000, "the way from a checkpoint is short");
}

#[test]
fn the_past_can_be_changed_and_the_branches_compared() {
    let story = Story { messages: messages(6), ..Story::default() };
    let film = story.play().unwrap();
    let sent = |frame: &&Record| matches!(frame.what, What::Packet(_));
    let victim = film.frames.iter().position(|frame| sent(&frame)).unwrap();
    let again = |film: &Film| film.find(0, false, &Goal::Retransmission);
    assert_eq!(again(&film), None);
    for kind in [FaultKind::Drop, FaultKind::Corrupt] {
        let branch = film.fork(victim, kind).unwrap();
        assert_eq!(film.parting(&branch), victim, "{kind:?}");
        assert!(again(&branch).unwrap() > victim);
        assert!(branch.find(victim, false, &Goal::Loss).unwrap() == victim + 1);
        assert_eq!(branch.origin.as_ref().unwrap().faults(), [Fault { host: 0, nth: 1, kind }]);
        // Changed back, it is what it was.
        let healed = branch.fork(victim, FaultKind::Deliver).unwrap();
        assert_eq!(healed.frames, film.frames);
    }
    assert!(film.fork(victim + 100_000, FaultKind::Drop).is_err());
    assert!(Film::default().fork(0, FaultKind::Drop).is_err());
}

/// Sixteen hosts at one switch, fifteen of which send to the last one, with marks and little memory.
fn incast() -> Film {
    let set = [
        ("duration", "60us"),
        ("switch.ecn", "true"),
        ("switch.pause_at", "10KB"),
        ("host.congestion", "dcqcn"),
    ];
    let set = set.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let story = NetworkStory { set, ..NetworkStory::named("incast").unwrap() };
    Origin::Network(story).play().unwrap()
}

#[test]
fn an_incast_of_sixteen_hosts_is_recorded_with_what_its_switch_did() {
    let film = incast();
    assert_eq!((film.hosts.len(), film.switches.len(), film.switches[0].ports.len()), (16, 1, 16));
    assert_eq!(film.find(0, false, &Goal::Loss), None, "what is under way at the end is not lost");
    let mut file = Vec::new();
    film.write(&mut file).unwrap();
    let back = load("it", &file[..]).unwrap();
    assert!(Film { title: film.title.clone(), ..back } == film);
    // The queue to the receiver is the one that grows, until the senders are asked to pause.
    let end = straight(&film, film.frames.len());
    let (place, port) = end.ports.iter().max_by_key(|(_, port)| port.most).unwrap();
    assert_eq!(film.switches[0].ports[usize::from(place.1)], "host15");
    assert!(port.most > 100_000 && port.sent > 50 && port.marked > 0 && port.dropped == 0, "{port:?}");
    assert!(end.ports.values().map(|port| port.asked).sum::<u64>() >= 15);
    let at = film.find(0, false, &Goal::Words("asks host".to_owned())).unwrap();
    assert!(tell(&film, &film.frames[at - 1]).ends_with("to pause priority 3"));
    assert_eq!(straight(&film, at).ports.values().filter(|port| port.asking != 0).count(), 1);
    assert!(film.find(0, false, &Goal::Switch).unwrap() <= at);
}

#[test]
fn a_packet_of_a_network_can_meet_another_fate() {
    let film = incast();
    let victim = film.find(0, false, &Goal::Words("host3 WRITE_FIRST".to_owned())).unwrap() - 1;
    let branch = film.fork(victim, FaultKind::Drop).unwrap();
    assert_eq!(film.parting(&branch), victim);
    let lost = branch.find(0, false, &Goal::Loss).unwrap();
    assert_eq!(lost, victim + 1);
    let nak = branch.find(lost, false, &Goal::Nak).unwrap();
    assert!(tell(&branch, &branch.frames[nak - 1]).starts_with("host15 sends NAK sequence"));
    let healed = branch.fork(victim, FaultKind::Deliver).unwrap();
    assert!(healed.frames == film.frames);
}

#[test]
fn goals_are_found_in_both_directions() {
    let faults = vec![Fault { host: 0, nth: 2, kind: FaultKind::Drop }];
    let message = Message { len: 4_000, ..Message::default() };
    let film = Story { messages: vec![message], faults, ..Story::default() }.play().unwrap();
    let at = |goal: Goal| film.find(0, false, &goal).unwrap_or_else(|| panic!("{goal:?}"));
    let told = |position: usize| tell(&film, &film.frames[position - 1]);
    assert_eq!(told(at(Goal::Loss)), "A SEND_MIDDLE 011 leaves: lost on its way");
    assert_eq!(told(at(Goal::Nak)), "B sends NAK sequence 011");
    assert_eq!(told(at(Goal::Retransmission)), "A sends SEND_MIDDLE 011 again");
    assert_eq!(told(at(Goal::Words("GAP".to_owned()))), "B finds a gap: 012 came, 011 is next");
    assert_eq!(told(at(Goal::Completion)), "B completes request 1");
    assert!(at(Goal::Loss) < at(Goal::Nak) && at(Goal::Nak) < at(Goal::Retransmission));
    let end = film.frames.len();
    assert_eq!(film.find(end, true, &Goal::Loss), Some(at(Goal::Loss)));
    assert_eq!(film.find(end, false, &Goal::Event), None);
    assert_eq!(film.find(usize::MAX, true, &Goal::Failure), None);
}

#[test]
fn a_scene_knows_queues_psns_and_states() {
    let messages = vec![
        Message { len: 3_000, ..Message::default() },
        Message { at_ns: 1, bad_key: true, op: Op::Write, len: 10, ..Message::default() },
    ];
    let film = Story { messages, ..Story::default() }.play().unwrap();
    let posted = film.find(0, false, &Goal::Words("posts send request 2".to_owned())).unwrap();
    let scene = straight(&film, posted);
    let qp = scene.hosts[0].qps.values().next().unwrap();
    assert_eq!((qp.state, qp.sends.len()), (QpState::Rts, 2));
    assert_eq!(qp.sends[0].psns.map(|(first, _)| first.value()), Some(0x10));
    let end = straight(&film, film.frames.len());
    let states: Vec<QpState> = end.hosts.iter().map(|host| host.qps.values().next().unwrap().state).collect();
    assert_eq!(states, [QpState::Err; 2]);
    let qp = end.hosts[0].qps.values().next().unwrap();
    assert_eq!((qp.ended, qp.sends.len()), ([1, 1, 0], 0));
    assert_eq!(end.hosts[1].counts["refusals"], 1);
}

#[test]
fn memory_shows_what_was_written_and_read_and_what_was_denied() {
    let message = |at_ns, op, len| Message { at_ns, op, len, ..Message::default() };
    let bad = Message { bad_key: true, ..message(30_000, Op::Write, 64) };
    let messages = vec![message(0, Op::Write, 3_000), message(10_000, Op::Read, 40), bad];
    let faults = vec![Fault { host: 0, nth: 2, kind: FaultKind::Drop }];
    let film = Story { messages, faults, ..Story::default() }.play().unwrap();
    assert!(Memory::at(&film, 0).accesses.is_empty());
    let at = |words: &str| film.find(0, false, &Goal::Words(words.to_owned())).unwrap();
    // The third packet came behind a gap: it touched nothing.
    let gap = Memory::at(&film, at("finds a gap"));
    assert_eq!(gap.last, Some((1, gap.last.unwrap().1, 0x1_0000, 0x1_0400)), "only the first packet");
    let written = Memory::at(&film, at("completes request 1"));
    let (owner, rkey, start, end) = written.last.unwrap();
    assert_eq!((owner, start, end), (1, 0x1_0800, 0x1_0000 + 3_000));
    assert!(written.line((owner, rkey, 0x1_0000 / LINE)).iter().all(Option::is_some));
    assert_eq!(written.line((owner, rkey, 0x1_0000 / LINE + 200)), [None; LINE as usize]);
    let all = Memory::at(&film, film.frames.len());
    let texts: Vec<&str> = all.accesses.iter().map(|access| access.text.as_str()).collect();
    assert!(texts.iter().any(|text| text.starts_with("A got B's 0x10000..0x10028")), "{texts:?}");
    let used = all.keys[&(owner, rkey)];
    assert_eq!((used.range, used.reads, used.denied), (Some((0x1_0000, 0x1_0000 + 3_000)), 1, 0));
    assert!(used.writes >= 3 && all.keys.values().filter(|key| key.denied == 1).count() == 1, "{all:?}");
    let denied = all.accesses.back().unwrap();
    assert!(denied.denied && denied.text.starts_with("B DENIED 0x"), "{texts:?}");
}

#[test]
fn a_shared_receive_queue_and_timers_are_in_the_scene() {
    let faults = vec![Fault { host: 0, nth: 1, kind: FaultKind::Drop }];
    let film = Story { messages: vec![Message::default()], faults, ..Story::default() }.play().unwrap();
    assert_eq!(film.origin.as_ref().unwrap().timeout().unwrap().as_nanos(), 4_096 << 8);
    let sent = film.find(0, false, &Goal::Loss).unwrap();
    let awaits = |position| straight(&film, position).hosts[0].qps.values().next().unwrap().awaits;
    assert_eq!(awaits(sent), Some(film.frames[sent - 1].at));
    assert_eq!(awaits(film.frames.len()), None, "everything is acknowledged");
    let srq = ferroce_engine::Srq::NONE;
    let qp = *straight(&film, sent).hosts[1].qps.keys().next().unwrap();
    let wc = ferroce_engine::Wc { wr_id: 7, opcode: ferroce_engine::WcOpcode::Recv, ..Default::default() };
    let mut scene = straight(&film, sent);
    let mut play = |event| {
        let what = What::Device(event);
        scene.play(&Record { at: Time::ZERO, host: 1, what });
        scene.hosts[1].srqs[0].1.len()
    };
    assert_eq!(play(TraceEvent::PostSrqRecv { srq, wr_id: 7 }), 1);
    assert_eq!(play(TraceEvent::PostSrqRecv { srq, wr_id: 8 }), 2);
    assert_eq!(play(TraceEvent::Completed { qp, wc }), 1);
}

#[test]
fn captures_are_films_too() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/captures"));
    let mut films = 0;
    for entry in fs::read_dir(&folder).unwrap().chain(fs::read_dir(folder.join("edge")).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pcap") {
            let film = load("a capture", &fs::read(&path).unwrap()[..]).unwrap();
            let scene = straight(&film, film.frames.len());
            assert_eq!(scene.hosts.len(), film.hosts.len(), "{}", path.display());
            films += 1;
        }
    }
    assert!(films > 300);
    let film = load("loss", &fs::read(folder.join("loss_rc_send_5000.pcap")).unwrap()[..]).unwrap();
    let gap = film.find(0, false, &Goal::Loss).unwrap();
    assert!(matches!(film.frames[gap - 1].what, What::Device(TraceEvent::Gap { .. })));
    assert!(straight(&film, film.frames.len()).rungs.iter().any(|rung| rung.again));
}

#[test]
fn a_recording_of_one_end_tells_the_others_apart_by_their_addresses() {
    let whole = lossy(20);
    // As host 0 alone would have recorded it.
    let mut film = whole.clone();
    film.origin = None;
    film.hosts[1] = HostRecord { name: "others".to_owned(), addresses: Vec::new() };
    film.frames.retain(|frame| frame.host == 0 || matches!(frame.what, What::Packet(_)));
    let third = "10.0.0.3".parse().unwrap();
    for (at, frame) in film.frames.iter_mut().enumerate().filter(|(_, frame)| frame.host == 1) {
        let What::Packet(packet) = &mut frame.what else { continue };
        packet.src = if at % 2 == 0 { third } else { packet.src };
    }
    let mut file = Vec::new();
    film.write(&mut file).unwrap();
    let back = load("one end", &file[..]).unwrap();
    let names: BTreeSet<&str> = back.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["A", "10.0.0.2", "10.0.0.3"]));
    assert!(back.remarks[0].starts_with("Recorded at A's end"), "{:?}", back.remarks);
    for frame in &back.frames {
        let What::Packet(packet) = &frame.what else { continue };
        assert_eq!(back.hosts[frame.host as usize].addresses, [packet.src]);
    }
    // All that the NIC itself is asked for is there.
    let (one, both) = (straight(&back, back.frames.len()), straight(&whole, whole.frames.len()));
    assert_eq!(one.hosts[0].qps, both.hosts[0].qps);
}

#[test]
fn packets_of_a_train_are_seen_leaving_one_by_one() {
    let whole = lossy(9);
    let own = |record: &&Record| record.host == 0;
    let told = |record: &&Record| matches!(record.what, What::Device(TraceEvent::Sent { .. }));
    let left = |record: &&Record| matches!(record.what, What::Packet(_));
    let mut frames: Vec<Record> = whole.frames.iter().filter(own).filter(told).take(3).cloned().collect();
    frames.extend(whole.frames.iter().filter(own).filter(left).take(3).cloned());
    frames.iter_mut().for_each(|frame| frame.at = Time::from_micros(7));
    let mut film = Film { frames, ..whole };
    film.origin = None;
    film.hosts[1].addresses.clear();
    let mut file = Vec::new();
    film.write(&mut file).unwrap();
    let back = load("a train", &file[..]).unwrap();
    let order: Vec<bool> = back.frames.iter().map(|frame| left(&frame)).collect();
    assert_eq!(order, [false, true, false, true, false, true]);
}

#[test]
fn impossible_scenarios_are_refused_with_a_reason() {
    for (text, word) in [
        ("{", "EOF"),
        (r#"{"mtu": 1000}"#, "mtu"),
        (r#"{"timeout": 0}"#, "timeout"),
        (r#"{"messages": [{"from": 2}]}"#, "hosts"),
        (r#"{"messages": [{"at_ns": 5}, {"at_ns": 4}]}"#, "order"),
        (r#"{"messages": [{"len": 4000000000}]}"#, "longer"),
        (r#"{"weather": "rain"}"#, "weather"),
        (r#"{"network": "[topology]\nkind = \"ring\"\n"}"#, "fat-tree"),
        (r#"{"network": "", "wether": 1}"#, "wether"),
        ("[switch]\nk_mim = \"5KB\"\n", "k_min"),
    ] {
        let error = load("it", text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_file_holds_nothing_panics(
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        raw in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = load("raw", &raw[..]);
        let mut file = Vec::new();
        lossy(3).write(&mut file).unwrap();
        file.truncate(cut.index(file.len()) + 1);
        for (place, value) in changes {
            let at = place.index(file.len());
            file[at] = value;
        }
        if let Ok(film) = load("changed", &file[..]) {
            let mut reel = Reel::new(Arc::new(film));
            reel.go(usize::MAX);
            reel.go(3);
        }
    }

    #[test]
    fn whatever_devices_say_a_scene_takes_it(order in prop::collection::vec(any::<prop::sample::Index>(), 0..300)) {
        let film = lossy(20);
        let mut scene = Scene::new(&film);
        order.iter().for_each(|at| scene.play(&film.frames[at.index(film.frames.len())]));
        prop_assert_eq!(scene.position, order.len());
    }
}
