//! An attacker. Read README.md, write `next_key`, `seconds` and `inject`, then: ferroce lab check

/// A key that will be given out next, if the keys so far, oldest first, give it away; `None` if they do not.
pub fn next_key(seen: &[u32]) -> Option<u32> {
    let _ = seen;
    None
}

/// Whole seconds, rounded up, in which all values of so many unknown bits can be tried at this rate. `bits` is at most 56,
/// `rate`, in packets per second, at least 1.
pub fn seconds(bits: u32, rate: u64) -> u64 {
    let _ = (bits, rate);
    0
}

/// What a packet does that an attacker injects into a reliable connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is carried out; when the real packet with that PSN comes it is taken for a duplicate.
    CarriedOut,
    /// It is answered as a duplicate; nothing changes.
    Ignored,
    /// The responder asks the real sender to go back: the attack is noticed, and costs time.
    GoBack,
}

/// What a request with this PSN does at a responder that expects `expected`. It is right in all other respects. A PSN
/// before the expected one (by fewer than 2^23 steps, or exactly 2^23) is a duplicate.
pub fn inject(expected: u32, psn: u32) -> Effect {
    let _ = (expected, psn);
    Effect::Ignored
}
