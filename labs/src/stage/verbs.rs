//! The calls of `rdma.rs`, one line each, carried out on a simulated card.

use std::net::IpAddr;

use ferroce_engine::{
    Access, AddressVector, ImmDt, Payload, Psn, QpAttr, QpCap, QpInit, QpState, QpType, Qpn, RecvWr, Remote,
    SendFlags, SendOp, SendWr, Wc, WcOpcode, WcStatus,
};
use ferroce_fabric::{End, Fabric};

use super::actor::Actor;
use crate::peer::MTU;
use crate::talk::{hex, unhex};

/// Carries out one call. An error is a sentence for the student.
pub(super) fn call(
    actor: &mut Actor,
    fabric: &mut Fabric,
    verb: &str,
    arguments: &str,
    peer: Option<IpAddr>,
) -> Result<String, String> {
    let words: Vec<&str> = arguments.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(u64::MAX);
    match verb {
        "memory" => actor.register(fabric, number(0) as usize, access(number(1))),
        "put" => {
            let bytes = unhex(words.get(2).copied().unwrap_or_default());
            actor.put(number(0), number(1), &bytes).map_err(|why| format!("write(): {why}"))?;
            Ok(String::new())
        }
        "take" => {
            let bytes =
                actor.bytes(number(0), number(1), number(2)).map_err(|why| format!("read(): {why}"))?;
            Ok(hex(&bytes))
        }
        "cq" => {
            let made = fabric.with(actor.host(), |device, _| device.create_cq(number(0) as u32));
            let cq = made.map_err(|error| format!("completion_queue({}): {error}", number(0)))?;
            Ok(actor.keep_cq(cq)?.to_string())
        }
        "qp" => create_qp(actor, fabric, [number(0), number(1), number(2), number(3)]),
        "init" | "rtr" | "rts" => {
            let numbers = [number(1), number(2), number(3)];
            let end = End { host: actor.host(), qp: actor.qp(number(0))? };
            let change = change(verb, numbers, peer)?;
            fabric.modify_qp(end, &change).map_err(|error| format!("to_{verb}(): {error}"))?;
            Ok(String::new())
        }
        "state" => {
            let (qp, host) = (actor.qp(number(0))?, actor.host());
            let info = fabric.device(host).query_qp(qp).map_err(|error| error.to_string())?;
            Ok((info.state as u32).to_string())
        }
        "send" => send(actor, fabric, &words),
        "receive" => {
            let end = End { host: actor.host(), qp: actor.qp(number(0))? };
            let sge =
                actor.sge(number(2), number(3), number(4)).map_err(|why| format!("receive(): {why}"))?;
            let posted = fabric.post_recv(end, &[RecvWr { wr_id: number(1), sges: &[sge] }]);
            posted.map(|()| String::new()).map_err(|error| format!("receive(): {}", error.cause))
        }
        "now" => Ok(fabric.now().nanos().to_string()),
        other => Err(format!("there is no call '{other}'")),
    }
}

fn create_qp(actor: &mut Actor, fabric: &mut Fabric, numbers: [u64; 4]) -> Result<String, String> {
    let [cq, send, receive, signal_all] = numbers;
    let (cq, pd) = (actor.cq(cq)?, actor.pd());
    let cap = QpCap { max_send_wr: send as u32, max_recv_wr: receive as u32, ..QpCap::default() };
    let signal_all = signal_all == 1;
    let init = QpInit { cap, signal_all, ..QpInit::new(QpType::Rc, pd, cq) };
    let made = fabric.with(actor.host(), |device, _| device.create_qp(&init));
    let qp = made.map_err(|error| format!("queue_pair(): {error}"))?;
    Ok(format!("{} {}", actor.keep_qp(qp)?, qp.value()))
}

fn change(verb: &str, numbers: [u64; 3], peer: Option<IpAddr>) -> Result<QpAttr, String> {
    let psn = |number: u64| {
        let valid = u32::try_from(number).ok().filter(|&psn| psn < 1 << 24);
        valid.map(Psn::new).ok_or(format!("to_{verb}(): PSN {number} has more than 24 bits"))
    };
    match verb {
        "init" => Ok(QpAttr::init(access(numbers[0]))),
        "rtr" => {
            let peer = peer.ok_or("to_rtr(): there is no such program")?;
            let qpn = Qpn::new(numbers[1] as u32 & 0x00ff_ffff);
            Ok(QpAttr::rtr(AddressVector::new(0, peer), qpn, psn(numbers[2])?, MTU))
        }
        // Eight tries, as many as there can be: on a network that loses packets some come to nothing.
        _ => Ok(QpAttr { retry_cnt: Some(7), ..QpAttr::rts(psn(numbers[0])?) }),
    }
}

fn send(actor: &Actor, fabric: &mut Fabric, words: &[&str]) -> Result<String, String> {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(u64::MAX);
    let end = End { host: actor.host(), qp: actor.qp(number(0))? };
    let sge = actor.sge(number(3), number(4), number(5)).map_err(|why| format!("send(): {why}"))?;
    let remote = Remote { addr: number(7), rkey: number(8) as u32 };
    let imm = ImmDt((number(9) as u32).to_be_bytes());
    let op = match words.get(6).copied().unwrap_or_default() {
        "send" => SendOp::Send,
        "send-imm" => SendOp::SendImm(imm),
        "write" => SendOp::Write(remote),
        "write-imm" => SendOp::WriteImm(remote, imm),
        "read" => SendOp::Read(remote),
        "fetch-add" => SendOp::FetchAdd { remote, add: number(9) },
        "compare-swap" => SendOp::CompareSwap { remote, compare: number(9), swap: number(10) },
        other => return Err(format!("there is no operation '{other}'")),
    };
    let flags = if number(2) == 1 { SendFlags::SIGNALED } else { SendFlags::empty() };
    let list = [sge];
    let wr = SendWr { flags, ..SendWr::new(number(1), op, Payload::Sges(&list)) };
    fabric.post_send(end, &[wr]).map(|()| String::new()).map_err(|error| format!("send(): {}", error.cause))
}

/// A completion as `rdma.rs` reads it.
pub(super) fn completion_words(wc: &Wc) -> String {
    let is_receive = matches!(wc.opcode, WcOpcode::Recv | WcOpcode::RecvRdmaWithImm);
    let imm = wc.imm.map_or("-".to_owned(), |imm| u32::from_be_bytes(imm.0).to_string());
    format!("{} {} {} {} {imm}", wc.wr_id, status(wc.status), u8::from(is_receive), wc.byte_len)
}

/// A status for people.
pub(super) fn status(status: WcStatus) -> String {
    match status {
        WcStatus::Success => "success".to_owned(),
        failure => format!("{failure:?}"),
    }
}

/// State numbers are those of `enum ibv_qp_state`.
const _: () = assert!(QpState::Rts as u32 == 3 && QpState::Err as u32 == 6);

fn access(bits: u64) -> Access {
    Access::from_bits_truncate(bits as u32)
}
