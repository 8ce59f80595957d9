/* A ring all-reduce. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

struct ring {
    int rank, ranks, length;
};

/*
 * Rank `rank` of `ranks`, for vectors of `length` numbers; `length` is a multiple of `ranks`. `to_next` leads to rank rank + 1
 * (after the last comes 0), `from_previous` comes from rank rank - 1; their completions come to `sent` and `received`. There is
 * room for 16 requests in each. `inbox` has room for `length` numbers of 8 bytes; the previous rank may write there.
 *
 * The connections are made after this: receives can be posted.
 */
void ring_new(struct ring *ring, struct ibv_pd *pd, int rank, int ranks, int length, struct ibv_qp *to_next,
              struct ibv_cq *sent, struct ibv_qp *from_previous, struct ibv_cq *received, struct ibv_mr *inbox)
{
    (void)pd, (void)to_next, (void)sent, (void)from_previous, (void)received, (void)inbox;
    *ring = (struct ring){rank, ranks, length};
}

/*
 * Replaces `data` by the sums of the data of all ranks, number by number. `next_inbox` is the inbox of the next rank. It is
 * called once.
 */
void ring_all_reduce(struct ring *ring, uint64_t *data, struct remote next_inbox)
{
    (void)ring, (void)data, (void)next_inbox;
}
