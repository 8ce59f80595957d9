//! What is behind the NIC's lock, and the work that is done there in small turns.

use std::task::Waker;
use std::time::Duration;

use ferroce_engine::{Backlog, Cq, Device, Event, Time, TraceSink};

use super::habits::Habits;
use super::notify::Notify;
use super::outbox::{Outbox, Sent};
use crate::link::Link;

/// How long the NIC's thread goes on looking after it has found something: about what falling asleep and being woken
/// would cost.
const LINGER: Duration = Duration::from_micros(50);

/// How often to receive before a timer is believed to have run out.
const TAKES_BEFORE_TIMEOUT: usize = 16;

pub(super) struct Core<T> {
    pub(super) device: Device<T>,
    pub(super) link: Box<dyn Link>,
    pub(super) notify: Notify,
    outbox: Outbox,
    pub(super) habits: Habits,
    /// Since when something that was received waits to be answered.
    in_debt: Option<Time>,
    /// When the NIC's thread last found something.
    last_work: Option<Time>,
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
            habits: Habits::new(),
            in_debt: None,
            last_work: None,
            thread: ThreadState::Awake,
            kick: false,
            stopping: false,
        }
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
        if self.in_debt.is_none() && self.device.backlog() != Backlog::Nothing {
            self.in_debt = Some(now);
        }
        received
    }

    fn take_packets(&mut self, now: Time) -> bool {
        let device = &mut self.device;
        self.link.receive(now, &mut |meta, packet| device.handle_packet(now, meta, packet)) > 0
    }

    /// Sends what the device wants to send, up to a bound.
    pub(super) fn transmit(&mut self, now: Time) {
        self.in_debt = None;
        self.outbox.send(&mut self.device, self.link.as_mut(), now);
    }

    /// Sends what earlier calls have left to be sent.
    pub(super) fn pay_debt(&mut self, now: Time) {
        if self.owes() {
            self.transmit(now);
        }
    }

    /// Something that was received before was not answered yet.
    pub(super) fn owes(&self) -> bool {
        self.in_debt.is_some()
    }

    /// Whether sending can be left for later: while the application polls, it will be back in a moment, and the
    /// thread is about to look, unless it sleeps until something arrives. Then it must be woken, which is worth it only
    /// if it will not have to look in the end.
    pub(super) fn may_owe(&self) -> bool {
        self.habits.answers() || !matches!(self.thread, ThreadState::Listening(_))
    }

    /// When the thread sends what is owed.
    fn debt_due(&self) -> Option<Time> {
        self.in_debt.map(|since| since + self.habits.patience())
    }

    /// Sends what the thread has to send: not yet the ACK which the application will take along when it posts an
    /// answer.
    fn transmit_from_thread(&mut self, now: Time) {
        let waits = self.owes() && self.habits.answers() && self.device.backlog() == Backlog::Ack;
        if !self.pay_overdue(now) && !waits {
            self.transmit(now);
        }
    }

    /// Sends what has waited for an answer for too long; true if anything has.
    fn pay_overdue(&mut self, now: Time) -> bool {
        let overdue = self.debt_due().is_some_and(|due| due <= now);
        if overdue {
            self.habits.give_up(now);
            self.transmit(now);
        }
        overdue
    }

    /// The application polls. Not if it waits for a notification at the same time: the poll before going to
    /// sleep is not the beginning of many.
    pub(super) fn note_poll(&mut self, now: Time) {
        if !self.notify.is_any_armed() {
            self.habits.note_poll(now);
        }
    }

    /// The application will go to sleep, and the thread must serve it.
    pub(super) fn note_armed(&mut self, cq: Cq) {
        self.notify.note_armed(cq);
        self.habits.note_sleep();
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
        if let Some(pause) = self.habits.stays_away(now) {
            self.pay_overdue(now);
            self.thread = ThreadState::Away;
            let back = now + pause;
            return Next::StayAway { until: self.debt_due().map_or(back, |due| due.min(back)) };
        }
        let received = self.receive(now);
        self.transmit_from_thread(now);
        if received && was_away {
            self.habits.missed_something();
        }
        if received || self.outbox.state() == Sent::Some {
            self.last_work = Some(now);
            return Next::Work;
        }
        if self.last_work.is_some_and(|work| now.since(work) < LINGER) {
            return Next::Linger;
        }
        let full = self.outbox.state() == Sent::LinkFull;
        let retry = if full { self.link.retry_at(now) } else { None };
        let until = [self.deadline(), retry].into_iter().flatten().min();
        self.thread = ThreadState::Listening(until);
        Next::Listen { until, room: full && retry.is_none() }
    }

    fn deadline(&self) -> Option<Time> {
        [self.device.next_timeout(), self.link.next_timeout(), self.debt_due()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use ferroce_engine::*;

    use super::*;
    use crate::hub::{Hub, HubLink};

    /// A NIC without a thread, whose time the test tells.
    struct End {
        core: Core<NoTrace>,
        qp: Qpn,
        cq: Cq,
        memory: Buffer,
        key: u32,
    }

    fn end(hub: &Hub, ours: IpAddr, theirs: IpAddr) -> End {
        let link: HubLink = hub.link(&[ours]).unwrap();
        let mut device = Device::new(DeviceConfig::new("test", [ours]), 1, NoTrace);
        let memory = Buffer::new(64);
        let rights = Access::LOCAL_WRITE.union(Access::REMOTE_WRITE);
        let pd = device.alloc_pd().unwrap();
        let key = device.reg_mr(pd, MrInit::new(&memory, rights)).unwrap().lkey;
        let cq = device.create_cq(16).unwrap();
        let qp = device.create_qp(&QpInit::new(QpType::Rc, pd, cq)).unwrap();
        let way = AddressVector::new(0, theirs);
        let mtu = device.config().mtu;
        for change in [QpAttr::init(rights), QpAttr::rtr(way, qp, Psn::new(1), mtu), QpAttr::rts(Psn::new(1))]
        {
            device.modify_qp(Time::ZERO, qp, &change).unwrap();
        }
        End { core: Core::new(device, Box::new(link)), qp, cq, memory, key }
    }

    fn pair() -> (End, End) {
        let (hub, near, far) = (Hub::new(), [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        (end(&hub, near, far), end(&hub, far, near))
    }

    /// The second has posted before, and the first asks it something.
    fn asked(now: Time) -> (End, End) {
        let (mut a, mut b) = pair();
        b.post_write(now, &a.memory, a.key);
        a.core.receive(now);
        a.core.transmit(now);
        b.work(now);
        a.post_write(now, &b.memory, b.key);
        (a, b)
    }

    fn start() -> Time {
        Time::ZERO + Duration::from_millis(1)
    }

    impl End {
        fn post_write(&mut self, now: Time, to: &Buffer, rkey: u32) {
            let sges = [Sge { addr: self.memory.addr(), len: 8, lkey: self.key }];
            let op = SendOp::Write(Remote { addr: to.addr(), rkey });
            let wr = SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(1, op, Payload::Sges(&sges)) };
            self.core.habits.note_post(now);
            self.core.device.post_send(now, self.qp, &[wr]).unwrap();
            self.core.transmit(now);
        }

        fn sent(&self) -> u64 {
            self.core.link.counters().tx_packets
        }

        /// The thread works until it sleeps; says until when.
        fn work(&mut self, now: Time) -> Option<Time> {
            loop {
                match self.core.progress(now) {
                    Next::Work => {}
                    Next::Linger => self.core.last_work = None,
                    Next::Listen { until, .. } => return until,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn who_has_never_posted_is_not_waited_for() {
        let ((mut a, mut b), now) = (pair(), start());
        a.post_write(now, &b.memory, b.key);
        b.work(now);
        assert_eq!(b.sent(), 1);
    }

    #[test]
    fn an_ack_waits_for_the_answer_of_an_application_that_answers() {
        let now = start();
        let (mut a, mut b) = asked(now);
        let due = b.work(now).expect("the ACK will not wait for ever");
        assert_eq!(b.sent(), 1, "what it has posted before");
        assert!(due > now && due.since(now) < Duration::from_millis(2), "{due:?}");
        b.post_write(now, &a.memory, a.key);
        assert_eq!(b.sent(), 3, "the answer and the ACK");
        a.core.receive(now);
        let mut completions = [Wc::default(); 4];
        assert_eq!(a.core.device.poll_cq(a.cq, &mut completions), Ok(1));
    }

    #[test]
    fn an_ack_that_no_answer_takes_along_is_sent_in_time() {
        let now = start();
        let (mut a, mut b) = asked(now);
        let due = b.work(now).expect("the ACK is owed");
        b.work(due);
        assert_eq!(b.sent(), 2);
        a.post_write(due, &b.memory, b.key);
        b.work(due);
        assert_eq!(b.sent(), 3, "and the next one is not held back, until there is an answer again");
    }

    #[test]
    fn an_application_that_receives_while_the_thread_sleeps_wakes_it_if_it_owes() {
        let now = start();
        let (_a, mut b) = asked(now);
        b.core.receive(now);
        assert!(b.core.may_owe() && b.core.owes());
        assert!(b.core.needs_kick(), "it sleeps until something arrives");
        let due = b.work(now).expect("now until the ACK is due");
        assert!(!b.core.needs_kick());
        b.work(due);
        assert!(!b.core.owes());
    }
}
