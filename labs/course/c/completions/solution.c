/* Many writes, few completions. Read README.md, write `write_all`, then: ferroce lab check */
#include "lab.h"

enum { SIZE = 64, DEPTH = 16, BATCH = 8 };

/* Requests complete in order, so a completion stands for all requests before it. Returns how many are done. */
static uint64_t wait_done(struct ibv_cq *cq)
{
    struct ibv_wc wc = wait_for(cq);
    if (wc.status != IBV_WC_SUCCESS) fail("%s", ibv_wc_status_str(wc.status));
    return wc.wr_id + 1;
}

/*
 * Writes `blocks` blocks of SIZE bytes into the memory of the other side, one after the other, from `target` on. All bytes of
 * block number n, from 0, are `fill + n` (modulo 256). When this returns everything has arrived.
 */
void write_all(struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, struct remote target, uint64_t blocks, uint64_t fill)
{
    struct ibv_mr *mr = memory(pd, DEPTH * SIZE, 0);
    uint64_t completed = 0;
    for (uint64_t n = 0; n < blocks; n++) {
        while (n - completed >= DEPTH)
            completed = wait_done(cq);
        uint8_t *block = (uint8_t *)mr->addr + n % DEPTH * SIZE;
        memset(block, (uint8_t)(fill + n), SIZE);
        struct ibv_sge sge = {(uintptr_t)block, SIZE, mr->lkey};
        int signaled = n % BATCH == BATCH - 1 || n + 1 == blocks;
        struct ibv_send_wr wr = {
            .wr_id = n,
            .sg_list = &sge,
            .num_sge = 1,
            .opcode = IBV_WR_RDMA_WRITE,
            .send_flags = signaled ? IBV_SEND_SIGNALED : 0,
            .wr.rdma = {target.addr + n * SIZE, target.rkey},
        };
        struct ibv_send_wr *bad;
        MUST(!ibv_post_send(qp, &wr, &bad));
    }
    while (completed < blocks)
        completed = wait_done(cq);
}
