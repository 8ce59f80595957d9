//! Plays a part of the student's: makes the connection, and calls.

mod table;

use rdma::{Access, Remote, Sizes, connect};

fn main() {
    rdma::act(|nic, part, numbers| {
        let (slots, rest) = (numbers[0], &numbers[1..]);
        let cq = nic.completion_queue(16);
        let qp = nic.queue_pair(&cq, Sizes { send: 16, receive: 1, signal_all: true });
        match part {
            "server" => {
                let pairs: Vec<(u64, u64)> = rest.chunks(2).map(|pair| (pair[0], pair[1])).collect();
                let memory = nic.memory(16 * slots as usize, Access::LOCAL_WRITE | Access::REMOTE_READ);
                table::fill(&memory, slots, &pairs);
                connect(nic, &[("client", &qp)], Access::REMOTE_READ);
                nic.tell("client", &[memory.addr(), memory.rkey() as u64]);
                0
            }
            _ => {
                connect(nic, &[("server", &qp)], Access::LOCAL_READ);
                let told = nic.hear("server");
                let table = Remote { addr: told[0], rkey: told[1] as u32 };
                let mut client = table::Client::new(nic, &qp, &cq, table, slots);
                for key in rest {
                    match client.get(*key) {
                        Some(value) => nic.tell("server", &[1, value]),
                        None => nic.tell("server", &[0, 0]),
                    }
                }
                0
            }
        }
    });
}
