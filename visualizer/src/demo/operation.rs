//! What two NICs do with each other in the demo, and with how many bytes.

use ferroce_engine::PathMtu;

use super::pattern::Dice;

/// A kind of exchange, each with its own way of being verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// SEND into a posted receive.
    Send,
    /// SEND with immediate data.
    SendImm,
    /// WRITE into the peer's memory.
    Write,
    /// WRITE with immediate data.
    WriteImm,
    /// READ from the peer's memory.
    Read,
    /// Compare and swap; in every third the comparison is meant to fail.
    CompareSwap,
    /// Fetch and add.
    FetchAdd,
    /// A READ and behind it a WRITE of what the READ brought, which is right only if the fence holds it back.
    Fence,
}

impl Operation {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Operation; 8] = [
        Operation::Send,
        Operation::SendImm,
        Operation::Write,
        Operation::WriteImm,
        Operation::Read,
        Operation::CompareSwap,
        Operation::FetchAdd,
        Operation::Fence,
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Send => "SEND",
            Operation::SendImm => "SEND with immediate",
            Operation::Write => "WRITE",
            Operation::WriteImm => "WRITE with immediate",
            Operation::Read => "READ",
            Operation::CompareSwap => "COMPARE & SWAP",
            Operation::FetchAdd => "FETCH & ADD",
            Operation::Fence => "READ, fence, WRITE",
        }
    }

    /// True where the peer must have posted a receive.
    pub(crate) const fn needs_receive(self) -> bool {
        matches!(self, Operation::Send | Operation::SendImm | Operation::WriteImm)
    }

    /// True where the data can be copied when it is posted.
    pub(crate) const fn can_be_inline(self) -> bool {
        matches!(self, Operation::Send | Operation::SendImm | Operation::Write | Operation::WriteImm)
    }

    /// True for the two that work on a word of eight bytes.
    pub(crate) const fn is_atomic(self) -> bool {
        matches!(self, Operation::CompareSwap | Operation::FetchAdd)
    }
}

/// How long messages are, so that every edge of a path MTU is met, and a really long one.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    list: Vec<usize>,
    /// Those behind the list are shorter than this.
    most_drawn: usize,
}

impl Sizes {
    /// For full speed: from nothing to 128 full packets, and to 4 MiB at path MTU 4096.
    pub(crate) fn thorough(mtu: PathMtu) -> Sizes {
        let packets = if mtu == PathMtu::Mtu4096 { 1024 } else { 128 };
        let mtu = mtu.bytes();
        let mut list = vec![0, mtu + 1, 1, packets * mtu, 3, 64, mtu - 1, mtu, 2 * mtu, 2 * mtu + 5];
        list.extend([7 * mtu + 3, 16 * mtu, 33 * mtu - 1]);
        Sizes { list, most_drawn: 20 * mtu }
    }

    /// For slow motion: a handful of packets at most.
    pub(crate) fn short(mtu: PathMtu) -> Sizes {
        let mtu = mtu.bytes();
        Sizes { list: vec![2 * mtu + 88, 32, 4 * mtu, 0, mtu, 3 * mtu - 40, 8], most_drawn: 3 * mtu }
    }

    /// The longest of them.
    pub(crate) fn longest(&self) -> usize {
        self.list.iter().copied().max().unwrap_or(0)
    }

    /// Bytes of message `number` from 0 of a kind: each of the list first, then any up to 20 packets long.
    pub(crate) fn of(&self, number: u64, dice: &mut Dice) -> usize {
        match usize::try_from(number).ok().and_then(|index| self.list.get(index)) {
            Some(size) => *size,
            None => dice.below(self.most_drawn as u64) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_is_met_and_nothing_is_longer_than_the_longest() {
        for mtu in PathMtu::ALL {
            let (sizes, mut dice) = (Sizes::thorough(mtu), Dice::new(1, 1));
            let lens: Vec<usize> = (0..50).map(|number| sizes.of(number, &mut dice)).collect();
            for edge in [0, mtu.bytes() - 1, mtu.bytes(), mtu.bytes() + 1] {
                assert!(lens.contains(&edge), "{edge} at {mtu:?}");
            }
            assert!(lens.iter().all(|len| *len <= sizes.longest()));
        }
        assert_eq!(Sizes::thorough(PathMtu::Mtu4096).longest(), 4 << 20);
    }
}
