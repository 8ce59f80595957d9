//! What the kernel joined, taken apart again.

use ferroce_engine::{Ident, RxMeta};

/// One datagram, or several that the kernel joined: all of `segment` bytes but the last.
pub(crate) struct Pieces<'a> {
    pub(crate) meta: RxMeta,
    pub(crate) bytes: &'a [u8],
    pub(crate) segment: usize,
}

impl Pieces<'_> {
    /// Hands over packet after packet, and tells how many there were.
    pub(crate) fn deliver(&self, deliver: &mut dyn FnMut(&RxMeta, &[u8])) -> usize {
        let packets = self.bytes.chunks(self.segment.max(1));
        let count = packets.len();
        let mut meta = self.meta;
        for packet in packets {
            deliver(&meta, packet);
            if let Ident::Known { ident, .. } = &mut meta.ident {
                *ident = ident.wrapping_add(1);
            }
        }
        count
    }
}
