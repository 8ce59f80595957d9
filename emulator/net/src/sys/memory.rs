//! The memory of this process, touched by way of the kernel, so that a page which is missing is an error and not
//! a crash.

use ferroce_engine::AddressSpace;

/// All memory of this process, whatever is mapped at the moment: what on-demand and implicit regions look into
/// (`ibv_reg_mr` with `IBV_ACCESS_ON_DEMAND`).
///
/// Each access is a system call, and so slower than one to a region that is known to be there. After `fork` the
/// child reaches its own memory.
///
/// ```
/// use std::sync::Arc;
/// use ferroce_engine::{Access, MrInit, Region, VerbsError};
/// use ferroce_net::{Hub, Nic, ThisProcess};
///
/// // SAFETY: the key is given to nobody.
/// let everything = Region::paged(Arc::new(unsafe { ThisProcess::new() }), 0, u64::MAX);
/// let nic = Nic::builder().address("192.0.2.1".parse()?).hub(&Hub::new()).open()?;
/// let mr = nic.with(|device, _now| {
///     let pd = device.alloc_pd()?;
///     device.reg_mr(pd, MrInit::new(everything, Access::ON_DEMAND | Access::LOCAL_WRITE))
/// })?;
/// # assert!(mr.lkey != 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ThisProcess(());

/// Pages that are looked at in one system call.
const PAGES: usize = 64;

impl ThisProcess {
    /// # Safety
    ///
    /// Whoever gets to use a region of it, a peer perhaps, can read and write any memory of the program. Nothing
    /// may be written there that the program has not set aside for it.
    pub unsafe fn new() -> ThisProcess {
        ThisProcess(())
    }
}

impl AddressSpace for ThisProcess {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let local = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
        read_pieces(&local, &[piece(addr, out.len())], out.len())
    }

    fn write(&self, addr: u64, data: &[u8]) -> bool {
        let local = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        let remote = piece(addr, data.len());
        // SAFETY: `local` describes `data`, which the kernel only reads; what is written was promised to `new`, and
        // the kernel checks that it is there and may be written.
        let moved =
            unsafe { libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
        moved == data.len() as isize
    }

    fn prefetch(&self, addr: u64, len: u64, write: bool) -> bool {
        let (size, first) = (page_size(), addr - addr % page_size());
        let Some(end) = addr.checked_add(len) else { return false };
        if len == 0 {
            return true;
        }
        let advice = if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
        // Before Linux 5.14 there was no such advice, not even about nothing; then reading a byte of each page
        // does nearly the same.
        if advise(first, 0, advice) {
            advise(first, end - first, advice)
        } else {
            read_pages(first, end, size)
        }
    }
}

/// Advice that brings pages in; false when the kernel does not take it.
fn advise(first: u64, len: u64, advice: i32) -> bool {
    // SAFETY: this advice only brings pages in that are mapped; the kernel checks the range.
    unsafe { libc::madvise(first as *mut libc::c_void, len as usize, advice) == 0 }
}

/// Whether a byte of every page can be read.
fn read_pages(first: u64, end: u64, size: u64) -> bool {
    let count = (end - first).div_ceil(size);
    (0..count).step_by(PAGES).all(|batch| {
        let pages = (count - batch).min(PAGES as u64) as usize;
        let mut bytes = [0_u8; PAGES];
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: pages };
        let remote: [_; PAGES] = std::array::from_fn(|page| piece(first + (batch + page as u64) * size, 1));
        read_pieces(&local, &remote[..pages], pages)
    })
}

/// Copies `remote` to `local`, both of `len` bytes; false when not all of it is there.
fn read_pieces(local: &libc::iovec, remote: &[libc::iovec], len: usize) -> bool {
    let count = remote.len() as libc::c_ulong;
    // SAFETY: `local` describes memory that the callers have borrowed for writing, as long as all of `remote`;
    // the kernel checks that what is read is there.
    let moved = unsafe { libc::process_vm_readv(libc::getpid(), local, 1, remote.as_ptr(), count, 0) };
    moved == len as isize
}

fn piece(addr: u64, len: usize) -> libc::iovec {
    libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: len }
}

fn page_size() -> u64 {
    // SAFETY: no pointers are passed.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}
