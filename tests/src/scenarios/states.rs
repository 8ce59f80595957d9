//! States of a queue pair: flushing, draining, posting in the wrong state.

use anyhow::Result;

use super::expect::{ACCESS_ERR, always};
use super::stage::{BAD_KEY, pattern, pause, read, send, write};
use super::{Scenario, Setup, Stage};
use crate::peer::{Mr, PeerError, QpAttr, QpState};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_peer_in_rtr",
        about: "SEND to a queue pair in RTR, which serves it",
        play: |stage| {
            stage.connect(&Setup { responder_state: QpState::Rtr, ..Setup::default() })?;
            stage.resp.recv(101, 0, 64)?;
            stage.resp.lands(0, &pattern(64));
            stage.req.post(send(1, stage.req.buf.sge(0, 64)))
        },
        cases: &[always("1 SEND", "| 101 RECV 64", "RTS/RTR").told("COMM_EST")],
    },
    Scenario {
        name: "rc_flush",
        about: "SEND, WRITE with a bad key and more behind it; later requests into both queue pairs in ERR",
        play: flush,
        cases: &[always(
            "1 SEND, 2 REM_ACCESS_ERR, 3-6 flush | 201-204 flush",
            "305 flush | 301 RECV 64, 302-304 flush",
            "ERR/ERR",
        )
        .told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_flush_unsignaled_error",
        about: "WRITE and a WRITE with a bad key, both unsignaled, and one behind: the failing one completes",
        play: flush_unsignaled,
        cases: &[always("2 REM_ACCESS_ERR, 3 flush | 900 flush", "| 900 flush", "ERR/ERR").told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_recv_posted_in_err",
        about: "a receive, ERR, another receive, a SEND, ERR again: soft-RoCE flushes the late receive late",
        play: recv_posted_in_err,
        cases: &[always("3 flush | 1-2 flush", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_modify_to_err",
        about: "the responder goes to ERR with receives and sends posted; then the requester sends",
        play: modify_to_err,
        cases: &[always("1 RETRY_EXC_ERR", "401-402 flush | 101-103 flush", "ERR/ERR")],
    },
    Scenario {
        name: "rc_modify_to_reset",
        about: "the responder goes to RESET with receives posted, which are gone; then the requester sends",
        play: modify_to_reset,
        cases: &[always("1 RETRY_EXC_ERR", "", "ERR/RESET")],
    },
    Scenario {
        name: "rc_post_before_rts",
        about: "sends and receives posted in RESET, INIT and RTR",
        play: post_before_rts,
        cases: &[always("", "", "RESET+INIT+RTR/RTS+RTS+RTS").notes(&[
            "RESET: send errno 22, receive errno 22",
            "INIT: send errno 22, receive ok",
            "RTR: send errno 22, receive ok",
        ])],
    },
    Scenario {
        name: "rc_sqd",
        about: "four WRITEs, drain, a WRITE while drained and one of the peer's, back to RTS, one more",
        play: drained,
        cases: &[always("1-6 RDMA_WRITE", "701 RDMA_WRITE", "RTS/RTS").events("SQ_DRAINED", "")],
    },
];

fn flush(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    for index in 0..3 {
        stage.req.recv(201 + index, 4096, 64)?;
        stage.resp.recv(301 + index, 64 * index, 64)?;
    }
    let bad = Mr { rkey: BAD_KEY, ..to };
    stage.req.post_list(vec![
        send(1, from.sge(0, 64)),
        write(2, from.sge(0, 64), &bad, 0),
        write(3, from.sge(0, 64), &to, 4096).unsignaled(),
        send(4, from.sge(0, 64)),
        read(5, from.sge(4096, 64), &to, 0).unsignaled(),
    ])?;
    stage.req.wait(8)?;
    stage.resp.wait(3)?;
    stage.req.recv(204, 4096, 64)?;
    stage.req.post(send(6, from.sge(0, 64)))?;
    stage.resp.recv(304, 4096, 64)?;
    stage.resp.post(send(305, to.sge(0, 64)))?;
    // Soft-RoCE of Linux 6.1 leaves a receive that was posted in ERR alone until then.
    stage.req.change_state(QpState::Err)?;
    stage.resp.change_state(QpState::Err)?;
    stage.resp.lands(0, &pattern(64));
    Ok(())
}

fn flush_unsignaled(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.park()?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    let bad = Mr { rkey: BAD_KEY, ..to };
    stage.req.post_list(vec![
        write(1, from.sge(0, 64), &to, 0).unsignaled(),
        write(2, from.sge(0, 64), &bad, 0).unsignaled(),
        write(3, from.sge(0, 64), &to, 4096),
    ])?;
    stage.resp.lands(0, &pattern(64));
    Ok(())
}

fn recv_posted_in_err(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.req.recv(1, 0, 64)?;
    stage.req.change_state(QpState::Err)?;
    stage.req.wait(1)?;
    stage.req.recv(2, 0, 64)?;
    stage.req.post(send(3, stage.req.buf.sge(0, 64)))?;
    pause(50);
    stage.req.change_state(QpState::Err)
}

fn modify_to_err(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { responder_max_rd: 0, ..Setup::impatient() })?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    for wr_id in 101..=103 {
        stage.resp.recv(wr_id, 0, 64)?;
    }
    // Where no READ may be outstanding this one waits, and what is behind it waits too.
    stage.resp.post_list(vec![read(401, to.sge(0, 64), &from, 0), write(402, to.sge(0, 64), &from, 4096)])?;
    stage.resp.change_state(QpState::Err)?;
    stage.req.post(send(1, from.sge(0, 64)))
}

fn modify_to_reset(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::impatient())?;
    for wr_id in 101..=103 {
        stage.resp.recv(wr_id, 0, 64)?;
    }
    stage.resp.change_state(QpState::Reset)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 64)))
}

fn post_before_rts(stage: &mut Stage<'_>) -> Result<()> {
    let setup = Setup::default();
    stage.open(&setup)?;
    for (name, state) in [("RESET", QpState::Reset), ("INIT", QpState::Init), ("RTR", QpState::Rtr)] {
        stage.req.create_qp(name)?;
        stage.resp.create_qp(name)?;
        stage.req.path = Some(setup.requester(&stage.resp));
        stage.resp.path = Some(setup.responder(&stage.req, &stage.resp));
        stage.resp.bring_up(name, QpState::Rts)?;
        if state != QpState::Reset {
            stage.req.bring_up(name, state)?;
        }
        let memory = stage.req.buf.sge(0, 64);
        let sent = outcome(stage.req.try_post(name, vec![send(1, memory)], false));
        let received = outcome(stage.req.try_recv(name, 2, vec![memory]));
        stage.note(format!("{name}: send {sent}, receive {received}"));
    }
    Ok(())
}

fn outcome(result: Result<(), PeerError>) -> String {
    match result {
        Ok(()) => "ok".into(),
        Err(error) => error.errno().map_or_else(|| error.to_string(), |errno| format!("errno {errno}")),
    }
}

fn drained(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    stage.req.post_list((1..=4).map(|id| write(id, from.sge(0, 2048), &to, 0)).collect())?;
    stage.req.modify("qp", QpAttr { state: Some(QpState::Sqd), sqd_notify: Some(1), ..QpAttr::default() })?;
    stage.req.post(write(5, from.sge(0, 8), &to, 4096))?;
    stage.req.events(true)?;
    stage.resp.post(write(701, to.sge(4096 + 64, 8), &from, 4096))?;
    stage.resp.wait(1)?;
    let back = QpAttr { state: Some(QpState::Rts), cur_state: Some(QpState::Sqd), ..QpAttr::default() };
    stage.req.modify("qp", back)?;
    // Soft-RoCE starts its queue again only at the next post.
    stage.req.post(write(6, from.sge(0, 8), &to, 4096))?;
    stage.req.lands(4096, &[0; 8]);
    stage.resp.lands(0, &pattern(2048));
    stage.resp.lands(4096, &pattern(8));
    Ok(())
}
