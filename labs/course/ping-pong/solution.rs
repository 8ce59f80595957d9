//! Ping-pong over a reliable connection. Read README.md, write `server` and `client`, then: ferroce lab check
//!
//! What you can call is in rdma.rs. `server` and `client` run as two programs, each with a network card.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Sizes};

/// One end: a connection, with memory for one message each way.
struct End {
    cq: CompletionQueue,
    qp: QueuePair,
    inbox: Memory,
    outbox: Memory,
    size: usize,
}

impl End {
    fn connect(nic: &Nic, peer: &str, size: usize) -> End {
        let cq = nic.completion_queue(16);
        let qp = nic.queue_pair(&cq, Sizes::default());
        let inbox = nic.memory(size, Access::LOCAL_WRITE);
        let outbox = nic.memory(size, Access::LOCAL_READ);
        let end = End { cq, qp, inbox, outbox, size };
        let psn = end.qp.qpn() & 0xFFF;

        end.qp.to_init(Access::LOCAL_WRITE).unwrap();
        // Before the peer can send: it only knows us from what we tell now.
        end.post();
        nic.tell(peer, &[end.qp.qpn() as u64, psn as u64]);
        let told = nic.hear(peer);
        end.qp.to_rtr(peer, told[0] as u32, told[1] as u32).unwrap();
        end.qp.to_rts(psn).unwrap();
        end
    }

    fn post(&self) {
        self.qp.receive(1, (&self.inbox, 0..self.size)).unwrap();
    }

    /// Waits for a message, and posts the next receive.
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
}

/// Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0).
pub fn server(nic: &Nic, rounds: u64, size: usize) {
    let end = End::connect(nic, "client", size);
    for _ in 0..rounds {
        let message = end.receive();
        let answer: Vec<u8> = message.iter().map(|byte| byte.wrapping_add(1)).collect();
        end.send(&answer);
    }
}

/// Sends `rounds` messages of `size` bytes, one after the other, each after the answer to the one before. All bytes of
/// the first are `fill`, of the second `fill + 1`, and so on (after 255 comes 0). Returns the sum of all bytes of all
/// answers.
pub fn client(nic: &Nic, rounds: u64, size: usize, fill: u8) -> u64 {
    let end = End::connect(nic, "server", size);
    let mut sum = 0;
    for round in 0..rounds {
        end.send(&vec![fill.wrapping_add(round as u8); size]);
        sum += end.receive().iter().map(|&byte| byte as u64).sum::<u64>();
    }
    sum
}
