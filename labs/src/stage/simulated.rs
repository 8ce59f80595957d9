//! Programs with cards in a simulated network: each is a process of the student's, and calls verbs by lines.
//!
//! The programs take turns in a fixed order, and time passes only when all of them wait, so that a run depends on
//! nothing but the seed.

use std::collections::VecDeque;
use std::time::Duration;

use ferroce_engine::{Counters, QpState, Time};
use ferroce_fabric::{Fabric, Link, What};
use ferroce_wire::{Headers, Packet, Syndrome};

use super::actor::{Actor, Waiting};
use super::connecting::{self, Awaited};
use super::transcript::Transcript;
use super::{WAITS, verbs};
use crate::failure::{Row, Rule, Wrong};
use crate::film::Film;
use crate::talk::{Players, Stop};

/// Idle polls, with nothing under way, after which nothing will come any more.
const IDLE_POLLS: u32 = 2_000;

/// How long a poll takes.
const POLL: Duration = Duration::from_micros(1);

/// Simulated time in which every exercise can be done many times over.
const LONGEST: Duration = Duration::from_secs(60);

/// Turns, likewise: the solutions need a thousand at most.
const MOST_TURNS: u32 = 10_000;

const OVERFLOW: Rule = Rule {
    name: "cq.overflow",
    text: "A completion queue never gets more completions than it has room for: those are lost, and the queue \
           pairs fail.",
    source: "IBTA volume 1, 10.8.3.3",
};

const TOO_LONG: Rule = Rule { name: "stage.time", text: "The programs come to an end.", source: "this lab" };

/// Programs, their cards, and the network between them.
pub(crate) struct Simulated {
    fabric: Fabric,
    actors: Vec<Actor>,
    /// What programs have told each other outside of RDMA: sender, receiver, words.
    mail: VecDeque<(usize, usize, String)>,
    /// How often that was.
    tells: usize,
    transcript: Transcript,
    /// The rule that is broken when a message finds no receive.
    rnr: Option<&'static Rule>,
}

impl Simulated {
    /// Starts a program for each part: its name, and what its function is given. The name may have a number behind
    /// a dash, as in "client-2", for programs that play the same part.
    pub(super) fn open(
        players: &mut Players<'_>,
        seed: u64,
        link: Link,
        parts: &[(String, String)],
    ) -> Result<Simulated, Stop> {
        let mut fabric = Fabric::new(seed);
        fabric.set_links(link);
        let mut actors = Vec::new();
        for (name, arguments) in parts {
            let host = fabric.add_host(name);
            let mut student = players.start()?;
            let part = name.split('-').next().unwrap_or(name);
            student.say(&format!("{part} {arguments}"))?;
            actors.push(Actor::new(name, student, host, &mut fabric));
        }
        Ok(Simulated {
            fabric,
            actors,
            mail: VecDeque::new(),
            tells: 0,
            transcript: Transcript::default(),
            rnr: None,
        })
    }

    /// From now on a message that finds no receive posted breaks this rule.
    pub(super) fn forbid_rnr(&mut self, rule: &'static Rule) {
        self.rnr = Some(rule);
    }

    /// Plays until every program has ended, and gives what their functions returned.
    pub(super) fn play(&mut self, players: &mut Players<'_>) -> Result<Vec<String>, Stop> {
        let (mut turns, mut idle) = (0, 0);
        loop {
            for index in 0..self.actors.len() {
                self.turn(index)?;
            }
            if self.actors.iter().all(|actor| actor.result().is_some()) {
                self.actors.iter_mut().filter_map(Actor::leave).for_each(|student| players.rest(student));
                return Ok(self.actors.iter().filter_map(Actor::result).map(str::to_owned).collect());
            }
            turns += 1;
            if turns > MOST_TURNS || self.fabric.now() > Time::ZERO + LONGEST {
                return Err(self.wrong(&TOO_LONG, self.whereabouts()).into());
            }
            let seen = |happened: fn(&Counters) -> bool| {
                (0..self.actors.len()).any(|program| happened(self.counters(program)))
            };
            if let Some(rule) = self.rnr
                && seen(|counters| counters.rnr_nak_sent > 0)
            {
                return Err(self.wrong(rule, self.whereabouts()).into());
            }
            if seen(|counters| counters.cq_overflow > 0) {
                return Err(self.wrong(&OVERFLOW, self.whereabouts()).into());
            }
            if self.can_go_on() {
                continue;
            }
            let works = self.actors.iter().any(|actor| actor.waiting().until().is_some());
            idle = if works || self.fabric.next_moment().is_some() { 0 } else { idle + 1 };
            if idle > IDLE_POLLS || !self.pass_time() {
                return Err(self.wrong(&WAITS, self.whereabouts()).into());
            }
        }
    }

    /// A wrong run: the rule that it breaks, and rows before the last things that happened.
    pub(super) fn wrong(&self, rule: &'static Rule, mut rows: Vec<Row>) -> Wrong {
        rows.push(self.transcript.row());
        let film = Film::of(&self.fabric, self.moment(rule));
        Wrong { film: Some(film), ..Wrong::new(rule, rows) }
    }

    /// How much has happened when the rule was broken: everything, or the first packet that says so.
    fn moment(&self, rule: &'static Rule) -> usize {
        let entries = &self.fabric.log().entries;
        let is_rnr = self.rnr.is_some_and(|rnr| rnr.name == rule.name);
        let first = entries
            .iter()
            .position(|entry| matches!(&entry.what, What::Packet(sent) if is_rnr_nak(&sent.bytes)));
        first.filter(|_| is_rnr).map_or(entries.len(), |first| first + 1)
    }

    /// Bytes of all packets that a program's card has sent.
    pub(super) fn sent_bytes(&self, program: usize) -> u64 {
        self.counters(program).sent_bytes
    }

    fn counters(&self, program: usize) -> &Counters {
        self.fabric.device(self.actors[program].host()).counters()
    }

    /// What a program has told another that has not heard it.
    pub(super) fn told(&self, from: usize, to: usize) -> impl Iterator<Item = &str> {
        let mail = self.mail.iter().filter(move |(sender, receiver, _)| (*sender, *receiver) == (from, to));
        mail.map(|(_, _, words)| words.as_str())
    }

    /// Bytes of the longest packet that was sent with SEND.
    pub(super) fn longest_send(&self) -> Option<usize> {
        let packets = self.fabric.log().entries.iter().filter_map(|entry| match &entry.what {
            What::Packet(sent) => Packet::parse(&sent.bytes).ok(),
            _ => None,
        });
        let sends = packets.filter(|packet| packet.headers.bth.opcode.name().starts_with("RC_SEND"));
        sends.map(|packet| packet.payload.len()).max()
    }

    /// Requests for connections that a program has rejected.
    pub(super) fn rejected(&self, program: usize) -> usize {
        self.actors[program].connections.rejected
    }

    /// How often programs have told each other something outside of RDMA.
    pub(super) fn tells(&self) -> usize {
        self.tells
    }

    /// Completions that a program has taken out of its queues.
    pub(super) fn completions(&self, program: usize) -> u64 {
        self.actors[program].completions()
    }

    /// The states of a program's queue pairs, in the order in which they were made.
    pub(super) fn states(&self, program: usize) -> Vec<QpState> {
        let actor = &self.actors[program];
        let device = self.fabric.device(actor.host());
        actor.qps().iter().filter_map(|&qp| device.query_qp(qp).ok()).map(|info| info.state).collect()
    }

    /// What is in a program's memory region, counted in the order of registration.
    pub(super) fn memory(&self, program: usize, region: usize) -> Option<Vec<u8>> {
        self.actors[program].memory(region)
    }

    /// Lets a program go on until it waits, if what it waits for is there.
    fn turn(&mut self, index: usize) -> Result<(), Stop> {
        while self.release(index)? {
            self.transcript.packets(&self.fabric, &self.actors);
            let actor = &mut self.actors[index];
            let line = actor.hear()?;
            if let Some(call) = line {
                self.call(index, &call)?;
            }
        }
        self.transcript.packets(&self.fabric, &self.actors);
        Ok(())
    }

    /// Carries out a call, or notes what it waits for.
    fn call(&mut self, index: usize, call: &str) -> Result<(), Stop> {
        let (verb, arguments) = call.split_once(' ').unwrap_or((call, ""));
        let answer = match verb {
            "tell" => self.tell(index, arguments),
            "hear" => match self.find(arguments.trim()) {
                Some(from) => {
                    self.actors[index].wait(Waiting::Hear(from));
                    return Ok(());
                }
                None => Err(format!("there is no program '{arguments}'")),
            },
            "poll" | "wait" => {
                let cq = self.actors[index].cq(arguments.parse().unwrap_or(u64::MAX));
                match cq {
                    Ok(cq) if verb == "poll" => self.actors[index].wait(Waiting::Poll { cq, again: false }),
                    Ok(cq) => self.actors[index].wait(Waiting::Completion(cq)),
                    Err(why) => return self.actors[index].answer(Err(why)),
                }
                return Ok(());
            }
            "work" => {
                let nanos = Duration::from_nanos(arguments.parse().unwrap_or(0)).min(LONGEST);
                self.actors[index].wait(Waiting::Work(self.fabric.now() + nanos));
                return Ok(());
            }
            "rtr" => {
                let peer = arguments.split(' ').nth(1).and_then(|name| self.find(name));
                let address = peer.map(|peer| self.fabric.address(self.actors[peer].host()));
                self.actors[index].verb(&mut self.fabric, verb, arguments, address)
            }
            "listen" | "request" | "accept" | "reject" | "dial" => {
                let peer = arguments.split(' ').next().and_then(|name| self.find(name));
                let peer = peer.map(|peer| self.fabric.address(self.actors[peer].host()));
                let actor = &mut self.actors[index];
                match connecting::call(actor, &mut self.fabric, verb, arguments, peer) {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => return Ok(()),
                    Err(why) => Err(why),
                }
            }
            _ => self.actors[index].verb(&mut self.fabric, verb, arguments, None),
        };
        self.transcript.call(&self.actors[index], verb, arguments, &answer);
        let now = self.fabric.now();
        let actor = &mut self.actors[index];
        actor.answer(answer)?;
        if verb == "take" && actor.looks_again() {
            actor.wait(Waiting::Look(now + POLL));
        }
        Ok(())
    }

    /// Gives a program what it waits for, if that is there. False: it waits on, or has ended.
    fn release(&mut self, index: usize) -> Result<bool, Stop> {
        let actor = &mut self.actors[index];
        let answer = match actor.waiting() {
            Waiting::Nothing => return Ok(true),
            Waiting::End => return Ok(false),
            Waiting::Hear(from) => {
                let from = *from;
                let Some(at) = self.mail.iter().position(|(sender, to, _)| (*sender, *to) == (from, index))
                else {
                    return Ok(false);
                };
                self.mail.remove(at).map(|(_, _, words)| words).unwrap_or_default()
            }
            &Waiting::Connection(awaited) => {
                let Some(answer) = connecting::release(actor, &mut self.fabric, awaited) else {
                    return Ok(false);
                };
                self.transcript.connection(actor, &answer);
                actor.go_on();
                actor.answer(answer)?;
                return Ok(true);
            }
            &Waiting::Poll { cq, again } => match actor.take(&mut self.fabric, cq) {
                Some(wc) => {
                    self.transcript.completion(actor, &wc);
                    verbs::completion_words(&wc)
                }
                None if again => String::new(),
                None => return Ok(false),
            },
            Waiting::Work(until) if *until <= self.fabric.now() => String::new(),
            Waiting::Look(until) if *until <= self.fabric.now() => {
                actor.go_on();
                return Ok(true);
            }
            Waiting::Work(_) | Waiting::Look(_) => return Ok(false),
            &Waiting::Completion(cq) => match actor.take(&mut self.fabric, cq) {
                Some(wc) => {
                    self.transcript.completion(actor, &wc);
                    verbs::completion_words(&wc)
                }
                None => return Ok(false),
            },
        };
        self.actors[index].go_on();
        self.actors[index].answer(Ok(answer))?;
        Ok(true)
    }

    fn tell(&mut self, index: usize, arguments: &str) -> Result<String, String> {
        let (to, words) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let to = self.find(to).ok_or_else(|| format!("there is no program '{to}'"))?;
        self.mail.push_back((index, to, words.to_owned()));
        self.tells += 1;
        Ok(String::new())
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.actors.iter().position(|actor| actor.name() == name)
    }

    /// Whether a program would go on without time passing.
    fn can_go_on(&self) -> bool {
        self.actors.iter().enumerate().any(|(index, actor)| match actor.waiting() {
            Waiting::Nothing => true,
            Waiting::Hear(from) => self.mail.iter().any(|(sender, to, _)| (sender, *to) == (from, index)),
            _ => false,
        })
    }

    /// Lets time pass: to the next thing that happens, or for the time of a poll.
    fn pass_time(&mut self) -> bool {
        let mut polls = false;
        for actor in &mut self.actors {
            polls |= actor.polls_again();
        }
        let works = self.actors.iter().filter_map(|actor| actor.waiting().until());
        match self.fabric.next_moment().into_iter().chain(works).min() {
            Some(moment) => {
                let least = if polls { POLL } else { Duration::ZERO };
                self.fabric.run_until(moment.max(self.fabric.now() + least));
            }
            None if polls => self.fabric.run_for(POLL),
            None => return false,
        }
        self.transcript.packets(&self.fabric, &self.actors);
        true
    }

    /// What every program does.
    fn whereabouts(&self) -> Vec<Row> {
        let lines = self.actors.iter().map(|actor| {
            let doing = match actor.waiting() {
                Waiting::Nothing => "runs".to_owned(),
                Waiting::End => return format!("{} has ended", actor.name()),
                Waiting::Hear(from) => format!("waits in hear({:?})", self.actors[*from].name()),
                Waiting::Poll { .. } => "polls an empty completion queue".to_owned(),
                Waiting::Completion(_) => "waits for a completion".to_owned(),
                Waiting::Connection(Awaited::Request(_)) => "waits for a request".to_owned(),
                Waiting::Connection(_) => "waits for the answer to a request".to_owned(),
                Waiting::Work(_) => "works".to_owned(),
                Waiting::Look(_) => "looks at its memory".to_owned(),
            };
            format!("{}: {doing}", actor.place())
        });
        vec![Row::exact("Where", lines)]
    }
}

fn is_rnr_nak(packet: &[u8]) -> bool {
    let aeth = Headers::parse(packet).ok().and_then(|(headers, _)| headers.aeth);
    aeth.is_some_and(|aeth| matches!(aeth.syndrome, Syndrome::RnrNak { .. }))
}
