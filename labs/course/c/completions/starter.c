/* Many writes, few completions. Read README.md, write `write_all`, then: ferroce lab check */
#include "lab.h"

enum { SIZE = 64, DEPTH = 16 };

/*
 * Writes `blocks` blocks of SIZE bytes into the memory of the other side, one after the other, from `target` on. All bytes of
 * block number n, from 0, are `fill + n` (modulo 256). When this returns everything has arrived.
 */
void write_all(struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, struct remote target, uint64_t blocks, uint64_t fill)
{
    struct ibv_mr *mr = memory(pd, SIZE, 0);
    for (uint64_t n = 0; n < blocks; n++) {
        memset(mr->addr, (uint8_t)(fill + n), SIZE);
        struct ibv_sge sge = {(uintptr_t)mr->addr, SIZE, mr->lkey};
        struct ibv_send_wr wr = {
            .wr_id = n,
            .sg_list = &sge,
            .num_sge = 1,
            .opcode = IBV_WR_RDMA_WRITE,
            .send_flags = IBV_SEND_SIGNALED,
            .wr.rdma = {target.addr + n * SIZE, target.rkey},
        };
        struct ibv_send_wr *bad;
        MUST(!ibv_post_send(qp, &wr, &bad));
        wait_for(cq);
    }
}
