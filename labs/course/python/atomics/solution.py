"""A counter and a lock in memory that nobody looks after. Read README.md, write `Client`, then: ferroce lab check"""

import sys

from pyverbs.enums import *
from pyverbs.wr import SGE, SendWR

from lab import Memory, poll


class Client:
    def __init__(self, pd, qp, cq):
        """Through `qp`, which is connected to the server; its completions come to `cq`."""
        self.qp, self.cq = qp, cq
        # A word that comes from the other side or goes there.
        self.word = Memory(pd, 8, IBV_ACCESS_LOCAL_WRITE)

    def call(self, wr):
        """Does something with the word, and waits until it is done. Returns what is in it then."""
        self.qp.post_send(wr)
        completion = poll(self.cq)
        assert completion.status == IBV_WC_SUCCESS, completion
        return int.from_bytes(self.word.read(8, 0), sys.byteorder)

    def wr(self, opcode):
        return SendWR(opcode=opcode, num_sge=1, sg=[SGE(self.word.buf, 8, self.word.lkey)])

    def move(self, opcode, remote):
        wr = self.wr(opcode)
        wr.set_wr_rdma(remote.rkey, remote.addr)
        return self.call(wr)

    def put(self, number):
        self.word.write(number.to_bytes(8, sys.byteorder), 8)

    def ticket(self, counter):
        """Takes a ticket: the number that `counter`, a word of 8 bytes, has now, which is one more for the next. No ticket is
        given out twice, and none is left out. Words are named by address and key: counter.addr, counter.rkey."""
        wr = self.wr(IBV_WR_ATOMIC_FETCH_AND_ADD)
        wr.set_wr_atomic(counter.rkey, counter.addr, 1)
        return self.call(wr)

    def deposit(self, lock, account, amount):
        """Adds `amount` to `account` by reading it, and writing the sum: with READ and WRITE only. Whoever does that holds
        `lock`, a word that is 0 when nobody does."""
        while True:
            take = self.wr(IBV_WR_ATOMIC_CMP_AND_SWP)
            take.set_wr_atomic(lock.rkey, lock.addr, 0, 1)
            if self.call(take) == 0:
                break
        self.put(self.move(IBV_WR_RDMA_READ, account) + amount)
        self.move(IBV_WR_RDMA_WRITE, account)
        # Not before the write has completed: it must be there before the lock is free.
        self.put(0)
        self.move(IBV_WR_RDMA_WRITE, lock)
