//! Pause. Read README.md, write `headroom`, `Buffer` and `is_deadlock`, then: ferroce lab check

/// Bytes that can still arrive after a switch has decided to pause a sender: what the buffer must have room for. See
/// README.md. `rate` is in bits per second, `cable` in metres, `mtu` in bytes.
pub fn headroom(rate: u64, cable: u64, mtu: u64) -> u64 {
    // 5 ns a metre, there and back.
    let on_the_cable = 2 * cable * 5 * rate / 8_000_000_000;
    on_the_cable + 2 * mtu + 64
}

/// What a buffer tells the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    Nothing,
    Pause,
    Resume,
}

/// What a switch has stored for one sender and one priority.
pub struct Buffer {
    xoff: u64,
    xon: u64,
    stored: u64,
    paused: bool,
}

impl Buffer {
    /// Pauses the sender when more than `xoff` bytes are stored, and lets it go on when `xon` bytes or fewer are left.
    pub fn new(xoff: u64, xon: u64) -> Buffer {
        Buffer { xoff, xon, stored: 0, paused: false }
    }

    /// A packet has come.
    pub fn on_arrival(&mut self, bytes: u64) -> Tell {
        self.stored += bytes;
        if self.stored <= self.xoff || self.paused {
            return Tell::Nothing;
        }
        self.paused = true;
        Tell::Pause
    }

    /// A packet has been sent on.
    pub fn on_departure(&mut self, bytes: u64) -> Tell {
        self.stored -= bytes;
        if self.stored > self.xon || !self.paused {
            return Tell::Nothing;
        }
        self.paused = false;
        Tell::Resume
    }
}

/// Whether buffers can wait for each other for ever. A pair (a, b) says that packets in buffer `a` can go on only when
/// buffer `b` has room.
pub fn is_deadlock(waits: &[(u32, u32)]) -> bool {
    // Take away buffers that wait for nobody, with all that wait for them only: a circle is what stays.
    let mut left = waits.to_vec();
    loop {
        let before = left.len();
        let waiting: Vec<u32> = left.iter().map(|(a, _)| *a).collect();
        left.retain(|(_, b)| waiting.contains(b));
        if left.len() == before {
            return before > 0;
        }
    }
}
