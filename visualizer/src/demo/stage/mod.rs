//! The demo in slow motion: the same devices, the same traffic, the same sockets, and a clock that a person
//! turns.
//!
//! A device never reads a clock: every call is told what time it is. So a microsecond can be made to last as
//! long as somebody needs to watch it, or to last for ever, and the device cannot tell.

mod actor;
mod tape;
mod wire;

use std::net::IpAddr;
use std::time::Duration;

use ferroce_engine::{PathMtu, Personality, Psn, RnrTimer, Snapshot, Time, TraceEvent, Wc};
use ferroce_net::{IcrcCheck, Link, UdpLink};

use super::addresses::on_free_addresses;
use super::error::DemoError;
use super::host::Host;
use super::layout::Layout;
use super::operation::{Operation, Sizes};
use super::stream::{Stream, Verified};
use super::summary::FaultShares;
use super::wiring::{Side, Terms, connect};
use actor::Actor;
pub use tape::Tape;
use wire::Wire;
pub use wire::{DELAY, FLIGHT, Fate};

/// Time that the line needs for a packet.
const SPACING: Duration = Duration::from_nanos(2_000);

/// How long a completion waits for the application.
const LOOK: Duration = Duration::from_nanos(4_000);

/// Time between two messages of the same end.
const PAUSE: Duration = Duration::from_micros(9);

/// Messages under way from one end.
const SLOTS: usize = 3;

/// Path MTU of the connection: the smallest, for many packets with few bytes.
const MTU: PathMtu = PathMtu::Mtu256;

/// Two addresses and links.
pub type Links = [(IpAddr, Box<dyn Link>); 2];

/// UDP sockets at two loopback addresses that nobody uses.
///
/// # Errors
/// When there are none to be had.
pub fn udp_links() -> Result<Links, DemoError> {
    let open = |addr| Ok((addr, Box::new(UdpLink::open(&[addr], IcrcCheck::Auto)?) as Box<dyn Link>));
    Ok(on_free_addresses(|[a, b]| Ok([open(a)?, open(b)?]))?)
}

/// News from the stage, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News {
    /// A packet set out.
    Departed {
        /// Its number: each packet on the wire has one of its own.
        flight: u64,
        /// Which NIC sent it: 0 or 1.
        from: usize,
        /// What the device said about it: always [`TraceEvent::Sent`].
        what: TraceEvent,
        /// It is the second copy of a doubled packet.
        copy: bool,
        /// When it will end its way.
        ends: Time,
    },
    /// A packet ended its way. What the receiver made of it follows as [`News::Inside`].
    Landed {
        /// Its number.
        flight: u64,
        /// What happened to it.
        fate: Fate,
    },
    /// Something happened in a device.
    Inside {
        /// In which: 0 or 1.
        who: usize,
        /// What.
        event: TraceEvent,
    },
    /// A message was found to be right in every byte.
    Verified {
        /// Its kind.
        operation: Operation,
        /// Its bytes.
        bytes: u64,
    },
}

/// Two NICs, the wire between them, the application on top of them, and their time.
pub struct Stage {
    actors: [Actor; 2],
    sides: [Side; 2],
    streams: [Stream; 2],
    wire: Wire,
    now: Time,
    /// When the applications post their next messages, and how many they have posted.
    post_at: [Time; 2],
    posted: [u64; 2],
    news: Vec<(Time, News)>,
}

impl Stage {
    /// Puts two NICs of this nature, but with numbers that are easy to read, at these addresses on these links, and
    /// connects them.
    ///
    /// # Errors
    /// When a verb is refused.
    pub fn new(
        links: Links,
        seed: u64,
        shares: FaultShares,
        nature: &Personality,
    ) -> Result<Stage, DemoError> {
        let [(addr_a, link_a), (addr_b, link_b)] = links;
        let mut actors = [
            Actor::new("A", addr_a, link_a, seed, nature),
            Actor::new("B", addr_b, link_b, seed ^ 1, nature),
        ];
        let [a, b] = &mut actors;
        let sides = [Side::open(a, addr_a, 12)?, Side::open(b, addr_b, 12)?];
        let sizes = Sizes::short(MTU);
        let layout = Layout::new(SLOTS, sizes.longest());
        let terms = Terms {
            mtu: MTU,
            memory: layout.total(),
            depth: 8,
            // Easy to tell apart: A's begin with 0, B's with 8.
            psns: [Psn::new(0x010), Psn::new(0x810)],
            // 66 µs: a round trip takes 16.
            timeout: 4,
            retry_cnt: 7,
            min_rnr_timer: RnrTimer(1),
        };
        let ends = connect(&mut actors, &sides, &terms)?;
        let streams = [0, 1].map(|from| Stream::new(from, &ends, MTU, layout, sizes.clone(), seed));
        let mut stage = Stage {
            actors,
            sides,
            streams,
            wire: Wire::new(seed, shares),
            now: Time::ZERO,
            // B begins when there has been something to see of A.
            post_at: [Time::from_micros(2), Time::from_micros(60)],
            posted: [0; 2],
            news: Vec::new(),
        };
        stage.collect(0);
        stage.collect(1);
        stage.news.clear();
        Ok(stage)
    }

    /// The addresses of the two NICs.
    pub fn addrs(&self) -> [IpAddr; 2] {
        self.sides.map(|side| side.addr)
    }

    /// What time it is on the stage.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Both devices as they are now.
    pub fn snapshots(&self) -> [Snapshot; 2] {
        self.actors.each_ref().map(Actor::snapshot)
    }

    /// What happened since the last time, with the moment.
    pub fn take_news(&mut self) -> Vec<(Time, News)> {
        std::mem::take(&mut self.news)
    }

    /// Packets on the wire now.
    pub fn under_way(&self) -> usize {
        self.wire.len()
    }

    /// What the next packet with data is to suffer.
    pub fn wish(&mut self, fate: Fate) {
        self.wire.wish = Some(fate);
    }

    /// The wish that waits for a packet.
    pub fn wished(&self) -> Option<Fate> {
        self.wire.wish
    }

    /// Whether packets suffer by chance.
    pub fn has_chance(&self) -> bool {
        self.wire.chance
    }

    /// Lets packets suffer by chance, or not.
    pub fn set_chance(&mut self, chance: bool) {
        self.wire.chance = chance;
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Time> {
        let sending = self.actors.iter().filter(|actor| actor.may_send).map(|actor| actor.line_free);
        let looking = self.actors.iter().filter_map(|actor| actor.look_at);
        let timers = self.actors.iter().filter_map(Actor::next_timeout);
        let posting = (0..2).filter(|end| self.streams[*end].has_room()).map(|end| self.post_at[end]);
        let all = sending.chain(looking).chain(timers).chain(posting).chain(self.wire.next_end());
        all.min().map(|time| time.max(self.now))
    }

    /// Lets time pass until `to`, with everything that happens meanwhile.
    ///
    /// # Errors
    /// When a message is wrong.
    pub fn advance(&mut self, to: Time) -> Result<(), DemoError> {
        while let Some(next) = self.next_event().filter(|next| *next <= to) {
            self.set_time(next);
            self.land()?;
            for end in 0..2 {
                self.run_timers(end);
                self.look(end)?;
                self.post(end)?;
                self.transmit(end);
            }
        }
        self.set_time(to.max(self.now));
        Ok(())
    }

    fn set_time(&mut self, now: Time) {
        self.now = now;
        for actor in &mut self.actors {
            actor.now = now;
        }
    }

    /// Packets that have ended their way go through the sockets and into the other device.
    fn land(&mut self) -> Result<(), DemoError> {
        while let Some(flight) = self.wire.land(self.now) {
            self.news.push((self.now, News::Landed { flight: flight.number, fate: flight.fate }));
            if flight.fate == Fate::Lost {
                continue;
            }
            let to = 1 - flight.from;
            self.actors[flight.from].send(&flight.flow, &flight.bytes);
            self.actors[to].receive();
            self.collect(to);
        }
        Ok(())
    }

    fn run_timers(&mut self, end: usize) {
        if self.actors[end].next_timeout().is_some_and(|due| due <= self.now) {
            self.actors[end].handle_timeout();
            self.collect(end);
        }
    }

    /// The application looks at its completions, if it is time, and verifies what is complete.
    fn look(&mut self, end: usize) -> Result<(), DemoError> {
        if self.actors[end].look_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        self.actors[end].look_at = None;
        let mut wcs = [Wc::default(); 16];
        let found = self.actors[end].poll(self.sides[end].cq, &mut wcs)?;
        for wc in &wcs[..found] {
            for stream in &mut self.streams {
                stream.completed(end, wc)?;
            }
        }
        for stream in &mut self.streams {
            while let Some(Verified { operation, bytes }) = stream.verify()? {
                self.news.push((self.now, News::Verified { operation, bytes }));
            }
            if stream.is_done() {
                stream.check_sum()?;
            }
        }
        Ok(())
    }

    /// The application posts a message, if it is time and there is room.
    fn post(&mut self, end: usize) -> Result<(), DemoError> {
        if self.post_at[end] > self.now || !self.streams[end].has_room() {
            return Ok(());
        }
        let nth = self.posted[end];
        let kinds = Operation::ALL.len() as u64;
        let operation = Operation::ALL[((nth + 4 * end as u64) % kinds) as usize];
        self.streams[end].post(&mut self.actors, operation, nth % 7)?;
        self.posted[end] += 1;
        self.post_at[end] = self.now + PAUSE;
        self.collect(end);
        self.collect(1 - end);
        Ok(())
    }

    /// Puts a packet on the wire if the line is free and the device has one.
    fn transmit(&mut self, end: usize) {
        let actor = &mut self.actors[end];
        if !actor.may_send || actor.line_free > self.now {
            return;
        }
        let packet = actor.take_packet();
        let sent = self.collect(end);
        let (Some((flow, bytes)), Some(what)) = (packet, sent) else { return };
        self.actors[end].line_free = self.now + SPACING;
        let has_data = matches!(what, TraceEvent::Sent { opcode, .. } if opcode.is_request());
        let fate = self.wire.decide(has_data);
        let copies = if fate == Fate::Doubled { 2 } else { 1 };
        for copy in 0..copies {
            let (from, copy) = (end, copy == 1);
            // The copy leaves right behind the original.
            let start = if copy { self.now + SPACING.mul_f64(0.5) } else { self.now };
            let (flight, ends) = self.wire.depart(start, from, flow, bytes.clone(), fate);
            self.news.push((self.now, News::Departed { flight, from, what, copy, ends }));
        }
    }

    /// Takes over what happened in a device, and returns the packet that it sent last.
    fn collect(&mut self, who: usize) -> Option<TraceEvent> {
        let (mut sent, now) = (None, self.now);
        while let Some(event) = self.actors[who].next_event() {
            match event {
                TraceEvent::Sent { .. } => sent = Some(event),
                _ => self.news.push((now, News::Inside { who, event })),
            }
            if matches!(event, TraceEvent::Completed { .. }) {
                self.actors[who].look_at.get_or_insert(now + LOOK);
            }
        }
        sent
    }
}
