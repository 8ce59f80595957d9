//! Bytes as a parser sees them.

use ferroce_wire::cm::CmMad;
use ferroce_wire::frame::Frame;
use ferroce_wire::{Packet, decode};

/// What is read is written again as it was; decoders come to an end; nothing panics.
pub fn packets(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse(bytes) {
        let mut again = vec![0xa5; packet.wire_len()];
        assert_eq!(packet.emit(&mut again), Ok(bytes.len()), "{packet:?}");
        assert_eq!(again, bytes, "{packet:?}");
        let mut bits = 0;
        let told = decode::fields(&packet, &mut |field| bits += field.bits);
        assert!(told.is_err() || bits <= bytes.len() * 8, "more fields than bits: {packet:?}");
        assert!(!packet.to_string().is_empty());
    }
    if let Ok(frame) = Frame::parse(bytes) {
        let tags = frame.tags().count();
        assert!(tags * 4 <= bytes.len(), "{tags} tags in {} bytes", bytes.len());
        let mut again = vec![0; frame.wire_len()];
        assert!(frame.emit(&mut again).is_ok() && frame.wire_len() <= bytes.len());
    }
    if let Ok(mad) = CmMad::parse(bytes) {
        assert_eq!(CmMad::parse(&mad.emit()), Ok(mad), "what is understood is said again");
    }
}
