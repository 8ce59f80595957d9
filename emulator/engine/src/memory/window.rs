//! Memory windows: doors into a region that can be opened and shut without a call to the operating system.

use ferroce_wire::Qpn;

use super::{Access, AccessDenied, Entry, Memory, Pd};
use crate::error::VerbsError;
use crate::rng::Rng;

/// The kinds of memory window; values of `enum ibv_mw_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum MwType {
    /// Good for every queue pair of its protection domain; can be bound anew at any time.
    Type1 = 1,
    /// Good for the queue pair on which it was bound (type 2B); must be invalidated before it is bound anew.
    Type2 = 2,
}

/// A request to bind a memory window (`struct ibv_mw_bind_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bind {
    /// The key that the window will have. Its upper 24 bits, which never change, name the window; the lower 8
    /// are the caller's choice and should differ from those before.
    pub rkey: u32,
    /// Key of the region, which needs [`Access::MW_BIND`].
    pub region: u32,
    /// First byte, in the region's addresses.
    pub addr: u64,
    /// Length in bytes. 0 unbinds a window of type 1.
    pub len: u64,
    /// What peers may do through it: remote rights, and [`Access::ZERO_BASED`] for type 2.
    pub access: Access,
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    pd: Pd,
    kind: MwType,
    bound: Option<Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    bind: Bind,
    qp: Qpn,
}

impl Window {
    /// What it opens, and on which queue pair it was bound.
    pub(super) fn bound(&self) -> Option<(Bind, Qpn)> {
        self.bound.map(|bound| (bound.bind, bound.qp))
    }

    pub(super) fn pd(&self) -> Pd {
        self.pd
    }

    /// Where `va` lies in the region behind the window: the region's key and its own address.
    pub(super) fn open(&self, qp: Qpn, need: Access, va: u64, len: u64) -> Result<(u32, u64), AccessDenied> {
        let Bound { bind, qp: owner } = self.bound.ok_or(AccessDenied::Unbound)?;
        if self.kind == MwType::Type2 && owner != qp {
            return Err(AccessDenied::Unbound);
        }
        if !bind.access.contains(need) {
            return Err(AccessDenied::Right);
        }
        let base = if bind.access.contains(Access::ZERO_BASED) { 0 } else { bind.addr };
        let offset = va.checked_sub(base).ok_or(AccessDenied::Range)?;
        let fits = offset.checked_add(len).is_some_and(|end| end <= bind.len);
        if fits { Ok((bind.region, bind.addr + offset)) } else { Err(AccessDenied::Range) }
    }
}

impl Memory {
    /// Makes a window that opens nothing yet, and returns its key.
    pub(crate) fn alloc_window(&mut self, rng: &mut Rng, pd: Pd, kind: MwType) -> Result<u32, VerbsError> {
        let window = Window { pd, kind, bound: None };
        let room = self.windows < self.max_windows;
        let key = if room { self.keys.insert(rng, Entry::Window(window)) } else { None };
        let key = key.ok_or(VerbsError::Exhausted("memory windows"))?;
        self.windows += 1;
        Ok(key)
    }

    /// Removes a window, whatever the lower 8 bits of its key are now, and tells the domain it was in.
    pub(crate) fn dealloc_window(&mut self, rkey: u32) -> Result<Pd, VerbsError> {
        let window = self.window(rkey).ok_or(VerbsError::Stale("memory window"))?;
        let (pd, bound) = (window.pd, window.bound.take());
        self.release(bound);
        let key = self.keys.current(rkey).unwrap_or(rkey);
        self.keys.remove(key);
        self.windows -= 1;
        Ok(pd)
    }

    /// Binds a window, as IBTA 10.6.7.2.2 and 11.3.3 have it. False when a rule is broken.
    pub(crate) fn bind(&mut self, pd: Pd, qp: Qpn, bind: &Bind) -> bool {
        let Some(window) = self.window(bind.rkey) else { return false };
        let kind = window.kind;
        let free = kind == MwType::Type1 || window.bound.is_none();
        if window.pd != pd || !free || !self.may_bind(pd, kind, bind) {
            return false;
        }
        let before = self.window(bind.rkey).and_then(|window| window.bound.take());
        self.release(before);
        if bind.len > 0 {
            if let Some(Entry::Region(region)) = self.keys.get_mut(bind.region) {
                region.windows += 1;
            }
            if let Some(window) = self.window(bind.rkey) {
                window.bound = Some(Bound { bind: *bind, qp });
            }
        }
        self.keys.change(bind.rkey);
        true
    }

    fn may_bind(&self, pd: Pd, kind: MwType, bind: &Bind) -> bool {
        if bind.len == 0 {
            return kind == MwType::Type1;
        }
        let Some(Entry::Region(region)) = self.keys.get(bind.region) else { return false };
        let remote = Access::REMOTE_WRITE | Access::REMOTE_READ | Access::REMOTE_ATOMIC;
        let known = remote | Access::ZERO_BASED;
        let writes = bind.access.intersects(Access::REMOTE_WRITE | Access::REMOTE_ATOMIC);
        let inside = bind
            .addr
            .checked_sub(region.iova)
            .is_some_and(|offset| offset.checked_add(bind.len).is_some_and(|end| end <= region.region.len()));
        region.pd == pd
            && inside
            && region.access.contains(Access::MW_BIND)
            && !region.access.contains(Access::ZERO_BASED)
            && known.contains(bind.access)
            && (!writes || region.access.contains(Access::LOCAL_WRITE))
            && (kind == MwType::Type2 || !bind.access.contains(Access::ZERO_BASED))
    }

    /// Shuts a window of type 2 that is bound on `qp`, or takes away memory that a work request has registered.
    /// Nothing else can be invalidated (IBTA 10.6.7.2.3): a region registered by `reg_mr` cannot, and neither can
    /// a window of type 1.
    pub(crate) fn invalidate(&mut self, rkey: u32, pd: Pd, qp: Qpn) -> Result<(), AccessDenied> {
        match self.keys.get_mut(rkey) {
            None => Err(AccessDenied::Key),
            Some(Entry::Region(_) | Entry::Free(_)) => self.invalidate_region(rkey, pd),
            Some(Entry::Window(window)) if window.pd != pd => Err(AccessDenied::Domain),
            Some(Entry::Window(window)) if window.kind == MwType::Type1 => Err(AccessDenied::Right),
            Some(Entry::Window(window)) => {
                let bound = window.bound.take_if(|bound| bound.qp == qp).ok_or(AccessDenied::Unbound)?;
                self.release(Some(bound));
                Ok(())
            }
        }
    }

    /// The window that the upper 24 bits of a key name.
    fn window(&mut self, rkey: u32) -> Option<&mut Window> {
        let key = self.keys.current(rkey)?;
        match self.keys.get_mut(key) {
            Some(Entry::Window(window)) => Some(window),
            _ => None,
        }
    }

    /// A window no longer looks into its region.
    fn release(&mut self, bound: Option<Bound>) {
        if let Some(Bound { bind, .. }) = bound
            && let Some(Entry::Region(region)) = self.keys.get_mut(bind.region)
        {
            region.windows -= 1;
        }
    }
}
