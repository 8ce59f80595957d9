//! Sockets over RDMA: that they behave as sockets do.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use ferroce::cm::{ConnParam, Manager};
use ferroce::rsocket::{Options, Ready, Shutdown, Socket, SocketError};
use ferroce::{Access, CmConfig, Faults, Hub, Nic};

const SECONDS: Duration = Duration::from_secs(10);

const READ: Ready = Ready { read: true, write: false, hangup: false, error: false };
const WRITE: Ready = Ready { read: false, write: true, hangup: false, error: false };

struct Net {
    managers: [Manager; 2],
}

impl Net {
    fn new(faults: Faults) -> Net {
        // Answers come at once here; what is lost is not waited for long.
        let cm = CmConfig { packet_life_time: 10, response_timeout: 12, ack_delay: 8, ..CmConfig::default() };
        let hub = Hub::new();
        let managers = ["192.0.2.1", "192.0.2.2"].map(|address| {
            let nic = Nic::builder().address(address.parse().unwrap()).hub(&hub);
            let nic = nic.faults(faults).connection_management(cm).open().unwrap();
            Manager::of(&ferroce::Context::new(nic))
        });
        Net { managers }
    }

    fn listener(&self, options: Options) -> Socket {
        let listener = Socket::new(&self.managers[1]);
        listener.set_options(options);
        listener.bind(at("192.0.2.2:0")).unwrap();
        listener.listen(4).unwrap();
        listener
    }

    /// Two connected sockets.
    fn pair(&self, options: Options) -> (Socket, Socket) {
        let listener = self.listener(options);
        let client = Socket::new(&self.managers[0]);
        client.set_options(options);
        let (server, peer) = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| client.connect(listener.local_addr()));
            let accepted = listener.accept().unwrap();
            connecting.join().unwrap().unwrap();
            accepted
        });
        assert_eq!(peer, client.local_addr());
        assert_eq!(client.peer_addr().unwrap(), listener.local_addr());
        (client, server)
    }
}

fn at(addr: &str) -> SocketAddr {
    addr.parse().unwrap()
}

/// Bytes of which no two stretches are the same.
fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

fn stream_both_ways(faults: Faults, options: Options, len: usize) {
    let net = Net::new(faults);
    let (a, b) = net.pair(options);
    std::thread::scope(|scope| {
        for (from, to, seed) in [(&a, &b, 1), (&b, &a, 2)] {
            scope.spawn(move || {
                let data = pattern(len, seed);
                for piece in data.chunks(7_777) {
                    assert_eq!(from.send(piece).unwrap(), piece.len());
                }
            });
            scope.spawn(move || {
                let (mut got, mut piece) = (Vec::new(), vec![0; 5_001]);
                while got.len() < len {
                    let count = to.recv(&mut piece).unwrap();
                    assert_ne!(count, 0);
                    got.extend_from_slice(&piece[..count]);
                }
                assert!(got == pattern(len, seed), "what came is not what was sent");
            });
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| a.close().unwrap());
        scope.spawn(|| b.close().unwrap());
    });
}

#[test]
fn a_stream_comes_whole_in_both_directions() {
    stream_both_ways(Faults::default(), Options::default(), 1 << 20);
}

#[test]
fn small_rings_and_few_messages_are_enough() {
    let options =
        Options { send_buffer: 4096, receive_buffer: 4096, send_queue: 16, receive_queue: 16, mappings: 0 };
    stream_both_ways(Faults::default(), options, 200_000);
}

#[test]
fn losses_do_not_show() {
    stream_both_ways(Faults::loss(0.02, 5), Options::default(), 300_000);
}

#[test]
fn half_of_a_connection_can_be_closed() {
    let net = Net::new(Faults::default());
    let (mut a, mut b) = net.pair(Options::default());
    a.write_all(b"the question").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!(a.send(b"more").unwrap_err(), SocketError::Reset);
    let mut all = String::new();
    b.read_to_string(&mut all).unwrap();
    assert_eq!(all, "the question");
    b.write_all(b"the answer").unwrap();
    b.close().unwrap();
    all.clear();
    a.read_to_string(&mut all).unwrap();
    assert_eq!(all, "the answer");
    assert!(a.ready().hangup);
}

#[test]
fn what_would_have_to_wait_does_not_if_told_so() {
    let net = Net::new(Faults::default());
    let listener = net.listener(Options::default());
    listener.set_nonblocking(true);
    assert_eq!(listener.accept().unwrap_err(), SocketError::WouldBlock);
    let client = Socket::new(&net.managers[0]);
    client.set_nonblocking(true);
    assert_eq!(client.send(b"x").unwrap_err(), SocketError::NotConnected);
    assert_eq!(client.connect(listener.local_addr()).unwrap_err(), SocketError::InProgress);
    // The other side of the connection is this same thread.
    while !listener.ready().read {
        client.ready();
        listener.wait_ready(READ, Duration::from_millis(1));
    }
    let (server, _) = listener.accept().unwrap();
    while !(client.ready().write && server.ready().write) {
        client.wait_ready(WRITE, Duration::from_millis(1));
    }
    assert_eq!(client.recv(&mut [0; 8]).unwrap_err(), SocketError::WouldBlock);

    // Until nobody reads any more.
    let mut sent = 0;
    let data = pattern(100_000, 3);
    while let Ok(count) = client.send(&data) {
        sent += count;
        if count == 0 || client.wait_ready(WRITE, Duration::from_millis(200)).is_none() {
            break;
        }
    }
    assert!((1 << 17..=1 << 18).contains(&sent), "a ring and a send buffer: {sent}");
    let mut got = 0;
    let mut out = vec![0; 4096];
    while got < sent {
        match server.recv(&mut out) {
            Ok(count) => got += count,
            Err(SocketError::WouldBlock) => {
                client.ready();
                assert!(server.wait_ready(READ, SECONDS).unwrap().read);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(got, sent);
    assert!(client.wait_ready(WRITE, SECONDS).unwrap().write);
}

#[test]
fn what_is_peeked_at_stays() {
    let net = Net::new(Faults::default());
    let (a, b) = net.pair(Options::default());
    a.send(b"abc").unwrap();
    a.send(b"def").unwrap();
    let mut out = [0; 2];
    assert_eq!((b.peek(&mut out).unwrap(), out), (2, *b"ab"));
    assert_eq!((b.recv(&mut out).unwrap(), out), (2, *b"ab"));
    assert_eq!((b.recv(&mut out[..1]).unwrap(), out[0]), (1, b'c'));
    assert_eq!((b.recv(&mut out).unwrap(), out), (2, *b"de"));
}

#[test]
fn memory_can_be_mapped_and_written_from_afar() {
    let net = Net::new(Faults::default());
    let (a, b) = net.pair(Options { mappings: 2, ..Options::default() });
    let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
    let region = |len| b.protection_domain().unwrap().register(len, access).unwrap();
    assert_eq!(b.map(region(100_000), Some(1 << 40)).unwrap(), 1 << 40);
    let small = region(64);
    let addr = small.addr();
    assert_eq!(b.map(small, None).unwrap(), addr);
    assert_eq!(b.map(region(64), None).unwrap_err(), SocketError::NoRoom);

    // The word that comes behind the mapping says that it is there, and behind the data that they are.
    b.send(b"!").unwrap();
    a.recv(&mut [0]).unwrap();
    let data = pattern(90_000, 4);
    assert_eq!(a.write_mapped(&data, (1 << 40) + 10).unwrap(), data.len());
    assert_eq!(a.write_mapped(b"x", 5).unwrap_err(), SocketError::NotMapped);
    a.send(b"!").unwrap();
    b.recv(&mut [0]).unwrap();
    b.unmap(addr).unwrap();
    assert_eq!(b.unmap(addr).unwrap_err(), SocketError::NotMapped);
    assert_eq!(a.write_mapped(b"late", addr).unwrap(), 4);
    assert!(a.wait_ready(READ, SECONDS).unwrap().error, "memory that is gone cannot be written to");
}

#[test]
fn a_peer_that_is_gone_is_noticed() {
    let net = Net::new(Faults::default());
    let (a, b) = net.pair(Options::default());
    drop(b);
    assert_eq!(a.recv(&mut [0; 8]).unwrap(), 0);
    assert!(a.send(b"x").is_err());

    let (a, b) = net.pair(Options::default());
    // As when its program is killed: only the connection manager says something.
    b.id().destroy();
    assert_eq!(a.recv(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn nobody_listens_or_somebody_else_does() {
    let net = Net::new(Faults::default());
    let client = Socket::new(&net.managers[0]);
    let refused = client.connect(at("192.0.2.2:5")).unwrap_err();
    assert_eq!(refused.errno(), 111, "{refused}");
    assert_eq!(client.send(b"x").unwrap_err().errno(), 111);

    let listener = net.listener(Options::default());
    let to = listener.local_addr();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // No rsocket: its private data say nothing of the kind.
            let dialled = net.managers[0].dial(to).unwrap();
            let context = dialled.context().clone();
            let cq = context.completion_queue(16).unwrap();
            let qp = context.protection_domain().unwrap().queue_pair(&cq).build().unwrap();
            assert!(dialled.connect(&qp, &ConnParam::default(), SECONDS).is_err());
        });
        assert_eq!(listener.accept().unwrap_err(), SocketError::Version);
    });
}
