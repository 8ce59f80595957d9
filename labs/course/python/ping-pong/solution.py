"""Ping-pong over a reliable connection. Read README.md, write `server` and `client`, then: ferroce lab check"""

from pyverbs.cq import CQ
from pyverbs.enums import *
from pyverbs.qp import QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

from lab import QP, Memory, hear, path_to, poll, tell


class End:
    """One end: a connection, with memory for one message each way."""

    def __init__(self, pd, context, peer, size):
        self.size = size
        self.cq = CQ(context, 16)
        cap = QPCap(max_send_wr=16, max_recv_wr=16, max_send_sge=1, max_recv_sge=1)
        self.qp = QP(pd, QPInitAttr(qp_type=IBV_QPT_RC, scq=self.cq, rcq=self.cq, cap=cap, sq_sig_all=1))
        self.inbox = Memory(pd, size, IBV_ACCESS_LOCAL_WRITE)
        self.outbox = Memory(pd, size, IBV_ACCESS_LOCAL_WRITE)
        self.qp.to_init(QPAttr(port_num=1))
        # Before the peer can send: it only knows us from what we tell now.
        self.post()
        tell(peer, self.qp.qp_num, 7)
        number, psn = hear(peer)
        attr = QPAttr(qp_state=IBV_QPS_RTR, path_mtu=IBV_MTU_1024)
        attr.rq_psn, attr.dest_qp_num = psn, number
        attr.max_dest_rd_atomic, attr.min_rnr_timer = 1, 12
        attr.ah_attr = path_to(peer)
        self.qp.modify(
            attr,
            IBV_QP_STATE
            | IBV_QP_AV
            | IBV_QP_PATH_MTU
            | IBV_QP_DEST_QPN
            | IBV_QP_RQ_PSN
            | IBV_QP_MAX_DEST_RD_ATOMIC
            | IBV_QP_MIN_RNR_TIMER,
        )
        attr = QPAttr(qp_state=IBV_QPS_RTS)
        attr.sq_psn, attr.timeout, attr.retry_cnt, attr.rnr_retry = 7, 13, 7, 7
        attr.max_rd_atomic = 1
        self.qp.modify(
            attr,
            IBV_QP_STATE
            | IBV_QP_TIMEOUT
            | IBV_QP_RETRY_CNT
            | IBV_QP_RNR_RETRY
            | IBV_QP_SQ_PSN
            | IBV_QP_MAX_QP_RD_ATOMIC,
        )

    def post(self):
        sge = SGE(self.inbox.buf, self.size, self.inbox.lkey)
        self.qp.post_recv(RecvWR(wr_id=1, num_sge=1, sg=[sge]))

    def receive(self):
        """Waits for a message, and posts the next receive."""
        while True:
            completion = poll(self.cq)
            assert completion.status == IBV_WC_SUCCESS, completion
            if completion.opcode == IBV_WC_RECV:
                message = self.inbox.read(self.size, 0)
                self.post()
                return message

    def send(self, message):
        self.outbox.write(message, self.size)
        sge = SGE(self.outbox.buf, self.size, self.outbox.lkey)
        self.qp.post_send(SendWR(wr_id=2, opcode=IBV_WR_SEND, num_sge=1, sg=[sge]))


def server(pd, context, rounds, size):
    """Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0)."""
    end = End(pd, context, "client", size)
    for _ in range(rounds):
        end.send(bytes((byte + 1) % 256 for byte in end.receive()))


def client(pd, context, rounds, size, fill):
    """Sends `rounds` messages of `size` bytes, each after the answer to the one before. All bytes of the first are `fill`, of
    the second `fill + 1`, and so on (after 255 comes 0). Returns the sum of all bytes of all answers."""
    end = End(pd, context, "server", size)
    total = 0
    for number in range(rounds):
        end.send(bytes([(fill + number) % 256]) * size)
        total += sum(end.receive())
    return total
