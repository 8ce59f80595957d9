//! Three ways to connect. Read README.md, write the six functions, then: ferroce lab check
//!
//! What you can call is in rdma.rs, and for the last step in stream.rs.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Refusal, Sizes};
use crate::stream::{Listener, Stream};

/// One end, connected or not: a queue pair in Init, with a receive posted.
struct End {
    cq: CompletionQueue,
    qp: QueuePair,
    inbox: Memory,
    outbox: Memory,
    size: usize,
}

impl End {
    fn new(nic: &Nic, size: usize) -> End {
        let cq = nic.completion_queue(16);
        let qp = nic.queue_pair(&cq, Sizes::default());
        let inbox = nic.memory(size, Access::LOCAL_WRITE);
        let outbox = nic.memory(size, Access::LOCAL_READ);
        qp.to_init(Access::LOCAL_WRITE).unwrap();
        let end = End { cq, qp, inbox, outbox, size };
        end.post();
        end
    }

    fn by_hand(nic: &Nic, peer: &str, size: usize) -> End {
        let end = End::new(nic, size);
        nic.tell(peer, &[end.qp.qpn() as u64, 7]);
        let told = nic.hear(peer);
        end.qp.to_rtr(peer, told[0] as u32, told[1] as u32).unwrap();
        end.qp.to_rts(7).unwrap();
        end
    }

    fn post(&self) {
        self.qp.receive(1, (&self.inbox, 0..self.size)).unwrap();
    }

    fn receive(&self) -> Vec<u8> {
        loop {
            let completion = self.cq.wait();
            assert!(completion.is_success(), "{completion:?}");
            if completion.is_receive {
                let message = self.inbox.read(0..self.size);
                self.post();
                return message;
            }
        }
    }

    fn send(&self, message: &[u8]) {
        self.outbox.write(0, message);
        self.qp.send(2, Op::Send, (&self.outbox, 0..self.size), true).unwrap();
    }

    fn serve(&self, rounds: u64) {
        for _ in 0..rounds {
            let message = self.receive();
            self.send(&answer(&message));
        }
    }

    fn ask(&self, rounds: u64, fill: u8) -> u64 {
        let mut sum = 0;
        for round in 0..rounds {
            self.send(&message(round, self.size, fill));
            sum += total(&self.receive());
        }
        sum
    }
}

fn message(round: u64, size: usize, fill: u8) -> Vec<u8> {
    (0..size).map(|at| fill.wrapping_add((round + at as u64) as u8)).collect()
}

fn answer(message: &[u8]) -> Vec<u8> {
    message.iter().map(|byte| byte.wrapping_add(1)).collect()
}

fn total(message: &[u8]) -> u64 {
    message.iter().map(|&byte| byte as u64).sum()
}

/// By hand. Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0).
pub fn hand_server(nic: &Nic, rounds: u64, size: usize) {
    End::by_hand(nic, "client", size).serve(rounds);
}

/// Sends `rounds` messages, each after the answer to the one before: the first has the bytes fill, fill + 1, fill + 2 and so
/// on, the second begins with fill + 1, and so on (after 255 comes 0). Returns the sum of all bytes of all answers.
pub fn hand_client(nic: &Nic, rounds: u64, size: usize, fill: u8) -> u64 {
    End::by_hand(nic, "server", size).ask(rounds, fill)
}

/// By the connection manager. Accepts one client that speaks this version of the protocol, and rejects others before.
pub fn cm_server(nic: &Nic, port: u16, version: u8, rounds: u64, size: usize) {
    nic.listen(port);
    let request = loop {
        let request = nic.request(port);
        if request.private_data[0] == version {
            break request;
        }
        request.reject(&[version]);
    };
    let end = End::new(nic, size);
    request.accept(&end.qp, &[version]).unwrap();
    end.serve(rounds);
}

/// Tries these versions, one after the other, until the server accepts.
pub fn cm_client(nic: &Nic, port: u16, versions: &[u8], rounds: u64, size: usize, fill: u8) -> u64 {
    let end = End::new(nic, size);
    for &version in versions {
        match nic.dial("server", port, &end.qp, &[version]) {
            Ok(_) => return end.ask(rounds, fill),
            Err(Refusal::Rejected(_)) => {}
            Err(Refusal::Failed(why)) => panic!("{why}"),
        }
    }
    panic!("the server speaks none of {versions:?}")
}

/// Over sockets.
pub fn socket_server(nic: &Nic, port: u16, rounds: u64, size: usize) {
    let mut stream = Listener::bind(nic, port).accept();
    for _ in 0..rounds {
        let message = read_exact(&mut stream, size);
        stream.write_all(&answer(&message));
    }
}

pub fn socket_client(nic: &Nic, port: u16, rounds: u64, size: usize, fill: u8) -> u64 {
    let mut stream = Stream::connect(nic, "server", port).unwrap();
    let mut sum = 0;
    for round in 0..rounds {
        stream.write_all(&message(round, size, fill));
        sum += total(&read_exact(&mut stream, size));
    }
    sum
}

fn read_exact(stream: &mut Stream, size: usize) -> Vec<u8> {
    let mut message = vec![0; size];
    let mut have = 0;
    while have < size {
        have += stream.read(&mut message[have..]);
    }
    message
}
