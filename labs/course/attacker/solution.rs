//! An attacker. Read README.md, write `next_key`, `seconds` and `inject`, then: ferroce lab check

/// A key that will be given out next, if the keys so far, oldest first, give it away; `None` if they do not.
pub fn next_key(seen: &[u32]) -> Option<u32> {
    // Three keys show two steps; two keys always have "the same" step.
    let &[.., last] = seen else { return None };
    let mut steps = seen.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let first = steps.next()?;
    let rest: Vec<u32> = steps.collect();
    let is_regular = !rest.is_empty() && rest.iter().all(|&step| step == first);
    is_regular.then(|| last.wrapping_add(first))
}

/// Whole seconds, rounded up, in which all values of so many unknown bits can be tried at this rate. `bits` is at most 56,
/// `rate`, in packets per second, at least 1.
pub fn seconds(bits: u32, rate: u64) -> u64 {
    (1u64 << bits).div_ceil(rate)
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
    match psn.wrapping_sub(expected) & 0xFF_FFFF {
        0 => Effect::CarriedOut,
        1..0x80_0000 => Effect::GoBack,
        _ => Effect::Ignored,
    }
}
