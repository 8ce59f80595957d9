//! What the kernel tells about a frame that has not left this machine, or was joined from several
//! (`struct virtio_net_hdr`, which packet sockets put before frames with `PACKET_VNET_HDR`).

/// The header, as far as it says anything about RoCE packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VnetHeader {
    /// Bytes of UDP payload in each packet of a train but the last.
    pub(crate) segment: Option<usize>,
    /// The checksum was left to hardware, and is not there yet.
    pub(crate) unsummed: bool,
}

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CHECKSUM: u8 = 1;

/// Its code for UDP trains (`VIRTIO_NET_HDR_GSO_UDP_L4`).
const UDP_TRAIN: u8 = 5;

impl VnetHeader {
    /// Bytes of it.
    pub(crate) const LEN: usize = 10;

    /// Takes it off a frame.
    pub(crate) fn split(bytes: &[u8]) -> Option<(VnetHeader, &[u8])> {
        let (header, frame) = bytes.split_first_chunk::<{ VnetHeader::LEN }>()?;
        let [flags, kind, _, _, s0, s1, ..] = *header;
        let segment = usize::from(u16::from_ne_bytes([s0, s1]));
        let is_train = kind & 0x7f == UDP_TRAIN && segment > 0;
        let this = VnetHeader { segment: is_train.then_some(segment), unsummed: flags & NEEDS_CHECKSUM != 0 };
        Some((this, frame))
    }
}
