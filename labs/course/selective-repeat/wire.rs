//! A requester with selective repeat against a card that is really there, which keeps nothing that comes early.

mod selective;

use selective::Requester;

/// A NAK says what has arrived before the gap. Of what came behind it the card has kept nothing, and says nothing: the rest is
/// silence.
fn told_of_gap(requester: &mut Requester, expected: u32) {
    requester.on_ack(expected.wrapping_sub(1) & 0xFF_FFFF);
}
