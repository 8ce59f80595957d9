//! A ring all-reduce. Read README.md, write `Ring`, then: ferroce lab check
//!
//! What you can call is in rdma.rs. Every rank is a program of its own.

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Remote};

pub struct Ring {
    rank: usize,
    ranks: usize,
    /// Numbers of a part.
    part: usize,
    to_next: QueuePair,
    sent: CompletionQueue,
    received: CompletionQueue,
    inbox: Memory,
    outbox: Memory,
}

impl Ring {
    /// Rank `rank` of `ranks`, for vectors of `len` numbers; `len` is a multiple of `ranks`. `to_next` leads to rank
    /// rank + 1 (after the last comes 0), `from_previous` comes from rank rank - 1; their completions come to the queues
    /// beside them. There is room for 16 requests in each. `inbox` has room for `len` numbers of 8 bytes; the previous
    /// rank may write there.
    ///
    /// The connections are made after this: receives can be posted.
    #[expect(clippy::too_many_arguments)]
    pub fn new(
        nic: &Nic,
        rank: usize,
        ranks: usize,
        len: usize,
        to_next: QueuePair,
        sent: CompletionQueue,
        from_previous: QueuePair,
        received: CompletionQueue,
        inbox: Memory,
    ) -> Ring {
        let (outbox, nothing) = (nic.memory(8 * len, Access::LOCAL_READ), nic.memory(1, Access::LOCAL_WRITE));
        // One for every step: a WRITE with a number takes a receive.
        for _ in 0..2 * (ranks - 1) {
            from_previous.receive(0, (&nothing, 0..1)).unwrap();
        }
        let part = len / ranks;
        Ring { rank, ranks, part, to_next, sent, received, inbox, outbox }
    }

    /// Returns the sums of the data of all ranks, number by number. `next_inbox` is the inbox of the next rank.
    pub fn all_reduce(&mut self, data: &[u64], next_inbox: Remote) -> Vec<u64> {
        let mut sums = data.to_vec();
        // Each part goes round once, collecting; the rank where it ends has the sum.
        for step in 0..self.ranks - 1 {
            let sends = (self.rank + self.ranks - step) % self.ranks;
            let gets = (self.rank + 2 * self.ranks - step - 1) % self.ranks;
            for (at, number) in self.exchange(&sums, sends, gets, next_inbox) {
                sums[at] += number;
            }
        }
        // Then the sums go round.
        for step in 0..self.ranks - 1 {
            let sends = (self.rank + self.ranks + 1 - step) % self.ranks;
            let gets = (self.rank + self.ranks - step) % self.ranks;
            for (at, number) in self.exchange(&sums, sends, gets, next_inbox) {
                sums[at] = number;
            }
        }
        sums
    }

    /// Writes part `sends` to the next rank, and waits for part `gets` of the previous.
    fn exchange(&self, sums: &[u64], sends: usize, gets: usize, next_inbox: Remote) -> Vec<(usize, u64)> {
        let (from, bytes) = (sends * self.part, 8 * self.part);
        let part: Vec<u8> = sums[from..from + self.part].iter().flat_map(|number| number.to_be_bytes()).collect();
        self.outbox.write(8 * from, &part);
        let remote = Remote { addr: next_inbox.addr + 8 * from as u64, ..next_inbox };
        self.to_next.send(0, Op::WriteImm(remote, sends as u32), (&self.outbox, 8 * from..8 * from + bytes), true).unwrap();
        assert!(self.received.wait().is_success());
        assert!(self.sent.wait().is_success());
        let from = gets * self.part;
        let part = self.inbox.read(8 * from..8 * from + bytes);
        let numbers = part.chunks(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        numbers.enumerate().map(|(at, number)| (from + at, number)).collect()
    }
}
