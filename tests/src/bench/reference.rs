//! What the operating system's sockets do, used as well as they can be.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};

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

/// Half a round trip of a datagram of `len` bytes between two threads that poll, in microseconds.
pub(super) fn udp_latency(len: usize, rounds: u32) -> std::io::Result<f64> {
    let [near, far] = udp_pair()?;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let echo = std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            if let Ok(len) = far.recv(&mut bytes) {
                far.send(&bytes[..len]).ok();
            }
        }
    });
    let (mut bytes, ping) = (vec![0; 65_536], vec![7; len]);
    let start = Instant::now();
    for _ in 0..rounds {
        near.send(&ping)?;
        while near.recv(&mut bytes).is_err() {}
    }
    let elapsed = start.elapsed();
    done.store(true, Ordering::Relaxed);
    echo.join().expect("the echo thread does not panic");
    Ok(elapsed.as_secs_f64() * 1e6 / f64::from(rounds) / 2.0)
}

/// Bits per nanosecond that arrive of a UDP stream of packets of `segment` bytes, sent and received in batches
/// by the kernel's segmentation (GSO and GRO). What is lost does not count.
pub(super) fn udp_stream(segment: usize, bytes: u64) -> std::io::Result<f64> {
    let [near, far] = udp_pair()?;
    setsockopt(&near, sockopt::UdpGsoSegment, &(segment as i32))?;
    setsockopt(&far, sockopt::UdpGroSegment, &true)?;
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let (mut buffer, mut arrived) = (vec![0; 65_536], 0);
        while !stop.load(Ordering::Relaxed) {
            if let Ok(len) = far.recv(&mut buffer) {
                arrived += len as u64;
            }
        }
        arrived
    });
    let train = vec![7; segment * (65_000 / segment).min(64)];
    let (start, mut sent) = (Instant::now(), 0);
    while sent < bytes {
        if near.send(&train).is_ok() {
            sent += train.len() as u64;
        }
    }
    done.store(true, Ordering::Relaxed);
    let arrived = reader.join().expect("the reader does not panic");
    Ok(arrived as f64 * 8.0 / start.elapsed().as_nanos() as f64)
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
