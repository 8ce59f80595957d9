//! What there is to see at one moment of a film.

use std::collections::{BTreeMap, VecDeque};

use ferroce_engine::{Qpn, Srq, Time, TraceEvent};
use ferroce_recording::{PacketRecord, Record, SwitchRecord, SwitchStep, What};
use ferroce_wire::{Opcode, Packet, Psn, Syndrome};

use super::side::{QpScene, SHOWN, is_receive};
use super::switch::PortScene;
use super::{Film, Keys, keys, tell};

/// Packets in the ladder: more than a terminal has lines.
const RUNGS: usize = 256;
/// Packets that a device said it sent, and that were not seen leaving yet.
const LEAVING: usize = 1024;

/// What there is to see after so many frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Frames played.
    pub position: usize,
    /// When the last of them happened.
    pub now: Time,
    /// All hosts.
    pub hosts: Vec<HostScene>,
    /// Ports of switches of which something was heard, by switch and port.
    pub ports: BTreeMap<(u32, u16), PortScene>,
    /// The latest packets, oldest first.
    pub rungs: VecDeque<Rung>,
    /// Packets are in the film, not only what devices say of them.
    packets: bool,
}

/// A host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostScene {
    /// Its queue pairs, by number.
    pub qps: BTreeMap<Qpn, QpScene>,
    /// Receives of its shared queues, oldest first: the callers' numbers.
    pub srqs: Vec<(Srq, VecDeque<u64>)>,
    /// What its keys of memory open.
    pub keys: Keys,
    /// What was counted, by name, in the order of the names.
    pub counts: BTreeMap<&'static str, u64>,
    /// Said to be sent, not seen leaving: whether each had been sent before.
    leaving: VecDeque<(Opcode, Psn, bool)>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// The frame in which it was sent.
    pub frame: usize,
    /// When.
    pub at: Time,
    /// When it arrives, if it does.
    pub arrives: Option<Time>,
    /// The sender.
    pub from: usize,
    /// The receiver, if it is known.
    pub to: Option<usize>,
    /// What it is.
    pub label: String,
    /// The queue pair that it goes to, and its PSN.
    pub name: Option<(Qpn, Psn)>,
    /// It answers, and carries no request.
    pub answer: bool,
    /// It had been sent before.
    pub again: bool,
    /// It does not arrive.
    pub lost: bool,
    /// It arrives damaged.
    pub damaged: bool,
    /// What came of it.
    pub note: String,
}

impl Scene {
    /// Before anything happened.
    pub fn new(film: &Film) -> Scene {
        let hosts = vec![HostScene::default(); film.hosts.len()];
        let (ports, rungs) = (BTreeMap::new(), VecDeque::new());
        Scene { position: 0, now: Time::ZERO, hosts, ports, rungs, packets: film.has_packets() }
    }

    /// Plays the next frame.
    pub fn play(&mut self, frame: &Record) {
        let (index, host) = (self.position, frame.host as usize);
        self.position += 1;
        self.now = frame.at;
        let Some(scene) = self.hosts.get_mut(host) else { return };
        match &frame.what {
            What::Switch(record) => {
                self.ports.entry((record.switch, record.port)).or_default().play(frame.at, record);
                self.happens_to(host, record);
            }
            What::Packet(packet) => {
                let rung = scene.leaves(index, frame, packet);
                let lost = if rung.lost { "packets lost" } else { "packets carried" };
                scene.count(lost);
                self.push(rung);
            }
            What::Device(event) => {
                scene.shared(event);
                keys::play(&mut scene.keys, event);
                if let Some(qpn) = queue_pair(event) {
                    let qp = scene.qps.entry(qpn).or_insert_with(|| QpScene { qpn, ..QpScene::default() });
                    qp.play(frame.at, event);
                }
                scene.counted(event);
                self.note(index, host, frame, event);
            }
        }
    }

    /// What a device says of packets.
    fn note(&mut self, index: usize, host: usize, frame: &Record, event: &TraceEvent) {
        match event {
            TraceEvent::Sent { opcode, psn, again, .. } if self.packets => {
                let leaving = &mut self.hosts[host].leaving;
                if leaving.len() == LEAVING {
                    leaving.pop_front();
                }
                leaving.push_back((*opcode, *psn, *again));
            }
            TraceEvent::Sent { opcode, psn, syndrome, again, .. } => {
                self.push(told(index, frame, host, (*opcode, *psn, *syndrome), *again));
            }
            TraceEvent::Received { opcode, psn, syndrome, .. } if !self.packets => {
                // Seen by the one who got it, so it comes from the other one.
                let from = if self.hosts.len() == 2 { 1 - host } else { host };
                if from != host
                    && self.rungs.iter().rev().take(64).any(|r| r.from == from && r.lost_is(*opcode, *psn))
                {
                    return;
                }
                let rung = told(index, frame, from, (*opcode, *psn, *syndrome), false);
                self.push(Rung { to: Some(host), ..rung });
            }
            TraceEvent::Gap { expected, .. } => {
                self.remark(host, format!("wants {}", tell::short(*expected)))
            }
            TraceEvent::Duplicate { .. } => self.remark(host, "had it before".to_owned()),
            TraceEvent::Dropped { why, .. } => self.remark(host, format!("dropped: {why:?}")),
            TraceEvent::Refused { .. } => self.remark(host, "refused".to_owned()),
            TraceEvent::Executed { msn, .. } => self.remark(host, format!("msg {msn} done")),
            _ => {}
        }
    }

    /// A switch did something with a packet of this host's.
    fn happens_to(&mut self, host: usize, record: &SwitchRecord) {
        let note = match record.step {
            SwitchStep::Marked => "marked: congestion",
            SwitchStep::Dropped(why) => why.name(),
            _ => return,
        };
        let Some(name) = record.packet else { return };
        let is_it = |rung: &&mut Rung| rung.from == host && rung.name == Some((name.qp, name.psn));
        if let Some(rung) = self.rungs.iter_mut().rev().find(is_it) {
            rung.note = note.to_owned();
        }
    }

    /// Says what a host made of the packet that it has just received.
    fn remark(&mut self, host: usize, note: String) {
        let now = self.now;
        let here = |rung: &&mut Rung| rung.to == Some(host) && rung.arrives == Some(now);
        if let Some(rung) = self.rungs.iter_mut().rev().take(64).find(here)
            && rung.note.is_empty()
        {
            rung.note = note;
        }
    }

    fn push(&mut self, rung: Rung) {
        if self.rungs.len() == RUNGS {
            self.rungs.pop_front();
        }
        self.rungs.push_back(rung);
    }
}

impl Rung {
    /// Whether this is the packet that the other end says it received.
    fn lost_is(&self, opcode: Opcode, psn: Psn) -> bool {
        self.label == tell::label(opcode, psn, None)
    }
}

impl HostScene {
    /// A packet leaves of which the device has spoken before.
    fn leaves(&mut self, index: usize, frame: &Record, packet: &PacketRecord) -> Rung {
        let host = frame.host as usize;
        let parsed = Packet::parse(&packet.bytes).ok();
        let headers = parsed.map(|packet| packet.headers);
        let (opcode, psn) = headers.map_or((Opcode::CNP, Psn::default()), |h| (h.bth.opcode, h.bth.psn));
        let said = self.leaving.iter().position(|(said, of, _)| (*said, *of) == (opcode, psn));
        let again = said.and_then(|at| self.leaving.remove(at)).is_some_and(|(_, _, again)| again);
        let arrives = packet.arrivals.iter().map(|arrival| arrival.at).min();
        let damaged = packet.arrivals.iter().any(|arrival| arrival.damaged);
        let note = match (arrives, damaged, packet.arrivals.len()) {
            _ if packet.under_way => "under way",
            (None, ..) => "lost",
            (_, true, _) => "damaged",
            (_, _, 2..) => "doubled",
            _ => "",
        };
        let syndrome = headers.and_then(|headers| headers.aeth).map(|aeth| aeth.syndrome);
        let rung = told(index, frame, host, (opcode, psn, syndrome), again);
        let to = packet.to.map(|to| to as usize);
        let name = headers.map(|headers| (headers.bth.dest_qp, headers.bth.psn));
        Rung { arrives, to, name, lost: packet.is_lost(), damaged, note: note.to_owned(), ..rung }
    }

    /// What becomes of shared receive queues.
    fn shared(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::PostSrqRecv { srq, wr_id } => match self.srqs.iter_mut().find(|(id, _)| id == srq) {
                Some((_, receives)) if receives.len() < SHOWN => receives.push_back(*wr_id),
                Some(_) => {}
                None => self.srqs.push((*srq, VecDeque::from([*wr_id]))),
            },
            TraceEvent::Completed { qp, wc } if is_receive(wc) => {
                if self.qps.get(qp).is_some_and(|qp| qp.receives.contains(&wc.wr_id)) {
                    return;
                }
                for (_, receives) in &mut self.srqs {
                    if let Some(at) = receives.iter().position(|wr_id| *wr_id == wc.wr_id) {
                        receives.remove(at);
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn counted(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::Sent { again, .. } => {
                self.count("sent");
                if *again {
                    self.count("sent again");
                }
            }
            TraceEvent::Received { .. } => self.count("received"),
            TraceEvent::Dropped { .. } => self.count("dropped"),
            TraceEvent::Duplicate { .. } => self.count("duplicates"),
            TraceEvent::Gap { .. } => self.count("gaps"),
            TraceEvent::Refused { .. } => self.count("refusals"),
            TraceEvent::Executed { .. } => self.count("messages done"),
            TraceEvent::GoBack { .. } => self.count("went back"),
            TraceEvent::RnrWait { .. } => self.count("waits for a receive"),
            TraceEvent::Completed { .. } => self.count("completions"),
            _ => {}
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

/// A packet as a device tells of it.
fn told(
    frame: usize,
    record: &Record,
    from: usize,
    (opcode, psn, syndrome): (Opcode, Psn, Option<Syndrome>),
    again: bool,
) -> Rung {
    Rung {
        frame,
        at: record.at,
        arrives: Some(record.at),
        from,
        to: None,
        label: tell::label(opcode, psn, syndrome),
        name: None,
        answer: opcode.is_response(),
        again,
        lost: false,
        damaged: false,
        note: String::new(),
    }
}

/// The queue pair that an event is about.
fn queue_pair(event: &TraceEvent) -> Option<Qpn> {
    Some(match event {
        TraceEvent::PostSend { qp, .. }
        | TraceEvent::PostRecv { qp, .. }
        | TraceEvent::Sent { qp, .. }
        | TraceEvent::Received { qp, .. }
        | TraceEvent::Duplicate { qp, .. }
        | TraceEvent::Gap { qp, .. }
        | TraceEvent::Refused { qp, .. }
        | TraceEvent::Executed { qp, .. }
        | TraceEvent::Acknowledged { qp, .. }
        | TraceEvent::GoBack { qp, .. }
        | TraceEvent::RnrWait { qp, .. }
        | TraceEvent::Completed { qp, .. }
        | TraceEvent::State { qp, .. } => *qp,
        _ => return None,
    })
}
