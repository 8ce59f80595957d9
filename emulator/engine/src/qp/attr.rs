//! Attributes of a queue pair, as `ibv_modify_qp` and `ibv_query_qp` know them.

use std::net::IpAddr;

use ferroce_wire::{PathMtu, Psn, Qpn, RnrTimer};

use crate::error::TransitionFault;
use crate::memory::Access;

use super::address::{AddressVector, AltPath, MigState};
use super::ending::QpEnding;
use super::init::QpInit;
use super::state::QpState;

/// Changes for `modify_qp`; an attribute that is `None` is not in the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QpAttr {
    /// State to go to.
    pub state: Option<QpState>,
    /// State that the caller believes the queue pair to be in.
    pub cur_state: Option<QpState>,
    /// Raise [`SqDrained`](crate::QpEvent::SqDrained) when the send queue has drained.
    pub en_sqd_async_notify: Option<bool>,
    /// What peers may do through this queue pair.
    pub access: Option<Access>,
    /// Index into the table of partition keys; there is only index 0.
    pub pkey_index: Option<u16>,
    /// Port number; there is only port 1.
    pub port: Option<u8>,
    /// For datagrams: the key that arriving ones must carry.
    pub qkey: Option<u32>,
    /// Path to the peer.
    pub av: Option<AddressVector>,
    /// Path for when that one fails.
    pub alt_path: Option<AltPath>,
    /// State of path migration.
    pub path_mig_state: Option<MigState>,
    /// Payload of a full packet. Both ends must agree.
    pub path_mtu: Option<PathMtu>,
    /// Local ACK timeout, 0..=31: 4.096 µs · 2^timeout; 0 waits for ever.
    pub timeout: Option<u8>,
    /// Retransmissions without progress before giving up, 0..=7.
    pub retry_cnt: Option<u8>,
    /// Retransmissions after "receiver not ready" before giving up, 0..=7; 7 for ever.
    pub rnr_retry: Option<u8>,
    /// First PSN expected from the peer.
    pub rq_psn: Option<Psn>,
    /// First PSN to send.
    pub sq_psn: Option<Psn>,
    /// READs and atomics that may be outstanding towards the peer, 0..=128.
    pub max_rd_atomic: Option<u8>,
    /// READs and atomics that the peer may have outstanding towards us, 0..=128.
    pub max_dest_rd_atomic: Option<u8>,
    /// How long a peer is asked to wait when no receive is posted.
    pub min_rnr_timer: Option<RnrTimer>,
    /// The peer's queue pair.
    pub dest_qpn: Option<Qpn>,
    /// Limit of the sending rate in kbit/s; 0 for none.
    pub rate_limit: Option<u32>,
}

bitflags::bitflags! {
    /// Which attributes a call names; values of `enum ibv_qp_attr_mask`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AttrMask: u32 {
        /// `state`
        const STATE = 1;
        /// `cur_state`
        const CUR_STATE = 1 << 1;
        /// `en_sqd_async_notify`
        const EN_SQD_ASYNC_NOTIFY = 1 << 2;
        /// `access`
        const ACCESS_FLAGS = 1 << 3;
        /// `pkey_index`
        const PKEY_INDEX = 1 << 4;
        /// `port`
        const PORT = 1 << 5;
        /// `qkey`
        const QKEY = 1 << 6;
        /// `av`
        const AV = 1 << 7;
        /// `path_mtu`
        const PATH_MTU = 1 << 8;
        /// `timeout`
        const TIMEOUT = 1 << 9;
        /// `retry_cnt`
        const RETRY_CNT = 1 << 10;
        /// `rnr_retry`
        const RNR_RETRY = 1 << 11;
        /// `rq_psn`
        const RQ_PSN = 1 << 12;
        /// `max_rd_atomic`
        const MAX_QP_RD_ATOMIC = 1 << 13;
        /// `alt_path`
        const ALT_PATH = 1 << 14;
        /// `min_rnr_timer`
        const MIN_RNR_TIMER = 1 << 15;
        /// `sq_psn`
        const SQ_PSN = 1 << 16;
        /// `max_dest_rd_atomic`
        const MAX_DEST_RD_ATOMIC = 1 << 17;
        /// `path_mig_state`
        const PATH_MIG_STATE = 1 << 18;
        /// `dest_qpn`
        const DEST_QPN = 1 << 20;
        /// `rate_limit`
        const RATE_LIMIT = 1 << 25;
    }
}

impl core::fmt::Display for AttrMask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        bitflags::parser::to_writer(self, f)
    }
}

impl QpAttr {
    /// RESET to INIT: what RC and UC require.
    pub fn init(access: Access) -> QpAttr {
        QpAttr {
            state: Some(QpState::Init),
            pkey_index: Some(0),
            port: Some(1),
            access: Some(access),
            ..QpAttr::default()
        }
    }

    /// RESET to INIT: what UD requires.
    pub fn init_ud(qkey: u32) -> QpAttr {
        QpAttr {
            state: Some(QpState::Init),
            pkey_index: Some(0),
            port: Some(1),
            qkey: Some(qkey),
            ..QpAttr::default()
        }
    }

    /// INIT to RTR: what RC requires. The peer may take 0.64 ms per "receiver not ready", and may have 16
    /// READs and atomics outstanding.
    pub fn rtr(av: AddressVector, dest_qpn: Qpn, rq_psn: Psn, path_mtu: PathMtu) -> QpAttr {
        QpAttr {
            state: Some(QpState::Rtr),
            av: Some(av),
            path_mtu: Some(path_mtu),
            dest_qpn: Some(dest_qpn),
            rq_psn: Some(rq_psn),
            max_dest_rd_atomic: Some(16),
            min_rnr_timer: Some(RnrTimer(12)),
            ..QpAttr::default()
        }
    }

    /// INIT to RTR: what UC requires.
    pub fn rtr_uc(av: AddressVector, dest_qpn: Qpn, rq_psn: Psn, path_mtu: PathMtu) -> QpAttr {
        QpAttr {
            max_dest_rd_atomic: None,
            min_rnr_timer: None,
            ..QpAttr::rtr(av, dest_qpn, rq_psn, path_mtu)
        }
    }

    /// RTR to RTS: what RC requires. 67 ms local ACK timeout, 6 retries, RNR retries for ever, 16 READs and
    /// atomics outstanding.
    pub fn rts(sq_psn: Psn) -> QpAttr {
        QpAttr {
            state: Some(QpState::Rts),
            sq_psn: Some(sq_psn),
            timeout: Some(14),
            retry_cnt: Some(6),
            rnr_retry: Some(7),
            max_rd_atomic: Some(16),
            ..QpAttr::default()
        }
    }

    /// RTR to RTS: what UC and UD require.
    pub fn rts_unreliable(sq_psn: Psn) -> QpAttr {
        QpAttr { sq_psn: Some(sq_psn), ..QpAttr::to(QpState::Rts) }
    }

    /// To a state that needs nothing more: RESET, ERR, SQD, and RTR for UD.
    pub fn to(state: QpState) -> QpAttr {
        QpAttr { state: Some(state), ..QpAttr::default() }
    }

    /// The attributes that are given.
    pub fn mask(&self) -> AttrMask {
        let given = [
            (self.state.is_some(), AttrMask::STATE),
            (self.cur_state.is_some(), AttrMask::CUR_STATE),
            (self.en_sqd_async_notify.is_some(), AttrMask::EN_SQD_ASYNC_NOTIFY),
            (self.access.is_some(), AttrMask::ACCESS_FLAGS),
            (self.pkey_index.is_some(), AttrMask::PKEY_INDEX),
            (self.port.is_some(), AttrMask::PORT),
            (self.qkey.is_some(), AttrMask::QKEY),
            (self.av.is_some(), AttrMask::AV),
            (self.alt_path.is_some(), AttrMask::ALT_PATH),
            (self.path_mig_state.is_some(), AttrMask::PATH_MIG_STATE),
            (self.path_mtu.is_some(), AttrMask::PATH_MTU),
            (self.timeout.is_some(), AttrMask::TIMEOUT),
            (self.retry_cnt.is_some(), AttrMask::RETRY_CNT),
            (self.rnr_retry.is_some(), AttrMask::RNR_RETRY),
            (self.rq_psn.is_some(), AttrMask::RQ_PSN),
            (self.max_rd_atomic.is_some(), AttrMask::MAX_QP_RD_ATOMIC),
            (self.min_rnr_timer.is_some(), AttrMask::MIN_RNR_TIMER),
            (self.sq_psn.is_some(), AttrMask::SQ_PSN),
            (self.max_dest_rd_atomic.is_some(), AttrMask::MAX_DEST_RD_ATOMIC),
            (self.dest_qpn.is_some(), AttrMask::DEST_QPN),
            (self.rate_limit.is_some(), AttrMask::RATE_LIMIT),
        ];
        given.iter().filter(|(is_given, _)| *is_given).map(|(_, bit)| *bit).collect()
    }

    /// Takes over everything that `change` gives, except states.
    pub(super) fn merge(&mut self, change: &QpAttr) {
        fn take<A: Copy>(old: &mut Option<A>, new: Option<A>) {
            *old = new.or(*old);
        }
        take(&mut self.en_sqd_async_notify, change.en_sqd_async_notify);
        take(&mut self.access, change.access);
        take(&mut self.pkey_index, change.pkey_index);
        take(&mut self.port, change.port);
        take(&mut self.qkey, change.qkey);
        take(&mut self.av, change.av);
        take(&mut self.alt_path, change.alt_path);
        take(&mut self.path_mig_state, change.path_mig_state);
        take(&mut self.path_mtu, change.path_mtu);
        take(&mut self.timeout, change.timeout);
        take(&mut self.retry_cnt, change.retry_cnt);
        take(&mut self.rnr_retry, change.rnr_retry);
        take(&mut self.rq_psn, change.rq_psn);
        take(&mut self.sq_psn, change.sq_psn);
        take(&mut self.max_rd_atomic, change.max_rd_atomic);
        take(&mut self.max_dest_rd_atomic, change.max_dest_rd_atomic);
        take(&mut self.min_rnr_timer, change.min_rnr_timer);
        take(&mut self.dest_qpn, change.dest_qpn);
        take(&mut self.rate_limit, change.rate_limit);
    }

    /// Checks the ranges of what is given.
    pub(super) fn check_ranges(&self, port: &Port<'_>) -> Result<(), TransitionFault> {
        let above = |value: Option<u8>, most| value.is_some_and(|value| value > most);
        let faults = [
            (self.pkey_index.is_some_and(|index| index != 0), "pkey_index"),
            (self.port.is_some_and(|port| port != 1), "port"),
            (self.av.is_some_and(|av| !port.reaches(&av)), "av"),
            (self.alt_path.is_some_and(|path| !port.has(&path)), "alt_path"),
            (self.path_mtu.is_some_and(|mtu| mtu.bytes() > port.mtu.bytes()), "path_mtu"),
            (above(self.timeout, 31), "timeout"),
            (above(self.retry_cnt, 7), "retry_cnt"),
            (above(self.rnr_retry, 7), "rnr_retry"),
            (above(self.max_rd_atomic, port.max_rd_atomic), "max_rd_atomic"),
            (above(self.max_dest_rd_atomic, port.max_rd_atomic), "max_dest_rd_atomic"),
        ];
        match faults.iter().find(|(is_fault, _)| *is_fault) {
            Some((_, name)) => Err(TransitionFault::Range(name)),
            None => Ok(()),
        }
    }
}

/// What of the device limits the attributes of its queue pairs.
pub(crate) struct Port<'a> {
    pub gids: &'a [IpAddr],
    pub mtu: PathMtu,
    pub max_rd_atomic: u8,
}

impl Port<'_> {
    /// True when the source exists and speaks the destination's version of IP.
    pub(crate) fn reaches(&self, av: &AddressVector) -> bool {
        let source = self.gids.get(usize::from(av.sgid_index));
        let same_version = source.is_some_and(|source| source.is_ipv4() == av.dgid.is_ipv4());
        same_version && av.flow_label < 1 << 20 && av.sl < 16
    }

    fn has(&self, path: &AltPath) -> bool {
        self.reaches(&path.av) && path.port == 1 && path.pkey_index == 0 && path.timeout < 32
    }
}

/// All that `ibv_query_qp` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpInfo {
    /// The queue pair's number.
    pub qpn: Qpn,
    /// What it was created with; sizes are those granted.
    pub init: QpInit,
    /// Its state.
    pub state: QpState,
    /// True while a send queue in SQD still has messages in flight (`sq_draining`).
    pub sq_draining: bool,
    /// How it came to the error state in which it is.
    pub ending: Option<QpEnding>,
    /// All other attributes. Those never set are `None`, except that `sq_psn` and `rq_psn` are the current
    /// ones: the next PSN to be sent and to be expected.
    pub attr: QpAttr,
}
