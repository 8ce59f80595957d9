//! What is behind the NIC's lock, and the work that is done there in small turns.

use std::ops::RangeInclusive;
use std::task::Waker;
use std::time::Duration;

use ferroce_engine::{Cq, Device, Event, Time, TraceSink};

use super::notify::Notify;
use super::outbox::{Outbox, Sent};
use crate::link::Link;

/// After a poll, the application counts as polling for this long.
const POLL_GAP: Duration = Duration::from_micros(100);

/// How long the NIC's thread stays away when it sees that the application polls.
const STAY_AWAY: Duration = Duration::from_millis(2);

/// How long the NIC's thread goes on looking after it has found something: about what falling asleep and being woken
/// would cost.
const LINGER: Duration = Duration::from_micros(50);

/// When the NIC's thread gave way and others kept the processor for so long, they spin: it may be the application, which
/// waits for what only the thread can bring.
const SPINNING: Duration = Duration::from_millis(1);

/// For how long the thread then does not linger: who sleeps until something arrives is let in sooner than who waits for
/// its turn.
const CROWDED: Duration = Duration::from_millis(20);

/// When packets had to wait for the NIC's thread to come back, it stays for so long even if the application polls: it
/// may not poll all the time. (It waits for a peer's WRITE to show in its memory, for instance.) Or it had no processor
/// for a moment, and a thread that stays would make that worse: so it is not long at first, and twice as long each time
/// that it was needed again.
const STAY_HERE: RangeInclusive<Duration> = Duration::from_micros(500)..=Duration::from_millis(20);

/// How often to receive before a timer is believed to have run out.
const TAKES_BEFORE_TIMEOUT: usize = 16;

pub(super) struct Core<T> {
    pub(super) device: Device<T>,
    pub(super) link: Box<dyn Link>,
    pub(super) notify: Notify,
    outbox: Outbox,
    /// Something was received, and what it made the device want to send was not sent yet.
    in_debt: bool,
    last_poll: Option<Time>,
    /// When the NIC's thread last found something.
    last_work: Option<Time>,
    /// Until when the NIC's thread does not rely on the application, and for how long the next time.
    stay: Time,
    stay_for: Duration,
    /// Since when the thread has let others have the processor, if it has.
    gave_way: Option<Time>,
    /// Until when it does not.
    crowded: Time,
    thread: ThreadState,
    kick: bool,
    pub(super) stopping: bool,
}

/// What the NIC's thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThreadState {
    /// It will look for work, and for deadlines, before it sleeps.
    Awake,
    /// It sleeps until this moment (`None`: for ever), or until something arrives.
    Listening(Option<Time>),
    /// It leaves the work to the application's polling, for a short while.
    Away,
}

/// What the NIC's thread is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Come back at once.
    Work,
    /// Come back when others who want the processor have had it.
    Linger,
    /// Sleep until something arrives, or until the moment. With `room`, also until there is room to send.
    Listen { until: Option<Time>, room: bool },
    /// Sleep until the moment, whatever arrives.
    StayAway { until: Time },
    /// End.
    Stop,
}

impl<T: TraceSink> Core<T> {
    pub(super) fn new(device: Device<T>, link: Box<dyn Link>) -> Core<T> {
        Core {
            device,
            link,
            notify: Notify::default(),
            outbox: Outbox::new(),
            in_debt: false,
            last_poll: None,
            last_work: None,
            stay: Time::ZERO,
            stay_for: *STAY_HERE.start(),
            gave_way: None,
            crowded: Time::ZERO,
            thread: ThreadState::Awake,
            kick: false,
            stopping: false,
        }
    }

    /// Receives, runs timers that are due, and sends, all in bounded amounts. True if anything arrived.
    pub(super) fn turn(&mut self, now: Time) -> bool {
        let received = self.receive(now);
        self.transmit(now);
        received
    }

    /// Receives a bounded number of packets and runs timers that are due. [`transmit`](Self::transmit) must
    /// follow, now or soon. True if anything arrived.
    pub(super) fn receive(&mut self, now: Time) -> bool {
        let mut received = self.take_packets(now);
        if self.device.next_timeout().is_some_and(|due| due <= now) {
            // If this process had to wait for a processor, the answer may have been here for long.
            let mut left = TAKES_BEFORE_TIMEOUT;
            while left > 0 && self.take_packets(now) {
                received = true;
                left -= 1;
            }
            self.device.handle_timeout(now);
        }
        self.in_debt |= received;
        received
    }

    fn take_packets(&mut self, now: Time) -> bool {
        let device = &mut self.device;
        self.link.receive(now, &mut |meta, packet| device.handle_packet(now, meta, packet)) > 0
    }

    /// Sends what the device wants to send, up to a bound.
    pub(super) fn transmit(&mut self, now: Time) {
        self.in_debt = false;
        self.outbox.send(&mut self.device, self.link.as_mut(), now);
    }

    /// Sends what earlier calls have left to be sent.
    pub(super) fn pay_debt(&mut self, now: Time) {
        if self.in_debt {
            self.transmit(now);
        }
    }

    /// Something that was received before was not answered yet.
    pub(super) fn owes(&self) -> bool {
        self.in_debt
    }

    /// Whether sending can be left for later: while the application polls, it will be back in a moment, and the
    /// thread is about to look, unless it sleeps until something arrives.
    pub(super) fn may_owe(&self) -> bool {
        !matches!(self.thread, ThreadState::Listening(_))
    }

    /// The application polls. Not if it waits for a notification at the same time: the poll before going to
    /// sleep is not the beginning of many.
    pub(super) fn note_poll(&mut self, now: Time) {
        if !self.notify.is_any_armed() {
            self.last_poll = Some(now);
        }
    }

    /// The application will go to sleep, and the thread must serve it.
    pub(super) fn note_armed(&mut self, cq: Cq) {
        self.notify.note_armed(cq);
        self.last_poll = None;
        self.kick |= self.thread == ThreadState::Away;
    }

    /// Sorts the device's events, and gives the wakers to be woken once the lock is released.
    pub(super) fn collect_events(&mut self) -> Vec<Waker> {
        while let Some(event) = self.device.poll_event() {
            match event {
                Event::Completion(cq) => self.notify.completion(cq),
                Event::Async(event) => self.notify.asynchronous(event),
                Event::Join(group) => self.link.join(group),
                Event::Leave(group) => self.link.leave(group),
            }
            // There may be other descriptors to listen at.
            self.kick |= matches!(event, Event::Join(_) | Event::Leave(_));
        }
        if self.device.cm().has_events() {
            self.notify.wake_cm();
        }
        self.notify.take_woken()
    }

    /// Whether the thread would sleep past something that the call which is ending has brought about. Asked once
    /// per call.
    pub(super) fn needs_kick(&mut self) -> bool {
        if let ThreadState::Listening(until) = self.thread {
            let deadline = self.deadline();
            let oversleeps = deadline.is_some_and(|deadline| until.is_none_or(|until| deadline < until));
            self.kick |= oversleeps || self.outbox.state() != Sent::All;
        }
        let kick = std::mem::take(&mut self.kick);
        if kick {
            self.thread = ThreadState::Awake;
        }
        kick
    }

    /// The thread asks what to do.
    pub(super) fn progress(&mut self, now: Time) -> Next {
        let was_away = std::mem::replace(&mut self.thread, ThreadState::Awake) == ThreadState::Away;
        if self.stopping {
            self.pay_debt(now);
            return Next::Stop;
        }
        if now >= self.stay && self.last_poll.is_some_and(|poll| now.since(poll) < POLL_GAP) {
            self.pay_debt(now);
            if was_away {
                self.stay_for = (self.stay_for / 2).max(*STAY_HERE.start());
            }
            self.thread = ThreadState::Away;
            return Next::StayAway { until: now + STAY_AWAY };
        }
        if self.gave_way.take().is_some_and(|since| now.since(since) > SPINNING) {
            self.crowded = now + CROWDED;
        }
        let received = self.turn(now);
        if received && was_away {
            self.stay = now + self.stay_for;
            self.stay_for = (self.stay_for * 2).min(*STAY_HERE.end());
        }
        if received || self.outbox.state() == Sent::Some {
            self.last_work = Some(now);
            return Next::Work;
        }
        if now >= self.crowded && self.last_work.is_some_and(|work| now.since(work) < LINGER) {
            self.gave_way = Some(now);
            return Next::Linger;
        }
        let full = self.outbox.state() == Sent::LinkFull;
        let retry = if full { self.link.retry_at(now) } else { None };
        let until = [self.deadline(), retry].into_iter().flatten().min();
        self.thread = ThreadState::Listening(until);
        Next::Listen { until, room: full && retry.is_none() }
    }

    fn deadline(&self) -> Option<Time> {
        [self.device.next_timeout(), self.link.next_timeout()].into_iter().flatten().min()
    }
}
