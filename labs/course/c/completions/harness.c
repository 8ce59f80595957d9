#include "writer.c"

static uint64_t play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 2);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 4, NULL, NULL, 0);
    struct ibv_qp_init_attr init = {
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 16, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
    };
    struct ibv_qp *qp = ibv_create_qp(pd, &init);
    MUST(qp);
    if (!strcmp(part, "target")) {
        struct ibv_mr *mr = memory(pd, 64 * numbers[0], IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
        connect_to("writer", qp, IBV_ACCESS_REMOTE_WRITE);
        uint64_t us[] = {(uintptr_t)mr->addr, mr->rkey};
        tell("writer", 2, us);
    } else {
        uint64_t them[2];
        connect_to("target", qp, 0);
        MUST(hear("target", 2, them) == 2);
        write_all(pd, qp, cq, (struct remote){them[0], them[1]}, numbers[0], numbers[1]);
    }
    return 0;
}
