//! A packet crosses a link, with or without accidents.

use std::time::Duration;

use ferroce_engine::Time;

use crate::dice::Dice;
use crate::link::Link;
use crate::rule::Fate;

/// When the copies of a packet come to the other end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crossing {
    first: Option<Time>,
    second: Option<Time>,
    pub damaged: bool,
    pub marked: bool,
}

impl Crossing {
    /// Rolls the dice for a packet whose last bit leaves at `departs`. `last` is when the last packet that kept
    /// its place arrives; packets keep their order unless one is held back.
    pub(crate) fn roll(
        link: &Link,
        last: &mut Time,
        departs: Time,
        scripted: Option<Fate>,
        dice: &mut Dice,
    ) -> Crossing {
        let fate = scripted.unwrap_or_else(|| link.fate(dice));
        if fate == Fate::Drop {
            return Crossing::default();
        }
        let in_place = (departs + link.transit(dice)).max(*last);
        let held_back = if let Fate::Delay(by) = fate { by } else { Duration::ZERO };
        if !matches!(fate, Fate::Delay(_)) {
            *last = in_place;
        }
        Crossing {
            first: Some(in_place + held_back),
            second: if let Fate::Duplicate(by) = fate { Some(in_place + by) } else { None },
            damaged: fate == Fate::Corrupt,
            marked: fate == Fate::Mark,
        }
    }

    /// The moments of arrival: none if the packet is lost, two if it is repeated.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Time> + use<> {
        self.first.into_iter().chain(self.second)
    }
}

/// The byte of a BTH with the congestion bits, which switches may set and no checksum covers.
const CONGESTION_BYTE: usize = 4;

/// Flips one to three bits that the ICRC covers.
pub(crate) fn damage(bytes: &mut [u8], dice: &mut Dice) {
    let mut flips = Vec::new();
    let wanted = 1 + dice.below(3) as usize;
    while flips.len() < wanted {
        let bit = dice.below(bytes.len() as u64 * 8) as usize;
        // Flipped twice, a bit would be whole again.
        if !flips.contains(&bit) && bit / 8 != CONGESTION_BYTE {
            flips.push(bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
