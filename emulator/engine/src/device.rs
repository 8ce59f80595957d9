//! The device: a value that packets, verbs and time go into, and packets, completions and events come out of.

mod datagram;
mod gsi;
mod memory;
mod post;
mod queue_pair;
mod receive;
mod shared;

use std::collections::VecDeque;

use ferroce_wire::Qpn;

use crate::cm::Cm;
use crate::config::DeviceConfig;
use crate::counters::Counters;
use crate::cq::{Arm, CompletionQueue, Cq, CqInfo, Moderation};
use crate::error::VerbsError;
use crate::event::{Backlog, Event};
use crate::io::{Flow, Train, TxLimits};
use crate::memory::{Domain, Memory, Pd};
use crate::qp::{Ctx, Port, Qp, QpAttr, QpInfo, Step};
use crate::qps::QpTable;
use crate::rng::{Rng, Seed};
use crate::snapshot::{self, Snapshot};
use crate::srq::{SharedReceiveQueue, XrcDomain};
use crate::table::Table;
use crate::time::Time;
use crate::trace::TraceSink;
use crate::work::Wc;
use datagram::Groups;

pub use datagram::{AddressHandle, Ah};

/// A RoCEv2 NIC.
///
/// It never reads a clock, opens a socket, starts a thread or asks for randomness: the same calls give the same
/// packets, completions and events, bit for bit.
///
/// # Driving it
///
/// After any call that changes something, and after every packet or batch of packets handed in:
///
/// 1. call [`poll_transmit`](Device::poll_transmit) until it gives nothing more, and send what it gives;
/// 2. call [`poll_event`](Device::poll_event) until it gives nothing more, and [`Cm::poll_event`] where connections
///    are managed;
/// 3. ask for [`next_timeout`](Device::next_timeout), and call [`handle_timeout`](Device::handle_timeout) when
///    that moment has come. Calling it too early, or for nothing, does nothing.
///
/// ```
/// use ferroce_engine::*;
/// use std::net::Ipv4Addr;
///
/// let config = DeviceConfig::new("ferroce0", [Ipv4Addr::new(192, 0, 2, 1).into()]);
/// let mut device = Device::new(config, 7, NoTrace);
/// let pd = device.alloc_pd()?;
/// let buffer = Buffer::new(4096);
/// let mr = device.reg_mr(pd, MrInit::new(&buffer, Access::LOCAL_WRITE))?;
/// let cq = device.create_cq(16)?;
/// # assert!(mr.lkey > 0 && device.poll_cq(cq, &mut [])? == 0);
/// # Ok::<_, VerbsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Device<T = crate::NoTrace> {
    rng: Rng,
    pds: Table<Domain>,
    qps: QpTable,
    groups: Groups,
    /// DSCPs, as bits, whose packets must wait.
    paused: u64,
    cm: Cm,
    core: Core<T>,
}

/// What queue pairs work with; apart from them, so that both can be borrowed at once.
#[derive(Clone, Debug)]
struct Core<T> {
    config: DeviceConfig,
    ahs: Table<AddressHandle>,
    memory: Memory,
    cqs: Table<CompletionQueue>,
    srqs: Table<SharedReceiveQueue>,
    xrcds: Table<XrcDomain>,
    events: VecDeque<Event>,
    counters: Counters,
    trace: T,
    /// The latest moment of which it was told, for the trace of verbs that are not told any.
    latest: Time,
}

impl<T: TraceSink> Core<T> {
    #[inline]
    fn ctx(&mut self, now: Time) -> Ctx<'_, T> {
        if T::ENABLED {
            self.latest = now;
        }
        Ctx {
            now,
            gids: &self.config.gids,
            ahs: &self.ahs,
            memory: &mut self.memory,
            cqs: &mut self.cqs,
            srqs: &mut self.srqs,
            events: &mut self.events,
            counters: &mut self.counters,
            policy: &self.config.personality,
            trace: &mut self.trace,
            overflowed: false,
            end: None,
        }
    }
}

impl<T: TraceSink> Device<T> {
    /// A new device. `seed` decides all that is random about it.
    pub fn new(config: DeviceConfig, seed: impl Into<Seed>, trace: T) -> Device<T> {
        let (numbering, seed) = (config.personality.numbering, seed.into());
        Device {
            rng: Rng::new(seed),
            pds: Table::new(config.limits.max_pd as usize),
            qps: QpTable::new(config.lane, config.limits.max_qp, numbering),
            groups: Groups::default(),
            paused: 0,
            cm: Cm::new(&config, Rng::beside(seed)),
            core: Core {
                ahs: Table::new(config.limits.max_ah as usize),
                memory: Memory::new(&config.limits, numbering),
                cqs: Table::new(config.limits.max_cq as usize),
                srqs: Table::new((config.limits.max_srq as usize).min(1 << 16)),
                xrcds: Table::new(config.limits.max_pd as usize),
                events: VecDeque::new(),
                counters: Counters::default(),
                config,
                trace,
                latest: Time::ZERO,
            },
        }
    }

    /// What it was made with.
    pub fn config(&self) -> &DeviceConfig {
        &self.core.config
    }

    /// What it counted so far.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// The trace sink.
    pub fn trace(&self) -> &T {
        &self.core.trace
    }

    /// The trace sink, to take out what it holds.
    pub fn trace_mut(&mut self) -> &mut T {
        &mut self.core.trace
    }

    /// Tells the device the time, which only its trace needs: verbs about memory have none, and what they do is traced
    /// at the latest moment that was told.
    #[inline]
    pub fn note_time(&mut self, now: Time) {
        if T::ENABLED {
            self.core.latest = now;
        }
    }

    /// The device as it is now, for those who look at it.
    pub fn snapshot(&self) -> Snapshot {
        let core = &self.core;
        snapshot::take(&core.config.name, &self.qps, &core.cqs, &core.srqs, &core.memory, &core.counters)
    }

    // --- control verbs -----------------------------------------------------------------------------------------

    /// Makes a protection domain (`ibv_alloc_pd`).
    pub fn alloc_pd(&mut self) -> Result<Pd, VerbsError> {
        self.pds.insert(Domain { users: 0 }).ok_or(VerbsError::Exhausted("protection domains"))
    }

    /// Removes a protection domain that nothing uses any more (`ibv_dealloc_pd`).
    pub fn dealloc_pd(&mut self, pd: Pd) -> Result<(), VerbsError> {
        if self.domain(pd)?.users > 0 {
            return Err(VerbsError::Busy("queue pairs or memory regions are in the protection domain"));
        }
        self.pds.remove(pd);
        Ok(())
    }

    /// Makes a completion queue with room for `cqe` completions (`ibv_create_cq`).
    pub fn create_cq(&mut self, cqe: u32) -> Result<Cq, VerbsError> {
        self.check_cqe(cqe)?;
        self.core.cqs.insert(CompletionQueue::new(cqe)).ok_or(VerbsError::Exhausted("completion queues"))
    }

    /// Changes the room of a completion queue (`ibv_resize_cq`). What is in it must fit.
    pub fn resize_cq(&mut self, cq: Cq, cqe: u32) -> Result<(), VerbsError> {
        self.check_cqe(cqe)?;
        if self.cq(cq)?.resize(cqe) {
            Ok(())
        } else {
            Err(VerbsError::Invalid("more completions are queued"))
        }
    }

    /// Asks for moderation of notifications (`ibv_modify_cq`).
    pub fn modify_cq(&mut self, cq: Cq, moderation: Moderation) -> Result<(), VerbsError> {
        self.cq(cq)?.moderation = moderation;
        Ok(())
    }

    /// Everything about a completion queue.
    pub fn query_cq(&self, cq: Cq) -> Result<CqInfo, VerbsError> {
        let queue = self.core.cqs.get(cq).ok_or(VerbsError::Stale("completion queue"))?;
        Ok(queue.info())
    }

    /// Removes a completion queue to which no queue pair completes any more (`ibv_destroy_cq`).
    pub fn destroy_cq(&mut self, cq: Cq) -> Result<(), VerbsError> {
        if self.cq(cq)?.users > 0 {
            return Err(VerbsError::Busy("queue pairs complete to this queue"));
        }
        self.core.cqs.remove(cq);
        Ok(())
    }

    /// Asks for one [`Event::Completion`] (`ibv_req_notify_cq`), for a completion that is added from now on.
    /// Poll once more after this: completions that are already there give no event.
    pub fn req_notify_cq(&mut self, cq: Cq, arm: Arm) -> Result<(), VerbsError> {
        self.cq(cq)?.request_notify(arm);
        Ok(())
    }

    /// Moves completions to `out`, as many as there are and fit, and says how many (`ibv_poll_cq`).
    pub fn poll_cq(&mut self, cq: Cq, out: &mut [Wc]) -> Result<usize, VerbsError> {
        Ok(self.cq(cq)?.poll(out))
    }

    /// Changes state and attributes of a queue pair (`ibv_modify_qp`): all that is asked for, or nothing.
    pub fn modify_qp(&mut self, now: Time, qpn: Qpn, change: &QpAttr) -> Result<(), VerbsError> {
        let gids = self.core.config.gids.clone();
        let port = Port { gids: &gids, ..self.port() };
        let result = self.with_qp(now, qpn, |qp, ctx| qp.modify(change, &port, ctx));
        result.unwrap_or(Err(VerbsError::Stale("queue pair")))
    }

    /// Everything about a queue pair (`ibv_query_qp`).
    pub fn query_qp(&self, qpn: Qpn) -> Result<QpInfo, VerbsError> {
        self.qps.get(qpn).map(Qp::info).ok_or(VerbsError::Stale("queue pair"))
    }

    /// Bits per second at which congestion control lets a queue pair send now; `None` when it does not hold it
    /// back.
    pub fn rate(&self, qpn: Qpn) -> Result<Option<u64>, VerbsError> {
        self.qps.get(qpn).map(Qp::rate).ok_or(VerbsError::Stale("queue pair"))
    }

    // --- the world acts on the device ----------------------------------------------------------------------------

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.cm.handle_timeout(now);
        while let Some(qpn) = self.qps.next_expired(now) {
            self.with_qp(now, qpn, |qp, ctx| {
                if qp.deadline().is_some_and(|deadline| deadline <= now) {
                    qp.handle_timeout(ctx);
                }
            });
        }
    }

    // --- the device acts on the world ------------------------------------------------------------------------------

    /// Lets packets with these DSCPs wait (bit n for DSCP n), until it is called again with others: what a port
    /// does that was asked to pause a priority (IEEE 802.1Qbb).
    pub fn set_paused(&mut self, dscps: u64) {
        self.paused = dscps;
    }

    /// Fills `out` with the next packets to send; false when there are none.
    ///
    /// Messages of the connection manager go first; queue pairs take turns, one train each.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Time, limits: &TxLimits, out: &mut Train) -> bool {
        if self.emit_at_gsi(limits, out) {
            return true;
        }
        out.clear();
        if limits.max_packets > 1 {
            self.let_request_go_ahead();
        }
        // Those that must wait stay in line; each is looked at once.
        let mut waiting = 0;
        while waiting < self.qps.in_line()
            && let Some(qpn) = self.qps.next_ready()
        {
            let Some(qp) = self.qps.get_mut(qpn) else { continue };
            if self.paused != 0 && qp.is_paused(self.paused) {
                self.qps.schedule(qpn, true);
                waiting += 1;
                continue;
            }
            if !out.is_empty() && !qp.goes_along(out, limits) {
                self.qps.keep_first(qpn);
                break;
            }
            let has_more = fill_train(qp, limits, out, &mut self.core.ctx(now));
            self.qps.schedule(qpn, has_more);
            if !out.is_empty() && (has_more || out.is_full(limits)) {
                break;
            }
        }
        !out.is_empty()
    }

    /// What [`poll_transmit`](Device::poll_transmit) would find.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        match (self.cm.wants_to_send(), self.qps.in_line()) {
            (false, 0) => Backlog::Nothing,
            (false, 1) if self.qps.in_turn(0).is_some_and(Qp::says_only_an_ack) => Backlog::Ack,
            _ => Backlog::More,
        }
    }

    /// Lets a short request pass the ACK of another queue pair to the same peer. Only the last packet of a train may be
    /// shorter than the others, and an ACK is shorter than a request: in this order both leave together.
    fn let_request_go_ahead(&mut self) {
        let (Some(first), Some(second)) = (self.qps.in_turn(0), self.qps.in_turn(1)) else { return };
        let peer = |qp: &Qp| qp.next_stop().map(|(flow, _)| flow.dst);
        if first.says_only_an_ack() && second.says_one_request() && peer(first) == peer(second) {
            self.qps.swap_first();
        }
    }

    /// The next event for the owner of the device.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// When to call [`handle_timeout`](Device::handle_timeout).
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let deadlines = [self.qps.next_deadline(), self.cm.next_timeout()];
        deadlines.into_iter().flatten().min()
    }

    // --- inside ------------------------------------------------------------------------------------------------------

    /// Lets `act` work on a queue pair, and then sees to what follows.
    #[inline]
    fn with_qp<R>(
        &mut self,
        now: Time,
        qpn: Qpn,
        act: impl FnOnce(&mut Qp, &mut Ctx<'_, T>) -> R,
    ) -> Option<R> {
        let qp = self.qps.get_mut(qpn)?;
        let result = act(qp, &mut self.core.ctx(now));
        let has_work = qp.wants_to_send();
        self.qps.schedule(qpn, has_work);
        Some(result)
    }

    fn port(&self) -> Port<'_> {
        let config = &self.core.config;
        Port { gids: &config.gids, mtu: config.mtu, max_rd_atomic: config.limits.max_qp_rd_atom }
    }

    fn domain(&mut self, pd: Pd) -> Result<&mut Domain, VerbsError> {
        self.pds.get_mut(pd).ok_or(VerbsError::Stale("protection domain"))
    }

    fn cq(&mut self, cq: Cq) -> Result<&mut CompletionQueue, VerbsError> {
        self.core.cqs.get_mut(cq).ok_or(VerbsError::Stale("completion queue"))
    }

    fn check_cqe(&self, cqe: u32) -> Result<(), VerbsError> {
        if cqe == 0 || cqe > self.core.config.limits.max_cqe {
            return Err(VerbsError::Invalid("cqe"));
        }
        Ok(())
    }
}

/// As many packets of a queue pair as the train takes. Says whether there are more.
fn fill_train<T: TraceSink>(qp: &mut Qp, limits: &TxLimits, out: &mut Train, ctx: &mut Ctx<'_, T>) -> bool {
    if out.is_empty() {
        // Nowhere to go: reset or flushed while it was in line.
        let Some((flow, dest)) = qp.next_stop() else { return false };
        out.restart(flow, dest, limits);
        if let Some(policy) = qp.cnp_due() {
            // It travels in a class of its own, so in a train of its own.
            out.restart(Flow { traffic_class: policy.traffic_class, ..flow }, dest, limits);
            qp.emit_cnp(limits, out, ctx);
            return true;
        }
    }
    loop {
        match qp.emit(limits, out, ctx) {
            // A packet that cannot come along need not be thought out.
            Step::Sent if out.is_full(limits) => return qp.wants_to_send(),
            Step::Sent => {}
            step => return step == Step::Full,
        }
    }
}
