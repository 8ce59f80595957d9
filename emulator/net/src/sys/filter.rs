//! Classic BPF programs that let a socket take only what is meant for it (socket(7), `SO_ATTACH_FILTER`).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ferroce_engine::qpns_of;
use ferroce_wire::UDP_PORT;

/// Where the lane stands in a packet: the first byte of the BTH's destination QP.
const LANE_AT: u32 = 5;
const UDP_HEADER: u32 = 8;

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
const JUMP_GREATER_OR_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

impl Filter {
    /// For a group of sockets: picks the socket of the lane that a packet is for, `lanes` being those of the
    /// sockets by their numbers. What is for no lane goes to the first.
    pub(crate) fn steer(lanes: &[u8]) -> Filter {
        let mut program = vec![op(LOAD_BYTE, LANE_AT, 0, 0)];
        for (number, lane) in (0..).zip(lanes) {
            program.push(op(JUMP_EQUAL, u32::from(*lane), 0, 1));
            program.push(op(RETURN, number, 0, 0));
        }
        program.push(op(RETURN, 0, 0, 0));
        Filter(program)
    }

    /// For a UDP socket beside a tap, which shows the packets of queue pairs in `lane`: takes all others.
    pub(crate) fn strangers_to(lane: u8) -> Filter {
        let own = qpns_of(lane);
        Filter(vec![
            op(LOAD_WORD, UDP_HEADER + LANE_AT - 1, 0, 0),
            op(AND, 0x00ff_ffff, 0, 0),
            op(JUMP_GREATER_OR_EQUAL, own.start, 0, 2),
            op(JUMP_GREATER_OR_EQUAL, own.end, 1, 0),
            op(RETURN, 0, 0, 0),
            op(RETURN, u32::MAX, 0, 0),
        ])
    }

    /// For a tap: takes whole UDP datagrams to port 4791 of `addr` in IPv4 packets without options, if the frame was
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

impl Filter {
    /// Takes ARP, IPv4 and IPv6 frames that another station has sent to `mac` or to a group.
    pub(crate) fn station(mac: [u8; 6]) -> Filter {
        let [a, b, c, d, e, f] = mac.map(u32::from);
        let types = [libc::ETH_P_ARP, libc::ETH_P_IP, libc::ETH_P_IPV6, libc::ETH_P_8021Q];
        let mut program = vec![
            op(LOAD_WORD, PACKET_TYPE, 0, 0),
            // What this machine sends is shown to packet sockets too.
            op(JUMP_EQUAL, u32::from(libc::PACKET_OUTGOING), 11, 0),
            op(LOAD_BYTE, 0, 0, 0),
            op(JUMP_SET, 1, 4, 0),
            op(LOAD_WORD, 0, 0, 0),
            op(JUMP_EQUAL, a << 24 | b << 16 | c << 8 | d, 0, 7),
            op(LOAD_HALF, 4, 0, 0),
            op(JUMP_EQUAL, e << 8 | f, 0, 5),
            op(LOAD_HALF, 12, 0, 0),
        ];
        for (index, ethertype) in types.into_iter().enumerate() {
            program.push(op(JUMP_EQUAL, ethertype as u32, (types.len() - index) as u8, 0));
        }
        program.push(op(RETURN, 0, 0, 0));
        program.push(op(RETURN, u32::MAX, 0, 0));
        Filter(program)
    }
}

fn op(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// From now on the socket takes only what `filter` takes.
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, filter: &Filter) -> io::Result<()> {
    attach(fd, libc::SO_ATTACH_FILTER, filter)
}

/// From now on `filter` picks the socket of the group of which `fd` is one.
pub(crate) fn attach_steering(fd: BorrowedFd<'_>, filter: &Filter) -> io::Result<()> {
    attach(fd, libc::SO_ATTACH_REUSEPORT_CBPF, filter)
}

fn attach(fd: BorrowedFd<'_>, name: i32, filter: &Filter) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.0.len() as u16, filter: filter.0.as_ptr().cast_mut() };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    let level = libc::SOL_SOCKET;
    // SAFETY: `program` points to `len` instructions, and the kernel only reads, checks and copies them.
    super::check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const program).cast(), len) })
}

/// From now on the socket takes everything again.
pub(crate) fn detach_filter(fd: BorrowedFd<'_>) -> io::Result<()> {
    super::set_option(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, 0)
}
