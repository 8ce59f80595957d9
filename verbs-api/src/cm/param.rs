//! What is proposed to a peer.

use ferroce_engine::Qpn;

/// How a connection is to be (`struct rdma_conn_param`).
///
/// ```
/// use ferroce::cm::ConnParam;
///
/// let param = ConnParam { private_data: b"hello".to_vec(), ..ConnParam::default() };
/// # assert_eq!(param.retry_count, 7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnParam {
    /// For the peer's application: at most 56 bytes with a request (180 for datagrams), 196 with an answer (136).
    pub private_data: Vec<u8>,
    /// READs and atomics of the peer that can be open; [`ConnParam::MAX`] for as many as possible.
    pub responder_resources: u8,
    /// READs and atomics towards the peer that can be open; [`ConnParam::MAX`] for as many as possible.
    pub initiator_depth: u8,
    /// End-to-end flow control.
    pub flow_control: bool,
    /// Retransmissions before giving up, 0..=7; what an accepting side says is not used.
    pub retry_count: u8,
    /// Retransmissions after "receiver not ready" before giving up, 0..=7; 7 for ever.
    pub rnr_retry_count: u8,
    /// The queue pair uses a shared receive queue; for queue pairs that are not known here.
    pub srq: bool,
    /// The queue pair, if none was [attached](super::Id::attach).
    pub qp_num: Qpn,
    /// The Q_Key of a datagram service that accepts.
    pub qkey: u32,
}

impl ConnParam {
    /// As many READs and atomics as possible (`RDMA_MAX_RESP_RES`, `RDMA_MAX_INIT_DEPTH`).
    pub const MAX: u8 = 0xff;
}

impl Default for ConnParam {
    /// What librdmacm takes for a missing parameter.
    fn default() -> ConnParam {
        ConnParam {
            private_data: Vec::new(),
            responder_resources: ConnParam::MAX,
            initiator_depth: ConnParam::MAX,
            flow_control: false,
            retry_count: 7,
            rnr_retry_count: 7,
            srq: false,
            qp_num: Qpn::default(),
            qkey: super::UD_QKEY,
        }
    }
}
