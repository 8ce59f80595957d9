//! The requester's own mistakes, and how its send queue works.

use anyhow::Result;

use super::expect::{RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, read, send, write};
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Access, Kind, Opcode, QpAttr, QpState, SendFlags, SendWr, Sge};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_local_bad_lkey",
        about: "SEND, SEND with a bad local key, SEND, posted together",
        play: bad_lkey_among_good,
        cases: &[
            always("", "| 101 RECV 64", "RTS/RTS")
                .or(&always("1 SEND, 2 LOC_QP_OP_ERR, 3 flush", "| 101 RECV 64", "ERR/RTS"))
                .when(
                    When::Requester(&[Kind::Rxe61]),
                    "unless the ACK of the first SEND is there in time it is ignored, and nothing completes at all",
                ),
            always("1-3 flush", "| 101 RECV 64", "ERR/RTS")
                .or(&always("1 SEND, 2-3 flush", "| 101 RECV 64", "ERR/RTS"))
                .when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
            always("1 SEND, 2 LOC_PROT_ERR, 3 flush", "| 101 RECV 64", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_local_bad_lkey_alone",
        about: "one SEND with a bad local key",
        play: bad_lkey_alone,
        cases: &[
            always("1 LOC_QP_OP_ERR", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe61]), SIX_ONE),
            always("1 flush", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
            always("1 LOC_PROT_ERR", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_local_bad_lkey_after",
        about: "SEND, and when it is complete SEND with a bad local key and another SEND",
        play: bad_lkey_after,
        cases: &[
            always("1 SEND, 2 LOC_QP_OP_ERR, 3 flush", "| 101 RECV 64", "ERR/RTS")
                .when(When::Requester(&[Kind::Rxe61]), SIX_ONE),
            always("1 SEND, 2-3 flush", "| 101 RECV 64", "ERR/RTS")
                .when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
            always("1 SEND, 2 LOC_PROT_ERR, 3 flush", "| 101 RECV 64", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_local_bad_lkey_second_packet",
        about: "SEND whose first element fills a packet and whose second has a bad key",
        play: bad_lkey_second_packet,
        cases: &[
            always("1 LOC_QP_OP_ERR", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe61]), SIX_ONE),
            always("1 flush", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
            always("1 LOC_PROT_ERR", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_local_out_of_range",
        about: "WRITE from beyond the local region",
        play: |stage| bad_source(stage, |buf, _| Sge { addr: buf.addr + 8192, ..buf }),
        cases: &[
            always("1 flush | 900 flush", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
            always("1 LOC_PROT_ERR | 900 flush", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_local_other_pd",
        about: "WRITE from a region of another protection domain",
        play: |stage| bad_source(stage, |_, other| other),
        cases: &[
            always("1 LOC_QP_OP_ERR | 900 flush", "", "ERR/RTS")
                .when(When::Requester(&[Kind::Rxe61]), SIX_ONE),
            always("1 flush | 900 flush", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
            always("1 LOC_PROT_ERR | 900 flush", "", "ERR/RTS"),
        ],
    },
    Scenario {
        name: "rc_local_inv_user_mr",
        about: "LOCAL_INV of an ordinary region, which cannot be invalidated",
        play: |stage| local_invalidate(stage, |stage| stage.req.buf.rkey),
        cases: NOT_INVALIDATED,
    },
    Scenario {
        name: "rc_local_inv_bad_key",
        about: "LOCAL_INV of a key that no region has",
        play: |stage| local_invalidate(stage, |_| BAD_KEY),
        cases: NOT_INVALIDATED,
    },
    Scenario {
        name: "rc_inline_32",
        about: "inline SEND and WRITE whose memory is overwritten after the post, then one that is too long",
        play: inline,
        cases: &[
            always("1 SEND, 2 RDMA_WRITE", "| 101 RECV 32", "RTS/RTS").notes(&["65 bytes inline: errno 22"])
        ],
    },
    Scenario {
        name: "rc_sge_4",
        about: "SEND gathered from 1, 0, 100 and 33 bytes into a receive of 10, 0, 90 and 100",
        play: gather,
        cases: &[always("1 SEND", "| 101 RECV 134", "RTS/RTS")],
    },
    Scenario {
        name: "rc_unsignaled",
        about: "seven unsignaled SENDs and a signaled one",
        play: unsignaled,
        cases: &[always("8 SEND", "| 101-108 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_psn_wrap",
        about: "five SENDs across the end of the PSN space",
        play: psn_wrap,
        cases: &[always("1-5 SEND", "| 101-105 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_psn_wrap_multi",
        about: "WRITE of five packets across the end of the PSN space, READ, WRITE",
        play: psn_wrap_multi,
        cases: &[always("1 RDMA_WRITE, 2 RDMA_READ 700, 3 RDMA_WRITE", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_psn_wrap_read",
        about: "READ answered by packets across the end of the PSN space",
        play: psn_wrap_read,
        cases: &[always("1 RDMA_READ 1000, 2 RDMA_READ 8", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_fence",
        about: "WRITE, READ, fenced SEND of what was read",
        play: |stage| fence(stage, SendFlags::FENCE),
        cases: &[always("1 RDMA_WRITE, 2 RDMA_READ 4096, 3 SEND", "| 101 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_no_fence",
        about: "WRITE, READ, SEND without a fence",
        play: |stage| fence(stage, 0),
        cases: &[always("1 RDMA_WRITE, 2 RDMA_READ 4096, 3 SEND", "| 101 RECV 64", "RTS/RTS")],
    },
    Scenario {
        name: "rc_sqd_idle",
        about: "an idle send queue is drained, a WRITE is posted, and another one back in RTS",
        play: drained_idle,
        cases: &[
            always("1-2 RDMA_WRITE", "", "RTS/RTS")
                .events("SQ_DRAINED", "")
                .notes(&["0 completions in SQD"])
                .when(When::Requester(RXE), "soft-RoCE raises the event whether it was asked for or not"),
            always("1-2 RDMA_WRITE", "", "RTS/RTS").notes(&["0 completions in SQD"]),
        ],
    },
];

const SIX_ONE: &str = "Linux 6.1 has no status of its own for a bad key";
const SIX_TWELVE: &str = "Linux 6.12 reports every mistake of the requester's own as a flush";

const NOT_INVALIDATED: &[Case] = &[
    always("1 flush | 900 flush", "", "ERR/RTS").when(When::Requester(&[Kind::Rxe612]), SIX_TWELVE),
    always("1 LOC_QP_OP_ERR | 900 flush", "", "ERR/RTS"),
];

fn bad(stage: &Stage<'_>) -> Sge {
    Sge { lkey: BAD_KEY, ..stage.req.buf.sge(0, 64) }
}

fn bad_lkey_among_good(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 64)?;
    let good = stage.req.buf.sge(0, 64);
    stage.req.post_list(vec![send(1, good), send(2, bad(stage)), send(3, good)])?;
    stage.resp.lands(0, &pattern(64));
    stage.resp.wait(1)?;
    pause(200);
    Ok(())
}

fn bad_lkey_alone(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.req.post(send(1, bad(stage)))
}

fn bad_lkey_after(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 64)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 64)))?;
    stage.req.wait(1)?;
    stage.req.post_list(vec![send(2, bad(stage)), send(3, stage.req.buf.sge(0, 64))])?;
    stage.resp.lands(0, &pattern(64));
    Ok(())
}

fn bad_lkey_second_packet(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 4096)?;
    stage.req.post(send(1, stage.req.buf.sge(0, 1024)).sge(bad(stage)))?;
    stage.resp.undefined(0..1024);
    Ok(())
}

fn bad_source(stage: &mut Stage<'_>, source: fn(Sge, Sge) -> Sge) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.req.alloc_pd("pd2")?;
    let other = stage.req.region_in("pd2", "other", 4096, Access::ALL)?;
    stage.req.park()?;
    let sge = source(stage.req.buf.sge(0, 64), other.sge(0, 64));
    stage.req.post(write(1, sge, &stage.resp.buf, 0))
}

fn local_invalidate(stage: &mut Stage<'_>, key: fn(&Stage<'_>) -> u32) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.req.park()?;
    let inv_rkey = key(stage);
    let wr = SendWr { inv_rkey, ..SendWr::new(1, Opcode::LocalInv) };
    stage.req.post(wr)
}

fn inline(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 0, 64)?;
    // The key of inline data is not looked at.
    let sge = |offset, len| Sge { lkey: 0, ..stage.req.buf.sge(offset, len) };
    let one = send(1, sge(0, 32)).flags(SendFlags::INLINE);
    let two = write(2, sge(32, 16), &stage.resp.buf, 4096).sge(sge(48, 16)).flags(SendFlags::INLINE);
    let too_long = send(3, sge(0, 65)).flags(SendFlags::INLINE);
    stage.req.post_list(vec![one, two])?;
    stage.req.store("buf", 0, &[0; 64])?;
    if let Err(error) = stage.req.try_post("qp", vec![too_long], false) {
        stage.note(format!("65 bytes inline: errno {}", error.errno().unwrap_or(0)));
    }
    stage.resp.lands(0, &pattern(32));
    stage.resp.lands(4096, &pattern(64)[32..]);
    Ok(())
}

fn gather(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { buf: 4096, ..Setup::default() })?;
    let to = stage.resp.buf;
    let scatter = [(0, 10), (100, 0), (200, 90), (400, 100)].map(|(offset, len)| to.sge(offset, len));
    stage.resp.try_recv("qp", 101, scatter.to_vec())?;
    let from = stage.req.buf;
    let mut wr = send(1, from.sge(0, 1));
    wr.sges.extend([(500, 0), (1000, 100), (2000, 33)].map(|(offset, len)| from.sge(offset, len)));
    stage.req.post(wr)?;
    let source = pattern(4096);
    let data = [&source[..1], &source[1000..1100], &source[2000..2033]].concat();
    stage.resp.lands(0, &data[..10]);
    stage.resp.lands(200, &data[10..100]);
    stage.resp.lands(400, &data[100..]);
    Ok(())
}

fn unsignaled(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    for index in 0..8 {
        stage.resp.recv(101 + index, index * 64, 64)?;
    }
    let mut wrs: Vec<_> =
        (0..7).map(|index| send(index + 1, stage.req.buf.sge(index * 64, 64)).unsignaled()).collect();
    wrs.push(send(8, stage.req.buf.sge(7 * 64, 64)));
    stage.req.post_list(wrs)?;
    stage.resp.lands(0, &pattern(512));
    Ok(())
}

fn psn_wrap(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { psn: (0xFF_FFFE, 0xA000), ..Setup::default() })?;
    for index in 0..5 {
        stage.resp.recv(101 + index, index * 64, 64)?;
        stage.resp.lands(index as usize * 64, &pattern(64));
    }
    stage.req.post_list((1..=5).map(|id| send(id, stage.req.buf.sge(0, 64))).collect())
}

fn psn_wrap_multi(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { psn: (0xFF_FFFD, 0xA000), mtu: (256, 256), ..Setup::default() })?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    stage.req.post_list(vec![
        write(1, from.sge(0, 1280), &to, 0),
        read(2, from.sge(4096, 700), &to, 0),
        write(3, from.sge(0, 8), &to, 2048),
    ])?;
    stage.resp.lands(0, &pattern(1280));
    stage.resp.lands(2048, &pattern(8));
    stage.req.lands(4096, &pattern(700));
    Ok(())
}

fn psn_wrap_read(stage: &mut Stage<'_>) -> Result<()> {
    let setup =
        Setup { psn: (0xFF_FFFE, 0xA000), mtu: (256, 256), pattern: (false, true), ..Setup::default() };
    stage.connect(&setup)?;
    let (to, from) = (stage.req.buf, stage.resp.buf);
    stage.req.post_list(vec![read(1, to.sge(0, 1000), &from, 0), read(2, to.sge(2000, 8), &from, 3)])?;
    stage.req.lands(0, &pattern(1000));
    stage.req.lands(2000, &pattern(11)[3..]);
    Ok(())
}

fn fence(stage: &mut Stage<'_>, flag: u32) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.resp.recv(101, 4096, 64)?;
    let (from, to) = (stage.req.buf, stage.resp.buf);
    // Fenced, the SEND carries what the READ has brought: the first bytes of the pattern again.
    let sent = if flag == 0 { from.sge(0, 64) } else { from.sge(4096, 64) };
    stage.req.post_list(vec![
        write(1, from.sge(0, 64), &to, 0),
        read(2, from.sge(4096, 4096), &to, 0),
        send(3, sent).flags(flag),
    ])?;
    stage.resp.lands(0, &pattern(64));
    stage.resp.lands(4096, &pattern(64));
    stage.req.lands(4096, &[0; 4096]);
    stage.req.lands(4096, &pattern(64));
    Ok(())
}

fn drained_idle(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    let wr = |id| write(id, stage.req.buf.sge(0, 8), &stage.resp.buf, 0);
    let (one, two) = (wr(1), wr(2));
    stage.req.change_state(QpState::Sqd)?;
    stage.req.events(true)?;
    stage.req.post(one)?;
    let came = stage.req.sweep()?;
    stage.note(format!("{came} completions in SQD"));
    stage.req.modify(
        "qp",
        QpAttr { state: Some(QpState::Rts), cur_state: Some(QpState::Sqd), ..QpAttr::default() },
    )?;
    // Soft-RoCE starts its queue again only at the next post.
    stage.req.post(two)?;
    stage.resp.lands(0, &pattern(8));
    Ok(())
}
