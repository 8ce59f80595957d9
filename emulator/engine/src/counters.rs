//! Counters: what a device did, and why it dropped what it dropped.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the device was made. Names follow the `hw_counters` of Linux where those exist.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// All counters by name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Packets sent, retransmissions included.
    sent_pkts,
    /// Bytes of UDP payload sent.
    sent_bytes,
    /// Packets that reached a queue pair.
    rcvd_pkts,
    /// Bytes of UDP payload in them.
    rcvd_bytes,
    /// Request packets sent again.
    retransmitted_pkts,
    /// Request packets received that had been executed already.
    duplicate_request,
    /// Request packets received behind a gap.
    out_of_seq_request,
    /// Request packets received behind a gap and kept until it is closed.
    kept_early,
    /// PSN sequence error NAKs sent.
    seq_nak_sent,
    /// PSN sequence error NAKs received.
    packet_seq_err,
    /// Losses that a requester inferred from a later acknowledgement.
    implied_nak_seq_err,
    /// "Receiver not ready" sent.
    rnr_nak_sent,
    /// "Receiver not ready" received.
    rnr_nak_rcvd,
    /// NAKs sent that end the connection.
    fatal_nak_sent,
    /// NAKs received that end the connection.
    fatal_nak_rcvd,
    /// ACKs sent.
    ack_sent,
    /// Requests for acknowledgement answered together with a later one.
    ack_coalesced,
    /// ACKs and responses received that acknowledge nothing new.
    stale_response,
    /// Packets received that a switch had marked "congestion experienced".
    np_ecn_marked_roce_packets,
    /// Congestion notifications sent.
    np_cnp_sent,
    /// Congestion notifications that slowed a queue pair down.
    rp_cnp_handled,
    /// Congestion notifications that came to a queue pair without rate control.
    rp_cnp_ignored,
    /// Local ACK timeouts.
    local_ack_timeout_err,
    /// Queue pairs that gave up after timeouts or NAKs.
    retry_exceeded_err,
    /// Queue pairs that gave up waiting for the peer's receives.
    rnr_retry_exceeded_err,
    /// Completions lost because their queue was full.
    cq_overflow,
    /// Dropped: not long enough for its own headers, or an unknown opcode.
    drop_malformed,
    /// Dropped: transport version not 0.
    drop_version,
    /// Dropped: addressed to somebody else.
    drop_not_ours,
    /// Dropped: wrong ICRC.
    drop_icrc,
    /// Dropped: no queue pair of that number.
    drop_no_qp,
    /// Dropped: an opcode of another transport service.
    drop_service,
    /// Dropped: the queue pair is in a state in which it takes no such packet.
    drop_qp_state,
    /// Dropped: not from the address that the queue pair is connected to.
    drop_not_peer,
    /// Dropped: partition keys do not match.
    drop_pkey,
    /// Dropped: a datagram with another Q_Key than its queue pair's (`qkey_viol_cntr`).
    drop_qkey,
    /// Dropped: an unreliable message for which no receive was posted.
    drop_no_receive,
    /// Dropped: an unreliable message that its receive or the path MTU has no room for, or that is not as long as
    /// it says.
    drop_length,
    /// Dropped: an unreliable WRITE that may not touch the memory it names.
    drop_access,
    /// Dropped: packets of an unreliable message of which others are missing.
    drop_incomplete,
    /// Dropped: a duplicate that cannot be answered (any more), or does not match what it repeats.
    drop_duplicate,
    /// Dropped: a response or NAK code that means nothing.
    drop_response,
    /// Packets whose ICRC could be checked in 16 bits only, because the link hides the Identification.
    icrc_partial,
}
