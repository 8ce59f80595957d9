
uint64_t digest(const uint8_t *message)
{
    uint64_t sum = 1;
    /* So long that the sender has its turn meanwhile on a busy computer too, and a credit too many shows. */
    work(1000);
    for (int at = 0; at < 64; at++)
        sum = sum * 31 % 1000003 + message[at];
    return sum;
}

#include "stream.c"

static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 2);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 64, NULL, NULL, 0);
    struct ibv_qp *qp = lab_queue_pair(pd, cq, 8, 1);
    to_init(qp, 0);
    if (!strcmp(part, "receiver")) {
        struct receiver receiver;
        receiver_new(&receiver, pd, qp, cq);
        connect_to("sender", qp, 0);
        return receiver_run(&receiver, numbers[0]);
    }
    struct sender sender;
    sender_new(&sender, pd, qp, cq);
    connect_to("receiver", qp, 0);
    sender_run(&sender, numbers[0], numbers[1]);
    return 0;
}
