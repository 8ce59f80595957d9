#include "reduce.c"

static struct ibv_qp *queue_pair(struct ibv_pd *pd, struct ibv_cq *cq)
{
    struct ibv_qp_init_attr init = {
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
    struct ibv_qp *qp = ibv_create_qp(pd, &init);
    MUST(qp);
    to_init(qp, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    return qp;
}

static uint64_t play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    (void)part;
    MUST(count >= 5);
    int rank = numbers[0], ranks = numbers[1], length = numbers[2];
    char next[32], previous[32];
    snprintf(next, sizeof next, "rank-%d", (rank + 1) % ranks);
    snprintf(previous, sizeof previous, "rank-%d", (rank + ranks - 1) % ranks);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *sent = ibv_create_cq(context, 64, NULL, NULL, 0);
    struct ibv_cq *received = ibv_create_cq(context, 64, NULL, NULL, 0);
    struct ibv_qp *to_next = queue_pair(pd, sent), *from_previous = queue_pair(pd, received);
    struct ibv_mr *inbox = memory(pd, 8 * length, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    uint64_t *data = calloc(length, sizeof *data);
    for (int index = 0; index < length; index++)
        data[index] = (numbers[3] + index * 7919ull + rank * 104729ull) % 1000;
    struct ring ring;
    ring_new(&ring, pd, rank, ranks, length, to_next, sent, from_previous, received, inbox);
    /* With two ranks both lead to the same program: the lower rank's first goes to the other's second. */
    int swaps = ranks == 2 && rank == 1;
    const char *peers[] = {swaps ? previous : next, swaps ? next : previous};
    struct ibv_qp *qps[] = {swaps ? from_previous : to_next, swaps ? to_next : from_previous};
    /* In a ring all must have spoken before anybody hears. */
    for (int i = 0; i < 2; i++)
        introduce(peers[i], qps[i]);
    for (int i = 0; i < 2; i++)
        meet(peers[i], qps[i]);
    uint64_t us[] = {(uintptr_t)inbox->addr, inbox->rkey}, them[2];
    tell(previous, 2, us);
    MUST(hear(next, 2, them) == 2);
    work(numbers[4]);
    ring_all_reduce(&ring, data, (struct remote){them[0], them[1]});
    /* A number that depends on every sum and its place. */
    uint64_t digest = length;
    for (int index = 0; index < length; index++)
        digest = digest * 1000003 + data[index];
    free(data);
    return digest;
}
