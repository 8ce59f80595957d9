//! Plays a part of the student's: makes the connection, and calls.

mod writer;

use rdma::{Access, Remote, Sizes, connect};

fn main() {
    rdma::act(|nic, part, numbers| {
        let (blocks, fill) = (numbers[0], numbers[1]);
        let cq = nic.completion_queue(4);
        let qp = nic.queue_pair(&cq, Sizes { send: 16, receive: 1, signal_all: false });
        match part {
            "target" => {
                let memory = nic.memory(64 * blocks as usize, Access::LOCAL_WRITE | Access::REMOTE_WRITE);
                connect(nic, &[("writer", &qp)], Access::REMOTE_WRITE);
                nic.tell("writer", &[memory.addr(), memory.rkey() as u64]);
            }
            _ => {
                connect(nic, &[("target", &qp)], Access::LOCAL_READ);
                let told = nic.hear("target");
                let target = Remote { addr: told[0], rkey: told[1] as u32 };
                writer::write_all(nic, &qp, &cq, target, blocks, fill);
            }
        }
        0
    });
}
