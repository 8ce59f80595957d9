#include "table.c"

static uint64_t play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 1);
    uint64_t slots = numbers[0];
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 16, NULL, NULL, 0);
    struct ibv_qp_init_attr init = {
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 16, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
    struct ibv_qp *qp = ibv_create_qp(pd, &init);
    MUST(qp);
    if (!strcmp(part, "server")) {
        struct ibv_mr *mr = memory(pd, 16 * slots, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
        fill(mr->addr, slots, (const struct pair *)(numbers + 1), (count - 1) / 2);
        connect_to("client", qp, IBV_ACCESS_REMOTE_READ);
        uint64_t us[] = {(uintptr_t)mr->addr, mr->rkey};
        tell("client", 2, us);
        return 0;
    }
    uint64_t them[2];
    struct client client;
    connect_to("server", qp, 0);
    MUST(hear("server", 2, them) == 2);
    client_new(&client, pd, qp, cq, (struct remote){them[0], them[1]}, slots);
    for (int i = 1; i < count; i++) {
        uint64_t found[2] = {0, 0};
        found[0] = client_get(&client, numbers[i], &found[1]);
        tell("server", 2, found);
    }
    return 0;
}
