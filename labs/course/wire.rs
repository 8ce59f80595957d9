//! A way to a card that is really there, for the program around the student's file: UDP, and what stands around a packet.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The port of RoCEv2, at both ends.
pub const PORT: u16 = 4791;

/// Bytes of a packet, headers and ICRC not counted.
pub const MTU: usize = 1024;

/// Opcodes of reliable connections.
pub const SEND_FIRST: u8 = 0x00;
pub const SEND_MIDDLE: u8 = 0x01;
pub const SEND_LAST: u8 = 0x02;
pub const SEND_ONLY: u8 = 0x04;
const ACKNOWLEDGE: u8 = 0x11;

pub struct Wire {
    socket: UdpSocket,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    /// Number of the queue pair there.
    pub qp: u32,
    /// The PSN that it expects first.
    pub psn: u32,
    /// What the program was given besides.
    pub rest: Vec<u64>,
}

/// What the card there says: everything up to the PSN, or with a NAK before it, has arrived.
pub struct Answer {
    pub psn: u32,
    pub syndrome: u8,
}

impl Answer {
    /// Positive, whatever its credits.
    pub fn is_ack(&self) -> bool {
        self.syndrome >> 5 & 3 == 0
    }

    /// NAK, "PSN sequence error".
    pub fn is_sequence_nak(&self) -> bool {
        self.syndrome & 0x7F == 0x60
    }
}

/// A packet of a SEND from the card there.
pub struct Request {
    pub opcode: u8,
    pub psn: u32,
    /// Whether an acknowledgement is asked for.
    pub ask: bool,
    pub payload: Vec<u8>,
}

unsafe extern "C" {
    fn setsockopt(socket: i32, level: i32, name: i32, value: *const i32, len: u32) -> i32;
}

impl Wire {
    /// From the program's arguments: the addresses of both, queue pair and PSN there, and further numbers.
    pub fn open() -> Wire {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let address = |at: usize| words[at].parse::<Ipv4Addr>().expect("an IPv4 address");
        let mut numbers = words[2..].iter().map(|word| word.parse::<u64>().expect("a number"));
        let (qp, psn) = (numbers.next().expect("a queue pair"), numbers.next().expect("a PSN"));
        let (from, to) = (address(0), address(1));
        let socket = UdpSocket::bind((from, PORT)).expect("the port of RoCE is free");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time above zero");
        // "Don't fragment", whatever the way is like: then the kernel leaves the Identification 0, which the ICRC covers.
        const IPPROTO_IP: i32 = 0;
        const IP_MTU_DISCOVER: i32 = 10;
        const IP_PMTUDISC_DO: i32 = 2;
        // SAFETY: the pointer is to an int, as the option takes it, and is not kept.
        let set = unsafe { setsockopt(socket.as_raw_fd(), IPPROTO_IP, IP_MTU_DISCOVER, &IP_PMTUDISC_DO, 4) };
        assert_eq!(set, 0, "Linux has this option");
        Wire { socket, from, to, qp: qp as u32, psn: psn as u32, rest: numbers.collect() }
    }

    /// The PSN that is so many packets after the first.
    pub fn psn_after(&self, packets: u32) -> u32 {
        (self.psn + packets) & 0xFF_FFFF
    }

    /// Sends what comes behind the UDP header.
    pub fn send(&self, packet: &[u8]) {
        self.socket.send_to(packet, (self.to, PORT)).expect("there is a way");
    }

    /// The next acknowledgement; `None` if none comes for a while.
    pub fn hear(&self) -> Option<Answer> {
        let mut buffer = [0; 4096];
        loop {
            let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
            let packet = &buffer[..len];
            if from.ip() != self.to || len < 20 || packet[0] != ACKNOWLEDGE {
                continue;
            }
            let psn = u32::from_be_bytes([0, packet[9], packet[10], packet[11]]);
            return Some(Answer { psn, syndrome: packet[12] });
        }
    }

    /// The next packet of a SEND that comes whole; `None` if none comes for a while.
    pub fn request(&self) -> Option<Request> {
        let mut buffer = [0; 4096];
        loop {
            let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
            let packet = &buffer[..len];
            if from.ip() != self.to || len < 16 || packet[0] > SEND_ONLY {
                continue;
            }
            let pad = usize::from(packet[1] >> 4 & 3);
            return Some(Request {
                opcode: packet[0],
                psn: u32::from_be_bytes([0, packet[9], packet[10], packet[11]]),
                ask: packet[8] & 0x80 != 0,
                payload: packet[12..len - 4 - pad].to_vec(),
            });
        }
    }

    /// Sends an ACK or a NAK; `messages` were carried out.
    pub fn acknowledge(&self, psn: u32, syndrome: u8, messages: u32) {
        let mut packet = self.packet(ACKNOWLEDGE, psn, false, &[]);
        packet.extend_from_slice(&(u32::from(syndrome) << 24 | messages & 0xFF_FFFF).to_be_bytes());
        packet.extend_from_slice(&self.icrc(&packet));
        self.send(&packet);
    }

    /// A packet of a SEND without its ICRC.
    pub fn packet(&self, opcode: u8, psn: u32, ask: bool, payload: &[u8]) -> Vec<u8> {
        let pad = (4 - payload.len() % 4) % 4;
        let mut packet = vec![opcode, 0x40 | (pad as u8) << 4, 0xFF, 0xFF];
        packet.extend_from_slice(&self.qp.to_be_bytes());
        packet.extend_from_slice(&(psn | u32::from(ask) << 31).to_be_bytes());
        packet.extend_from_slice(payload);
        packet.extend_from_slice(&[0; 3][..pad]);
        packet
    }

    /// The datagram that a packet without its ICRC travels in, from its IP header on.
    pub fn datagram(&self, packet: &[u8]) -> Vec<u8> {
        let len = packet.len() as u16 + 4;
        let mut datagram = vec![0x45, 0];
        datagram.extend_from_slice(&(28 + len).to_be_bytes());
        datagram.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
        datagram.extend_from_slice(&self.from.octets());
        datagram.extend_from_slice(&self.to.octets());
        [PORT, PORT, 8 + len, 0].iter().for_each(|word| datagram.extend_from_slice(&word.to_be_bytes()));
        datagram.extend_from_slice(packet);
        datagram
    }

    /// The ICRC of that packet.
    pub fn icrc(&self, packet: &[u8]) -> [u8; 4] {
        let mut covered = self.datagram(packet);
        [1, 8, 10, 11, 26, 27, 32].iter().for_each(|&at| covered[at] = 0xFF);
        let crc = [0xFF; 8].iter().chain(&covered).fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ 0xEDB8_8320 * (crc & 1))
        });
        (!crc).to_le_bytes()
    }
}

/// Ends the program, and says why.
pub fn fail(why: String) -> ! {
    println!("{why}");
    std::process::exit(1);
}

/// What message number `message` says at byte `at`.
pub fn byte(message: usize, at: usize) -> u8 {
    (message * 31 + at * 7) as u8
}
