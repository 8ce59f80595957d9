//! Datagrams: what arrives behind its network header, and what does not.

use anyhow::Result;

use super::expect::{FERROCE, When, always};
use super::setup::QKEY;
use super::stage::{BAD_KEY, pattern, pause};
use super::{Scenario, Setup, Stage};
use crate::peer::{Destination, Kind, Opcode, QpType, SendWr, Sge};

/// Bytes of network header before each datagram.
const HEADER: usize = 40;

const SQE: &str =
    "a failed send stops the send queue of an unreliable service, not all of it (IBTA 10.3.1.6)";
const RXE61: &[Kind] = &[Kind::Rxe61];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "ud_send",
        about: "a datagram of 100 bytes",
        play: |stage| one(stage, &setup(), Opcode::Send, 100),
        cases: &[always("1 SEND", "| 101 RECV 140", "RTS/RTS")],
    },
    Scenario {
        name: "ud_send_imm",
        about: "a datagram with immediate data",
        play: |stage| one(stage, &setup(), Opcode::SendImm, 64),
        cases: &[always("1 SEND", "| 101 RECV 104 imm=0a0b0c0d", "RTS/RTS")],
    },
    Scenario {
        name: "ud_send_ipv6",
        about: "a datagram over IPv6, of a length that needs padding",
        play: |stage| one(stage, &Setup { gid_index: 2, ..setup() }, Opcode::Send, 101),
        cases: &[always("1 SEND", "| 101 RECV 141", "RTS/RTS")],
    },
    Scenario {
        name: "ud_zero_length",
        about: "a datagram of no bytes: the network header alone",
        play: |stage| one(stage, &setup(), Opcode::Send, 0),
        cases: &[always("1 SEND", "| 101 RECV 40", "RTS/RTS")],
    },
    Scenario {
        name: "ud_mtu_exact",
        about: "a datagram as long as the port's MTU, 4096 bytes",
        play: |stage| one(stage, &setup(), Opcode::Send, 4096),
        cases: &[always("1 SEND", "| 101 RECV 4136", "RTS/RTS")],
    },
    Scenario {
        name: "ud_no_recv",
        about: "a datagram for which no receive is posted",
        play: no_receive,
        cases: &[always("1 SEND", "", "RTS/RTS")],
    },
    Scenario {
        name: "ud_wrong_qkey",
        about: "a datagram with another Q_Key, then one with the right one",
        play: wrong_qkey,
        cases: &[always("1-2 SEND", "| 101 RECV 72", "RTS/RTS")],
    },
    Scenario {
        name: "ud_qkey_msb",
        about: "a datagram whose request has the highest bit of the Q_Key set",
        play: own_qkey,
        cases: &[
            always("1 SEND", "| 101 RECV 104", "RTS/RTS").when(
                When::Requester(FERROCE),
                "such a Q_Key stands for the queue pair's own (IBTA 10.2.5); soft-RoCE sends it as it is",
            ),
            always("1 SEND", "", "RTS/RTS"),
        ],
    },
    Scenario {
        name: "ud_no_qp",
        about: "a datagram to a queue pair that does not exist",
        play: no_queue_pair,
        cases: &[always("1 SEND", "", "RTS/RTS")],
    },
    Scenario {
        name: "ud_too_long",
        about: "a datagram of one byte more than the port's MTU, then a short one",
        play: too_long,
        cases: &[
            always("1 LOC_LEN_ERR, 2 flush", "", "SQE/RTS").when(
                When::Requester(FERROCE),
                "soft-RoCE reports success and sends nothing, which hides a fault of the program",
            ),
            always("1-2 SEND", "| 101 RECV 56", "RTS/RTS"),
        ],
    },
    Scenario {
        name: "ud_small_recv",
        about: "a datagram of 100 bytes into a receive of 100, then one of 60",
        play: small_receive,
        cases: &[
            always("1-2 SEND", "| 101 LOC_QP_OP_ERR, 102 flush", "RTS/ERR")
                .when(When::Responder(RXE61), "Linux 6.1 finds out while it copies, and fails"),
            always("1-2 SEND", "| 101 RECV 100", "RTS/RTS"),
        ],
    },
    Scenario {
        name: "ud_local_bad_lkey",
        about: "a good datagram, one from a key that no region has, a good one",
        play: bad_source,
        cases: &[
            always("1 SEND, 2 LOC_PROT_ERR, 3 flush", "| 101 RECV 104", "SQE/RTS")
                .when(When::Requester(FERROCE), SQE),
            always("1 SEND, 2 LOC_QP_OP_ERR, 3 flush", "| 101 RECV 104", "ERR/RTS")
                .when(When::Requester(RXE61), "soft-RoCE knows no SQE"),
            always("1 SEND, 2-3 flush", "| 101 RECV 104", "ERR/RTS")
                .when(When::Always, "Linux 6.12 flushes the request that failed without a status of its own"),
        ],
    },
];

fn setup() -> Setup {
    Setup { service: QpType::Ud, ..Setup::default() }
}

/// Queue pairs on both sides, and the way from the requester to the responder.
fn prepare(stage: &mut Stage<'_>, setup: &Setup) -> Result<()> {
    stage.connect(setup)?;
    let path = setup.path(stage.resp.gid);
    stage.req.create_ah("ah", path)
}

/// A datagram to the responder's queue pair.
fn datagram(stage: &Stage<'_>, wr_id: u64, len: u32) -> SendWr {
    let to = Destination { ah: "ah".into(), qpn: stage.resp.qpn(), qkey: QKEY };
    let wr = SendWr::new(wr_id, Opcode::Send).sge(stage.req.buf.sge(0, len));
    SendWr { to: Some(to), ..wr }
}

fn with_qkey(mut wr: SendWr, qkey: u32) -> SendWr {
    if let Some(to) = &mut wr.to {
        to.qkey = qkey;
    }
    wr
}

/// Says that a datagram of `len` bytes lands in the receive at the start of `buf`.
fn arrives(stage: &mut Stage<'_>, len: usize) {
    stage.resp.undefined(0..HEADER);
    stage.resp.lands(HEADER, &pattern(len));
}

fn one(stage: &mut Stage<'_>, setup: &Setup, opcode: Opcode, len: u32) -> Result<()> {
    prepare(stage, setup)?;
    stage.resp.recv(101, 0, 8192)?;
    arrives(stage, len as usize);
    let wr = SendWr { opcode, ..datagram(stage, 1, len) };
    stage.req.post(wr.imm(0x0a0b_0c0d))
}

fn no_receive(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    let wr = datagram(stage, 1, 64);
    stage.req.post(wr)
}

fn wrong_qkey(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    stage.resp.recv(101, 0, 200)?;
    arrives(stage, 32);
    let (wrong, right) = (datagram(stage, 1, 64), datagram(stage, 2, 32));
    stage.req.post(with_qkey(wrong, QKEY + 1))?;
    stage.req.post(right)
}

fn own_qkey(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    stage.resp.recv(101, 0, 200)?;
    stage.resp.undefined(0..200);
    let wr = with_qkey(datagram(stage, 1, 64), 1 << 31);
    stage.req.post(wr)
}

fn no_queue_pair(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    stage.resp.recv(101, 0, 200)?;
    let mut wr = datagram(stage, 1, 64);
    if let Some(to) = &mut wr.to {
        to.qpn ^= 0x0f_0000;
    }
    stage.req.post(wr)
}

fn too_long(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    stage.resp.recv(101, 0, 8192)?;
    stage.resp.undefined(0..56);
    let wrs = [datagram(stage, 1, 4097), datagram(stage, 2, 16)];
    stage.req.post_each(wrs)
}

fn small_receive(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    stage.resp.recv(101, 0, 100)?;
    stage.resp.recv(102, 200, 200)?;
    stage.resp.undefined(0..400);
    let (first, second) = (datagram(stage, 1, 100), datagram(stage, 2, 60));
    stage.req.post(first)?;
    pause(100);
    stage.req.post(second)
}

fn bad_source(stage: &mut Stage<'_>) -> Result<()> {
    prepare(stage, &setup())?;
    stage.resp.recv(101, 0, 200)?;
    arrives(stage, 64);
    let wr = datagram(stage, 1, 64);
    stage.req.post(wr)?;
    stage.req.wait(1)?;
    let bad = Sge { lkey: BAD_KEY, ..stage.req.buf.sge(0, 64) };
    let wrs = vec![SendWr { sges: vec![bad], ..datagram(stage, 2, 64) }, datagram(stage, 3, 64)];
    stage.req.post_list(wrs)
}
