//! Datagram sockets over RDMA. Their UDP sockets are real ones, at loopback addresses; what they send by RDMA goes
//! through a hub.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ferroce::cm::Manager;
use ferroce::rsocket::{DatagramSocket, Ready, SocketError};
use ferroce::{Faults, Hub, Nic};

const READ: Ready = Ready { read: true, write: false, hangup: false, error: false };
const SECONDS: Duration = Duration::from_secs(20);

/// NICs at these addresses, which no other test uses.
fn managers<const N: usize>(addresses: [&str; N]) -> [Manager; N] {
    let hub = Hub::new();
    addresses.map(|address| {
        let nic = Nic::builder().address(address.parse().unwrap()).hub(&hub).faults(Faults::default());
        Manager::of(&ferroce::Context::new(nic.open().unwrap()))
    })
}

fn bound(manager: &Manager, address: &str) -> DatagramSocket {
    let socket = DatagramSocket::new(manager);
    socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    socket
}

fn receive(socket: &DatagramSocket) -> (Vec<u8>, SocketAddr) {
    assert!(socket.wait_ready(READ, SECONDS).is_some(), "nothing came");
    let mut data = [0; 4096];
    let (len, from) = socket.recv_from(&mut data).unwrap();
    (data[..len].to_vec(), from)
}

/// Datagrams that a NIC has received by RDMA.
fn by_rdma(manager: &Manager) -> u64 {
    manager.contexts()[0].counters().rcvd_pkts
}

#[test]
fn the_first_datagram_goes_by_udp_and_the_rest_by_rdma() {
    let [a, b] = managers(["127.77.1.1", "127.77.1.2"]);
    let (client, server) = (bound(&a, "127.77.1.1"), bound(&b, "127.77.1.2"));
    client.connect(server.local_addr()).unwrap();
    assert_eq!(client.peer_addr().unwrap(), server.local_addr());
    let mut round = 0_u32;
    // The client learns the way from an answer that may come late.
    while round < 50 || by_rdma(&b) == 0 {
        let data = vec![round as u8; 1 + round as usize % 50 * 40];
        assert_eq!(client.send(&data).unwrap(), data.len());
        assert_eq!(receive(&server), (data.clone(), client.local_addr()), "round {round}");
        server.send_to(&data[..1], client.local_addr()).unwrap();
        assert_eq!(receive(&client), (data[..1].to_vec(), server.local_addr()));
        round += 1;
        assert!(round < 10_000, "all of it goes by UDP");
    }
    assert_eq!(by_rdma(&a), u64::from(round), "the server knows the way from the first datagram on");
}

#[test]
fn a_socket_without_address_gets_one_when_it_sends() {
    let [a, b] = managers(["127.77.2.1", "127.77.2.2"]);
    let server = bound(&b, "127.77.2.2");
    let client = DatagramSocket::new(&a);
    let mut out = [0; 1];
    assert!(matches!(client.recv_from(&mut out), Err(SocketError::State(_))));
    // The machine's own way to 127.77.2.2 begins at an address that is no NIC's: then the first NIC's counts.
    client.send_to(b"x", server.local_addr()).unwrap();
    let (data, from) = receive(&server);
    assert_eq!((&data[..], from.ip()), (&b"x"[..], "127.77.2.1".parse().unwrap()));
    server.send_to(b"y", from).unwrap();
    assert_eq!(receive(&client), (b"y".to_vec(), server.local_addr()));
    assert_eq!(by_rdma(&a), 1, "the answer finds the NIC");

    let wild = DatagramSocket::new(&b);
    wild.bind("0.0.0.0:0".parse().unwrap()).unwrap();
    assert!(wild.local_addr().ip().is_unspecified());
}

#[test]
fn one_socket_serves_many_and_keeps_them_apart() {
    let [a, b] = managers(["127.77.3.1", "127.77.3.2"]);
    let server = bound(&b, "127.77.3.2");
    let clients: Vec<_> = (0..5).map(|_| bound(&a, "127.77.3.1")).collect();
    for round in 0..4 {
        for (index, client) in clients.iter().enumerate() {
            client.send_to(&[index as u8, round], server.local_addr()).unwrap();
            let (data, from) = receive(&server);
            assert_eq!((data, from), (vec![index as u8, round], client.local_addr()));
        }
    }
}

#[test]
fn what_is_too_long_is_refused_and_what_does_not_fit_is_cut_off() {
    let [a, b] = managers(["127.77.4.1", "127.77.4.2"]);
    let (client, server) = (bound(&a, "127.77.4.1"), bound(&b, "127.77.4.2"));
    let error = client.send_to(&[0; 2041], server.local_addr()).unwrap_err();
    assert_eq!((error.clone(), error.errno()), (SocketError::TooLong(2040), 90));
    client.send_to(&[7; 2040], server.local_addr()).unwrap();
    assert!(server.wait_ready(READ, SECONDS).is_some());
    let mut some = [0; 10];
    assert_eq!(server.peek_from(&mut some).unwrap().0, 10);
    assert_eq!(server.recv_from(&mut some).unwrap(), (10, client.local_addr()));
    server.set_nonblocking(true);
    assert_eq!(server.recv_from(&mut some), Err(SocketError::WouldBlock));
    assert_eq!(SocketError::WouldBlock.errno(), 11);
}

#[test]
fn noise_on_its_udp_port_does_no_harm() {
    let [a, b] = managers(["127.77.5.1", "127.77.5.2"]);
    let (client, server) = (bound(&a, "127.77.5.1"), bound(&b, "127.77.5.2"));
    let noise = UdpSocket::bind("127.77.5.9:0").unwrap();
    let mut bytes = vec![0x55, 0x55, 0x55, 0x55, 4, 0, 16, 0, 0, 0, 0, 1, 9, 9, 9, 9];
    for at in 0..16 {
        bytes[at] ^= 0xff;
        noise.send_to(&bytes, server.local_addr()).unwrap();
        noise.send_to(&bytes[..at], server.local_addr()).unwrap();
        bytes[at] ^= 0xff;
    }
    client.send_to(b"still there?", server.local_addr()).unwrap();
    // A broken word is still a datagram of somebody's, if only its content is wrong.
    while receive(&server).1 != client.local_addr() {}
}
