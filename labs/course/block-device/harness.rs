//! Plays the target, or the client with its commands.

mod disk;

use disk::{Client, Target};
use rdma::{Access, Nic, Sizes, connect};

const BLOCK: usize = 512;
const WINDOW: usize = 8;
const ACCESS: Access = Access(1 | 2 | 4);

fn main() {
    rdma::act(|nic, part, numbers| match part {
        "target" => target(nic, numbers[0]),
        _ => client(nic, numbers[0], numbers[1] as usize, &numbers[2..]),
    });
}

fn target(nic: &Nic, blocks: u64) -> u64 {
    let cq = nic.completion_queue(64);
    let qp = nic.queue_pair(&cq, Sizes { send: 32, receive: 32, signal_all: true });
    qp.to_init(ACCESS).expect("a new queue pair");
    let mut target = Target::new(nic, cq, qp.clone(), vec![[0; BLOCK]; blocks as usize]);
    connect(nic, &[("client", &qp)], ACCESS);
    target.serve();
    0
}

fn client(nic: &Nic, seed: u64, depth: usize, numbers: &[u64]) -> u64 {
    let cq = nic.completion_queue(64);
    let qp = nic.queue_pair(&cq, Sizes { send: 32, receive: 32, signal_all: true });
    qp.to_init(ACCESS).expect("a new queue pair");
    let mut client = Client::new(nic, cq, qp.clone());
    connect(nic, &[("target", &qp)], ACCESS);
    let begin = nic.now();
    let commands: Vec<(bool, u64)> = numbers.chunks_exact(2).map(|pair| (pair[0] == 1, pair[1])).collect();
    let mut outcomes = vec![u64::MAX; commands.len()];
    // Which command is in which slot.
    let mut slots = [None; WINDOW];
    let mut next = 0;
    while next < commands.len() || slots.iter().any(Option::is_some) {
        // As many as may be under way, and then all of them are waited for.
        while next < commands.len() && slots.iter().flatten().count() < depth {
            let (writes, block) = commands[next];
            let slot = slots.iter().position(Option::is_none).expect("fewer are under way");
            let number = next as u64 + 1;
            let data: [u8; BLOCK] = std::array::from_fn(|at| (seed + number * 31 + at as u64 * 7) as u8);
            client.submit(slot, block, writes.then_some(&data));
            slots[slot] = Some(next);
            next += 1;
        }
        while slots.iter().any(Option::is_some) {
            let (slot, result) = client.finish();
            let command = slots.get_mut(slot).and_then(Option::take).expect("finish() names a slot that is in use");
            outcomes[command] = match result {
                None => u64::MAX,
                Some(_) if commands[command].0 => 0,
                Some(data) => data.iter().zip(1..).map(|(&byte, place)| byte as u64 * place).sum(),
            };
        }
    }
    let took = nic.now() - begin;
    client.shut_down();
    nic.tell("target", &outcomes);
    nic.tell("target", &[took]);
    0
}
