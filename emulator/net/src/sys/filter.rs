//! Classic BPF programs that let a socket take only what is meant for it (socket(7), `SO_ATTACH_FILTER`).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ferroce_wire::UDP_PORT;

/// A filter program.
pub(crate) struct Filter(Vec<libc::sock_filter>);

/// Loads relative to the IP header, wherever it is (`SKF_NET_OFF`).
const IP: u32 = -0x10_0000_i32 as u32;
/// Loads the packet's type, see packet(7) (`SKF_AD_OFF + SKF_AD_PKTTYPE`).
const PACKET_TYPE: u32 = (-0x1000_i32 + 4) as u32;

const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

impl Filter {
    /// Takes nothing.
    pub(crate) fn nothing() -> Filter {
        Filter(vec![op(RETURN, 0, 0, 0)])
    }

    /// Takes whole UDP datagrams to port 4791 of `addr` in IPv4 packets without options, if the frame was
    /// addressed to this machine.
    pub(crate) fn roce_to(addr: Ipv4Addr) -> Filter {
        let wanted = [
            (LOAD_BYTE, IP, 0xff, 0x45),
            (LOAD_BYTE, IP + 9, 0xff, libc::IPPROTO_UDP as u32),
            (LOAD_HALF, IP + 6, 0x3fff, 0),
            (LOAD_WORD, IP + 16, u32::MAX, addr.to_bits()),
            (LOAD_HALF, IP + 22, 0xffff, u32::from(UDP_PORT)),
        ];
        let to_reject = |tests_left: usize| (3 * tests_left + 1) as u8;
        let mut program = vec![
            op(LOAD_WORD, PACKET_TYPE, 0, 0),
            op(JUMP_EQUAL, u32::from(libc::PACKET_OTHERHOST), to_reject(wanted.len()), 0),
        ];
        for (index, (load, at, mask, value)) in wanted.into_iter().enumerate() {
            program.push(op(load, at, 0, 0));
            program.push(op(AND, mask, 0, 0));
            program.push(op(JUMP_EQUAL, value, 0, to_reject(wanted.len() - 1 - index)));
        }
        program.push(op(RETURN, u32::MAX, 0, 0));
        program.push(op(RETURN, 0, 0, 0));
        Filter(program)
    }
}

fn op(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// From now on the socket takes only what `filter` takes.
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, filter: &Filter) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.0.len() as u16, filter: filter.0.as_ptr().cast_mut() };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: `program` points to `len` instructions, and the kernel only reads, checks and copies them.
    super::check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const program).cast(), len) })
}

/// From now on the socket takes everything again.
pub(crate) fn detach_filter(fd: BorrowedFd<'_>) -> io::Result<()> {
    super::set_option(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}
