//! The vocabulary's words in the engine's, and back.

use ferroce_engine as engine;
use ferroce_engine::{
    AsyncEvent, ImmDt, PathMtu, Payload, Psn, QpCap, QpEvent, QpInfo, Qpn, Remote, RnrTimer, SendOp,
    VerbsError, Wc, WcStatus,
};

use super::super::{
    Caps, Completion, Opcode, Path, QpAttr, QpState, QpType, Reply, SendWr, Sge, Status, WcOpcode,
};

/// Numbers of `enum ibv_wc_flags`.
const WC_WITH_IMM: u32 = 2;
const WC_WITH_INV: u32 = 8;

pub(super) fn access(flags: u32) -> Result<engine::Access, VerbsError> {
    engine::Access::from_verbs(flags).ok_or(VerbsError::Invalid("access"))
}

pub(super) fn caps(caps: &Caps) -> QpCap {
    QpCap {
        max_send_wr: caps.send_wr,
        max_recv_wr: caps.recv_wr,
        max_send_sge: caps.send_sge,
        max_recv_sge: caps.recv_sge,
        max_inline_data: caps.inline,
    }
}

pub(super) fn sges(sges: &[Sge]) -> Vec<engine::Sge> {
    sges.iter().map(|sge| engine::Sge { addr: sge.addr, len: sge.len, lkey: sge.lkey }).collect()
}

/// The local side of a send request, for as long as posting takes.
pub(super) enum Data {
    Memory(Vec<engine::Sge>),
    Inline(Vec<u8>),
}

pub(super) fn request<'a>(wr: &SendWr, data: &'a Data, to: engine::To) -> engine::SendWr<'a> {
    let payload = match data {
        Data::Memory(sges) => Payload::Sges(sges),
        Data::Inline(bytes) => Payload::Inline(bytes),
    };
    let flags = engine::SendFlags::from_bits_truncate(wr.flags);
    engine::SendWr { flags, to, ..engine::SendWr::new(wr.wr_id, operation(wr), payload) }
}

fn operation(wr: &SendWr) -> SendOp {
    let remote = Remote { addr: wr.remote_addr, rkey: wr.rkey };
    let imm = ImmDt(wr.imm.to_be_bytes());
    match wr.opcode {
        Opcode::Send => SendOp::Send,
        Opcode::SendImm => SendOp::SendImm(imm),
        Opcode::SendInv => SendOp::SendInv(wr.inv_rkey),
        Opcode::Write => SendOp::Write(remote),
        Opcode::WriteImm => SendOp::WriteImm(remote, imm),
        Opcode::Read => SendOp::Read(remote),
        Opcode::CmpSwap => SendOp::CompareSwap { remote, compare: wr.compare_add, swap: wr.swap },
        Opcode::FetchAdd => SendOp::FetchAdd { remote, add: wr.compare_add },
        Opcode::LocalInv => SendOp::LocalInv(wr.inv_rkey),
        Opcode::AtomicWrite => SendOp::AtomicWrite(remote),
    }
}

pub(super) fn attributes(attr: &QpAttr, sgid_index: u8) -> Result<engine::QpAttr, VerbsError> {
    let mtu = |number: u32| {
        let by_value = || PathMtu::from_ib_value(u8::try_from(number).ok()?);
        PathMtu::from_bytes(number as usize).or_else(by_value).ok_or(VerbsError::Invalid("path_mtu"))
    };
    Ok(engine::QpAttr {
        state: attr.state.map(state),
        cur_state: attr.cur_state.map(state),
        en_sqd_async_notify: attr.sqd_notify.map(|notify| notify != 0),
        access: attr.access.map(access).transpose()?,
        pkey_index: attr.pkey_index,
        port: attr.port,
        qkey: attr.qkey,
        av: attr.path.map(|path| address_vector(path, sgid_index)),
        path_mtu: attr.path_mtu.map(mtu).transpose()?,
        timeout: attr.timeout,
        retry_cnt: attr.retry_cnt,
        rnr_retry: attr.rnr_retry,
        rq_psn: attr.rq_psn.map(Psn::new),
        sq_psn: attr.sq_psn.map(Psn::new),
        max_rd_atomic: attr.max_rd_atomic,
        max_dest_rd_atomic: attr.max_dest_rd_atomic,
        min_rnr_timer: attr.min_rnr_timer.map(RnrTimer),
        dest_qpn: attr.dest_qpn.map(Qpn::new),
        ..engine::QpAttr::default()
    })
}

pub(super) fn address_vector(path: Path, sgid_index: u8) -> engine::AddressVector {
    engine::AddressVector {
        traffic_class: path.traffic_class,
        hop_limit: path.hop_limit,
        flow_label: path.flow_label,
        sl: path.sl,
        ..engine::AddressVector::new(sgid_index, path.gid)
    }
}

pub(super) fn service(kind: QpType) -> engine::QpType {
    match kind {
        QpType::Rc => engine::QpType::Rc,
        QpType::Uc => engine::QpType::Uc,
        QpType::Ud => engine::QpType::Ud,
    }
}

pub(super) fn info(info: &QpInfo) -> Reply {
    let (attr, cap) = (&info.attr, &info.init.cap);
    let attr = QpAttr {
        state: Some(state_back(info.state)),
        cur_state: Some(state_back(info.state)),
        sqd_notify: attr.en_sqd_async_notify.map(u8::from),
        access: attr.access.map(|access| access.bits()),
        pkey_index: attr.pkey_index,
        port: attr.port,
        qkey: attr.qkey,
        path: None,
        path_mtu: attr.path_mtu.map(|mtu| mtu.bytes() as u32),
        timeout: attr.timeout,
        retry_cnt: attr.retry_cnt,
        rnr_retry: attr.rnr_retry,
        rq_psn: attr.rq_psn.map(Psn::value),
        max_rd_atomic: attr.max_rd_atomic,
        min_rnr_timer: attr.min_rnr_timer.map(|timer| timer.0),
        sq_psn: attr.sq_psn.map(Psn::value),
        max_dest_rd_atomic: attr.max_dest_rd_atomic,
        dest_qpn: attr.dest_qpn.map(Qpn::value),
    };
    let caps = Caps {
        send_wr: cap.max_send_wr,
        recv_wr: cap.max_recv_wr,
        send_sge: cap.max_send_sge,
        recv_sge: cap.max_recv_sge,
        inline: cap.max_inline_data,
    };
    Reply::QpAttr { attr, sq_draining: info.sq_draining, caps }
}

pub(super) fn completion(wc: &Wc) -> Completion {
    let (imm, flags) = match (wc.imm, wc.invalidated) {
        (Some(imm), _) => (u32::from_be_bytes(imm.0), WC_WITH_IMM),
        (None, Some(key)) => (key, WC_WITH_INV),
        (None, None) => (0, 0),
    };
    Completion {
        wr_id: wc.wr_id,
        status: status(wc.status),
        opcode: opcode(wc.opcode),
        byte_len: wc.byte_len,
        imm,
        flags,
        qpn: wc.qpn,
    }
}

pub(super) fn event(event: AsyncEvent) -> String {
    let name = match event {
        AsyncEvent::CqErr(_) => "CQ_ERR",
        AsyncEvent::SrqLimitReached(_) => "SRQ_LIMIT_REACHED",
        AsyncEvent::Qp(_, QpEvent::LastWqeReached) => "QP_LAST_WQE_REACHED",
        AsyncEvent::Qp(_, QpEvent::Fatal) => "QP_FATAL",
        AsyncEvent::Qp(_, QpEvent::ReqErr) => "QP_REQ_ERR",
        AsyncEvent::Qp(_, QpEvent::AccessErr) => "QP_ACCESS_ERR",
        AsyncEvent::Qp(_, QpEvent::CommEst) => "COMM_EST",
        AsyncEvent::Qp(_, QpEvent::SqDrained) => "SQ_DRAINED",
    };
    name.to_owned()
}

const STATES: [(QpState, engine::QpState); 7] = [
    (QpState::Reset, engine::QpState::Reset),
    (QpState::Init, engine::QpState::Init),
    (QpState::Rtr, engine::QpState::Rtr),
    (QpState::Rts, engine::QpState::Rts),
    (QpState::Sqd, engine::QpState::Sqd),
    (QpState::Sqe, engine::QpState::Sqe),
    (QpState::Err, engine::QpState::Err),
];

fn state(state: QpState) -> engine::QpState {
    STATES.iter().find(|pair| pair.0 == state).expect("all states are listed").1
}

fn state_back(state: engine::QpState) -> QpState {
    STATES.iter().find(|pair| pair.1 == state).expect("all states are listed").0
}

fn status(status: WcStatus) -> Status {
    match status {
        WcStatus::Success => Status::Success,
        WcStatus::LocLenErr => Status::LocLenErr,
        WcStatus::LocQpOpErr => Status::LocQpOpErr,
        WcStatus::LocProtErr => Status::LocProtErr,
        WcStatus::WrFlushErr => Status::WrFlushErr,
        WcStatus::MwBindErr => Status::MwBindErr,
        WcStatus::BadRespErr => Status::BadRespErr,
        WcStatus::LocAccessErr => Status::LocAccessErr,
        WcStatus::RemInvReqErr => Status::RemInvReqErr,
        WcStatus::RemAccessErr => Status::RemAccessErr,
        WcStatus::RemOpErr => Status::RemOpErr,
        WcStatus::RetryExcErr => Status::RetryExcErr,
        WcStatus::RnrRetryExcErr => Status::RnrRetryExcErr,
    }
}

fn opcode(opcode: engine::WcOpcode) -> WcOpcode {
    match opcode {
        engine::WcOpcode::Send => WcOpcode::Send,
        engine::WcOpcode::RdmaWrite => WcOpcode::RdmaWrite,
        engine::WcOpcode::RdmaRead => WcOpcode::RdmaRead,
        engine::WcOpcode::CompSwap => WcOpcode::CompSwap,
        engine::WcOpcode::FetchAdd => WcOpcode::FetchAdd,
        engine::WcOpcode::BindMw => WcOpcode::BindMw,
        engine::WcOpcode::LocalInv => WcOpcode::LocalInv,
        engine::WcOpcode::AtomicWrite => WcOpcode::AtomicWrite,
        engine::WcOpcode::RegMr | engine::WcOpcode::Flush => unreachable!("no scenario asks for it"),
        engine::WcOpcode::Recv => WcOpcode::Recv,
        engine::WcOpcode::RecvRdmaWithImm => WcOpcode::RecvRdmaWithImm,
    }
}
