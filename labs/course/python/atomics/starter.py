"""A counter and a lock in memory that nobody looks after. Read README.md, write `Client`, then: ferroce lab check"""


class Client:
    def __init__(self, pd, qp, cq):
        """Through `qp`, which is connected to the server; its completions come to `cq`."""

    def ticket(self, counter):
        """Takes a ticket: the number that `counter`, a word of 8 bytes, has now, which is one more for the next. No ticket is
        given out twice, and none is left out. Words are named by address and key: counter.addr, counter.rkey."""
        return 0

    def deposit(self, lock, account, amount):
        """Adds `amount` to `account` by reading it, and writing the sum: with READ and WRITE only. Whoever does that holds
        `lock`, a word that is 0 when nobody does."""
