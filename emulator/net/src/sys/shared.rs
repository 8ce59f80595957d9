//! Memory that two processes share, and how one gives it to the other.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::fork;

/// Memory that another process may read and write at any time. What is read is copied out first; no reference to it
/// is made, but to words that are atomic.
///
/// A forked child does not have it.
pub(crate) struct SharedMemory {
    start: NonNull<u8>,
    len: usize,
    born: u32,
}

// SAFETY: it is plain memory without thread affinity.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Makes zeroed memory that nobody can make shorter, and a descriptor by which another process can map it.
    pub(crate) fn create(len: usize) -> io::Result<(SharedMemory, OwnedFd)> {
        let fd = memfd_create(c"ferroce", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let file = File::from(fd);
        file.set_len(len as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok((SharedMemory::map(file.as_fd(), len)?, file.into()))
    }

    /// Maps what another process has made.
    ///
    /// # Errors
    /// When it is not of this length, or could be made shorter, which would take the memory away under our hands.
    pub(crate) fn open(fd: OwnedFd, len: usize) -> io::Result<SharedMemory> {
        let file = File::from(fd);
        let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS)?);
        if file.metadata()?.len() != len as u64 || !seals.contains(SealFlag::F_SEAL_SHRINK) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        SharedMemory::map(file.as_fd(), len)
    }

    fn map(fd: BorrowedFd<'_>, len: usize) -> io::Result<SharedMemory> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // Not populated: many pairs of NICs exchange little, and there may be thousands.
        let (any, shared) = (std::ptr::null_mut(), libc::MAP_SHARED);
        // SAFETY: a new mapping where the kernel chooses overlaps nothing that is there.
        let start = unsafe { libc::mmap(any, len, rights, shared, fd.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = SharedMemory { start, len, born: fork::generation() };
        // SAFETY: the range is the mapping just made.
        super::check(unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTFORK) })?;
        Ok(memory)
    }

    /// True in a forked child, where nothing may be read or written.
    pub(crate) fn is_inherited(&self) -> bool {
        self.born != fork::generation()
    }

    /// The word at `at`, a multiple of 8.
    pub(crate) fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8));
        let word = self.range(at, 8).cast();
        // SAFETY: inside the mapping, which lives as long as `self`; aligned; whoever else has the memory is a
        // process, and for those an atomic word is one too.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Copies `data` in.
    pub(crate) fn write(&self, at: usize, data: &[u8]) {
        let to = self.range(at, data.len());
        // SAFETY: inside the mapping, and `data` is a reference, which leads to no shared memory.
        unsafe { copy(data.as_ptr(), to, data.len()) }
    }

    /// Copies bytes out, which may be a mixture of what others write meanwhile.
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        let from = self.range(at, out.len());
        // SAFETY: as in `write`.
        unsafe { copy(from, out.as_mut_ptr(), out.len()) }
    }

    fn range(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at <= self.len && len <= self.len - at && !self.is_inherited());
        // SAFETY: inside the mapping, as just checked.
        unsafe { self.start.as_ptr().add(at) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if !self.is_inherited() {
            // SAFETY: the mapping is ours, and this is its end. In a child something else may be there by now.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

/// Bytes that are copied at once.
const STRIDE: usize = 1024;

/// Copies in strides for which `memcpy` takes vector registers. For longer ones it takes `rep movsb`, which waits for
/// every cache line that the other processor has: that is ten times slower.
///
/// # Safety
/// As for [`std::ptr::copy_nonoverlapping`].
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    for at in (0..len).step_by(STRIDE) {
        // SAFETY: a part of what the caller vouches for.
        unsafe { std::ptr::copy_nonoverlapping(from.add(at), to.add(at), STRIDE.min(len - at)) };
    }
}

/// Sends a message with a descriptor through a Unix socket.
pub(crate) fn send_descriptor(
    through: BorrowedFd<'_>,
    message: &[u8],
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    let descriptors = [descriptor.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(through.as_raw_fd(), &[IoSlice::new(message)], &control, flags, None)?;
    Ok(())
}

/// Receives a message of `N` bytes with one descriptor.
///
/// # Errors
/// [`InvalidData`](io::ErrorKind::InvalidData) when it is no such message.
pub(crate) fn receive_descriptor<const N: usize>(through: BorrowedFd<'_>) -> io::Result<([u8; N], OwnedFd)> {
    let (mut message, mut control) = ([0; N], nix::cmsg_space!([i32; 1]));
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut parts = [IoSliceMut::new(&mut message)];
    let received = recvmsg::<()>(through.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let len = received.bytes;
    let mut descriptors = Vec::new();
    for control in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just opened them for us, and nobody else knows them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    match (descriptors.pop(), descriptors.is_empty(), len == N) {
        (Some(descriptor), true, true) => Ok((message, descriptor)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_one_writes_the_other_reads() {
        let (ours, fd) = SharedMemory::create(8192).unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        send_descriptor(a.as_fd(), b"memory", fd.as_fd()).unwrap();
        let (message, fd) = receive_descriptor::<6>(b.as_fd()).unwrap();
        assert_eq!(&message, b"memory");
        let theirs = SharedMemory::open(fd, 8192).unwrap();
        ours.write(8190, b"ab");
        ours.word(64).store(7, Ordering::Release);
        let mut out = [0; 2];
        theirs.read(8190, &mut out);
        assert_eq!((&out, theirs.word(64).load(Ordering::Acquire)), (b"ab", 7));
    }

    #[test]
    fn memory_that_can_vanish_is_refused() {
        let fd = memfd_create(c"test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        let file = File::from(fd);
        file.set_len(4096).unwrap();
        assert!(SharedMemory::open(file.try_clone().unwrap().into(), 4096).is_err(), "it has no seals");
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
        assert!(SharedMemory::open(file.try_clone().unwrap().into(), 8192).is_err(), "it is shorter");
        assert!(SharedMemory::open(file.into(), 4096).is_ok());
        let null = File::open("/dev/null").unwrap();
        assert!(SharedMemory::open(null.into(), 4096).is_err());
    }

    #[test]
    fn a_message_without_a_descriptor_is_refused() {
        use std::io::Write;
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"memory").unwrap();
        assert!(receive_descriptor::<6>(b.as_fd()).is_err());
    }
}
