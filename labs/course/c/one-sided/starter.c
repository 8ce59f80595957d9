/* One-sided. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

/* Most bytes of a put or get. */
enum { MOST_BYTES = 4096 };

/* Makes another queue pair like the first. (Made for you.) */
struct ibv_qp *new_qp(struct ibv_pd *pd, struct ibv_cq *cq);

/* Memory of another program, as if it were one's own. */
struct window {
    struct remote remote;
};

/* Through `qp`, which is connected to the owner of the memory; its completions come to `cq`. */
void window_new(struct window *window, struct ibv_pd *pd, struct ibv_cq *cq, struct ibv_qp *qp, struct remote remote)
{
    (void)pd, (void)cq, (void)qp;
    window->remote = remote;
}

/* Writes bytes to byte `at` of the memory, and returns when they are there: the status of the completion. */
enum ibv_wc_status window_put(struct window *window, uint64_t at, const void *bytes, size_t length)
{
    (void)window, (void)at, (void)bytes, (void)length;
    return IBV_WC_SUCCESS;
}

/* Brings the bytes from byte `at` of the memory on. */
enum ibv_wc_status window_get(struct window *window, uint64_t at, void *bytes, size_t length)
{
    (void)window, (void)at;
    memset(bytes, 0, length);
    return IBV_WC_SUCCESS;
}

/* Sends letter `number`, which has 1024 bytes at most, to the owner's program: `receive_letter` there. */
enum ibv_wc_status window_send_letter(struct window *window, uint64_t number, const void *letter, size_t length)
{
    (void)window, (void)number, (void)letter, (void)length;
    return IBV_WC_SUCCESS;
}

/* After an error: makes a new queue pair and connects it to "owner", which does the same. */
void window_reconnect(struct window *window)
{
    (void)window;
}

/*
 * In the owner's program: waits for letter `number` (the first is 1) in its memory, copies it, and returns its length. The next
 * is sent after this has returned.
 */
size_t receive_letter(const void *memory, uint64_t number, uint8_t *letter)
{
    (void)memory, (void)number, (void)letter;
    return 0;
}
