//! Where messages lie in the memory of an end.

use super::pattern::Dice;

/// Offset and length of a piece of a message.
pub(crate) type Piece = (usize, usize);

/// Bytes behind every message that must stay as they are.
pub(crate) const GUARD: usize = 32;

/// Slots for what an end asks for, as many for what its peer asks for, and a word for atomics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Messages that have a place at the same time, in each direction.
    pub slots: usize,
    stride: usize,
}

impl Layout {
    /// With room for `slots` messages of `longest` bytes.
    pub(crate) fn new(slots: usize, longest: usize) -> Layout {
        Layout { slots, stride: (longest + GUARD).next_multiple_of(128).max(256) }
    }

    /// Bytes of memory.
    pub(crate) fn total(&self) -> usize {
        2 * self.slots * self.stride + 8
    }

    /// Where a message of this slot lies at the end that asks.
    pub(crate) fn requester(&self, slot: usize) -> usize {
        slot * self.stride
    }

    /// Where it lies at the end that is asked.
    pub(crate) fn responder(&self, slot: usize) -> usize {
        (self.slots + slot) * self.stride
    }

    /// Half a slot, for messages that need two places.
    pub(crate) fn half(&self) -> usize {
        self.stride / 2
    }

    /// The word for atomics at the end that is asked.
    pub(crate) fn word(&self) -> usize {
        2 * self.slots * self.stride
    }

    /// Cuts `len` bytes of memory at `at` into `count` pieces of any length, empty ones too. In the list the
    /// one that lies last comes first, so that a list that is ignored gives wrong bytes.
    pub(crate) fn pieces(at: usize, len: usize, count: usize, dice: &mut Dice) -> Vec<Piece> {
        let mut cuts: Vec<usize> = (1..count).map(|_| dice.below(len as u64 + 1) as usize).collect();
        cuts.extend([0, len]);
        cuts.sort_unstable();
        cuts.windows(2).rev().map(|cut| (at + cut[0], cut[1] - cut[0])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_message_from_back_to_front() {
        let mut dice = Dice::new(3, 3);
        for len in [0, 1, 5, 1000] {
            for count in 1..=4 {
                let pieces = Layout::pieces(100, len, count, &mut dice);
                assert_eq!(pieces.len(), count);
                let mut end = 100 + len;
                for (at, len) in pieces {
                    assert_eq!(at + len, end);
                    end = at;
                }
                assert_eq!(end, 100);
            }
        }
    }

    #[test]
    fn places_do_not_overlap() {
        let layout = Layout::new(3, 1000);
        let mut places: Vec<usize> = (0..3).map(|slot| layout.requester(slot)).collect();
        places.extend((0..3).map(|slot| layout.responder(slot)));
        places.push(layout.word());
        assert!(places.windows(2).all(|pair| pair[0] + 1000 + GUARD <= pair[1]));
        assert_eq!(layout.word() % 8, 0);
        assert_eq!(layout.total(), layout.word() + 8);
    }
}
