//! Protection domains and the memory in them.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;
use std::sync::Arc;

use ferroce_engine::{Access, Buffer, Mr, MrInit, MwType, Pd, Region, Remote, Sge};

use crate::completion::CompletionQueue;
use crate::context::Context;
use crate::endpoint::{Fields, ParseError};
use crate::error::{Error, verb};
use crate::queue_pair::QueuePairBuilder;
use crate::shared_queue::SharedReceiveQueue;
use crate::window::MemoryWindow;

/// What memory and queue pairs belong to: a queue pair touches memory of its own domain only. Clones are the
/// same domain.
///
/// ```
/// use ferroce::{Access, Context, Hub, Nic};
///
/// let nic = Nic::builder().address("192.0.2.1".parse()?).hub(&Hub::new()).open()?;
/// let pd = Context::new(nic).protection_domain()?;
/// let memory = pd.register(4096, Access::LOCAL_WRITE)?;
/// assert_eq!(memory.len(), 4096);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ProtectionDomain {
    shared: Arc<Shared>,
}

struct Shared {
    pd: Pd,
    context: Context,
}

impl ProtectionDomain {
    pub(crate) fn new(context: &Context) -> Result<ProtectionDomain, Error> {
        let made = context.nic().with(|device, _| device.alloc_pd());
        let pd = made.map_err(verb("make a protection domain"))?;
        Ok(ProtectionDomain { shared: Arc::new(Shared { pd, context: context.clone() }) })
    }

    /// Allocates and registers `len` zero bytes (`ibv_reg_mr`).
    ///
    /// # Errors
    /// When the rights contradict each other (remote writing and atomics need [`Access::LOCAL_WRITE`]), or the
    /// NIC has no room for another region.
    pub fn register(&self, len: usize, access: Access) -> Result<MemoryRegion, Error> {
        self.register_buffer(&Buffer::new(len), access)
    }

    /// Registers memory that is there already. The same buffer may be registered several times, with different
    /// rights or NICs.
    ///
    /// # Errors
    /// As for [`register`](Self::register).
    pub fn register_buffer(&self, buffer: &Buffer, access: Access) -> Result<MemoryRegion, Error> {
        let init = MrInit::new(buffer, access);
        let base = init.iova;
        let made = self.context().nic().with(|device, _| device.reg_mr(self.id(), init));
        let mr = made.map_err(verb("register memory"))?;
        let registration = Arc::new(Registration { mr, pd: self.clone() });
        Ok(MemoryRegion { registration, base, buffer: buffer.clone() })
    }

    /// Registers memory of any kind, [null](Region::null) or [paged](Region::paged) too, under addresses that begin at
    /// `base`. It is read and written by way of work requests only.
    ///
    /// ```
    /// use ferroce::{Access, Region, Sge};
    ///
    /// let (a, b) = ferroce::pair()?;
    /// let nothing = a.pd.register_region(Region::null(u64::MAX), 0, Access::LOCAL_WRITE)?;
    /// let sink = Sge { addr: 0, len: 1 << 16, lkey: nothing.lkey() };
    /// a.qp.post().read(1, &[sink], b.memory.remote()).submit()?;
    /// a.cq.wait(None)?; // it was fetched, and went nowhere
    /// # Ok::<_, ferroce::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`register`](Self::register), and when the rights do not suit the kind of memory.
    pub fn register_region(&self, region: Region, base: u64, access: Access) -> Result<Registration, Error> {
        let init = MrInit { region, iova: base, access };
        let made = self.context().nic().with(|device, _| device.reg_mr(self.id(), init));
        Ok(Registration { mr: made.map_err(verb("register memory"))?, pd: self.clone() })
    }

    /// Makes a memory window, which opens nothing until it is bound (`ibv_alloc_mw`).
    ///
    /// # Errors
    /// When the NIC has no room for another.
    pub fn memory_window(&self, kind: MwType) -> Result<MemoryWindow, Error> {
        MemoryWindow::new(self, kind)
    }

    /// Makes a queue of up to `max_wr` receives for several queue pairs (`ibv_create_srq`).
    ///
    /// # Errors
    /// When `max_wr` is 0 or above [`Limits::max_srq_wr`](crate::Limits::max_srq_wr), or the NIC has no room for
    /// another.
    pub fn shared_receive_queue(&self, max_wr: u32) -> Result<SharedReceiveQueue, Error> {
        SharedReceiveQueue::new(self, max_wr)
    }

    /// Starts to describe a queue pair whose completions go to `cq`.
    pub fn queue_pair(&self, cq: &CompletionQueue) -> QueuePairBuilder {
        QueuePairBuilder::new(self, cq)
    }

    /// The NIC it belongs to.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    pub(crate) fn id(&self) -> Pd {
        self.shared.pd
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let freed = self.context.nic().with(|device, _| device.dealloc_pd(self.pd));
        debug_assert!(freed.is_ok(), "what is in a domain keeps it alive: {freed:?}");
    }
}

impl fmt::Debug for ProtectionDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProtectionDomain").field(&self.id()).finish()
    }
}

/// A key that opens memory, until it is dropped; from [`ProtectionDomain::register_region`].
#[derive(Debug)]
pub struct Registration {
    mr: Mr,
    pd: ProtectionDomain,
}

impl Registration {
    /// The key for the owner's own work requests.
    pub fn lkey(&self) -> u32 {
        self.mr.lkey
    }

    /// The key for peers.
    pub fn rkey(&self) -> u32 {
        self.mr.rkey
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let ended = self.pd.context().nic().with(|device, _| device.dereg_mr(self.mr.lkey));
        debug_assert!(ended.is_ok(), "only this ends the registration: {ended:?}");
    }
}

/// Memory that the NIC may touch. Clones are the same region; dropping the last ends the registration first and
/// frees the memory then.
///
/// The program reads and writes it by copying, at any time: the NIC may do so too, and only completions tell
/// when data is settled.
///
/// ```
/// let (a, _) = ferroce::pair()?;
/// a.memory.write(10, b"abc");
/// assert_eq!(a.memory.to_vec(10..13), b"abc");
/// let sge = a.memory.slice(10..13);
/// assert_eq!((sge.addr, sge.len), (a.memory.addr() + 10, 3));
/// # Ok::<_, ferroce::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryRegion {
    registration: Arc<Registration>,
    base: u64,
    buffer: Buffer,
}

impl MemoryRegion {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// True when it holds no byte.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The address by which work requests and peers name the first byte.
    pub fn addr(&self) -> u64 {
        self.base
    }

    /// The key for the owner's own work requests.
    pub fn lkey(&self) -> u32 {
        self.registration.lkey()
    }

    /// The key for peers.
    pub fn rkey(&self) -> u32 {
        self.registration.rkey()
    }

    /// All of it as a scatter/gather entry.
    ///
    /// # Panics
    /// If it has 4 GiB or more.
    pub fn sge(&self) -> Sge {
        self.slice(..)
    }

    /// A part of it as a scatter/gather entry, in bytes from its start.
    ///
    /// # Panics
    /// If the part does not lie inside, or has 4 GiB or more.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Sge {
        let (start, len) = resolve(&range, self.len());
        let len = u32::try_from(len).expect("a scatter/gather entry of less than 4 GiB");
        Sge { addr: self.base + start as u64, len, lkey: self.lkey() }
    }

    /// What peers need to know to reach it.
    pub fn remote(&self) -> RemoteMemory {
        RemoteMemory { addr: self.base, len: self.len() as u64, rkey: self.rkey() }
    }

    /// Copies `data` in, starting at `offset`.
    ///
    /// # Panics
    /// If the range does not lie inside.
    pub fn write(&self, offset: usize, data: &[u8]) {
        self.buffer.write(offset, data);
    }

    /// Copies out the bytes from `offset` on.
    ///
    /// # Panics
    /// If the range does not lie inside.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        self.buffer.read(offset, out);
    }

    /// A part of it as a vector.
    ///
    /// # Panics
    /// If the part does not lie inside.
    pub fn to_vec(&self, range: impl RangeBounds<usize>) -> Vec<u8> {
        let (start, len) = resolve(&range, self.len());
        self.buffer.to_vec(start, len)
    }

    /// The 8-byte word at `offset`, in host byte order, as atomics see it.
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn read_u64(&self, offset: usize) -> u64 {
        let mut word = [0; 8];
        self.read(offset, &mut word);
        u64::from_ne_bytes(word)
    }

    /// Sets the 8-byte word at `offset`. Not atomic towards peers that use atomics at the same time.
    ///
    /// # Panics
    /// If it does not lie inside.
    pub fn write_u64(&self, offset: usize, word: u64) {
        self.write(offset, &word.to_ne_bytes());
    }

    /// The memory, which can outlive its registration.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The domain it belongs to.
    pub fn protection_domain(&self) -> &ProtectionDomain {
        &self.registration.pd
    }
}

impl fmt::Debug for MemoryRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryRegion({} bytes at {:#x}, key {:#x})", self.len(), self.addr(), self.lkey())
    }
}

/// Memory of a peer: what [`MemoryRegion::remote`] gives there. Travels as text.
///
/// ```
/// use ferroce::RemoteMemory;
///
/// let remote: RemoteMemory = "addr=0x7f00 len=4096 rkey=0x1234".parse()?;
/// assert_eq!((remote.len, remote.rkey), (4096, 0x1234));
/// assert_eq!(remote.to_string().parse(), Ok(remote));
/// assert_eq!(remote.at(0x100).addr, 0x8000);
/// # Ok::<_, ferroce::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteMemory {
    /// Address of the first byte.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
    /// The key.
    pub rkey: u32,
}

impl RemoteMemory {
    /// The place `offset` bytes from its start.
    ///
    /// # Panics
    /// If that is not inside, nor its end.
    pub fn at(&self, offset: u64) -> Remote {
        assert!(offset <= self.len, "offset {offset} of remote memory of {} bytes", self.len);
        Remote { addr: self.addr + offset, rkey: self.rkey }
    }
}

impl From<RemoteMemory> for Remote {
    fn from(memory: RemoteMemory) -> Remote {
        memory.at(0)
    }
}

impl fmt::Display for RemoteMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "addr={:#x} len={} rkey={:#x}", self.addr, self.len, self.rkey)
    }
}

impl FromStr for RemoteMemory {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<RemoteMemory, ParseError> {
        let [addr, len, rkey] = Fields::parse(text, ["addr", "len", "rkey"])?;
        let memory = RemoteMemory {
            addr: addr.number(u64::MAX)?,
            len: len.number(u64::MAX)?,
            rkey: rkey.number(u32::MAX.into())? as u32,
        };
        if memory.addr.checked_add(memory.len).is_none() {
            return Err(len.wrong("leaves the address space"));
        }
        Ok(memory)
    }
}

/// Start and length of a range within `len` bytes.
pub(crate) fn resolve(range: &impl RangeBounds<usize>, len: usize) -> (usize, usize) {
    let start = match range.start_bound() {
        Bound::Included(start) => Some(*start),
        Bound::Excluded(before) => before.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.checked_add(1),
        Bound::Excluded(end) => Some(*end),
        Bound::Unbounded => Some(len),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= len => (start, end - start),
        _ => panic!("{:?}..{:?} of {len} bytes", range.start_bound(), range.end_bound()),
    }
}
