//! Plays a part of the student's: makes the connection, and calls in between.

mod stream;

use rdma::{Access, Sizes, connect};

/// What the receiver does with a message. It takes 20 microseconds.
#[track_caller]
pub fn digest(nic: &rdma::Nic, message: &[u8]) -> u64 {
    nic.work(20_000);
    message.iter().fold(1, |sum, &byte| sum * 31 % 1_000_003 + byte as u64)
}

fn main() {
    rdma::act(|nic, part, numbers| {
        let (messages, fill) = (numbers[0], numbers[1]);
        let cq = nic.completion_queue(64);
        let qp = nic.queue_pair(&cq, Sizes { send: 8, receive: 8, signal_all: true });
        qp.to_init(Access::LOCAL_WRITE).expect("a new queue pair");
        match part {
            "receiver" => {
                let mut receiver = stream::Receiver::new(nic, &qp, &cq);
                connect(nic, &[("sender", &qp)], Access::LOCAL_WRITE);
                receiver.run(messages)
            }
            _ => {
                let mut sender = stream::Sender::new(nic, &qp, &cq);
                connect(nic, &[("receiver", &qp)], Access::LOCAL_WRITE);
                sender.run(messages, fill);
                0
            }
        }
    });
}
