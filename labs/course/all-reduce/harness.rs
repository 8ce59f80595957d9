//! Plays a rank of the student's: makes the ring, and calls.

mod reduce;

use rdma::{Access, Remote, Sizes, connect};

fn main() {
    rdma::act(|nic, _, numbers| {
        let (rank, ranks, len, seed) = (numbers[0] as usize, numbers[1] as usize, numbers[2] as usize, numbers[3]);
        let name = |rank: usize| format!("rank-{rank}");
        let (next, previous) = (name((rank + 1) % ranks), name((rank + ranks - 1) % ranks));
        let (send_cq, receive_cq) = (nic.completion_queue(64), nic.completion_queue(64));
        let sizes = Sizes { send: 16, receive: 16, signal_all: true };
        let (to_next, from_previous) = (nic.queue_pair(&send_cq, sizes), nic.queue_pair(&receive_cq, sizes));
        let access = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let inbox = nic.memory(8 * len, access);
        from_previous.to_init(access).expect("a new queue pair");
        let data: Vec<u64> = (0..len as u64).map(|index| (seed + index * 7919 + rank as u64 * 104_729) % 1000).collect();
        let mut ring = reduce::Ring::new(nic, rank, ranks, len, to_next.clone(), send_cq, from_previous.clone(), receive_cq, inbox.clone());
        // With two ranks both queue pairs lead to the same program: the lower rank's first goes to the other's second.
        let mut peers = [(next.as_str(), &to_next), (previous.as_str(), &from_previous)];
        if next == previous && rank == 1 {
            peers.swap(0, 1);
        }
        connect(nic, &peers, access);
        nic.tell(&previous, &[inbox.addr(), inbox.rkey() as u64]);
        let told = nic.hear(&next);
        nic.work(1000 * numbers[4]);
        let sums = ring.all_reduce(&data, Remote { addr: told[0], rkey: told[1] as u32 });
        // A number that depends on every sum and its place.
        sums.iter().fold(sums.len() as u64, |digest, sum| digest.wrapping_mul(1_000_003).wrapping_add(*sum))
    });
}
