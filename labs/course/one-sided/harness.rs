//! Plays the owner of the memory, or its user, and calls the student's functions.

mod window;

use rdma::{Access, Nic, QueuePair, Remote, Sizes, connect};

const ACCESS: Access = Access(1 | 2 | 4);

fn main() {
    rdma::act(|nic, part, numbers| match part {
        "owner" => owner(nic, numbers[0] as usize, numbers[1]),
        _ => user(nic, numbers[0], &numbers[1..]),
    });
}

fn owner(nic: &Nic, size: usize, letters: u64) -> u64 {
    let memory = nic.memory(size, ACCESS);
    let cq = nic.completion_queue(16);
    nic.tell("user", &[memory.addr(), memory.rkey() as u64]);
    let mut qp = nic.queue_pair(&cq, Sizes::default());
    connect(nic, &[("user", &qp)], ACCESS);
    let mut sum = 0;
    for number in 1..=letters {
        let letter = window::receive_letter(nic, &memory, number);
        sum += letter.iter().zip(1..).map(|(&byte, place)| byte as u64 * place).sum::<u64>();
        nic.tell("user", &[number]);
    }
    // As often as the user wants a new connection, until it has ended.
    while nic.hear("user")[0] == 1 {
        qp = nic.queue_pair(&cq, Sizes::default());
        connect(nic, &[("user", &qp)], ACCESS);
    }
    sum
}

fn user(nic: &Nic, size: u64, deeds: &[u64]) -> u64 {
    let told = nic.hear("owner");
    let remote = Remote { addr: told[0], rkey: told[1] as u32 };
    let cq = nic.completion_queue(16);
    let qp: QueuePair = nic.queue_pair(&cq, Sizes::default());
    connect(nic, &[("owner", &qp)], ACCESS);
    let mut window = window::Window::new(nic, cq, qp, remote);
    let (mut refused, mut sum, mut letters) = (0, 0, 0);
    for (index, deed) in deeds.chunks_exact(4).enumerate() {
        let (at, len, fill) = (deed[1], deed[2] as usize, deed[3] as u8);
        let bytes: Vec<u8> = (0..len).map(|n| fill.wrapping_add(n as u8)).collect();
        let result = match deed[0] {
            0 => window.put(at, &bytes),
            1 => window.get(at, len).map(|bytes| sum += bytes.iter().map(|&byte| byte as u64).sum::<u64>()),
            2 => {
                letters += 1;
                let sent = window.send_letter(letters, &bytes);
                nic.hear("owner");
                sent
            }
            3 => window.put(size - len as u64 + 1, &bytes),
            _ => {
                window.remote.rkey ^= 0x100;
                let result = window.put(at, &bytes);
                window.remote = remote;
                result
            }
        };
        match result {
            Ok(()) => {}
            Err(status) => {
                refused |= u64::from(status == "RemAccessErr" || deed[0] < 3) << index;
                if index + 1 < deeds.len() / 4 {
                    nic.tell("owner", &[1]);
                    window.reconnect(nic);
                }
            }
        }
    }
    nic.tell("owner", &[0]);
    refused | sum << 32
}
