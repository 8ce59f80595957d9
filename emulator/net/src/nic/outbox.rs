//! Trains between the device and the link.

use ferroce_engine::{Device, Time, TraceSink, Train, TxLimits};

use crate::link::{Burst, Link};

/// Trains that are handed to the link at once.
const TRAINS: usize = 16;

/// Bytes after which no further train is added, so that what is about to be sent is still in the cache.
const BYTES: usize = 256 << 10;

/// How often the outbox is filled in one turn.
const ROUNDS: usize = 4;

/// Trains that the device has filled and the link has not taken yet.
pub(super) struct Outbox {
    trains: [Train; TRAINS],
    /// Trains `sent..filled` are to be sent.
    filled: usize,
    sent: usize,
    /// Under which they were filled.
    limits: TxLimits,
    state: Sent,
}

/// How far sending got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The device has nothing more to send.
    All,
    /// The turn's bound was reached.
    Some,
    /// The link takes no more for now.
    LinkFull,
}

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox {
            trains: std::array::from_fn(|_| Train::new()),
            filled: 0,
            sent: 0,
            limits: TxLimits::SINGLE,
            state: Sent::All,
        }
    }

    /// How far the last [`send`](Self::send) got.
    pub(super) fn state(&self) -> Sent {
        self.state
    }

    /// Sends what the device wants to send, up to a bound.
    pub(super) fn send<T: TraceSink>(&mut self, device: &mut Device<T>, link: &mut dyn Link, now: Time) {
        self.state = Sent::Some;
        for _ in 0..ROUNDS {
            if self.sent == self.filled {
                self.fill(device, link, now);
            }
            if self.filled == 0 {
                self.state = Sent::All;
                return;
            }
            let waiting = &self.trains[self.sent..self.filled];
            self.sent += match waiting {
                [one] => link.send(now, &[Burst::new(one, &self.limits)]),
                many => {
                    let bursts: [Burst<'_>; TRAINS] =
                        std::array::from_fn(|i| Burst::new(many.get(i).unwrap_or(&many[0]), &self.limits));
                    link.send(now, &bursts[..many.len()])
                }
            };
            if self.sent < self.filled {
                self.state = Sent::LinkFull;
                return;
            }
        }
    }

    fn fill<T: TraceSink>(&mut self, device: &mut Device<T>, link: &dyn Link, now: Time) {
        let limits = link.tx_limits();
        (self.sent, self.filled, self.limits) = (0, 0, limits);
        let mut bytes = 0;
        while self.filled < TRAINS
            && bytes < BYTES
            && device.poll_transmit(now, &limits, &mut self.trains[self.filled])
        {
            let train = &mut self.trains[self.filled];
            if !train.is_sealed() && !link.goes_through_memory(&Burst::new(train, &limits)) {
                train.seal(&limits);
            }
            bytes += train.bytes().len();
            self.filled += 1;
        }
    }
}
