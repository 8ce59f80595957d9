//! Plays a part of the student's: makes the connections, and calls.

mod atomics;

use rdma::{Access, QueuePair, Remote, Sizes, connect};

fn main() {
    rdma::act(|nic, part, numbers| {
        let (clients, rounds, is_lock) = (numbers[0], numbers[1], numbers[2] == 1);
        let cq = nic.completion_queue(16);
        let sizes = Sizes { send: 16, receive: 1, signal_all: true };
        if part == "server" {
            let all = Access::LOCAL_WRITE | Access::REMOTE_READ | Access::REMOTE_WRITE | Access::REMOTE_ATOMIC;
            // Three words: counter, lock, account.
            let memory = nic.memory(24, all);
            let names: Vec<String> = (0..clients).map(|number| format!("client-{number}")).collect();
            let qps: Vec<QueuePair> = names.iter().map(|_| nic.queue_pair(&cq, sizes)).collect();
            let peers: Vec<(&str, &QueuePair)> = names.iter().map(String::as_str).zip(&qps).collect();
            connect(nic, &peers, all);
            names.iter().for_each(|name| nic.tell(name, &[memory.addr(), memory.rkey() as u64]));
            return 0;
        }
        let qp = nic.queue_pair(&cq, sizes);
        connect(nic, &[("server", &qp)], Access::LOCAL_READ);
        let told = nic.hear("server");
        let word = |number: u64| Remote { addr: told[0] + 8 * number, rkey: told[1] as u32 };
        let mut client = atomics::Client::new(nic, &qp, &cq);
        for round in 0..rounds {
            if is_lock {
                client.deposit(word(1), word(2), round + 1);
            } else {
                let ticket = client.ticket(word(0));
                nic.tell("server", &[ticket]);
            }
        }
        0
    });
}
