/* A ring all-reduce. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

struct ring {
    int rank, ranks;
    /* Numbers of a part. */
    int part;
    struct ibv_qp *to_next;
    struct ibv_cq *sent, *received;
    struct ibv_mr *inbox, *outbox;
};

/*
 * Rank `rank` of `ranks`, for vectors of `length` numbers; `length` is a multiple of `ranks`. `to_next` leads to rank rank + 1
 * (after the last comes 0), `from_previous` comes from rank rank - 1; their completions come to `sent` and `received`. There is
 * room for 16 requests in each. `inbox` has room for `length` numbers of 8 bytes; the previous rank may write there.
 *
 * The connections are made after this: receives can be posted.
 */
void ring_new(struct ring *ring, struct ibv_pd *pd, int rank, int ranks, int length, struct ibv_qp *to_next,
              struct ibv_cq *sent, struct ibv_qp *from_previous, struct ibv_cq *received, struct ibv_mr *inbox)
{
    *ring = (struct ring){rank, ranks, length / ranks, to_next, sent, received, inbox, memory(pd, 8 * length, 0)};
    /* One for every part that will come; they have no memory of their own. */
    for (int step = 0; step < 2 * (ranks - 1); step++) {
        struct ibv_recv_wr wr = {.num_sge = 0}, *bad;
        MUST(!ibv_post_recv(from_previous, &wr, &bad));
    }
}

/* Sends a part to the same place of the next rank's inbox. */
static void send_part(struct ring *ring, const uint64_t *data, int part, struct remote next_inbox)
{
    int first = part * ring->part;
    uint64_t *out = (uint64_t *)ring->outbox->addr + first;
    memcpy(out, data + first, 8 * ring->part);
    struct ibv_sge sge = {(uintptr_t)out, 8 * ring->part, ring->outbox->lkey};
    struct ibv_send_wr wr = {
        .opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
        .sg_list = &sge,
        .num_sge = 1,
        .wr.rdma = {next_inbox.addr + 8 * first, next_inbox.rkey},
    };
    struct ibv_send_wr *bad;
    MUST(!ibv_post_send(ring->to_next, &wr, &bad));
}

/*
 * Replaces `data` by the sums of the data of all ranks, number by number. `next_inbox` is the inbox of the next rank. It is
 * called once.
 */
void ring_all_reduce(struct ring *ring, uint64_t *data, struct remote next_inbox)
{
    int ranks = ring->ranks;
    for (int step = 0; step < 2 * (ranks - 1); step++) {
        int sends = (ring->rank + 2 * ranks - step) % ranks, gets = (ring->rank + 2 * ranks - step - 1) % ranks;
        send_part(ring, data, sends, next_inbox);
        MUST(wait_for(ring->received).status == IBV_WC_SUCCESS);
        volatile uint64_t *in = (uint64_t *)ring->inbox->addr + gets * ring->part;
        for (int at = 0; at < ring->part; at++) {
            uint64_t *number = &data[gets * ring->part + at];
            /* First the sums collect, then they travel round. */
            *number = step < ranks - 1 ? *number + in[at] : in[at];
        }
        MUST(wait_for(ring->sent).status == IBV_WC_SUCCESS);
    }
}
