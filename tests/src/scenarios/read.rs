//! READ.

use anyhow::Result;

use super::expect::{ACCESS_ERR, REQ_ERR, RXE, When, always};
use super::stage::{BAD_KEY, pattern, pause, read, write};
use super::{Case, Scenario, Setup, Stage};
use crate::peer::{Access, Kind, Mr, Opcode, SendWr, Sge};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rc_read_ok",
        about: "READ answered by one packet and by three",
        play: ok,
        cases: &[always("1 RDMA_READ 64, 2 RDMA_READ 3001", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_read_zero_bad_rkey",
        about: "READ of no bytes with a bad key, which is not looked up",
        play: |stage| {
            stage.connect(&from_responder())?;
            stage.req.post(SendWr::new(1, Opcode::Read).remote(&stage.resp.buf, 0).rkey(BAD_KEY))
        },
        cases: &[always("1 RDMA_READ 0", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_read_bad_rkey",
        about: "READ with a key that no region has",
        play: |stage| refused(stage, &from_responder(), 64, |buf| (Mr { rkey: BAD_KEY, ..buf }, 0)),
        cases: ACCESS,
    },
    Scenario {
        name: "rc_read_bad_rkey_after_writes",
        about: "WRITE, WRITE unsignaled, READ with a bad key, WRITE: what came before completes",
        play: after_writes,
        cases: &[always("1 RDMA_WRITE, 3 REM_ACCESS_ERR, 4 flush | 900 flush", "| 900 flush", "ERR/ERR")
            .told(ACCESS_ERR)],
    },
    Scenario {
        name: "rc_read_no_mr_access",
        about: "READ of a region that the peer may only write",
        play: |stage| {
            let mr_access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
            refused(stage, &Setup { mr_access, ..from_responder() }, 64, |buf| (buf, 0))
        },
        cases: ACCESS,
    },
    Scenario {
        name: "rc_read_no_qp_access",
        about: "READ through a queue pair without that right",
        play: |stage| {
            let qp_access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
            refused(stage, &Setup { qp_access, ..from_responder() }, 64, |buf| (buf, 0))
        },
        cases: INVALID,
    },
    Scenario {
        name: "rc_read_larger_than_mr",
        about: "READ of 4000 bytes, 1000 past the region: not one byte is answered",
        play: |stage| refused(stage, &from_responder(), 4000, |buf| (buf, 8192 - 3000)),
        cases: ACCESS,
    },
    Scenario {
        name: "rc_read_no_local_write",
        about: "READ into a region without local write: found when the answer comes, the responder does not mind",
        play: |stage| {
            let mr_access = Access::REMOTE_READ;
            bad_destination(stage, &Setup { mr_access, pattern: (false, true), ..Setup::default() }, |buf| {
                buf
            })
        },
        cases: DESTINATION,
    },
    Scenario {
        name: "rc_read_bad_lkey",
        about: "READ into a region that does not exist",
        play: |stage| bad_destination(stage, &from_responder(), |sge| Sge { lkey: BAD_KEY, ..sge }),
        cases: DESTINATION,
    },
    Scenario {
        name: "rc_read_local_out_of_range",
        about: "READ into memory that ends beyond its region",
        play: |stage| {
            bad_destination(stage, &from_responder(), |sge| Sge { addr: sge.addr + 8192 - 32, ..sge })
        },
        cases: DESTINATION,
    },
    Scenario {
        name: "rc_read_max_rd_0",
        about: "WRITE, then a READ where none may be outstanding: it never starts",
        play: max_rd_0,
        cases: &[always("1 RDMA_WRITE", "", "RTS/RTS")],
    },
    Scenario {
        name: "rc_read_dest_rd_0",
        about: "READ to a responder without resources for any",
        play: |stage| refused(stage, &Setup { max_dest_rd: 0, ..from_responder() }, 64, |buf| (buf, 0)),
        cases: INVALID,
    },
    Scenario {
        name: "rc_read_depth_1",
        about: "16 READs, one outstanding at a time",
        play: |stage| depth(stage, 16, 1, 1),
        cases: SIXTEEN,
    },
    Scenario {
        name: "rc_read_depth_3",
        about: "16 READs, three outstanding at a time",
        play: |stage| depth(stage, 16, 3, 3),
        cases: SIXTEEN,
    },
    Scenario {
        name: "rc_read_depth_16",
        about: "16 READs, all outstanding",
        play: |stage| depth(stage, 16, 16, 16),
        cases: SIXTEEN,
    },
    Scenario {
        name: "rc_read_depth_16_on_2",
        about: "more READs at once than the responder announced: 16 where it does not mind, else three",
        play: too_many,
        cases: &[
            always("1-16 RDMA_READ 64", "", "RTS/RTS").when(
                When::Responder(RXE),
                "soft-RoCE answers as they come and never has more than one at a time",
            ),
            always("1-2 RDMA_READ 64, 3 REM_INV_REQ_ERR", "", "ERR/ERR").told(REQ_ERR).or(&always(
                "1-3 RDMA_READ 64",
                "",
                "RTS/RTS",
            )),
        ],
    },
];

const ACCESS: &[Case] = &[always("1 REM_ACCESS_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(ACCESS_ERR)];
const INVALID: &[Case] = &[always("1 REM_INV_REQ_ERR | 900 flush", "| 900 flush", "ERR/ERR").told(REQ_ERR)];
const DESTINATION: &[Case] = &[always("1 LOC_PROT_ERR | 900 flush", "", "ERR/RTS")];
const SIXTEEN: &[Case] = &[always("1-16 RDMA_READ 64", "", "RTS/RTS")];

/// The responder has the data.
fn from_responder() -> Setup {
    Setup { pattern: (false, true), ..Setup::default() }
}

fn ok(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&from_responder())?;
    stage.req.post(read(1, stage.req.buf.sge(0, 64), &stage.resp.buf, 0))?;
    stage.req.post(read(2, stage.req.buf.sge(100, 3001), &stage.resp.buf, 1000))?;
    stage.req.lands(0, &pattern(64));
    stage.req.lands(100, &pattern(8192)[1000..4001]);
    Ok(())
}

fn refused(stage: &mut Stage<'_>, setup: &Setup, len: u32, target: fn(Mr) -> (Mr, i64)) -> Result<()> {
    stage.connect(setup)?;
    stage.park()?;
    let (mr, offset) = target(stage.resp.buf);
    stage.req.post(read(1, stage.req.buf.sge(0, len), &mr, offset))
}

fn after_writes(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup::default())?;
    stage.park()?;
    let bad = Mr { rkey: BAD_KEY, ..stage.resp.buf };
    stage.req.post_list(vec![
        write(1, stage.req.buf.sge(0, 64), &stage.resp.buf, 0),
        write(2, stage.req.buf.sge(0, 2500), &stage.resp.buf, 0).unsignaled(),
        read(3, stage.req.buf.sge(0, 3000), &bad, 0),
        write(4, stage.req.buf.sge(0, 64), &stage.resp.buf, 4096),
    ])?;
    stage.resp.lands(0, &pattern(2500));
    Ok(())
}

fn bad_destination(stage: &mut Stage<'_>, setup: &Setup, destination: fn(Sge) -> Sge) -> Result<()> {
    stage.connect(setup)?;
    let source = stage.resp.region("source", 4096, Access::ALL)?;
    let park = stage.req.region("park", 64, Access::LOCAL_WRITE)?;
    stage.req.try_recv("qp", 900, vec![park.sge(0, 64)])?;
    stage.req.post(read(1, destination(stage.req.buf.sge(0, 64)), &source, 0))
}

fn max_rd_0(stage: &mut Stage<'_>) -> Result<()> {
    stage.connect(&Setup { max_rd: 0, ..Setup::default() })?;
    stage.req.post(write(1, stage.req.buf.sge(0, 64), &stage.resp.buf, 0))?;
    stage.req.post(read(2, stage.req.buf.sge(4096, 64), &stage.resp.buf, 0))?;
    stage.req.wait(1)?;
    stage.resp.lands(0, &pattern(64));
    pause(800);
    Ok(())
}

fn depth(stage: &mut Stage<'_>, count: u32, max_rd: u8, max_dest_rd: u8) -> Result<()> {
    stage.connect(&Setup { max_rd, max_dest_rd, ..from_responder() })?;
    let reads = (0..count).map(|index| {
        let offset = index * 64;
        read(
            u64::from(index) + 1,
            stage.req.buf.sge(u64::from(offset), 64),
            &stage.resp.buf,
            i64::from(offset),
        )
    });
    stage.req.post_list(reads.collect())?;
    stage.req.lands(0, &pattern(count as usize * 64));
    Ok(())
}

fn too_many(stage: &mut Stage<'_>) -> Result<()> {
    let minds = stage.resp.kind() == Kind::Ferroce;
    depth(stage, if minds { 3 } else { 16 }, 16, 2)?;
    if minds {
        // The third is refused if it comes before the first is answered.
        stage.req.undefined(128..192);
    }
    Ok(())
}
