struct ibv_qp *new_qp(struct ibv_pd *pd, struct ibv_cq *cq)
{
    return lab_queue_pair(pd, cq, 16, 1);
}

#include "window.c"

static const int LAB_ALL = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;

static uint64_t lab_owner(struct ibv_pd *pd, struct ibv_cq *cq, size_t size, uint64_t letters)
{
    static uint8_t letter[4096];
    struct ibv_mr *mr = memory(pd, size, LAB_ALL);
    uint64_t sum = 0, word;
    lab_tell_memory("user", mr);
    connect_to("user", new_qp(pd, cq), LAB_ALL);
    for (uint64_t number = 1; number <= letters; number++) {
        size_t length = receive_letter(mr->addr, number, letter);
        for (size_t at = 0; at < length && at < sizeof letter; at++)
            sum += (at + 1) * letter[at];
        tell("user", 1, &number);
    }
    /* As often as the user wants a new connection, until it has ended. */
    while (hear("user", 1, &word) == 1 && word == 1)
        connect_to("user", new_qp(pd, cq), LAB_ALL);
    return sum;
}

static uint64_t lab_user(struct ibv_pd *pd, struct ibv_cq *cq, uint64_t size, int count, const uint64_t *deeds)
{
    uint64_t refused = 0, sum = 0, letters = 0, word;
    struct remote remote = lab_hear_memory("owner");
    struct ibv_qp *qp = new_qp(pd, cq);
    connect_to("owner", qp, LAB_ALL);
    struct window window;
    window_new(&window, pd, cq, qp, remote);
    for (int i = 0; i < count; i++) {
        static uint8_t bytes[4096];
        const uint64_t *deed = deeds + 4 * i, at = deed[1], length = deed[2];
        enum ibv_wc_status status;
        for (uint64_t n = 0; n < length; n++)
            bytes[n] = deed[3] + n;
        switch (deed[0]) {
        case 0:
            status = window_put(&window, at, bytes, length);
            break;
        case 1:
            status = window_get(&window, at, bytes, length);
            for (uint64_t n = 0; n < length; n++)
                sum += bytes[n];
            break;
        case 2:
            status = window_send_letter(&window, ++letters, bytes, length);
            hear("owner", 1, &word);
            break;
        case 3:
            status = window_put(&window, size - length + 1, bytes, length);
            break;
        default:
            window.remote.rkey ^= 0x100;
            status = window_put(&window, at, bytes, length);
            window.remote = remote;
        }
        if (status != IBV_WC_SUCCESS) {
            refused |= (uint64_t)(status == IBV_WC_REM_ACCESS_ERR || deed[0] < 3) << i;
            if (i + 1 < count) {
                word = 1;
                tell("owner", 1, &word);
                window_reconnect(&window);
            }
        }
    }
    word = 0;
    tell("owner", 1, &word);
    return refused | sum << 32;
}

static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 1);
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 64, NULL, NULL, 0);
    MUST(pd && cq);
    if (!strcmp(part, "owner"))
        return lab_owner(pd, cq, numbers[0], numbers[1]);
    return lab_user(pd, cq, numbers[0], (count - 1) / 4, numbers + 1);
}
