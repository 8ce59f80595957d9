//! Memory windows.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Mutex;

use ferroce_engine::{Access, Bind, MwType};

use crate::error::{Error, verb};
use crate::memory::{MemoryRegion, ProtectionDomain, RemoteMemory, resolve};

/// A door into a memory region that work requests open and shut (`ibv_mw`), so that a peer gets to a part of it
/// for a while, without a new registration. It keeps the regions alive that it was bound to.
///
/// ```
/// use ferroce::{Access, MwType, WcStatus};
///
/// let (a, b) = ferroce::pair()?;
/// let memory = b.pd.register(4096, Access::LOCAL_WRITE | Access::MW_BIND)?;
/// let window = b.pd.memory_window(MwType::Type2)?;
/// let door = window.bind(&memory, 0..64, Access::REMOTE_WRITE);
/// b.qp.post().bind(1, door).submit()?;
/// b.cq.wait(None)?;
///
/// a.qp.post().write_inline(2, b"through the door", window.remote()).submit()?;
/// assert_eq!(a.cq.wait(None)?.status, WcStatus::Success);
/// b.qp.post().invalidate(3, window.rkey()).submit()?;
/// b.cq.wait(None)?;
/// a.qp.post().write_inline(4, b"it is shut", window.remote()).submit()?;
/// assert_eq!(a.cq.wait(None)?.status, WcStatus::RemAccessErr);
/// # Ok::<_, ferroce::Error>(())
/// ```
pub struct MemoryWindow {
    state: Mutex<State>,
    pd: ProtectionDomain,
}

struct State {
    /// What the peer must know, if the last binding succeeds.
    remote: RemoteMemory,
    /// What the window may look into.
    regions: Vec<MemoryRegion>,
}

impl MemoryWindow {
    pub(crate) fn new(pd: &ProtectionDomain, kind: MwType) -> Result<MemoryWindow, Error> {
        let made = pd.context().nic().with(|device, _| device.alloc_mw(pd.id(), kind));
        let rkey = made.map_err(verb("make a memory window"))?;
        let state = State { remote: RemoteMemory { addr: 0, len: 0, rkey }, regions: Vec::new() };
        Ok(MemoryWindow { state: Mutex::new(state), pd: pd.clone() })
    }

    /// What binds it to a part of a region, in bytes from the region's start, for
    /// [`SendBatch::bind`](crate::SendBatch::bind). The window's key is another one then, so that whoever was
    /// given the old one does not get in. A window of [type 2](MwType::Type2) must be shut before, and opens for the
    /// peer of the queue pair alone on which it is bound.
    ///
    /// # Panics
    /// If the part does not lie inside.
    pub fn bind(&self, region: &MemoryRegion, range: impl RangeBounds<usize>, access: Access) -> Bind {
        let (start, len) = resolve(&range, region.len());
        let (addr, len) = (region.addr() + start as u64, len as u64);
        let mut state = self.state.lock().expect("nothing panics while it is locked");
        let rkey = state.remote.rkey & !0xff | (state.remote.rkey + 1) & 0xff;
        let base = if access.contains(Access::ZERO_BASED) { 0 } else { addr };
        state.remote = RemoteMemory { addr: base, len, rkey };
        if !state.regions.iter().any(|kept| kept.lkey() == region.lkey()) {
            state.regions.push(region.clone());
        }
        Bind { rkey, region: region.lkey(), addr, len, access }
    }

    /// What peers need to know to come through it, once the last binding has completed.
    pub fn remote(&self) -> RemoteMemory {
        self.state.lock().expect("nothing panics while it is locked").remote
    }

    /// The key of the last binding.
    pub fn rkey(&self) -> u32 {
        self.remote().rkey
    }
}

impl Drop for MemoryWindow {
    fn drop(&mut self) {
        let freed = self.pd.context().nic().with(|device, _| device.dealloc_mw(self.rkey()));
        debug_assert!(freed.is_ok(), "only this frees the window: {freed:?}");
    }
}

impl fmt::Debug for MemoryWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryWindow({})", self.remote())
    }
}
