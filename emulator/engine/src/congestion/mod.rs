//! What a NIC does about a network that is full.
//!
//! A switch whose queue grows marks packets "congestion experienced" (CE) if their sender said that it
//! understands (ECT). The receiver tells the sender by a congestion notification packet, a CNP; the sender
//! slows down. [`Congestion`] says which of these parts a device plays; [`RateControl`] is the part that decides
//! how fast to send, and there are several.

mod dcqcn;
mod governor;
mod timely;

use core::fmt;
use core::time::Duration;

pub use dcqcn::{Dcqcn, DcqcnParams};
pub(crate) use governor::Governor;
pub use timely::{Timely, TimelyParams};

use crate::time::Time;

/// The part that a device plays in congestion control. By default none.
#[derive(Clone, Debug, Default)]
pub struct Congestion {
    /// Packets are sent as ECT(0): switches may mark them instead of dropping them.
    pub ect: bool,
    /// Marked packets are answered by CNPs.
    pub notify: Option<CnpPolicy>,
    /// How fast each queue pair sends. This one is never used itself: every queue pair gets a copy.
    pub control: Option<Box<dyn RateControl>>,
    /// How late a paced packet may be and the next still leave in time for the rate to be kept. Zero is right
    /// where the clock is exact; on a machine whose timers are late it is the burst that is accepted instead of
    /// sending too slowly.
    pub catch_up: Duration,
}

/// When and how CNPs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CnpPolicy {
    /// Least time between two CNPs of a queue pair.
    pub interval: Duration,
    /// IPv4 TOS or IPv6 traffic class of CNPs.
    pub traffic_class: u8,
}

impl Default for CnpPolicy {
    /// 50 µs as in the DCQCN paper, and DSCP 48 as NICs have it.
    fn default() -> CnpPolicy {
        CnpPolicy { interval: Duration::from_micros(50), traffic_class: 48 << 2 }
    }
}

impl Congestion {
    /// True when a queue pair has nothing to keep about congestion.
    pub(crate) fn is_off(&self) -> bool {
        self.notify.is_none() && self.control.is_none()
    }

    /// ECT on data, CNPs for marks, and this control.
    pub fn with(control: impl RateControl + 'static) -> Congestion {
        Congestion {
            ect: true,
            notify: Some(CnpPolicy::default()),
            control: Some(Box::new(control)),
            catch_up: Duration::ZERO,
        }
    }
}

/// Decides how fast one queue pair sends. It is told what happens, and asked for the rate before each packet.
pub trait RateControl: fmt::Debug + Send + Sync {
    /// Bits per second on the wire, headers included; `None` for as fast as the port takes packets. Never 0.
    fn rate(&self) -> Option<u64>;

    /// `bytes` were sent, headers included.
    fn sent(&mut self, now: Time, bytes: u64) {
        let _ = (now, bytes);
    }

    /// The peer says that packets of ours met congestion.
    fn notified(&mut self, now: Time) {
        let _ = now;
    }

    /// A packet that asked for an acknowledgement was acknowledged after this time.
    fn round_trip(&mut self, now: Time, rtt: Duration) {
        let _ = (now, rtt);
    }

    /// When [`handle_timeout`](RateControl::handle_timeout) has something to do.
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// The deadline has come. After this call it is another one, later than `now`.
    fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// A copy of this control in its present state.
    fn boxed_clone(&self) -> Box<dyn RateControl>;
}

impl Clone for Box<dyn RateControl> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}
