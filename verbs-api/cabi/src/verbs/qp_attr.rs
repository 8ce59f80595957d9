//! Attributes of queue pairs, from C and to C.

/// From C.
pub(crate) mod from_c {
    use std::ffi::c_uint;

    use ferroce_engine::{
        Access, AddressVector, AltPath, AttrMask, MigState, PathMtu, Psn, QpAttr, QpState, Qpn, RnrTimer,
    };

    use crate::abi;
    use crate::border::{Errno, INVALID, UNSUPPORTED};
    use crate::verbs::gid::address;

    /// `IBV_QP_CAP`: work queues keep the sizes that they were made with.
    const NOT_OFFERED: c_uint = 1 << 19;

    /// The attributes that `mask` names.
    pub(crate) fn change(attr: &abi::QpAttr, mask: c_uint) -> Result<QpAttr, Errno> {
        if mask & NOT_OFFERED != 0 {
            return Err(UNSUPPORTED);
        }
        let mask = AttrMask::from_bits(mask).ok_or(INVALID)?;
        let has = |bit: AttrMask| mask.contains(bit);
        let state_if = |bit, value| if has(bit) { state(value).map(Some) } else { Ok(None) };
        let wanted = |bit: AttrMask, value: u8| has(bit).then_some(value);
        Ok(QpAttr {
            state: state_if(AttrMask::STATE, attr.qp_state)?,
            cur_state: state_if(AttrMask::CUR_STATE, attr.cur_qp_state)?,
            en_sqd_async_notify: has(AttrMask::EN_SQD_ASYNC_NOTIFY).then_some(attr.en_sqd_async_notify != 0),
            access: match has(AttrMask::ACCESS_FLAGS) {
                true => Some(Access::from_verbs(attr.qp_access_flags).ok_or(INVALID)?),
                false => None,
            },
            pkey_index: has(AttrMask::PKEY_INDEX).then_some(attr.pkey_index),
            port: wanted(AttrMask::PORT, attr.port_num),
            av: if has(AttrMask::AV) { Some(vector(&attr.ah_attr)?) } else { None },
            qkey: has(AttrMask::QKEY).then_some(attr.qkey),
            alt_path: if has(AttrMask::ALT_PATH) { Some(alternate(attr)?) } else { None },
            path_mig_state: match has(AttrMask::PATH_MIG_STATE) {
                true => Some(migration(attr.path_mig_state)?),
                false => None,
            },
            path_mtu: match has(AttrMask::PATH_MTU) {
                true => Some(mtu(attr.path_mtu)?),
                false => None,
            },
            timeout: wanted(AttrMask::TIMEOUT, attr.timeout),
            retry_cnt: wanted(AttrMask::RETRY_CNT, attr.retry_cnt),
            rnr_retry: wanted(AttrMask::RNR_RETRY, attr.rnr_retry),
            rq_psn: has(AttrMask::RQ_PSN).then(|| Psn::new(attr.rq_psn)),
            sq_psn: has(AttrMask::SQ_PSN).then(|| Psn::new(attr.sq_psn)),
            max_rd_atomic: wanted(AttrMask::MAX_QP_RD_ATOMIC, attr.max_rd_atomic),
            max_dest_rd_atomic: wanted(AttrMask::MAX_DEST_RD_ATOMIC, attr.max_dest_rd_atomic),
            min_rnr_timer: has(AttrMask::MIN_RNR_TIMER).then_some(RnrTimer(attr.min_rnr_timer & 31)),
            dest_qpn: has(AttrMask::DEST_QPN).then(|| Qpn::new(attr.dest_qp_num)),
            rate_limit: has(AttrMask::RATE_LIMIT).then_some(attr.rate_limit),
        })
    }

    fn state(value: c_uint) -> Result<QpState, Errno> {
        let states = [
            QpState::Reset,
            QpState::Init,
            QpState::Rtr,
            QpState::Rts,
            QpState::Sqd,
            QpState::Sqe,
            QpState::Err,
        ];
        states.get(value as usize).copied().ok_or(INVALID)
    }

    fn alternate(attr: &abi::QpAttr) -> Result<AltPath, Errno> {
        let av = vector(&attr.alt_ah_attr)?;
        let (pkey_index, port, timeout) = (attr.alt_pkey_index, attr.alt_port_num, attr.alt_timeout);
        Ok(AltPath { av, pkey_index, port, timeout })
    }

    fn migration(value: c_uint) -> Result<MigState, Errno> {
        [MigState::Migrated, MigState::Rearm, MigState::Armed].get(value as usize).copied().ok_or(INVALID)
    }

    fn mtu(value: c_uint) -> Result<PathMtu, Errno> {
        u8::try_from(value).ok().and_then(PathMtu::from_ib_value).ok_or(INVALID)
    }

    /// A path, which on Ethernet must have a global part.
    pub(crate) fn vector(attr: &abi::AhAttr) -> Result<AddressVector, Errno> {
        let grh = &attr.grh;
        if attr.is_global == 0 {
            return Err(INVALID);
        }
        Ok(AddressVector {
            sgid_index: grh.sgid_index,
            dgid: address(&grh.dgid),
            traffic_class: grh.traffic_class,
            hop_limit: grh.hop_limit,
            // The field has 20 bits. Programs set more (UCX all), and the kernel drops them.
            flow_label: grh.flow_label & 0xf_ffff,
            sl: attr.sl,
            static_rate: attr.static_rate,
        })
    }
}

/// To C.
pub(crate) mod to_c {
    use std::ffi::c_uint;

    use ferroce_engine::{AddressVector, QpAttr, QpCap, QpInfo};

    use crate::abi::{self, Plain};
    use crate::verbs::gid::gid;

    /// All that `ibv_query_qp` tells; what was never set is 0.
    pub(crate) fn info(info: &QpInfo) -> abi::QpAttr {
        let mut c = attr(&info.attr);
        (c.qp_state, c.cur_qp_state) = (info.state as c_uint, info.state as c_uint);
        c.cap = cap(&info.init.cap);
        c.sq_draining = u8::from(info.sq_draining);
        c
    }

    /// The attributes that are given; the others are 0.
    pub(crate) fn attr(attr: &QpAttr) -> abi::QpAttr {
        let mut c = abi::QpAttr::zeroed();
        c.qp_state = attr.state.map_or(0, |state| state as c_uint);
        c.path_mtu = attr.path_mtu.map_or(0, |mtu| c_uint::from(mtu.ib_value()));
        c.rq_psn = attr.rq_psn.map_or(0, |psn| psn.value());
        c.sq_psn = attr.sq_psn.map_or(0, |psn| psn.value());
        c.dest_qp_num = attr.dest_qpn.map_or(0, |qpn| qpn.value());
        c.qkey = attr.qkey.unwrap_or(0);
        c.path_mig_state = attr.path_mig_state.map_or(0, |state| state as c_uint);
        if let Some(alternate) = &attr.alt_path {
            c.alt_ah_attr = path(&alternate.av);
            (c.alt_pkey_index, c.alt_port_num) = (alternate.pkey_index, alternate.port);
            c.alt_timeout = alternate.timeout;
        }
        c.qp_access_flags = attr.access.map_or(0, |access| access.bits());
        if let Some(av) = &attr.av {
            c.ah_attr = path(av);
        }
        c.pkey_index = attr.pkey_index.unwrap_or(0);
        c.en_sqd_async_notify = u8::from(attr.en_sqd_async_notify.unwrap_or(false));
        c.max_rd_atomic = attr.max_rd_atomic.unwrap_or(0);
        c.max_dest_rd_atomic = attr.max_dest_rd_atomic.unwrap_or(0);
        c.min_rnr_timer = attr.min_rnr_timer.map_or(0, |timer| timer.0);
        c.port_num = attr.port.unwrap_or(0);
        c.timeout = attr.timeout.unwrap_or(0);
        c.retry_cnt = attr.retry_cnt.unwrap_or(0);
        c.rnr_retry = attr.rnr_retry.unwrap_or(0);
        c.rate_limit = attr.rate_limit.unwrap_or(0);
        c
    }

    /// A path.
    pub(crate) fn path(av: &AddressVector) -> abi::AhAttr {
        let mut c = abi::AhAttr::zeroed();
        (c.is_global, c.port_num) = (1, 1);
        (c.sl, c.static_rate) = (av.sl, av.static_rate);
        c.grh = abi::GlobalRoute {
            dgid: gid(av.dgid),
            flow_label: av.flow_label,
            sgid_index: av.sgid_index,
            hop_limit: av.hop_limit,
            traffic_class: av.traffic_class,
        };
        c
    }

    /// Sizes of queues.
    pub(crate) fn cap(cap: &QpCap) -> abi::QpCap {
        abi::QpCap {
            max_send_wr: cap.max_send_wr,
            max_recv_wr: cap.max_recv_wr,
            max_send_sge: cap.max_send_sge,
            max_recv_sge: cap.max_recv_sge,
            max_inline_data: cap.max_inline_data,
        }
    }
}
