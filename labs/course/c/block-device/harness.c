/*
 * How many commands the target has at work together does not depend on who was faster: it is given the commands of a batch one
 * after the other, and only then what has completed. Counted are its READs and WRITEs.
 */
#undef ibv_poll_cq
enum { LAB_ROOM = 64, LAB_PATIENCE_MS = 20 };

static struct {
    struct ibv_wc taken[LAB_ROOM];
    int first, count;
    /* Commands that come together, all that are to come, and those of this batch. */
    uint64_t batch, left, coming;
    int at_work, most;
} lab_plan;

static int lab_is_move(enum ibv_wr_opcode opcode)
{
    return opcode == IBV_WR_RDMA_READ || opcode == IBV_WR_RDMA_WRITE;
}

static int lab_post_counted(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    int moves = 0;
    for (struct ibv_send_wr *one = wr; one; one = one->next)
        moves += lab_is_move(one->opcode);
    int error = ibv_post_send(qp, wr, bad);
    if (!error)
        lab_plan.at_work += moves;
    if (lab_plan.at_work > lab_plan.most)
        lab_plan.most = lab_plan.at_work;
    return error;
}

static void lab_begin_batch(void)
{
    lab_plan.coming = lab_plan.left < lab_plan.batch ? lab_plan.left : lab_plan.batch;
}

/* Takes out what there is. Returns how many commands are among it. */
static int lab_collect(struct ibv_cq *cq)
{
    int found = ibv_poll_cq(cq, LAB_ROOM - lab_plan.count, lab_plan.taken + lab_plan.count), commands = 0;
    MUST(found >= 0);
    for (int i = 0; i < found; i++)
        commands += lab_plan.taken[lab_plan.count + i].opcode == IBV_WC_RECV;
    lab_plan.count += found;
    return commands;
}

/* A program that does not have all of a batch come is not waited for long. */
static void lab_collect_batch(struct ibv_cq *cq)
{
    lab_plan.first = lab_plan.count = 0;
    uint64_t commands = lab_collect(cq);
    for (int waited = 0; commands && commands < lab_plan.coming && waited < LAB_PATIENCE_MS; waited++) {
        work(1000);
        uint64_t more = lab_collect(cq);
        commands += more;
        waited = more ? 0 : waited;
    }
    commands = commands < lab_plan.coming ? commands : lab_plan.coming;
    lab_plan.coming -= commands;
    lab_plan.left -= commands;
    if (!lab_plan.coming)
        lab_begin_batch();
}

static int lab_take_in_batches(struct ibv_cq *cq, int room, struct ibv_wc *wc)
{
    if (lab_plan.first == lab_plan.count)
        lab_collect_batch(cq);
    if (room < 1 || lab_plan.first == lab_plan.count)
        return 0;
    *wc = lab_plan.taken[lab_plan.first++];
    lab_plan.at_work -= wc->opcode == IBV_WC_RDMA_READ || wc->opcode == IBV_WC_RDMA_WRITE;
    return 1;
}

#define ibv_poll_cq lab_poll_cq
#define ibv_post_send lab_post_counted
#include "disk.c"

enum { LAB_BYTES = 512, LAB_SLOTS = 8 };

static const int LAB_ALL = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;

static uint64_t lab_serve(struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, const uint64_t *numbers)
{
    uint64_t blocks = numbers[0];
    memset(&lab_plan, 0, sizeof lab_plan);
    lab_plan.batch = numbers[1];
    lab_plan.left = numbers[2];
    lab_begin_batch();
    uint8_t(*store)[LAB_BYTES] = calloc(blocks, LAB_BYTES);
    struct target target;
    target_new(&target, pd, qp, cq, store, blocks);
    connect_to("client", qp, LAB_ALL);
    lab_take = lab_take_in_batches;
    target_serve(&target);
    lab_take = NULL;
    free(store);
    return lab_plan.most;
}

/* What a command has brought: of a read a number that depends on every byte and its place. */
static uint64_t lab_outcome_of(const uint8_t *data, int writes)
{
    uint64_t sum = 0;
    if (!data)
        return UINT64_MAX;
    for (int at = 0; at < LAB_BYTES && !writes; at++)
        sum += (at + 1ull) * data[at];
    return sum;
}

static void lab_use(struct client *client, uint64_t seed, int depth, int count, const uint64_t *commands)
{
    uint64_t *outcomes = malloc(count * sizeof *outcomes);
    for (int next = 0; next < count;) {
        /* As many as may be under way, and then all of them are waited for. */
        int which[LAB_SLOTS], first = next;
        for (int slot = 0; slot < depth && next < count; slot++, next++) {
            uint8_t data[LAB_BYTES];
            for (int at = 0; at < LAB_BYTES; at++)
                data[at] = seed + (next + 1) * 31 + at * 7;
            which[slot] = next;
            client_submit(client, slot, commands[2 * next + 1], commands[2 * next] ? data : NULL);
        }
        for (int done = first; done < next; done++) {
            int slot = -1;
            const uint8_t *data = client_finish(client, &slot);
            MUST(slot >= 0 && slot < next - first && which[slot] >= 0);
            outcomes[which[slot]] = lab_outcome_of(data, commands[2 * which[slot]]);
            which[slot] = -1;
        }
    }
    client_shut_down(client);
    tell("target", count, outcomes);
    free(outcomes);
}

static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 3);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, LAB_ROOM, NULL, NULL, 0);
    struct ibv_qp *qp = lab_queue_pair(pd, cq, 32, 1);
    to_init(qp, LAB_ALL);
    if (!strcmp(part, "target"))
        return lab_serve(pd, qp, cq, numbers);
    struct client client;
    client_new(&client, pd, qp, cq);
    connect_to("target", qp, LAB_ALL);
    lab_use(&client, numbers[0], numbers[1], (count - 2) / 2, numbers + 2);
    return 0;
}
