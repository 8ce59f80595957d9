//! Bytes as a source of choices.

/// Gives choices until the bytes are used up, and zeros from then on.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Input<'a> {
        Input { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end <= 256 { usize::from(self.byte()) % end.max(1) } else { usize::from(self.u16()) % end }
    }

    pub(crate) fn pick<A: Copy>(&mut self, from: &[A]) -> A {
        from[self.below(from.len())]
    }

    /// Up to `most` bytes; how many is the next choice.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let count = self.below(most + 1).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        bytes
    }
}
