//! Pause. Read README.md, write `headroom`, `Buffer` and `is_deadlock`, then: ferroce lab check

/// Bytes that can still arrive after a switch has decided to pause a sender: what the buffer must have room for. See
/// README.md. `rate` is in bits per second, `cable` in metres, `mtu` in bytes.
pub fn headroom(rate: u64, cable: u64, mtu: u64) -> u64 {
    let _ = (rate, cable, mtu);
    0
}

/// What a buffer tells the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    Nothing,
    Pause,
    Resume,
}

/// What a switch has stored for one sender and one priority.
pub struct Buffer;

impl Buffer {
    /// Pauses the sender when more than `xoff` bytes are stored, and lets it go on when `xon` bytes or fewer are left.
    pub fn new(xoff: u64, xon: u64) -> Buffer {
        let _ = (xoff, xon);
        Buffer
    }

    /// A packet has come.
    pub fn on_arrival(&mut self, bytes: u64) -> Tell {
        let _ = bytes;
        Tell::Nothing
    }

    /// A packet has been sent on.
    pub fn on_departure(&mut self, bytes: u64) -> Tell {
        let _ = bytes;
        Tell::Nothing
    }
}

/// Whether buffers can wait for each other for ever. A pair (a, b) says that packets in buffer `a` can go on only when
/// buffer `b` has room.
pub fn is_deadlock(waits: &[(u32, u32)]) -> bool {
    let _ = waits;
    false
}
