//! Completion queues.

use std::collections::VecDeque;

use ferroce_wire::Qpn;

use crate::table::Id;
use crate::work::{Wc, WcStatus};

/// Handle of a completion queue.
pub type Cq = Id<CompletionQueue>;

/// What an armed completion queue waits for (`ibv_req_notify_cq`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// Nothing.
    #[default]
    Off,
    /// The next solicited receive, or completion in error.
    Solicited,
    /// The next completion.
    Next,
}

/// How many completions, and how long, a NIC may gather before it notifies (`struct ibv_moderate_cq`).
///
/// It is a wish for hardware, where every notification is an interrupt. Ferroce keeps it, and notifies at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moderation {
    /// Completions.
    pub count: u16,
    /// Microseconds.
    pub period: u16,
}

/// All that is known of a completion queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CqInfo {
    /// Completions it can hold.
    pub capacity: u32,
    /// Completions not polled yet.
    pub queued: u32,
    /// What it is armed for.
    pub armed: Arm,
    /// As asked for.
    pub moderation: Moderation,
}

/// A queue of completions.
#[derive(Clone, Debug)]
pub struct CompletionQueue {
    entries: VecDeque<Wc>,
    capacity: u32,
    arm: Arm,
    pub(crate) moderation: Moderation,
    /// Completions were lost since it was last polled.
    overflown: bool,
    /// Work queues that complete here.
    pub(crate) users: u32,
}

/// What adding a completion led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is in the queue.
    Quietly,
    /// It is in the queue, and it is what the queue was armed for.
    AndNotify,
    /// There was no room; it is lost.
    Overflow {
        /// It is the first that is lost since the queue was last polled.
        first: bool,
    },
}

impl CompletionQueue {
    pub(crate) fn new(capacity: u32) -> CompletionQueue {
        CompletionQueue {
            entries: VecDeque::new(),
            capacity,
            arm: Arm::Off,
            moderation: Moderation::default(),
            overflown: false,
            users: 0,
        }
    }

    pub(crate) fn info(&self) -> CqInfo {
        let CompletionQueue { capacity, arm, moderation, .. } = *self;
        CqInfo { capacity, queued: self.entries.len() as u32, armed: arm, moderation }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(crate) fn armed(&self) -> Arm {
        self.arm
    }

    /// Completions not polled yet, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Wc> {
        self.entries.iter()
    }

    /// `solicited` is for receives whose packet asked for it; errors count as solicited in any case.
    pub(crate) fn add(&mut self, wc: Wc, solicited: bool) -> Added {
        if self.entries.len() >= self.capacity as usize {
            let first = !core::mem::replace(&mut self.overflown, true);
            return Added::Overflow { first };
        }
        self.entries.push_back(wc);
        let kind = if solicited || wc.status != WcStatus::Success { Arm::Solicited } else { Arm::Next };
        if self.arm >= kind {
            self.arm = Arm::Off;
            return Added::AndNotify;
        }
        Added::Quietly
    }

    /// Moves completions to `out`, as many as fit, and says how many.
    pub(crate) fn poll(&mut self, out: &mut [Wc]) -> usize {
        let count = out.len().min(self.entries.len());
        self.overflown &= count == 0;
        for (slot, wc) in out.iter_mut().zip(self.entries.drain(..count)) {
            *slot = wc;
        }
        count
    }

    /// Arms for one notification. A weaker wish does not replace a stronger one.
    pub(crate) fn request_notify(&mut self, arm: Arm) {
        self.arm = self.arm.max(arm);
    }

    /// Takes out the completions of a queue pair.
    pub(crate) fn discard(&mut self, qpn: Qpn) {
        self.entries.retain(|wc| wc.qpn != qpn.value());
    }

    /// Changes the capacity; false when what is queued would not fit.
    pub(crate) fn resize(&mut self, capacity: u32) -> bool {
        let fits = self.entries.len() <= capacity as usize;
        if fits {
            self.capacity = capacity;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wc(wr_id: u64, status: WcStatus) -> Wc {
        Wc { wr_id, status, ..Wc::default() }
    }

    #[test]
    fn a_full_queue_loses_the_new_completion_and_keeps_the_old() {
        let mut cq = CompletionQueue::new(2);
        assert_eq!(cq.add(wc(1, WcStatus::Success), false), Added::Quietly);
        assert_eq!(cq.add(wc(2, WcStatus::Success), false), Added::Quietly);
        assert_eq!(cq.add(wc(3, WcStatus::Success), false), Added::Overflow { first: true });
        assert_eq!(cq.add(wc(4, WcStatus::Success), false), Added::Overflow { first: false });
        let mut out = [Wc::default(); 4];
        assert_eq!(cq.poll(&mut out), 2);
        assert_eq!((out[0].wr_id, out[1].wr_id), (1, 2));
        assert_eq!(cq.add(wc(4, WcStatus::Success), false), Added::Quietly, "it works again after polling");
    }

    #[test]
    fn one_notification_per_arming_and_never_for_what_was_there() {
        let mut cq = CompletionQueue::new(8);
        cq.add(wc(1, WcStatus::Success), true);
        cq.request_notify(Arm::Next);
        cq.request_notify(Arm::Solicited); // does not weaken the wish
        assert_eq!(cq.add(wc(2, WcStatus::Success), false), Added::AndNotify);
        assert_eq!(cq.add(wc(3, WcStatus::Success), false), Added::Quietly);
    }

    #[test]
    fn solicited_means_asked_for_or_failed() {
        let mut cq = CompletionQueue::new(8);
        cq.request_notify(Arm::Solicited);
        assert_eq!(cq.add(wc(1, WcStatus::Success), false), Added::Quietly);
        assert_eq!(cq.add(wc(2, WcStatus::Success), true), Added::AndNotify);
        cq.request_notify(Arm::Solicited);
        assert_eq!(cq.add(wc(3, WcStatus::WrFlushErr), false), Added::AndNotify);
    }
}
