//! What the kernel joined, taken apart again.

use ferroce_engine::{Ident, RxMeta};

/// One datagram, or several that the kernel joined: all of `segment` bytes but the last.
#[derive(Clone, Copy)]
pub(crate) struct Pieces<'a> {
    /// Of the first; only the Identification grows from one to the next.
    pub(crate) meta: RxMeta,
    pub(crate) bytes: &'a [u8],
    pub(crate) segment: usize,
}

impl<'a> Pieces<'a> {
    /// Number of packets.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len().div_ceil(self.step())
    }

    /// Packet `index`, which must be there.
    #[inline]
    pub(crate) fn packet(&self, index: usize) -> &'a [u8] {
        self.part(index, index + 1).bytes
    }

    /// Packets `start..end`, of which `start` must be there.
    #[inline]
    pub(crate) fn part(&self, start: usize, end: usize) -> Pieces<'a> {
        let bytes = &self.bytes[start * self.step()..self.bytes.len().min(end * self.step())];
        Pieces { meta: later(&self.meta, start), bytes, segment: self.segment }
    }

    /// Hands over packet after packet, and tells how many there were.
    #[inline]
    pub(crate) fn deliver(&self, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        let packets = self.bytes.chunks(self.step());
        let count = packets.len();
        for (index, packet) in packets.enumerate() {
            deliver(&later(&self.meta, index), packet);
        }
        count
    }

    /// From one packet to the next, in bytes. Whoever told the length may have lied.
    #[inline]
    fn step(&self) -> usize {
        self.segment.max(1)
    }
}

/// What is known about the packet `index` places behind the one of `meta`.
#[inline]
fn later(meta: &RxMeta, index: usize) -> RxMeta {
    let ident = match meta.ident {
        Ident::Known { ident, flags_fragment } => {
            Ident::Known { ident: ident.wrapping_add(index as u16), flags_fragment }
        }
        Ident::Local { ident } => Ident::Local { ident: ident.wrapping_add(index as u16) },
        Ident::Vouched => Ident::Vouched,
        Ident::Hidden { likely } => Ident::Hidden { likely: likely.wrapping_add(index as u16) },
    };
    RxMeta { ident, ..*meta }
}
