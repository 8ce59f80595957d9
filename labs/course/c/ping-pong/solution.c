/* Ping-pong over a reliable connection. Read README.md, write `server` and `client`, then: ferroce lab check */
#include "lab.h"

/* One end: a connection, with memory for one message each way. */
struct end {
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_mr *inbox, *outbox;
    size_t size;
};

static void post_receive(struct end *end)
{
    struct ibv_sge sge = {(uintptr_t)end->inbox->addr, end->size, end->inbox->lkey};
    struct ibv_recv_wr wr = {.wr_id = 1, .sg_list = &sge, .num_sge = 1}, *bad;
    MUST(!ibv_post_recv(end->qp, &wr, &bad));
}

static void to_rtr(struct ibv_qp *qp, const char *peer, uint64_t number, uint64_t psn)
{
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = IBV_MTU_1024,
        .dest_qp_num = number,
        .rq_psn = psn,
        .max_dest_rd_atomic = 1,
        .min_rnr_timer = 12,
        .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = gid_of(peer), .hop_limit = 64}},
    };
    MUST(!ibv_modify_qp(qp, &attr,
                        IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                            IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER));
}

static void to_rts(struct ibv_qp *qp, uint32_t psn)
{
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTS,
        .sq_psn = psn,
        .timeout = 13,
        .retry_cnt = 7,
        .rnr_retry = 7,
        .max_rd_atomic = 1,
    };
    MUST(!ibv_modify_qp(qp, &attr,
                        IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                            IBV_QP_MAX_QP_RD_ATOMIC));
}

static struct end connect_end(struct ibv_context *context, const char *peer, size_t size)
{
    struct end end = {.size = size};
    struct ibv_pd *pd = ibv_alloc_pd(context);
    MUST(pd);
    end.cq = ibv_create_cq(context, 16, NULL, NULL, 0);
    MUST(end.cq);
    struct ibv_qp_init_attr init = {
        .send_cq = end.cq,
        .recv_cq = end.cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
    end.qp = ibv_create_qp(pd, &init);
    MUST(end.qp);
    end.inbox = memory(pd, size, IBV_ACCESS_LOCAL_WRITE);
    end.outbox = memory(pd, size, 0);
    to_init(end.qp, 0);
    /* Before the peer can send: it only knows us from what we tell now. */
    post_receive(&end);
    uint64_t us[] = {end.qp->qp_num, end.qp->qp_num & 0xfff}, them[2];
    tell(peer, 2, us);
    MUST(hear(peer, 2, them) == 2);
    to_rtr(end.qp, peer, them[0], them[1]);
    to_rts(end.qp, us[1]);
    return end;
}

/* Waits for a message, and posts the next receive. The message is in the outbox then, each byte increased by `add`. */
static uint64_t receive(struct end *end, uint8_t add)
{
    uint64_t sum = 0;
    const uint8_t *in = end->inbox->addr;
    uint8_t *out = end->outbox->addr;
    for (;;) {
        struct ibv_wc wc = wait_for(end->cq);
        if (wc.status != IBV_WC_SUCCESS) fail("%s", ibv_wc_status_str(wc.status));
        if (wc.opcode == IBV_WC_RECV)
            break;
    }
    for (size_t at = 0; at < end->size; at++) {
        out[at] = in[at] + add;
        sum += in[at];
    }
    post_receive(end);
    return sum;
}

static void send_message(struct end *end)
{
    struct ibv_sge sge = {(uintptr_t)end->outbox->addr, end->size, end->outbox->lkey};
    struct ibv_send_wr wr = {.wr_id = 2, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND}, *bad;
    MUST(!ibv_post_send(end->qp, &wr, &bad));
}

/* Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0). */
void server(struct ibv_context *context, uint64_t rounds, size_t size)
{
    struct end end = connect_end(context, "client", size);
    for (uint64_t round = 0; round < rounds; round++) {
        receive(&end, 1);
        send_message(&end);
    }
}

/*
 * Sends `rounds` messages of `size` bytes, one after the other, each after the answer to the one before. All bytes of the first
 * are `fill`, of the second `fill + 1`, and so on (after 255 comes 0). Returns the sum of all bytes of all answers.
 */
uint64_t client(struct ibv_context *context, uint64_t rounds, size_t size, uint8_t fill)
{
    struct end end = connect_end(context, "server", size);
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        memset(end.outbox->addr, (uint8_t)(fill + round), size);
        send_message(&end);
        sum += receive(&end, 0);
    }
    return sum;
}
