//! Many datagrams with one system call (sendmmsg(2), recvmmsg(2)). For a single one the older calls cost less.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Control, SockAddr};

/// Most datagrams that one system call moves.
pub(crate) const BATCH: usize = 16;

/// Most datagrams to receive at once when they are long: more would not be in the cache any more when their turn
/// comes.
const LONG_BATCH: usize = 4;

/// From this average length on, in bytes, datagrams count as long.
const LONG: usize = 16 << 10;

/// A datagram to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) to: SockAddr,
    pub(crate) control: Control,
    pub(crate) bytes: &'a [u8],
}

/// Sends the first [`BATCH`] of `messages`, and tells how many the kernel took.
///
/// # Errors
/// When it did not take the first one.
pub(crate) fn send(fd: BorrowedFd<'_>, messages: &[Outgoing<'_>]) -> io::Result<usize> {
    let messages = &messages[..messages.len().min(BATCH)];
    let (mut parts, mut headers) = (Parts::uninit(), Headers::uninit());
    for ((message, part), header) in messages.iter().zip(&mut parts.0).zip(&mut headers.0) {
        let base = message.bytes.as_ptr().cast_mut().cast();
        let part = part.write(libc::iovec { iov_base: base, iov_len: message.bytes.len() });
        let header = &mut header.write(no_message()).msg_hdr;
        header.msg_name = message.to.as_ptr().cast_mut().cast();
        header.msg_namelen = message.to.len();
        header.msg_iov = part;
        header.msg_iovlen = 1;
        if message.control.len() > 0 {
            header.msg_control = message.control.as_ptr().cast_mut().cast();
            header.msg_controllen = message.control.len() as _;
        }
    }
    // SAFETY: the first `messages.len()` headers point to names, parts, bytes and control messages that live
    // until the end of this function; for sending, the kernel only reads them, and writes `msg_len` of the
    // headers themselves.
    let sent = unsafe {
        match messages.len() {
            1 => libc::sendmsg(fd.as_raw_fd(), headers.one(), 0).min(1),
            count => libc::sendmmsg(fd.as_raw_fd(), headers.first(), count as _, 0) as isize,
        }
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Room for what a system call is given of each message. Most calls are about few, so only what is used is filled.
struct Parts([MaybeUninit<libc::iovec>; BATCH]);

/// The same for the headers.
struct Headers([MaybeUninit<libc::mmsghdr>; BATCH]);

impl Parts {
    fn uninit() -> Parts {
        Parts([const { MaybeUninit::uninit() }; BATCH])
    }
}

impl Headers {
    fn uninit() -> Headers {
        Headers([const { MaybeUninit::uninit() }; BATCH])
    }

    fn first(&mut self) -> *mut libc::mmsghdr {
        self.0.as_mut_ptr().cast()
    }

    /// The first without the room for its length, which the calls for one datagram return.
    fn one(&mut self) -> *mut libc::msghdr {
        // `msg_hdr` is what the struct begins with.
        self.first().cast()
    }
}

fn no_message() -> libc::mmsghdr {
    // SAFETY: all zeros are valid for this plain C struct.
    unsafe { mem::zeroed() }
}

/// Where received datagrams go. One is enough for any number of sockets.
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    slots: Box<[Slot; BATCH]>,
    /// Datagrams to ask for next time.
    batch: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    from: SockAddr,
    control: Control,
    len: usize,
    truncated: bool,
}

/// A received datagram.
pub(crate) struct Incoming<'a> {
    pub(crate) from: &'a SockAddr,
    pub(crate) control: &'a Control,
    pub(crate) bytes: &'a [u8],
    /// It was longer than the buffer; the rest is lost.
    pub(crate) truncated: bool,
}

impl Inbox {
    /// Bytes for each datagram: the longest IP packet with what packet sockets put before it, rounded up.
    const BUFFER: usize = 65_536 + 64;

    pub(crate) fn new() -> Inbox {
        let slot = Slot { from: SockAddr::EMPTY, control: Control::EMPTY, len: 0, truncated: false };
        Inbox { bytes: vec![0; BATCH * Inbox::BUFFER], slots: Box::new([slot; BATCH]), batch: 1 }
    }

    /// Takes what has arrived, at most [`BATCH`] datagrams, and tells how many. Never waits.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing has.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let (mut parts, mut headers) = (Parts::uninit(), Headers::uninit());
        let buffers = self.bytes.chunks_exact_mut(Inbox::BUFFER);
        for (((slot, buffer), part), header) in
            self.slots[..self.batch].iter_mut().zip(buffers).zip(&mut parts.0).zip(&mut headers.0)
        {
            let base = buffer.as_mut_ptr().cast();
            let part = part.write(libc::iovec { iov_base: base, iov_len: buffer.len() });
            let header = &mut header.write(no_message()).msg_hdr;
            header.msg_name = slot.from.as_mut_ptr().cast();
            header.msg_namelen = SockAddr::ROOM as u32;
            header.msg_control = slot.control.as_mut_ptr().cast();
            header.msg_controllen = Control::ROOM as _;
            header.msg_iov = part;
            header.msg_iovlen = 1;
        }
        // SAFETY: each of the first `count` headers points to a name, a buffer and a control buffer of the stated
        // lengths, all distinct, borrowed mutably from `self`, and valid for any bytes that the kernel writes.
        let got = unsafe {
            let (flags, never) = (libc::MSG_DONTWAIT, std::ptr::null_mut());
            match self.batch {
                1 => libc::recvmsg(fd.as_raw_fd(), headers.one(), flags),
                count => {
                    libc::recvmmsg(fd.as_raw_fd(), headers.first(), count as _, flags as _, never) as isize
                }
            }
        };
        if got < 0 {
            self.batch = 1;
            return Err(io::Error::last_os_error());
        }
        let (got, len) = if self.batch == 1 { (1, Some(got as usize)) } else { (got as usize, None) };
        for (slot, header) in self.slots.iter_mut().zip(&headers.0[..got]) {
            // SAFETY: the kernel was given at least `got` headers, which were all filled above.
            let header = unsafe { header.assume_init_ref() };
            slot.len = len.unwrap_or(header.msg_len as usize);
            slot.control.set_len(header.msg_hdr.msg_controllen as _);
            slot.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        let bytes: usize = self.slots[..got].iter().map(|slot| slot.len).sum();
        // To look for one more than there is costs as much as to look for the first, so the batch grows while it is
        // found full only.
        let most = if bytes >= LONG * got { LONG_BATCH } else { BATCH };
        self.batch = if got == self.batch { (2 * got).min(most) } else { got.clamp(1, most) };
        Ok(got)
    }

    /// Datagram `index` of the last call of [`receive`](Self::receive).
    pub(crate) fn message(&self, index: usize) -> Incoming<'_> {
        let slot = &self.slots[index];
        let buffer = &self.bytes[index * Inbox::BUFFER..][..Inbox::BUFFER];
        Incoming {
            from: &slot.from,
            control: &slot.control,
            bytes: &buffer[..slot.len.min(Inbox::BUFFER)],
            truncated: slot.truncated,
        }
    }
}
