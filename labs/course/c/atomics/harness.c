#include "atomics.c"

static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 3);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 16, NULL, NULL, 0);
    if (!strcmp(part, "server")) {
        int all = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
        /* Three words: counter, lock, account. */
        struct ibv_mr *mr = memory(pd, 24, all);
        char name[32];
        for (uint64_t client = 0; client < numbers[0]; client++) {
            snprintf(name, sizeof name, "client-%d", (int)client);
            connect_to(name, lab_queue_pair(pd, cq, 16, 1), all);
            lab_tell_memory(name, mr);
        }
        return 0;
    }
    struct ibv_qp *qp = lab_queue_pair(pd, cq, 16, 1);
    connect_to("server", qp, 0);
    struct remote first = lab_hear_memory("server"), words[3];
    for (int i = 0; i < 3; i++)
        words[i] = (struct remote){first.addr + 8 * i, first.rkey};
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
