//! Plays a plan: posts what is due, lets time go on, collects completions, and looks at the memory the moment
//! a completion says that it is done.

use ferroce_engine::*;
use ferroce_fabric::{Carried, Chance, Link, Log, Watch};

use crate::misuse;
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::program::*;
use crate::requests;
use crate::wiring;
use crate::world::World;

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) ends: Vec<EndOutcome>,
    /// Contents of each host's words.
    pub(crate) words: Vec<Vec<u64>>,
    pub(crate) carried: Carried,
    pub(crate) counters: Vec<Counters>,
    pub(crate) digest: u64,
    pub(crate) log: Log,
}

#[derive(Default)]
pub(crate) struct EndOutcome {
    pub(crate) sends: Vec<Wc>,
    pub(crate) recvs: Vec<Wc>,
    pub(crate) posted_sends: usize,
    pub(crate) posted_recvs: usize,
    /// Completions, and the state, before everything was torn down.
    pub(crate) calm_recvs: usize,
    pub(crate) calm_sends: usize,
    pub(crate) state: Option<QpState>,
    /// Receives that lie in a shared queue at the end.
    pub(crate) left: usize,
    pub(crate) local: Vec<u8>,
    pub(crate) inbox: Vec<u8>,
    pub(crate) window: Vec<u8>,
}

/// How far an end is.
#[derive(Default)]
struct Progress {
    due_sends: usize,
    due_recvs: usize,
    /// Requests that are known to be done: those completed, and those before them.
    done_sends: usize,
    done_recvs: usize,
    /// Messages whose effect at the peer was looked at.
    seen: usize,
    /// Nothing more can be posted.
    closed: bool,
    failed: bool,
}

/// What a look into a completion queue gave.
#[derive(Debug)]
struct Found {
    any: bool,
    /// Something that an armed queue tells of when it waits for solicited completions only.
    solicited: bool,
}

pub(crate) type Checked<A = ()> = Result<A, String>;

/// Moments after which a run that still goes on will go on for ever.
const MOST_STEPS: u32 = 300_000;

struct Run<'p, T> {
    plan: &'p Plan,
    world: World<T>,
    compares: Vec<Vec<u64>>,
    finished: Vec<Oracle<'p>>,
    progress: Vec<Progress>,
    outcome: Vec<EndOutcome>,
    healed: bool,
    /// When something began to fail, or worked again, last.
    switched: Time,
    steps: u32,
}

/// Plays a plan to its end.
pub(crate) fn run<T: Watch>(plan: &Plan) -> Checked<Outcome> {
    let ends = || plan.ends.iter().map(|end| end.end);
    let mut run: Run<'_, T> = Run {
        plan,
        world: World::new(plan),
        compares: ends().map(|end| crate::oracle::compares(plan, end)).collect(),
        finished: ends().map(|end| Oracle::finished(plan, end)).collect(),
        progress: ends().map(|_| Progress::default()).collect(),
        outcome: ends().map(|_| EndOutcome::default()).collect(),
        healed: false,
        switched: Time::ZERO,
        steps: 0,
    };
    run.play()?;
    run.tear_down()?;
    Ok(run.into_outcome())
}

impl<T: Watch> Run<'_, T> {
    fn play(&mut self) -> Checked {
        let program = &self.plan.program;
        let mut at = Time::ZERO;
        for (index, step) in program.steps.iter().enumerate() {
            if !step.gap.is_zero() {
                at = at + step.gap;
                self.run_until(at)?;
            }
            let end = step.end.conn * 2 + step.end.side;
            match step.act {
                Act::Send(_) => self.progress[end].due_sends += 1,
                Act::Recv(count) => self.progress[end].due_recvs += usize::from(count),
                Act::Drain => self.drain(end)?,
                Act::Misuse => misuse::check(&mut self.world, end)?,
                Act::Resize(more) => {
                    let host = self.plan.ends[end].host;
                    self.world
                        .resize_queues(host, more.into())
                        .map_err(|error| format!("resize: {error}"))?;
                }
                Act::Reregister if self.plan.program.trouble.is_none() => {
                    self.world.reregister(end).map_err(|error| format!("register anew: {error}"))?;
                }
                Act::Reregister => {}
            }
            if let Some(trouble) = program.trouble.filter(|t| !t.kind.is_about_message() && t.at == index) {
                self.post_due()?;
                self.break_connection(trouble)?;
            }
        }
        self.run_until(at + std::time::Duration::from_micros(100))?;
        self.progress.iter_mut().for_each(|progress| progress.due_recvs = usize::MAX);
        self.finish()
    }

    /// Lets everything up to `end` happen.
    fn run_until(&mut self, end: Time) -> Checked {
        self.post_due()?;
        while self.world.fabric.next_moment().is_some_and(|next| next <= end) {
            self.step()?;
        }
        self.heal_before(end);
        self.world.fabric.run_until(end);
        Ok(())
    }

    /// Lets everything happen.
    fn finish(&mut self) -> Checked {
        loop {
            self.post_due()?;
            if self.world.fabric.next_moment().is_some() {
                self.step()?;
            } else if !self.collect(true)? {
                return Ok(());
            }
        }
    }

    fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(format!("no rest after {MOST_STEPS} moments, at {}", self.world.fabric.now()));
        }
        if let Some(next) = self.world.fabric.next_moment() {
            self.heal_before(next);
        }
        self.world.fabric.step();
        self.collect(false)?;
        self.post_due()
    }

    fn heal_before(&mut self, next: Time) {
        if let Some((outage, [begin, end])) = wiring::outage(&self.plan.program, self.world.heals) {
            for (at, up) in [(begin, false), (end, true)] {
                if !self.healed && at > self.switched && at <= next {
                    self.world.cables.set(&mut self.world.fabric, &outage, up);
                    self.switched = at;
                }
            }
        }
        if !self.healed && next >= self.world.heals {
            self.healed = true;
            self.world.fabric.clear_rules();
            let cut = self.plan.trouble_kind() == Some(TroubleKind::Cut);
            if !cut || self.world.fabric.now() == Time::ZERO {
                self.world.fabric.heal();
            }
        }
    }

    // --- posting -------------------------------------------------------------------------------------------------

    /// Posts what is due and fits.
    fn post_due(&mut self) -> Checked {
        for end in 0..self.progress.len() {
            self.post_recvs(end)?;
            self.post_sends(end)?;
        }
        Ok(())
    }

    fn post_sends(&mut self, end: usize) -> Checked {
        let depth = self.plan.end_plan(self.plan.ends[end].end).send_depth as usize;
        loop {
            let (progress, posted) = (&self.progress[end], self.outcome[end].posted_sends);
            let due = progress.due_sends.min(self.plan.ends[end].messages.len());
            if posted >= due || progress.closed {
                return Ok(());
            }
            let room = depth.saturating_sub(posted - progress.done_sends).max(1);
            let batch = posted..due.min(posted + room);
            let compares = &self.compares[end];
            let result = requests::post_sends(self.plan, &mut self.world, end, batch.clone(), compares);
            let count = posted_of(batch.len(), &result);
            self.outcome[end].posted_sends += count;
            let outstanding = posted + count - self.progress[end].done_sends;
            self.after_post(end, result, outstanding >= depth)?;
            if count < batch.len() {
                return Ok(());
            }
        }
    }

    fn post_recvs(&mut self, end: usize) -> Checked {
        let depth = self.plan.end_plan(self.plan.ends[end].end).recv_depth as usize;
        loop {
            let (progress, posted) = (&self.progress[end], self.outcome[end].posted_recvs);
            let due = progress.due_recvs.min(requests::recvs_to_post(self.plan, end));
            if posted >= due || progress.closed {
                return Ok(());
            }
            let room = depth.saturating_sub(posted - progress.done_recvs).max(1);
            let batch = posted..due.min(posted + room);
            let result = requests::post_recvs(self.plan, &mut self.world, end, batch.clone());
            let count = posted_of(batch.len(), &result);
            self.outcome[end].posted_recvs += count;
            let outstanding = posted + count - self.progress[end].done_recvs;
            self.after_post(end, result, outstanding >= depth)?;
            if count < batch.len() {
                return Ok(());
            }
        }
    }

    /// A queue may be full only when it is, as far as its owner can know.
    fn after_post(&mut self, end: usize, result: Result<(), PostError>, may_be_full: bool) -> Checked {
        match result {
            Ok(()) => {}
            Err(PostError { cause: VerbsError::QueueFull { .. }, .. }) if may_be_full => {}
            Err(error) => return Err(format!("end {end}: posting refused: {error}")),
        }
        self.collect(false).map(|_| ())
    }

    fn drain(&mut self, end: usize) -> Checked {
        self.post_due()?;
        let at = self.world.ends[end].at;
        let state = self.state(end);
        if state == Some(QpState::Rts) && !self.progress[end].closed {
            let change = QpAttr { en_sqd_async_notify: Some(true), ..QpAttr::to(QpState::Sqd) };
            self.world.fabric.modify_qp(at, &change).map_err(|error| format!("to SQD: {error}"))?;
        }
        Ok(())
    }

    fn break_connection(&mut self, trouble: Trouble) -> Checked {
        let end = trouble.end.conn * 2 + trouble.end.side;
        let at = self.world.ends[end].at;
        let fabric = &mut self.world.fabric;
        self.progress[end].closed = matches!(trouble.kind, TroubleKind::ToReset | TroubleKind::Destroy);
        let (local, remote) = (self.world.ends[end].local.mr, self.world.ends[end ^ 1].window.mr);
        let peer = self.world.ends[end ^ 1].at.host;
        let result = match trouble.kind {
            TroubleKind::ToError => fabric.modify_qp(at, &QpAttr::to(QpState::Err)),
            TroubleKind::ToReset => fabric.modify_qp(at, &QpAttr::to(QpState::Reset)),
            TroubleKind::Destroy => fabric.with(at.host, |device, now| requests::destroy(device, now, at.qp)),
            TroubleKind::DeregLocal => fabric.with(at.host, |device, _| device.dereg_mr(local.lkey)),
            TroubleKind::DeregRemote => fabric.with(peer, |device, _| device.dereg_mr(remote.lkey)),
            _ => {
                fabric.clear_rules();
                fabric.set_links(Link { loss: Chance::ALWAYS, ..self.plan.program.link });
                self.world.cables.cut(fabric);
                self.healed = true;
                Ok(())
            }
        };
        result.map_err(|error| format!("{:?}: {error}", trouble.kind))?;
        self.collect(false).map(|_| ())
    }

    fn state(&self, end: usize) -> Option<QpState> {
        let at = self.world.ends[end].at;
        self.world.fabric.device(at.host).query_qp(at.qp).ok().map(|info| info.state)
    }

    // --- collecting ----------------------------------------------------------------------------------------------

    /// Takes completions and events as each host's program does; with `rest`, everything that is there.
    /// Says whether there was anything.
    fn collect(&mut self, rest: bool) -> Checked<bool> {
        let mut any = false;
        for host in 0..self.world.hosts.len() {
            let id = self.world.hosts[host].id;
            let mut notified = Vec::new();
            let mut events = std::collections::VecDeque::from(self.world.fabric.take_events(id));
            while let Some(event) = events.pop_front() {
                any = true;
                match event {
                    Event::Completion(cq) => notified.push(cq),
                    Event::Async(event) => self.asynchronous(host, event)?,
                    Event::Join(_) | Event::Leave(_) => {
                        return Err(format!("{event:?}, though nobody joins groups"));
                    }
                }
                // What was done about the event may have led to more.
                events.extend(self.world.fabric.take_events(id));
            }
            for cq in self.world.hosts[host].cqs.clone() {
                let count = notified.iter().filter(|other| **other == cq).count();
                any |= self.look(host, cq, count, rest)?;
            }
        }
        Ok(any)
    }

    /// Polls a queue, which gave so many events since the last time, if the host's program would do so.
    fn look(&mut self, host: usize, cq: Cq, events: usize, rest: bool) -> Checked<bool> {
        let polling = self.plan.program.hosts[host].polling;
        let polls = match polling {
            Polling::Busy | Polling::Solicited => true,
            Polling::Events => events > 0 || rest,
            Polling::Late => rest,
        };
        if !polls {
            return Ok(false);
        }
        let found = self.poll(host, cq)?;
        let due = match polling {
            Polling::Busy | Polling::Late => false,
            Polling::Events => found.any,
            Polling::Solicited => found.solicited,
        };
        if events != usize::from(due) {
            return Err(format!("host {host}, {polling:?}: {events} events for {found:?}"));
        }
        if due && let Some(arm) = polling.arm() {
            // Nothing can slip in between here: all completions were polled before.
            let id = self.world.hosts[host].id;
            self.world
                .fabric
                .with(id, |device, _| device.req_notify_cq(cq, arm))
                .map_err(|e| e.to_string())?;
        }
        Ok(found.any)
    }

    fn asynchronous(&mut self, host: usize, event: AsyncEvent) -> Checked {
        if let AsyncEvent::Qp(qp, QpEvent::SqDrained) = event {
            let at = ferroce_fabric::End { host: self.world.hosts[host].id, qp };
            if let Some(end) = self.world.ends.iter().position(|live| live.at == at)
                && self.state(end) == Some(QpState::Sqd)
            {
                let change = QpAttr::to(QpState::Rts);
                self.world.fabric.modify_qp(at, &change).map_err(|error| format!("drained, but {error}"))?;
            }
        }
        self.world.hosts[host].events.push(event);
        Ok(())
    }

    fn poll(&mut self, host: usize, cq: Cq) -> Checked<Found> {
        let id = self.world.hosts[host].id;
        let all = self.world.fabric.poll(id, cq);
        let mut found = Found { any: !all.is_empty(), solicited: false };
        for wc in &all {
            let mine = |live: &crate::world::Live| live.host == host && live.at.qp.value() == wc.qpn;
            let end = self.world.ends.iter().position(mine);
            let end = end.ok_or_else(|| format!("host {host}: a completion of no queue pair: {wc:?}"))?;
            if wc.wr_id < 1000 {
                self.sent(end, wc)?
            } else {
                self.received(end, wc)?
            }
            found.solicited |= wc.status != WcStatus::Success || self.was_solicited(end, wc);
        }
        Ok(found)
    }

    fn was_solicited(&self, end: usize, wc: &Wc) -> bool {
        let recv = wc.wr_id.checked_sub(1000).map(|index| &self.plan.ends[end].recvs[index as usize]);
        let message = recv.and_then(|recv| recv.message);
        message.is_some_and(|message| self.plan.ends[end ^ 1].messages[message].message.solicited)
    }

    fn sent(&mut self, end: usize, wc: &Wc) -> Checked {
        let index = wc.wr_id as usize - 1;
        let (progress, outcome) = (&mut self.progress[end], &mut self.outcome[end]);
        outcome.sends.push(*wc);
        if index < progress.done_sends || index >= outcome.posted_sends.max(index + 1) {
            return Err(format!("end {end}: completion out of order or twice: {wc:?}"));
        }
        let news = progress.done_sends..index + 1;
        progress.done_sends = index + 1;
        progress.failed |= wc.status != WcStatus::Success;
        if progress.failed {
            return Ok(());
        }
        for index in news {
            self.check_result(end, index)?;
        }
        self.check_effects(end, index)
    }

    fn received(&mut self, end: usize, wc: &Wc) -> Checked {
        let index = wc.wr_id as usize - 1000;
        let progress = &mut self.progress[end];
        self.outcome[end].recvs.push(*wc);
        if index != progress.done_recvs {
            return Err(format!("end {end}: receive {} expected, got {wc:?}", 1000 + progress.done_recvs));
        }
        progress.done_recvs += 1;
        let message = self.plan.ends[end].recvs[index].message;
        match (wc.status, message) {
            (WcStatus::Success, Some(message))
                if wc.invalidated != self.world.ends[end ^ 1].keys[message].shut =>
            {
                Err(format!("end {end}: not the key that message {message} shut: {wc:?}"))
            }
            (WcStatus::Success, Some(message)) => self.check_effects(end ^ 1, message),
            (WcStatus::Success, None) => Err(format!("end {end}: a message out of nowhere: {wc:?}")),
            _ => Ok(()),
        }
    }

    /// The local memory of a completed READ or atomic.
    fn check_result(&self, end: usize, index: usize) -> Checked {
        let planned = &self.plan.ends[end].messages[index];
        if !matches!(planned.message.kind, Kind::Read | Kind::CompareSwap | Kind::FetchAdd) {
            return Ok(());
        }
        let expected = crate::oracle::gather(&self.finished[end].local, &planned.sges);
        if self.world.ends[end].local.gather(&planned.sges) != expected {
            return Err(format!("end {end}: message {index} completed with wrong data: {planned:?}"));
        }
        Ok(())
    }

    /// The peer's memory after all messages up to `last`, as far as no later one changes it again.
    fn check_effects(&mut self, end: usize, last: usize) -> Checked {
        let from = self.progress[end].seen;
        let messages = &self.plan.ends[end].messages;
        for (index, planned) in messages.iter().enumerate().take(last + 1).skip(from) {
            let peer = &self.world.ends[end ^ 1];
            let arrived = match planned.message.kind {
                kind if kind.is_send() => {
                    let recv = planned.recv.expect("SENDs use receives");
                    let ranges = &self.plan.ends[end ^ 1].recvs[recv].sges;
                    let whole = crate::oracle::gather(&self.finished[end].inbox, ranges);
                    peer.inbox.gather(ranges) == whole
                }
                kind if kind.writes() => {
                    let mut later = messages[index + 1..].iter().filter(|other| other.message.kind.writes());
                    later.any(|other| other.remote.overlaps(planned.remote))
                        || peer.window.gather(&[planned.remote])
                            == self.finished[end].window[planned.remote.bytes()]
                }
                _ => true,
            };
            if !arrived {
                return Err(format!("end {end}: message {index} is not where it should be: {planned:?}"));
            }
        }
        self.progress[end].seen = from.max(last + 1);
        Ok(())
    }

    // --- the end -------------------------------------------------------------------------------------------------

    /// Everything has come to rest. Fails all queue pairs, which flushes the receives that nobody needed.
    fn tear_down(&mut self) -> Checked {
        for end in 0..self.outcome.len() {
            let state = self.state(end);
            let outcome = &mut self.outcome[end];
            (outcome.calm_sends, outcome.calm_recvs) = (outcome.sends.len(), outcome.recvs.len());
            outcome.state = state;
        }
        for end in 0..self.outcome.len() {
            let at = self.world.ends[end].at;
            if self.state(end).is_some_and(|state| state != QpState::Reset) {
                let change = QpAttr::to(QpState::Err);
                self.world.fabric.modify_qp(at, &change).map_err(|error| error.to_string())?;
            }
        }
        self.collect(false)?;
        self.collect(true)?;
        (0..self.outcome.len()).try_for_each(|end| self.check_shared(end))
    }

    /// A queue pair that shares receives leaves those behind that it has not taken, and has said so once.
    fn check_shared(&mut self, end: usize) -> Checked {
        let live = &self.world.ends[end];
        let Some(srq) = live.srq else { return Ok(()) };
        let queue =
            self.world.fabric.device(live.at.host).query_srq(srq).map_err(|error| error.to_string())?;
        self.outcome[end].left = queue.queued as usize;
        let last = AsyncEvent::Qp(live.at.qp, QpEvent::LastWqeReached);
        let told = self.world.hosts[live.host].events.iter().filter(|event| **event == last).count();
        match self.state(end) {
            Some(QpState::Err) if told != 1 => {
                Err(format!("end {end}: the last receive was told {told} times"))
            }
            _ => Ok(()),
        }
    }

    fn into_outcome(mut self) -> Outcome {
        for (outcome, live) in self.outcome.iter_mut().zip(&self.world.ends) {
            outcome.local = live.local.contents();
            outcome.inbox = live.inbox.contents();
            outcome.window = live.window.contents();
        }
        let words = self.world.hosts.iter().map(|host| {
            let bytes = host.words.contents();
            bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes"))).collect()
        });
        let fabric = &self.world.fabric;
        Outcome {
            words: words.collect(),
            carried: fabric.carried(),
            counters: fabric.hosts().map(|host| *fabric.device(host).counters()).collect(),
            digest: fabric.digest(),
            log: fabric.log().clone(),
            ends: self.outcome,
        }
    }
}

/// How many of a batch were posted.
fn posted_of(batch: usize, result: &Result<(), PostError>) -> usize {
    result.err().map_or(batch, |error| error.index)
}
