//! Completion queues: several queue pairs, overflow, notification.

use anyhow::Result;

use super::expect::{ACCESS_ERR, RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, send, write};
use super::{Scenario, Setup, Stage};
use crate::peer::{Kind, Mr, Opcode, SendFlags, SendWr};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_two_qps_one_cq",
        about: "two queue pairs on one completion queue; one is killed, the other goes on",
        play: two_qps,
        cases: &[always(
            "0-1 SEND, 50 REM_ACCESS_ERR, 10-11 SEND, 51 RDMA_WRITE | 100-101 flush",
            "| 100-101 RECV 32, 200-201 RECV 33",
            "ERR+RTS/ERR+RTS",
        )
        .told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_cq_overflow",
        about: "six SENDs to a receive completion queue of three",
        play: receive_overflow,
        cases: &[always("1-3 SEND, 4 RETRY_EXC_ERR, 5-6 flush", "| 101-103 RECV 32", "ERR/ERR")
            .events("", "CQ_ERR*")
            .told("QP_FATAL")],
    },
    Scenario {
        name: "rc_send_cq_overflow",
        about: "eight WRITEs with a completion queue of three, and one more when it is empty again",
        play: send_overflow,
        cases: &[
            always("1-3 RDMA_WRITE, 20 RDMA_WRITE", "", "RTS/RTS")
                .events("CQ_ERR*", "")
                .when(When::Requester(RXE), "soft-RoCE loses completions and goes on"),
            always("1-3 RDMA_WRITE, 20 flush", "", "ERR/RTS").events("CQ_ERR* QP_FATAL", ""),
        ],
    },
    Scenario {
        name: "rc_solicited",
        about: "a completion queue armed for solicited completions: SENDs, WRITEs with immediate data, a flush",
        play: solicited,
        cases: &[
            always(SOLICITED_SENDS, SOLICITED_RECEIVES, "ERR/ERR")
                .told(ACCESS_ERR)
                .notes(&[
                    "SEND: false",
                    "solicited SEND: true",
                    "armed for any: true",
                    "WRITE_IMM: false",
                    "solicited WRITE_IMM: true",
                    "flush: false",
                ])
                .when(
                    When::Responder(&[Kind::Rxe612]),
                    "Linux 6.12 does not count a failed completion as solicited",
                ),
            always(SOLICITED_SENDS, SOLICITED_RECEIVES, "ERR/ERR").told(ACCESS_ERR).notes(&[
                "SEND: false",
                "solicited SEND: true",
                "armed for any: true",
                "WRITE_IMM: false",
                "solicited WRITE_IMM: true",
                "flush: true",
            ]),
        ],
    },
    Scenario {
        name: "rc_notify_queued",
        about: "armed when a completion is already there; three at once; armed twice with the weaker one last",
        play: notify_queued,
        cases: &[always("1-5 SEND", "| 101-105 RECV 32", "RTS/RTS").notes(&[
            "for the queued one: false",
            "for three new ones: true, then false",
            "armed twice: true",
        ])],
    },
];

const SOLICITED_SENDS: &str = "1-3 SEND, 4-5 RDMA_WRITE, 6 REM_ACCESS_ERR";
const SOLICITED_RECEIVES: &str =
    "| 101-103 RECV 32, 104-105 RECV_RDMA_WITH_IMM 8 imm=00000001, 106-108 flush";

/// Long enough for an event that should not come.
const NO_EVENT_MS: u32 = 300;
const EVENT_MS: u32 = 2000;

fn two_qps(stage: &mut Stage<'_>) -> Result<()> {
    let setup = Setup { buf: 4096, ..Setup::default() };
    stage.open(&setup)?;
    stage.connect_qps("qp0", &setup)?;
    stage.connect_qps("qp1", &Setup { psn: (0x2000, 0x1_4000), ..setup })?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    for index in 0..2 {
        stage.req.try_recv("qp0", 100 + index, vec![from.sge(2048, 64)])?;
        for (qp, base, len) in [("qp0", 100, 32), ("qp1", 200, 33)] {
            let offset = base + index * 64;
            stage.resp.try_recv(qp, base + index, vec![to.sge(offset, 64)])?;
            stage.resp.lands(usize::try_from(offset)?, &pattern(len));
        }
    }
    for index in 0..2 {
        stage.req.try_post("qp0", vec![send(index, from.sge(0, 32))], false)?;
        stage.req.try_post("qp1", vec![send(10 + index, from.sge(0, 33))], false)?;
    }
    stage.req.wait(4)?;
    let bad = Mr { rkey: BAD_KEY, ..to };
    stage.req.try_post("qp0", vec![write(50, from.sge(0, 8), &bad, 0)], false)?;
    stage.req.wait(3)?;
    stage.req.try_post("qp1", vec![write(51, from.sge(0, 8), &to, 0)], false)?;
    stage.resp.lands(0, &pattern(8));
    Ok(())
}

fn receive_overflow(stage: &mut Stage<'_>) -> Result<()> {
    let setup = Setup { buf: 4096, ..Setup::impatient() };
    stage.open(&setup)?;
    stage.resp.create_cq("rcq", 3)?;
    stage.connect_qps("qp", &setup)?;
    for index in 0..10 {
        stage.resp.recv(101 + index, index * 64, 64)?;
    }
    // The message for whose completion there is no room has been received all the same.
    for index in 0..4 {
        stage.resp.lands(index * 64, &pattern(32));
    }
    stage.req.post_list((1..=6).map(|id| send(id, stage.req.buf.sge(0, 32))).collect())
}

fn send_overflow(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { buf: 4096, cq_depth: (3, 256), ..Setup::default() })?;
    let wr = |id| write(id, stage.req.buf.sge(0, 8), &stage.resp.buf, 0);
    let (eight, last) = ((1..=8).map(wr).collect(), wr(20));
    stage.req.post_list(eight)?;
    pause(400);
    stage.req.wait(3)?;
    stage.req.post(last)?;
    stage.resp.lands(0, &pattern(8));
    Ok(())
}

fn solicited(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { buf: 4096, ..Setup::default() })?;
    for index in 0..8 {
        stage.resp.recv(101 + index, index * 64, 64)?;
    }
    for index in 0..3 {
        stage.resp.lands(index * 64, &pattern(32));
    }
    stage.resp.lands(2048, &pattern(8));
    let (from, to) = (stage.req.buf, stage.resp.buf);
    let write_imm = |id| SendWr::new(id, Opcode::WriteImm).sge(from.sge(0, 8)).remote(&to, 2048).imm(1);
    let bad = Mr { rkey: BAD_KEY, ..to };
    let steps = [
        ("SEND", send(1, from.sge(0, 32)), Some(true), 1),
        ("solicited SEND", send(2, from.sge(0, 32)).flags(SendFlags::SOLICITED), None, 1),
        ("armed for any", send(3, from.sge(0, 32)), Some(false), 1),
        ("WRITE_IMM", write_imm(4), Some(true), 1),
        ("solicited WRITE_IMM", write_imm(5).flags(SendFlags::SOLICITED), None, 1),
        ("flush", write(6, from.sge(0, 8), &bad, 0), Some(true), 3),
    ];
    for (name, wr, arm_for_solicited, completions) in steps {
        if let Some(solicited_only) = arm_for_solicited {
            stage.resp.arm(solicited_only)?;
        }
        stage.req.post(wr)?;
        let came = stage.resp.notified(NO_EVENT_MS)?;
        stage.note(format!("{name}: {came}"));
        stage.req.wait(1)?;
        stage.resp.wait(completions)?;
    }
    Ok(())
}

fn notify_queued(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { buf: 4096, ..Setup::default() })?;
    for index in 0..5 {
        stage.resp.recv(101 + index, index * 64, 64)?;
        stage.resp.lands(usize::try_from(index * 64)?, &pattern(32));
    }
    let from = stage.req.buf;
    let wr = |id| send(id, from.sge(0, 32));
    stage.req.post(wr(1))?;
    stage.req.wait(1)?;
    pause(50);
    stage.resp.arm(false)?;
    let queued = stage.resp.notified(NO_EVENT_MS)?;
    stage.note(format!("for the queued one: {queued}"));

    stage.req.post_list(vec![wr(2), wr(3), wr(4)])?;
    let (first, second) = (stage.resp.notified(EVENT_MS)?, stage.resp.notified(NO_EVENT_MS)?);
    stage.note(format!("for three new ones: {first}, then {second}"));
    stage.resp.wait(4)?;

    stage.resp.arm(false)?;
    stage.resp.arm(true)?;
    stage.req.post(wr(5))?;
    let twice = stage.resp.notified(EVENT_MS)?;
    stage.note(format!("armed twice: {twice}"));
    Ok(())
}
