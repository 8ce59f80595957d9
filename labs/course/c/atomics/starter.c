/* A counter and a lock in memory that nobody looks after. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

struct client {
    struct ibv_qp *qp;
    struct ibv_cq *cq;
};

void client_new(struct client *client, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq)
{
    (void)pd;
    *client = (struct client){qp, cq};
}

/*
 * Takes a ticket: the number that `counter`, a word of 8 bytes, has now, which is one more for the next. No ticket is given out
 * twice, and none is left out.
 */
uint64_t client_ticket(struct client *client, struct remote counter)
{
    (void)client, (void)counter;
    return 0;
}

/*
 * Adds `amount` to `account` by reading it, and writing the sum: with READ and WRITE only. Whoever does that holds `lock`, a
 * word that is 0 when nobody does.
 */
void client_deposit(struct client *client, struct remote lock, struct remote account, uint64_t amount)
{
    (void)client, (void)lock, (void)account, (void)amount;
}
