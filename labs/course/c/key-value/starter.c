/* A key-value store that is read without its server. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"
#include <endian.h>

struct pair {
    uint64_t key, value;
};

/*
 * Puts pairs of key and value into the table, which has `slots` slots of 16 bytes: key, then value, both big-endian. A slot of
 * zeros is empty; keys are never 0. There is room for all, and no key comes twice.
 */
void fill(void *table, uint64_t slots, const struct pair *pairs, int count)
{
    (void)table, (void)slots, (void)pairs, (void)count;
}

/* Reads the table of the server, whose program does nothing more by then. */
struct client {
    struct ibv_qp *qp;
};

void client_new(struct client *client, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, struct remote table, uint64_t slots)
{
    (void)pd, (void)cq, (void)table, (void)slots;
    client->qp = qp;
}

/* Gives the value of a key and returns 1; returns 0 if it is not in the table. */
int client_get(struct client *client, uint64_t key, uint64_t *value)
{
    (void)client, (void)key, (void)value;
    return 0;
}
