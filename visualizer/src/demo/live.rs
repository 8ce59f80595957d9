//! The demo at full speed: two NICs on UDP sockets, every operation at every path MTU in both directions.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ferroce_engine::{Arm, Counters, PathMtu, Personality, Psn, RnrTimer, Wc};
use ferroce_net::{FaultRates, Faults, LinkCounters, NetError, Nic};

use super::addresses::on_free_addresses;
use super::error::DemoError;
use super::host::Host;
use super::layout::Layout;
use super::operation::{Operation, Sizes};
use super::pattern::Dice;
use super::stream::Stream;
use super::summary::{FaultShares, NicSummary, Row, Summary};
use super::window;
use super::wiring::{Side, Terms, connect};

/// What the demo is to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides messages and faults.
    pub seed: u64,
    /// How much goes wrong on the way.
    pub faults: FaultShares,
    /// Messages of each operation, for each path MTU and direction.
    pub messages: u64,
    /// Goes on with further rounds for so long.
    pub duration: Option<Duration>,
    /// Name of the personality of both NICs.
    pub personality: &'static str,
}

/// News of a running demo.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The NICs are there.
    Opened(&'a [NicSummary]),
    /// An operation is through for the first time.
    Operation(&'a Row),
    /// A further round is through: its number from 1, and all messages verified so far.
    Round(u64, u64),
}

/// The row of what runs on all connections at the same time.
pub const TOGETHER: &str = "all at once";

/// Without any progress for so long the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks in vain at both NICs after which the demo sleeps: enough for a round trip, not for a timeout.
const SPINS: u32 = 50;

/// Longest sleep, so that Ctrl-C is noticed.
const NAP: Duration = Duration::from_millis(50);

/// Messages under way in each direction of a connection.
const SLOTS: usize = 4;

/// Runs the demo until it is through, `stop` is set, or something is wrong.
///
/// # Errors
/// When it could not begin. What goes wrong later is in the summary.
pub fn run(
    options: &Options,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, DemoError> {
    let nics = open_nics(options)?;
    let mut summary = Summary {
        verified: false,
        interrupted: false,
        failure: None,
        seed: options.seed,
        faults: options.faults,
        nics: nics.iter().map(describe).collect(),
        operations: Vec::new(),
        total: Row::default(),
    };
    progress(Progress::Opened(&summary.nics));
    let mut live = Live::new(nics, options, stop)?;
    if let Err(error) = live.rounds(&mut summary, progress) {
        summary.failure = Some(error.to_string());
    }
    summary.interrupted = stop.load(Ordering::Relaxed);
    let streams = 2 * live.pairs.len() as u64;
    let together = Operation::ALL.len() as u64;
    summary.close(|row| match row.operation.as_str() {
        TOGETHER => streams * options.messages.max(together),
        window::NAME => 2 * options.messages,
        _ => streams * options.messages,
    });
    Ok(summary)
}

/// Two NICs on free loopback addresses.
fn open_nics(options: &Options) -> Result<[Nic; 2], DemoError> {
    let open = |[a, b]: [IpAddr; 2]| Ok([open_nic("A", a, 0, options)?, open_nic("B", b, 1, options)?]);
    Ok(on_free_addresses(open)?)
}

fn open_nic(name: &str, addr: IpAddr, number: u64, options: &Options) -> Result<Nic, NetError> {
    let FaultShares { drop, duplicate, reorder, corrupt } = options.faults;
    // Losses on the way out and all else on the way in: so each can be counted by what the device and its link
    // have counted.
    let faults = Faults {
        seed: options.seed.wrapping_mul(2).wrapping_add(number),
        transmit: FaultRates { drop, ..FaultRates::NONE },
        receive: FaultRates { duplicate, reorder, corrupt, ..FaultRates::NONE },
    };
    let personality = Personality {
        // Under loss, what is in flight behind a lost packet is sent twice: little in flight, little wasted.
        window: 32,
        read_chunk: 16,
        // However much is lost, something passes in the end; PATIENCE is the judge.
        retry_7_is_infinite: true,
        ..Personality::by_name(options.personality).unwrap_or_default()
    };
    // What is shown are real sockets.
    let nic = Nic::builder().visible().name(name).address(addr).shared_memory(false);
    nic.faults(faults).personality(personality).open()
}

fn describe(nic: &Nic) -> NicSummary {
    let name = nic.with(|device, _| device.config().name.clone());
    let port = &nic.info().ports[0];
    NicSummary { name, address: port.addr, icrc_check: port.icrc.to_string() }
}

struct Live<'a> {
    hosts: [Nic; 2],
    sides: [Side; 2],
    pairs: Vec<Pair>,
    options: &'a Options,
    stop: &'a AtomicBool,
    waker: Waker,
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A connection with traffic in both directions.
struct Pair {
    qps: [u32; 2],
    streams: [Stream; 2],
    /// Messages still to be posted in this phase, for each direction.
    left: [u64; 2],
}

/// What both devices and links have counted.
#[derive(Clone, Copy, Default)]
struct Count {
    packets: u64,
    retransmitted: u64,
    lost: u64,
    damaged: u64,
    disturbed: u64,
}

impl<'a> Live<'a> {
    fn new(mut hosts: [Nic; 2], options: &'a Options, stop: &'a AtomicBool) -> Result<Live<'a>, DemoError> {
        let addrs = hosts.each_ref().map(|nic| nic.info().ports[0].addr);
        let [a, b] = &mut hosts;
        let sides = [Side::open(a, addrs[0], 1024)?, Side::open(b, addrs[1], 1024)?];
        let largest = hosts[0].with(|device, _| device.config().mtu);
        let mut pairs = Vec::new();
        for mtu in PathMtu::ALL.into_iter().filter(|mtu| *mtu <= largest) {
            pairs.push(Pair::new(&mut hosts, &sides, mtu, options.seed)?);
        }
        let waker = Arc::new(Unpark(thread::current())).into();
        Ok(Live { hosts, sides, pairs, options, stop, waker })
    }

    fn rounds(
        &mut self,
        summary: &mut Summary,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), DemoError> {
        let end = self.options.duration.map(|duration| Instant::now() + duration);
        for round in 1.. {
            self.round(summary, &mut |row| {
                if round == 1 {
                    progress(Progress::Operation(row));
                }
            })?;
            if round > 1 {
                progress(Progress::Round(round, summary.operations.iter().map(|row| row.messages).sum()));
            }
            if self.is_stopped() || end.is_none_or(|end| Instant::now() >= end) {
                break;
            }
        }
        Ok(())
    }

    /// Every operation once at every path MTU, and all of them together.
    fn round(&mut self, summary: &mut Summary, done: &mut dyn FnMut(&Row)) -> Result<(), DemoError> {
        let messages = self.options.messages;
        let all = 0..self.pairs.len();
        for operation in Operation::ALL {
            let row = row_of(summary, operation.name());
            for pair in all.clone() {
                self.phase(row, |live, row| live.exchange(pair..pair + 1, messages, &|_| operation, row))?;
            }
            done(row);
            if self.is_stopped() {
                return Ok(());
            }
        }
        let row = row_of(summary, window::NAME);
        for from in 0..2 {
            self.phase(row, |live, row| {
                let (hosts, sides, control) = (&mut live.hosts, &live.sides, (live.options.seed, live.stop));
                window::exchange(hosts, sides, from, messages, control, row)
            })?;
        }
        done(row);
        let kinds = Operation::ALL.len() as u64;
        let row = row_of(summary, TOGETHER);
        let pick = |nth: u64| Operation::ALL[(nth % kinds) as usize];
        self.phase(row, |live, row| live.exchange(all.clone(), messages.max(kinds), &pick, row))?;
        done(row);
        Ok(())
    }

    /// Does something, and adds to the row what devices and links have counted meanwhile.
    fn phase(
        &mut self,
        row: &mut Row,
        act: impl FnOnce(&mut Self, &mut Row) -> Result<(), DemoError>,
    ) -> Result<(), DemoError> {
        let (begin, before) = (Instant::now(), self.count());
        let result = act(self, row);
        let after = self.count();
        row.packets += after.packets - before.packets;
        row.retransmitted += after.retransmitted - before.retransmitted;
        row.lost += after.lost.saturating_sub(before.lost);
        row.damaged += after.damaged - before.damaged;
        row.disturbed += after.disturbed - before.disturbed;
        row.seconds += begin.elapsed().as_secs_f64();
        row.verified &= result.is_ok();
        result
    }

    /// `messages` in each direction of these connections, until all are verified.
    fn exchange(
        &mut self,
        pairs: std::ops::Range<usize>,
        messages: u64,
        pick: &dyn Fn(u64) -> Operation,
        row: &mut Row,
    ) -> Result<(), DemoError> {
        let (mut last_progress, mut idle) = (Instant::now(), 0);
        for pair in &mut self.pairs[pairs.clone()] {
            pair.left = [messages; 2];
        }
        loop {
            for pair in &mut self.pairs[pairs.clone()] {
                pair.post(&mut self.hosts, messages, pick)?;
            }
            let mut moved = self.poll()?;
            for stream in self.pairs[pairs.clone()].iter_mut().flat_map(|pair| &mut pair.streams) {
                while let Some(verified) = stream.verify()? {
                    row.messages += 1;
                    row.bytes += verified.bytes;
                    moved = true;
                }
            }
            if self.pairs[pairs.clone()].iter().all(Pair::is_done) {
                break;
            }
            if self.is_stopped() {
                return Ok(());
            }
            if moved {
                (last_progress, idle) = (Instant::now(), 0);
                continue;
            }
            idle += 1;
            if idle > SPINS {
                self.sleep()?;
            }
            if last_progress.elapsed() > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(DemoError::Wrong(format!("nothing was completed for {seconds} seconds")));
            }
        }
        let mut streams = self.pairs[pairs].iter().flat_map(|pair| &pair.streams);
        streams.try_for_each(Stream::check_sum)
    }

    /// Takes completions from both NICs to where they belong. True if there were any.
    fn poll(&mut self) -> Result<bool, DemoError> {
        let mut moved = false;
        for end in 0..2 {
            let mut wcs = [Wc::default(); 32];
            let found = self.hosts[end].poll(self.sides[end].cq, &mut wcs)?;
            for wc in &wcs[..found] {
                let pair = self.pairs.iter_mut().find(|pair| pair.qps[end] == wc.qpn);
                let Some(pair) = pair else { return Err(DemoError::completion("no connection", wc)) };
                for stream in &mut pair.streams {
                    stream.completed(end, wc)?;
                }
            }
            moved |= found > 0;
        }
        Ok(moved)
    }

    /// Sleeps until one of the NICs has completed something, for a while at most.
    fn sleep(&mut self) -> Result<(), DemoError> {
        for (nic, side) in self.hosts.iter().zip(&self.sides) {
            nic.set_waker(side.cq, Some(&self.waker));
            nic.req_notify_cq(side.cq, Arm::Next)?;
        }
        if !self.poll()? {
            thread::park_timeout(NAP);
        }
        Ok(())
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        for nic in &self.hosts {
            let (device, link): (Counters, LinkCounters) = (nic.counters(), nic.link_counters());
            count.packets += device.sent_pkts;
            count.retransmitted += device.retransmitted_pkts;
            count.lost += device.sent_pkts.saturating_sub(link.tx_packets);
            count.disturbed += link.rx_faults;
            // Not those for a queue pair that there is not: the last words of a connection that was taken down
            // look the same.
            count.damaged +=
                device.drop_icrc + device.drop_malformed + device.drop_version + device.drop_service;
        }
        count
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Pair {
    fn new(hosts: &mut [Nic; 2], sides: &[Side; 2], mtu: PathMtu, seed: u64) -> Result<Pair, DemoError> {
        let sizes = Sizes::thorough(mtu);
        let layout = Layout::new(SLOTS, sizes.longest());
        let mut dice = Dice::new(seed, mtu.bytes() as u64);
        let terms = Terms {
            mtu,
            memory: layout.total(),
            // A fenced message is two requests.
            depth: 2 * SLOTS as u32,
            psns: [0; 2].map(|_| Psn::new(dice.next() as u32)),
            // 2.1 ms.
            timeout: 9,
            retry_cnt: 7,
            min_rnr_timer: RnrTimer(1),
        };
        let ends = connect(hosts, sides, &terms)?;
        let stream = |from| Stream::new(from, &ends, mtu, layout, sizes.clone(), seed);
        let qps = ends.each_ref().map(|end| end.qp.value());
        Ok(Pair { qps, streams: [stream(0), stream(1)], left: [0; 2] })
    }

    /// Posts one message in each direction that has room for one.
    fn post(
        &mut self,
        hosts: &mut [Nic; 2],
        messages: u64,
        pick: &dyn Fn(u64) -> Operation,
    ) -> Result<(), DemoError> {
        for (stream, left) in self.streams.iter_mut().zip(&mut self.left) {
            if *left > 0 && stream.has_room() {
                let nth = messages - *left;
                stream.post(hosts, pick(nth), nth)?;
                *left -= 1;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.left == [0; 2] && self.streams.iter().all(Stream::is_done)
    }
}

fn row_of<'s>(summary: &'s mut Summary, name: &str) -> &'s mut Row {
    let rows = &mut summary.operations;
    let index = rows.iter().position(|row| row.operation == name).unwrap_or(rows.len());
    if index == rows.len() {
        rows.push(Row { verified: true, ..Row::new(name) });
    }
    &mut rows[index]
}
