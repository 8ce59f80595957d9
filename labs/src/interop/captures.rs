//! Captures of kernel soft-RoCE, between Linux 6.1 and 6.12, and what is wrong in each.

use ferroce_wire::{Headers, UDP_PORT};

/// Bytes of Ethernet and IPv4 headers.
const ETHERNET: usize = 14;

/// A capture, and what is to be said about it.
pub(super) struct Case {
    pub(super) capture: &'static [u8],
    pub(super) fault: &'static str,
    pub(super) what: &'static str,
}

macro_rules! cases {
    ($($file:literal $fault:literal $what:literal;)*) => {
        /// The captures.
        pub(super) const CASES: &[Case] = &[$(Case {
            capture: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../tests/data/captures/edge/",
                $file,
                ".pcap"
            )),
            fault: $fault,
            what: $what,
        },)*];
    };
}

cases! {
    "rc_send_ok.61to612" "Nothing" "SENDs between two kernels";
    "rc_wrong_psn.61to612" "FirstPsn" "a requester that begins with another PSN";
    "rc_mtu_2048_to_1024_send.61to612" "PathMtu" "2048 bytes in a packet";
    "rc_write_bad_rkey.61to612" "Key" "a WRITE";
    "rc_rnr_exhausted.61to612" "NoReceive" "SENDs to a program that posts no receive";
    "rc_peer_in_init.61to612" "Unreachable" "a peer that is not ready to receive";
    "rc_rnr_late.61to612" "Nothing" "a receive that is posted late";
    "rc_mtu_2048_to_1024_write.612to61" "PathMtu" "a long WRITE";
    "rc_wrong_psn.612to61" "FirstPsn" "the same mistake by another kernel";
    "rc_write_out_of_range.612to61" "Key" "a WRITE beyond the end";
    "rc_rnr_exhausted.612to61" "NoReceive" "the same, by another kernel";
    "rc_read_no_mr_access.612to61" "Key" "a READ of memory that may not be read";
}

/// Bytes of the head of a capture file and of each packet in it, in the byte order of those who wrote them.
const FILE_HEAD: usize = 24;
const PACKET_HEAD: usize = 16;

/// The frames of a capture.
pub(super) fn frames(capture: &[u8]) -> Vec<&[u8]> {
    let mut rest = &capture[FILE_HEAD..];
    let mut frames = Vec::new();
    while let Some((head, behind)) = rest.split_at_checked(PACKET_HEAD) {
        let len = u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) as usize;
        let (frame, after) = behind.split_at(len);
        frames.push(frame);
        rest = after;
    }
    frames
}

/// What a frame says, as the harness writes it.
pub(super) fn read(frame: &[u8]) -> String {
    packet(frame).map_or("None".to_owned(), |headers| {
        let bth = &headers.bth;
        let syndrome = headers.aeth.map(|aeth| aeth.syndrome.as_u8());
        let syndrome = syndrome.map_or("None".to_owned(), |byte| format!("Some({byte:#04x})"));
        let (opcode, dest_qp) = (bth.opcode.as_u8(), bth.dest_qp.value());
        format!("opcode {opcode:#04x}, dest_qp {dest_qp:#x}, psn {}, syndrome {syndrome}", bth.psn)
    })
}

/// The headers of a RoCEv2 packet over IPv4.
fn packet(frame: &[u8]) -> Option<Headers> {
    let (ethernet, ip) = frame.split_at_checked(ETHERNET)?;
    let udp = ip.get(4 * usize::from(ip.first()? & 15)..)?;
    let (head, payload) = udp.split_at_checked(8)?;
    let is_roce = ethernet[12..] == [8, 0] && ip[9] == 17 && head[2..4] == UDP_PORT.to_be_bytes();
    let (headers, _) = Headers::parse(payload).ok()?;
    is_roce.then_some(headers)
}
