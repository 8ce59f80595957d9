/* One-sided. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

/* Most bytes of a put or get. */
enum { MOST_BYTES = 4096 };

/* Makes another queue pair like the first. (Made for you.) */
struct ibv_qp *new_qp(struct ibv_pd *pd, struct ibv_cq *cq);

/* Where a letter's number stands, and its length with the letter behind it. */
enum { NUMBER = 0, LENGTH = 8, LETTER = 16 };

/* Memory of another program, as if it were one's own. */
struct window {
    struct remote remote;
    struct ibv_pd *pd;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_mr *scratch;
};

/* Through `qp`, which is connected to the owner of the memory; its completions come to `cq`. */
void window_new(struct window *window, struct ibv_pd *pd, struct ibv_cq *cq, struct ibv_qp *qp, struct remote remote)
{
    *window = (struct window){remote, pd, cq, qp, memory(pd, MOST_BYTES, IBV_ACCESS_LOCAL_WRITE)};
}

static enum ibv_wc_status carry_out(struct window *window, enum ibv_wr_opcode opcode, uint64_t at, size_t length)
{
    struct ibv_sge sge = {(uintptr_t)window->scratch->addr, length, window->scratch->lkey};
    struct ibv_send_wr wr = {
        .wr_id = 1,
        .sg_list = &sge,
        .num_sge = 1,
        .opcode = opcode,
        .wr.rdma = {window->remote.addr + at, window->remote.rkey},
    };
    struct ibv_send_wr *bad;
    MUST(!ibv_post_send(window->qp, &wr, &bad));
    return wait_for(window->cq).status;
}

/* Writes bytes to byte `at` of the memory, and returns when they are there: the status of the completion. */
enum ibv_wc_status window_put(struct window *window, uint64_t at, const void *bytes, size_t length)
{
    memcpy(window->scratch->addr, bytes, length);
    return carry_out(window, IBV_WR_RDMA_WRITE, at, length);
}

/* Brings the bytes from byte `at` of the memory on. */
enum ibv_wc_status window_get(struct window *window, uint64_t at, void *bytes, size_t length)
{
    enum ibv_wc_status status = carry_out(window, IBV_WR_RDMA_READ, at, length);
    memcpy(bytes, window->scratch->addr, length);
    return status;
}

/* Sends letter `number`, which has 1024 bytes at most, to the owner's program: `receive_letter` there. */
enum ibv_wc_status window_send_letter(struct window *window, uint64_t number, const void *letter, size_t length)
{
    uint64_t whole = length;
    enum ibv_wc_status status = window_put(window, LETTER, letter, length);
    if (status == IBV_WC_SUCCESS)
        status = window_put(window, LENGTH, &whole, sizeof whole);
    /* A WRITE of its own: about the parts of one nothing is promised. */
    return status == IBV_WC_SUCCESS ? window_put(window, NUMBER, &number, sizeof number) : status;
}

/* After an error: makes a new queue pair and connects it to "owner", which does the same. */
void window_reconnect(struct window *window)
{
    window->qp = new_qp(window->pd, window->cq);
    connect_to("owner", window->qp, 0);
}

/*
 * In the owner's program: waits for letter `number` (the first is 1) in its memory, copies it, and returns its length. The next
 * is sent after this has returned.
 */
size_t receive_letter(const void *memory, uint64_t number, uint8_t *letter)
{
    const volatile uint64_t *words = memory;
    while (words[NUMBER / 8] != number)
        work(10);
    size_t length = words[LENGTH / 8];
    memcpy(letter, (const uint8_t *)memory + LETTER, length);
    return length;
}
