//! Time-outs and retries: a responder that does not answer, or not to what it is asked.

use anyhow::Result;

use super::expect::{FERROCE, RXE, When, always};
use super::stage::{pause, read, send, write};
use super::{Scenario, Setup, Stage};
use crate::peer::QpState;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_retry_exceeded",
        about: "SEND to a queue pair that does not exist, time-out 1 ms, two retries",
        play: |stage| {
            stage.connect(&Setup { timeout: 8, ..nobody() })?;
            stage.req.park()?;
            stage.req.post(send(1, stage.req.buf.sge(0, 64)))
        },
        cases: &[always("1 RETRY_EXC_ERR | 900 flush", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_retry_exceeded_t14",
        about: "SEND to a queue pair that does not exist, time-out 67 ms, three retries",
        play: |stage| one_send(stage, &Setup { retry_cnt: 3, ..nobody() }),
        cases: &[always("1 RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_retry_exceeded_multi",
        about: "WRITE of three packets, READ and SEND to nobody, one retry: the first fails, the rest is flushed",
        play: retry_exceeded_multi,
        cases: &[always("1 RETRY_EXC_ERR, 2-3 flush", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_retry_count_0",
        about: "SEND to nobody, no retry",
        play: |stage| one_send(stage, &Setup { retry_cnt: 0, ..nobody() }),
        cases: &[always("1 RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_retry_count_7",
        about: "SEND to nobody, seven retries, watched for three seconds",
        play: |stage| {
            one_send(stage, &Setup { retry_cnt: 7, ..nobody() })?;
            pause(3000);
            Ok(())
        },
        cases: &[
            always("", "", "RTS/RTS")
                .when(When::Requester(RXE), "soft-RoCE takes a retry count of 7 for infinity"),
            always("1 RETRY_EXC_ERR", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_timeout_0",
        about: "SEND to nobody, time-out 0: it waits for ever",
        play: |stage| {
            one_send(stage, &Setup { timeout: 0, ..nobody() })?;
            pause(1000);
            Ok(())
        },
        cases: &[always("", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_peer_in_init",
        about: "SEND to a queue pair in INIT",
        play: |stage| one_send(stage, &Setup { responder_state: QpState::Init, ..Setup::impatient() }),
        cases: &[always("1 RETRY_EXC_ERR", "", "ERR/INIT")],
    },
    Scenario {
        name: "rc_wrong_peer_ip",
        about: "SEND to a queue pair that expects packets from another address",
        play: |stage| one_send(stage, &Setup { expects_itself: true, ..Setup::impatient() }),
        cases: &[always("1 RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_wrong_psn",
        about: "SEND 16 PSNs after the expected one",
        play: |stage| one_send(stage, &wrong_psn(0x1010, 0x1000)),
        cases: &[always("1 RETRY_EXC_ERR", "", "ERR/RTS")],
    },
    Scenario {
        name: "rc_wrong_psn_behind",
        about: "SEND 16 PSNs before the expected one to a responder that has executed nothing yet",
        play: |stage| one_send(stage, &wrong_psn(0x1000, 0x1010)),
        cases: &[
            always("1 SEND", "", "RTS/RTS").when(
                When::Pair(RXE, FERROCE),
                "a PSN before the expected one is a duplicate, which an ACK of the newest PSN answers; soft-RoCE has \
                 no newest PSN yet",
            ),
            always("1 RETRY_EXC_ERR", "", "ERR/RTS"),
        ],
    },
];

/// A path to a queue pair that does not exist.
fn nobody() -> Setup {
    Setup { dest_qpn: Some(0x00_EEEE), ..Setup::impatient() }
}

fn wrong_psn(first: u32, expected: u32) -> Setup {
    Setup { psn: (first, 0xA000), expected_psn: Some(expected), retry_cnt: 3, ..Setup::impatient() }
}

/// A SEND for which the responder has a receive, unless it is in INIT.
fn one_send(stage: &mut Stage<'_>, setup: &Setup) -> Result<()> {
    stage.connect(setup)?;
    stage.resp.recv(101, 0, 64)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 64)))
}

fn retry_exceeded_multi(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { retry_cnt: 1, mtu: (256, 256), ..nobody() })?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    stage.req.post_list(vec![
        write(1, from.sge(0, 700), &to, 0),
        read(2, from.sge(4096, 64), &to, 0),
        send(3, from.sge(0, 64)),
    ])
}
