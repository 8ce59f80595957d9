//! Where a scenario takes place: two peers with connected queue pairs and memory whose contents are followed.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::end::End;
use super::setup::Setup;
use crate::peer::{Mr, Opcode, Peer, QpState, SendWr, Sge};

/// Key that no memory region has.
pub(super) const BAD_KEY: u32 = 0xDEAD_BE00;
/// The byte that follows in the test pattern: distinct from its neighbours, and it does not repeat within 256.
const PATTERN_STEP: u8 = 7;

/// Two peers.
pub struct Stage<'a> {
    /// Who posts the requests.
    pub req: End<'a>,
    /// Whose memory and receives they meet.
    pub resp: End<'a>,
    /// What the scenario saw besides completions.
    pub notes: Vec<String>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(requester: &'a mut dyn Peer, responder: &'a mut dyn Peer) -> Self {
        Self { req: End::new(requester), resp: End::new(responder), notes: Vec::new() }
    }

    /// Gives each side a device, a protection domain `pd`, a completion queue `cq`, memory `buf` and a queue pair
    /// `qp`, and connects the two.
    pub(super) fn connect(&mut self, setup: &Setup) -> Result<()> {
        self.open(setup)?;
        self.connect_qps("qp", setup)
    }

    /// The first half of [`Stage::connect`]: all but the queue pairs.
    pub(super) fn open(&mut self, setup: &Setup) -> Result<()> {
        let sides = [
            (&mut self.req, setup.pattern.0, setup.cq_depth.0),
            (&mut self.resp, setup.pattern.1, setup.cq_depth.1),
        ];
        for (end, has_pattern, depth) in sides {
            end.service = setup.service;
            end.open(setup.gid_index)?;
            end.create_cq("cq", depth)?;
            end.buf = end.region("buf", setup.buf, setup.mr_access)?;
            if has_pattern {
                end.store("buf", 0, &pattern(setup.buf))?;
            }
        }
        Ok(())
    }

    /// The second half: connects a pair of new queue pairs of that name.
    pub(super) fn connect_qps(&mut self, name: &str, setup: &Setup) -> Result<()> {
        self.req.create_qp(name)?;
        self.resp.create_qp(name)?;
        self.req.path = Some(setup.requester(&self.resp));
        self.resp.path = Some(setup.responder(&self.req, &self.resp));
        self.req.bring_up(name, QpState::Rts)?;
        self.resp.bring_up(name, setup.responder_state)
    }

    /// Posts on both sides a receive that nothing but a flush can complete.
    pub(super) fn park(&mut self) -> Result<()> {
        self.req.park()?;
        self.resp.park()
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// `len` bytes of the test pattern.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..=u8::MAX).map(|index| index.wrapping_mul(PATTERN_STEP)).cycle().take(len).collect()
}

/// Lets the devices work.
pub(super) fn pause(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

/// A signaled SEND.
pub(super) fn send(wr_id: u64, sge: Sge) -> SendWr {
    SendWr::new(wr_id, Opcode::Send).sge(sge)
}

/// A signaled WRITE to `offset` of the peer's region, which need not lie inside.
pub(super) fn write(wr_id: u64, sge: Sge, remote: &Mr, offset: i64) -> SendWr {
    SendWr::new(wr_id, Opcode::Write).sge(sge).remote(remote, offset)
}

/// A signaled READ from `offset` of the peer's region, which need not lie inside.
pub(super) fn read(wr_id: u64, sge: Sge, remote: &Mr, offset: i64) -> SendWr {
    SendWr::new(wr_id, Opcode::Read).sge(sge).remote(remote, offset)
}
