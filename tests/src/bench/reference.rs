//! What the operating system's sockets do, used as well as they can be.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrIn, bind, getsockname, recvmsg,
    sendmsg, setsockopt, socket, sockopt,
};

/// Two UDP sockets on loop-back that know each other.
fn udp_pair() -> std::io::Result<[UdpSocket; 2]> {
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    for (me, peer) in [(0, 1), (1, 0)] {
        sockets[me].connect(sockets[peer].local_addr()?)?;
        sockets[me].set_nonblocking(true)?;
        // Larger buffers where the system lets us; it caps them silently.
        setsockopt(&sockets[me], sockopt::RcvBuf, &(8 << 20))?;
        setsockopt(&sockets[me], sockopt::SndBuf, &(8 << 20))?;
    }
    Ok(sockets)
}

/// Half a round trip in microseconds, of `ping`, which waits for what another thread's `echo` answers; that is called again
/// and again and never waits.
fn half_round_trip<E>(
    rounds: u32,
    echo: impl FnMut() + Send,
    ping: impl FnMut() -> Result<(), E>,
) -> Result<f64, E> {
    let done = AtomicBool::new(false);
    let (mut echo, mut ping) = (echo, ping);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                echo();
            }
        });
        let played = (0..rounds).try_for_each(|_| ping());
        let elapsed = start.elapsed();
        done.store(true, Ordering::Relaxed);
        played.map(|()| elapsed.as_secs_f64() * 1e6 / f64::from(rounds) / 2.0)
    })
}

/// Half a round trip of a datagram of `len` bytes between two threads that poll, in microseconds.
pub(super) fn udp_latency(len: usize, rounds: u32) -> std::io::Result<f64> {
    let [near, far] = udp_pair()?;
    let (mut bytes, mut pong, ping) = (vec![0; 65_536], vec![0; 65_536], vec![7; len]);
    let echo = || {
        if let Ok(len) = far.recv(&mut pong) {
            far.send(&pong[..len]).ok();
        }
    };
    half_round_trip(rounds, echo, || {
        near.send(&ping)?;
        while near.recv(&mut bytes).is_err() {}
        Ok(())
    })
}

/// The same as a NIC has to do it that others share its address with: through sockets that are not connected, each
/// datagram with an acknowledgement behind it, which segmentation offload makes one with it.
pub(super) fn udp_latency_acknowledged(len: usize, rounds: u32) -> nix::Result<f64> {
    const ACK: usize = 20;
    let open = |last| -> nix::Result<_> {
        let addr = SockaddrIn::new(127, 91, 1, last, 0);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::UdpGroSegment, &true)?;
        bind(fd.as_raw_fd(), &addr)?;
        let addr: SockaddrIn = getsockname(fd.as_raw_fd())?;
        Ok((fd, addr))
    };
    let ((near, near_addr), (far, far_addr)) = (open(1)?, open(2)?);
    let bytes = vec![7; len + ACK];
    let send = |fd: &OwnedFd, to: &SockaddrIn| {
        let (parts, segment) = ([IoSlice::new(&bytes)], len as u16);
        let cut = [ControlMessage::UdpGsoSegments(&segment)];
        sendmsg(fd.as_raw_fd(), &parts, &cut, MsgFlags::empty(), Some(to))
    };
    let receive = |fd: &OwnedFd| {
        let (mut bytes, mut control) = ([0; 2048], nix::cmsg_space!(i32));
        let mut parts = [IoSliceMut::new(&mut bytes)];
        recvmsg::<SockaddrIn>(fd.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())
            .map(|message| message.bytes)
    };
    let echo = || {
        if receive(&far).is_ok() {
            send(&far, &near_addr).ok();
        }
    };
    half_round_trip(rounds, echo, || {
        send(&near, &far_addr)?;
        let mut arrived = 0;
        while arrived < len + ACK {
            arrived += receive(&near).unwrap_or(0);
        }
        Ok(())
    })
}

/// Bits per nanosecond that arrive of a UDP stream of packets of `segment` bytes, sent and received in batches
/// by the kernel's segmentation (GSO and GRO). What is lost does not count. With `checked`, each packet is copied and its
/// checksum computed at both ends, as a NIC must that is a program.
pub(super) fn udp_stream(segment: usize, bytes: u64, checked: bool) -> std::io::Result<f64> {
    let [near, far] = udp_pair()?;
    setsockopt(&near, sockopt::UdpGsoSegment, &(segment as i32))?;
    setsockopt(&far, sockopt::UdpGroSegment, &true)?;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let (mut buffer, mut memory, mut arrived) = (vec![0; 65_536], vec![0; MEMORY + 65_536], 0);
        while !stop.load(Ordering::Relaxed) {
            if let Ok(len) = far.recv(&mut buffer) {
                arrived += len as u64;
                if checked {
                    let at = arrived as usize % MEMORY;
                    copy_checked(&buffer[..len], &mut memory[at..at + len], segment);
                }
            }
        }
        arrived
    });
    let mut train = vec![7; segment * (65_000 / segment).min(64)];
    let source = vec![7; MEMORY + 65_536];
    let (start, mut sent) = (Instant::now(), 0);
    while sent < bytes {
        if checked {
            let at = sent as usize % MEMORY;
            copy_checked(&source[at..at + train.len()], &mut train, segment);
        }
        if near.send(&train).is_ok() {
            sent += train.len() as u64;
        }
    }
    done.store(true, Ordering::Relaxed);
    let arrived = reader.join().expect("the reader does not panic");
    Ok(arrived as f64 * 8.0 / start.elapsed().as_nanos() as f64)
}

/// Bytes that a stream goes round in: as much as a message of the NICs.
const MEMORY: usize = 1 << 20;

fn copy_checked(from: &[u8], to: &mut [u8], segment: usize) {
    for (from, to) in from.chunks(segment).zip(to.chunks_mut(segment)) {
        to.copy_from_slice(from);
        std::hint::black_box(crc32fast::hash(to));
    }
}

/// Bits per nanosecond of a TCP stream over loop-back, written 1 MiB at a time.
pub(super) fn tcp_stream(bytes: u64) -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while far.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    let chunk = vec![7; 1 << 20];
    let start = Instant::now();
    for _ in 0..bytes.div_ceil(chunk.len() as u64) {
        near.write_all(&chunk)?;
    }
    drop(near);
    reader.join().expect("the reader does not panic");
    Ok(bytes as f64 * 8.0 / start.elapsed().as_nanos() as f64)
}

/// Bits per nanosecond of copying `len` bytes from one place to another, `count` times.
pub(super) fn memory_copy(len: usize, count: usize) -> f64 {
    let (source, mut copy) = (vec![7_u8; len], vec![0; len]);
    let start = Instant::now();
    for _ in 0..count {
        std::hint::black_box(&mut copy[..]).copy_from_slice(std::hint::black_box(&source));
    }
    (len * count) as f64 * 8.0 / start.elapsed().as_nanos() as f64
}

/// Bits per nanosecond of `len` bytes that one thread copies into a ring, `count` times, and another out of it, neither of
/// which ever sleeps: the least that two NICs do that meet in shared memory.
pub(super) fn ring_copy(len: usize, count: usize) -> f64 {
    const CHUNK: usize = 64 << 10;
    const RING: usize = 512 << 10;
    let ((give, take), (give_back, take_back)) = (channel::<Vec<u8>>(), channel::<Vec<u8>>());
    (0..RING / CHUNK).for_each(|_| give_back.send(vec![0; CHUNK]).expect("its other end is here"));
    let (source, mut sink) = (vec![7_u8; len], vec![0; len]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for from in (0..count).flat_map(|_| source.chunks(CHUNK)) {
                let mut chunk = spin(&take_back);
                chunk[..from.len()].copy_from_slice(from);
                give.send(chunk).ok();
            }
        });
        for _ in 0..count {
            for to in sink.chunks_mut(CHUNK) {
                let chunk = spin(&take);
                to.copy_from_slice(&chunk[..to.len()]);
                // The last ones find nobody.
                give_back.send(chunk).ok();
            }
            std::hint::black_box(&mut sink);
        }
    });
    (len * count) as f64 * 8.0 / start.elapsed().as_nanos() as f64
}

fn spin<T>(from: &Receiver<T>) -> T {
    loop {
        if let Ok(found) = from.try_recv() {
            return found;
        }
        std::hint::spin_loop();
    }
}
