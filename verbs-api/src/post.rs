//! Batches of send requests.

use ferroce_engine::{Access, Bind, ImmDt, Payload, Qpn, Remote, SendFlags, SendOp, SendWr, Sge};

use crate::datagram::AddressHandle;
use crate::error::Error;
use crate::queue_pair::QueuePair;

/// Send requests that are posted together; from [`QueuePair::post`].
///
/// Requests are signaled unless told otherwise, and each has a number of the program's choice that comes back in
/// its completion. [`unsignaled`](Self::unsignaled), [`fence`](Self::fence), [`solicited`](Self::solicited) and
/// [`to`](Self::to) are about the request before them. Nothing is posted before [`submit`](Self::submit).
///
/// ```
/// # use std::time::Duration;
/// # let (a, b) = ferroce::pair()?;
/// b.qp.receive(0, &[b.memory.slice(..16)])?;
/// a.qp.post()
///     .write(1, &[a.memory.slice(..4096)], b.memory.remote().at(4096)).unsignaled()
///     .send_inline(2, b"it is there").solicited()
///     .submit()?;
/// let wc = a.cq.wait(Duration::from_secs(5))?;
/// assert_eq!(wc.wr_id, 2, "the WRITE gives no completion unless it fails");
/// # Ok::<_, ferroce::Error>(())
/// ```
///
/// A loop can add as many requests as the send queue has room for; see also [`QueuePair::post_send`], which
/// takes requests that are there already.
#[must_use = "requests are posted by `submit`"]
pub struct SendBatch<'a> {
    qp: &'a QueuePair,
    wrs: Vec<SendWr<'a>>,
}

impl<'a> SendBatch<'a> {
    pub(crate) fn new(qp: &'a QueuePair) -> SendBatch<'a> {
        SendBatch { qp, wrs: Vec::new() }
    }

    /// Delivers data into the peer's next receive.
    pub fn send(self, wr_id: u64, data: &'a [Sge]) -> Self {
        self.with(wr_id, SendOp::Send, Payload::Sges(data))
    }

    /// The same with data that is copied now and needs no registration.
    pub fn send_inline(self, wr_id: u64, data: &'a [u8]) -> Self {
        self.with(wr_id, SendOp::Send, Payload::Inline(data))
    }

    /// Delivers data into the peer's next receive, and four bytes into its completion.
    pub fn send_imm(self, wr_id: u64, data: &'a [Sge], imm: ImmDt) -> Self {
        self.with(wr_id, SendOp::SendImm(imm), Payload::Sges(data))
    }

    /// Delivers data into the peer's next receive, and takes this key of the peer's out of use. A memory region
    /// cannot be taken from its owner in this way: the peer refuses, and the connection ends.
    pub fn send_with_invalidate(self, wr_id: u64, data: &'a [Sge], rkey: u32) -> Self {
        self.with(wr_id, SendOp::SendInv(rkey), Payload::Sges(data))
    }

    /// Writes into the peer's memory.
    pub fn write(self, wr_id: u64, data: &'a [Sge], to: impl Into<Remote>) -> Self {
        self.with(wr_id, SendOp::Write(to.into()), Payload::Sges(data))
    }

    /// The same with data that is copied now and needs no registration.
    pub fn write_inline(self, wr_id: u64, data: &'a [u8], to: impl Into<Remote>) -> Self {
        self.with(wr_id, SendOp::Write(to.into()), Payload::Inline(data))
    }

    /// Writes into the peer's memory, and tells the peer by using up a receive, with four bytes in its completion.
    pub fn write_imm(self, wr_id: u64, data: &'a [Sge], to: impl Into<Remote>, imm: ImmDt) -> Self {
        self.with(wr_id, SendOp::WriteImm(to.into(), imm), Payload::Sges(data))
    }

    /// Reads from the peer's memory.
    pub fn read(self, wr_id: u64, into: &'a [Sge], from: impl Into<Remote>) -> Self {
        self.with(wr_id, SendOp::Read(from.into()), Payload::Sges(into))
    }

    /// If the 8-byte word at the peer's `word` equals `compare`, replaces it by `swap`. The old value goes
    /// `into` 8 bytes here, in host byte order.
    pub fn compare_swap(
        self,
        wr_id: u64,
        into: &'a [Sge],
        word: impl Into<Remote>,
        compare: u64,
        swap: u64,
    ) -> Self {
        self.with(wr_id, SendOp::CompareSwap { remote: word.into(), compare, swap }, Payload::Sges(into))
    }

    /// Adds to the 8-byte word at the peer's `word`, modulo 2^64. The old value goes `into` 8 bytes here, in host
    /// byte order.
    ///
    /// ```
    /// # let (a, b) = ferroce::pair()?;
    /// b.memory.write_u64(0, 40);
    /// a.qp.post().fetch_add(1, &[a.memory.slice(..8)], b.memory.remote(), 2).submit()?;
    /// a.cq.wait(None)?;
    /// assert_eq!((a.memory.read_u64(0), b.memory.read_u64(0)), (40, 42));
    /// # Ok::<_, ferroce::Error>(())
    /// ```
    pub fn fetch_add(self, wr_id: u64, into: &'a [Sge], word: impl Into<Remote>, add: u64) -> Self {
        self.with(wr_id, SendOp::FetchAdd { remote: word.into(), add }, Payload::Sges(into))
    }

    /// The request before, of a queue pair for datagrams, goes to `qpn` at the end of this way, and carries `qkey`:
    /// that of the queue pair there, or one with the highest bit set to use one's own. Every datagram needs this.
    pub fn to(mut self, handle: &AddressHandle, qpn: Qpn, qkey: u32) -> Self {
        if let Some(last) = self.wrs.last_mut() {
            last.to = handle.to(qpn, qkey);
        }
        self
    }

    /// Writes 8 bytes at once to a multiple of 8 in the peer's memory. Both NICs must have
    /// [`Personality::placement`](crate::Personality::placement) on.
    pub fn atomic_write(self, wr_id: u64, data: &'a [u8; 8], to: impl Into<Remote>) -> Self {
        self.with(wr_id, SendOp::AtomicWrite(to.into()), Payload::Inline(data))
    }

    /// Waits until what was written to `len` bytes of the peer's memory can be seen by everybody there. The peer's
    /// region and queue pair need [`Access::FLUSH_GLOBAL`], and both NICs
    /// [`Personality::placement`](crate::Personality::placement).
    pub fn flush(self, wr_id: u64, remote: impl Into<Remote>, len: u32) -> Self {
        let (remote, placement) = (remote.into(), Access::FLUSH_GLOBAL);
        let op = SendOp::Flush { remote, len, placement, whole_region: false };
        self.with(wr_id, op, Payload::Sges(&[]))
    }

    /// Binds a memory window of this side; nothing is sent. See [`MemoryWindow::bind`](crate::MemoryWindow::bind).
    pub fn bind(self, wr_id: u64, bind: Bind) -> Self {
        self.with(wr_id, SendOp::BindMw(bind), Payload::Sges(&[]))
    }

    /// Takes a memory window of type 2 of this side out of use; nothing is sent.
    pub fn invalidate(self, wr_id: u64, rkey: u32) -> Self {
        self.with(wr_id, SendOp::LocalInv(rkey), Payload::Sges(&[]))
    }

    /// The request before gives no completion, unless it fails.
    pub fn unsignaled(self) -> Self {
        self.flag(|flags| flags.remove(SendFlags::SIGNALED))
    }

    /// The request before does not start until all READs and atomics before it have completed.
    pub fn fence(self) -> Self {
        self.flag(|flags| flags.insert(SendFlags::FENCE))
    }

    /// The request before wakes a peer that waits for solicited completions only.
    pub fn solicited(self) -> Self {
        self.flag(|flags| flags.insert(SendFlags::SOLICITED))
    }

    /// Posts all requests of the batch, in order, in one go.
    ///
    /// # Errors
    /// [`Error::Post`] with the first that was refused.
    pub fn submit(self) -> Result<(), Error> {
        self.qp.post_send(&self.wrs)
    }

    fn with(mut self, wr_id: u64, op: SendOp, payload: Payload<'a>) -> Self {
        self.wrs.push(SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(wr_id, op, payload) });
        self
    }

    fn flag(mut self, change: impl FnOnce(&mut SendFlags)) -> Self {
        if let Some(last) = self.wrs.last_mut() {
            change(&mut last.flags);
        }
        self
    }
}

impl<'a> Extend<SendWr<'a>> for SendBatch<'a> {
    fn extend<I: IntoIterator<Item = SendWr<'a>>>(&mut self, wrs: I) {
        self.wrs.extend(wrs);
    }
}
