//! Management datagrams: what travels between the general service interfaces (QP1) of two devices.

/// Bytes of every management datagram, the payload of its packet (IBTA volume 1, 13.4.2).
pub const MAD_LEN: usize = 256;

/// The Q_Key of QP1 (IBTA volume 1, 3.5.3).
pub const GSI_QKEY: u32 = 0x8001_0000;

/// The common header of management datagrams (IBTA volume 1, 13.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MadHeader {
    /// Version of the format, 1.
    pub base_version: u8,
    /// Management class.
    pub class: u8,
    /// Version of the class.
    pub class_version: u8,
    /// Method: 3 for Send.
    pub method: u8,
    /// Status of a response.
    pub status: u16,
    /// Of the class.
    pub class_specific: u16,
    /// What an answer is matched to its question by; the asker chooses it.
    pub transaction_id: u64,
    /// Attribute: which message it is.
    pub attribute: u16,
    /// Two reserved bytes.
    pub reserved: u16,
    /// Attribute modifier.
    pub modifier: u32,
}

impl MadHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 24;

    /// Reads a header.
    pub const fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, b7, t0, t1, t2, t3, t4, t5, t6, t7, a0, a1, r0, r1, m0, m1, m2, m3] =
            *bytes;
        Self {
            base_version: b0,
            class: b1,
            class_version: b2,
            method: b3,
            status: u16::from_be_bytes([b4, b5]),
            class_specific: u16::from_be_bytes([b6, b7]),
            transaction_id: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            attribute: u16::from_be_bytes([a0, a1]),
            reserved: u16::from_be_bytes([r0, r1]),
            modifier: u32::from_be_bytes([m0, m1, m2, m3]),
        }
    }

    /// Writes the header.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        out[..4].copy_from_slice(&[self.base_version, self.class, self.class_version, self.method]);
        out[4..6].copy_from_slice(&self.status.to_be_bytes());
        out[6..8].copy_from_slice(&self.class_specific.to_be_bytes());
        out[8..16].copy_from_slice(&self.transaction_id.to_be_bytes());
        out[16..18].copy_from_slice(&self.attribute.to_be_bytes());
        out[18..20].copy_from_slice(&self.reserved.to_be_bytes());
        out[20..].copy_from_slice(&self.modifier.to_be_bytes());
    }
}
