#include "writer.c"

static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 2);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 4, NULL, NULL, 0);
    struct ibv_qp *qp = lab_queue_pair(pd, cq, 16, 0);
    if (!strcmp(part, "target")) {
        struct ibv_mr *mr = memory(pd, 64 * numbers[0], IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
        connect_to("writer", qp, IBV_ACCESS_REMOTE_WRITE);
        lab_tell_memory("writer", mr);
    } else {
        connect_to("target", qp, 0);
        write_all(pd, qp, cq, lab_hear_memory("target"), numbers[0], numbers[1]);
    }
    return 0;
}
