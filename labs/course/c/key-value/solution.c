/* A key-value store that is read without its server. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"
#include <endian.h>

struct pair {
    uint64_t key, value;
};

/* The slot where a key is looked for first: the upper half of the product depends on all bits of the key. */
static uint64_t home(uint64_t key, uint64_t slots)
{
    return (key * 0x9e3779b97f4a7c15 >> 32) % slots;
}

/*
 * Puts pairs of key and value into the table, which has `slots` slots of 16 bytes: key, then value, both big-endian. A slot of
 * zeros is empty; keys are never 0. There is room for all, and no key comes twice.
 */
void fill(void *table, uint64_t slots, const struct pair *pairs, int count)
{
    struct pair *slot = table;
    for (int i = 0; i < count; i++) {
        uint64_t at = home(pairs[i].key, slots);
        while (slot[at].key)
            at = (at + 1) % slots;
        slot[at] = (struct pair){htobe64(pairs[i].key), htobe64(pairs[i].value)};
    }
}

/* Reads the table of the server, whose program does nothing more by then. */
struct client {
    struct ibv_qp *qp;
    struct ibv_cq *cq;
    struct ibv_mr *copy;
    struct remote table;
    uint64_t slots;
};

void client_new(struct client *client, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, struct remote table, uint64_t slots)
{
    *client = (struct client){qp, cq, memory(pd, sizeof(struct pair), IBV_ACCESS_LOCAL_WRITE), table, slots};
}

/* Gives the value of a key and returns 1; returns 0 if it is not in the table. */
int client_get(struct client *client, uint64_t key, uint64_t *value)
{
    uint64_t slot = home(key, client->slots);
    const struct pair *copy = client->copy->addr;
    for (uint64_t tries = 0; tries < client->slots; tries++) {
        struct ibv_sge sge = {(uintptr_t)copy, sizeof *copy, client->copy->lkey};
        struct ibv_send_wr wr = {
            .sg_list = &sge,
            .num_sge = 1,
            .opcode = IBV_WR_RDMA_READ,
            .wr.rdma = {client->table.addr + slot * sizeof *copy, client->table.rkey},
        };
        struct ibv_send_wr *bad;
        MUST(!ibv_post_send(client->qp, &wr, &bad));
        MUST(wait_for(client->cq).status == IBV_WC_SUCCESS);
        if (copy->key == 0)
            return 0;
        if (be64toh(copy->key) == key) {
            *value = be64toh(copy->value);
            return 1;
        }
        slot = (slot + 1) % client->slots;
    }
    return 0;
}
