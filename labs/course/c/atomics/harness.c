#include "atomics.c"

static struct ibv_qp *queue_pair(struct ibv_pd *pd, struct ibv_cq *cq)
{
    struct ibv_qp_init_attr init = {
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 16, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
    struct ibv_qp *qp = ibv_create_qp(pd, &init);
    MUST(qp);
    return qp;
}

static uint64_t play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 3);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 16, NULL, NULL, 0);
    if (!strcmp(part, "server")) {
        int all = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
        /* Three words: counter, lock, account. */
        struct ibv_mr *mr = memory(pd, 24, all);
        uint64_t us[] = {(uintptr_t)mr->addr, mr->rkey};
        char name[32];
        for (uint64_t client = 0; client < numbers[0]; client++) {
            snprintf(name, sizeof name, "client-%d", (int)client);
            connect_to(name, queue_pair(pd, cq), all);
            tell(name, 2, us);
        }
        return 0;
    }
    uint64_t them[2];
    struct ibv_qp *qp = queue_pair(pd, cq);
    connect_to("server", qp, 0);
    MUST(hear("server", 2, them) == 2);
    struct remote words[3];
    for (int i = 0; i < 3; i++)
        words[i] = (struct remote){them[0] + 8 * i, them[1]};
    struct client client;
    client_new(&client, pd, qp, cq);
    for (uint64_t round = 0; round < numbers[1]; round++) {
        if (numbers[2]) {
            client_deposit(&client, words[1], words[2], round + 1);
        } else {
            uint64_t ticket = client_ticket(&client, words[0]);
            tell("server", 1, &ticket);
        }
    }
    return 0;
}
