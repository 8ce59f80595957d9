//! A go-back-N requester against a card that is really there.

mod requester;

use requester::Requester;

/// A NAK says all that there is to say.
fn told_of_gap(requester: &mut Requester, expected: u32) {
    requester.on_nak(expected);
}
