//! Two sides that disagree about the path MTU, and paths with unusual attributes.

use anyhow::Result;

use super::expect::{REQ_ERR, RXE, When, always};
use super::stage::{pattern, read, send, write};
use super::{Scenario, Setup, Stage};
use crate::peer::{Kind, Status};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_mtu_2048_to_1024_send",
        about: "SEND of three packets of up to 2048 bytes to a side that expects 1024",
        play: |stage| mismatched_send(stage, LARGE_TO_SMALL, 5000),
        cases: &[
            always("1 SEND", "| 101 RECV 5000", "RTS/RTS").when(When::Responder(&[Kind::Rxe61]), LENIENT),
            always("1 REM_INV_REQ_ERR", "| 101 REM_INV_REQ_ERR", "ERR/ERR")
                .when(When::Responder(&[Kind::Rxe612]), "soft-RoCE takes the requester's status"),
            always("1 REM_INV_REQ_ERR", "| 101 LOC_LEN_ERR", "ERR/ERR"),
        ],
    },
    Scenario {
        name: "rc_mtu_2048_to_1024_send_only",
        about: "SEND of one packet of 2000 bytes to a side that expects 1024",
        play: |stage| mismatched_send(stage, LARGE_TO_SMALL, 2000),
        cases: &[
            always("1 SEND", "| 101 RECV 2000", "RTS/RTS").when(When::Responder(&[Kind::Rxe61]), LENIENT),
            always("1 REM_INV_REQ_ERR", "| 101 REM_INV_REQ_ERR", "ERR/ERR")
                .when(When::Responder(&[Kind::Rxe612]), "soft-RoCE takes the requester's status"),
            always("1 REM_INV_REQ_ERR", "| 101 LOC_LEN_ERR", "ERR/ERR"),
        ],
    },
    Scenario {
        name: "rc_mtu_2048_to_1024_write",
        about: "WRITE in packets of 2048 bytes to a side that expects 1024",
        play: |stage| mismatched_write(stage, LARGE_TO_SMALL, 5000),
        cases: &[always("1 REM_INV_REQ_ERR", "| 101 flush", "ERR/ERR").told(REQ_ERR)],
    },
    Scenario {
        name: "rc_mtu_2048_to_1024_read",
        about: "READ answered by five packets where three are expected",
        play: |stage| {
            mismatched_read(stage, LARGE_TO_SMALL)?;
            stage.req.undefined(0..5000);
            Ok(())
        },
        cases: &[
            always("1 RETRY_EXC_ERR", "", "ERR/RTS")
                .when(When::Requester(RXE), "soft-RoCE waits for a packet that says it is the last"),
            always("1 LOC_LEN_ERR", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_mtu_1024_to_2048_send",
        about: "SEND in packets of 1024 bytes to a side that expects 2048",
        play: |stage| mismatched_send(stage, SMALL_TO_LARGE, 3000),
        cases: &[
            always("1 SEND", "| 101 RECV 3000", "RTS/RTS").when(When::Responder(&[Kind::Rxe61]), LENIENT),
            always("1 REM_INV_REQ_ERR", "| 101 REM_INV_REQ_ERR", "ERR/ERR")
                .when(When::Responder(&[Kind::Rxe612]), "soft-RoCE takes the requester's status"),
            always("1 REM_INV_REQ_ERR", "| 101 LOC_LEN_ERR", "ERR/ERR"),
        ],
    },
    Scenario {
        name: "rc_mtu_1024_to_2048_write",
        about: "WRITE in packets of 1024 bytes to a side that expects 2048",
        play: |stage| mismatched_write(stage, SMALL_TO_LARGE, 3000),
        cases: &[always("1 REM_INV_REQ_ERR", "| 101 flush", "ERR/ERR").told(REQ_ERR)],
    },
    Scenario {
        name: "rc_mtu_1024_to_2048_read",
        about: "READ answered by three packets where five are expected",
        play: |stage| {
            mismatched_read(stage, SMALL_TO_LARGE)?;
            stage.req.wait(1)?;
            if stage.req.done.iter().all(|wc| wc.status == Status::Success) {
                stage.req.lands(0, &pattern(5000));
            } else {
                stage.req.undefined(0..5000);
            }
            Ok(())
        },
        cases: &[
            always("1 RDMA_READ 5000", "", "RTS/RTS")
                .when(When::Requester(RXE), "soft-RoCE counts the bytes, whatever the packets"),
            always("1 LOC_LEN_ERR", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_traffic_class",
        about: "SEND over IPv4 with a traffic class, a hop limit and a flow label",
        play: |stage| routed_send(stage, 1),
        cases: &[always("1 SEND", "| 101 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_traffic_class_ipv6",
        about: "SEND over IPv6 with a traffic class, a hop limit and a flow label",
        play: |stage| routed_send(stage, 2),
        cases: &[always("1 SEND", "| 101 RECV 64", "RTS/RTS")],
    },
];

const LARGE_TO_SMALL: (u32, u32) = (2048, 1024);
const SMALL_TO_LARGE: (u32, u32) = (1024, 2048);
const LENIENT: &str = "Linux 6.1 does not check the size of SEND packets";

fn mismatched_send(stage: &mut Stage<'_>, mtu: (u32, u32), len: u32) -> Result<()> {
    stage.connect(&Setup { mtu, ..Setup::default() })?;
    stage.resp.recv(101, 0, 8192)?;
    stage.req.post(send(1, stage.req.buf.sge(0, len)))?;
    stage.resp.wait(1)?;
    if stage.resp.done.iter().all(|wc| wc.status == Status::Success) {
        stage.resp.lands(0, &pattern(len as usize));
    } else {
        stage.resp.undefined(0..len as usize);
    }
    Ok(())
}

fn mismatched_write(stage: &mut Stage<'_>, mtu: (u32, u32), len: u32) -> Result<()> {
    stage.connect(&Setup { mtu, ..Setup::default() })?;
    stage.resp.recv(101, 0, 64)?;
    stage.req.post(write(1, stage.req.buf.sge(0, len), &stage.resp.buf, 0))
}

fn mismatched_read(stage: &mut Stage<'_>, mtu: (u32, u32)) -> Result<()> {
    stage.connect(&Setup { mtu, pattern: (false, true), ..Setup::impatient() })?;
    stage.req.post(read(1, stage.req.buf.sge(0, 5000), &stage.resp.buf, 0))
}

fn routed_send(stage: &mut Stage<'_>, gid_index: u8) -> Result<()> {
    stage.connect(&Setup { gid_index, route: (5, 0x6A, 0x5_4321), ..Setup::default() })?;
    stage.resp.recv(101, 0, 64)?;
    stage.resp.lands(0, &pattern(64));
    stage.req.post(send(1, stage.req.buf.sge(0, 64)))
}
