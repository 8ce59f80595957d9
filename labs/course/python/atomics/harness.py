"""Plays a part of the student's: makes the connections, and calls."""

import os
import sys
from collections import namedtuple

sys.path[1:1] = [os.path.join(os.path.dirname(__file__), "../../atomics-python")]

from pyverbs.cq import CQ
from pyverbs.qp import QPCap, QPInitAttr

import lab
import atomics

Remote = namedtuple("Remote", ["addr", "rkey"])

# LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC
ALL = 1 | 2 | 4 | 8

# Cards and connections live on when a part has ended.
kept = []


def queue_pair(pd, cq):
    cap = QPCap(max_send_wr=16, max_recv_wr=1, max_send_sge=1, max_recv_sge=1)
    return lab.QP(pd, QPInitAttr(qp_type=2, scq=cq, rcq=cq, cap=cap, sq_sig_all=1))


def play(pd, context, part, numbers):
    clients, rounds, is_lock = numbers[:3]
    cq = CQ(context, 16)
    kept.extend([pd, cq])
    if part == "server":
        # Three words: counter, lock, account.
        memory = lab.Memory(pd, 24, ALL)
        for client in range(clients):
            lab.connect(f"client-{client}", queue_pair(pd, cq), ALL)
            lab.tell(f"client-{client}", memory.buf, memory.rkey)
        return 0
    qp = queue_pair(pd, cq)
    lab.connect("server", qp, 0)
    addr, rkey = lab.hear("server")
    counter, lock, account = (Remote(addr + 8 * word, rkey) for word in range(3))
    client = atomics.Client(pd, qp, cq)
    kept.append(client)
    for number in range(rounds):
        if is_lock:
            client.deposit(lock, account, number + 1)
        else:
            lab.tell("server", client.ticket(counter))
    return 0


lab.act(play)
