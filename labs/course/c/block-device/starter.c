/* A remote block device. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

/* Bytes of a block, and commands that can be under way. */
enum { BLOCK = 512, WINDOW = 8 };

/* The machine with the disk. */
struct target {
    uint8_t (*store)[BLOCK];
    uint64_t blocks;
};

/*
 * `store` is the disk: block n is store[n]. Completions of `qp` come to `cq`; it has room for 32 requests each way, and will be
 * connected to the client after this, so receives can be posted.
 */
void target_new(struct target *target, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, uint8_t (*store)[BLOCK], uint64_t blocks)
{
    (void)pd, (void)qp, (void)cq;
    *target = (struct target){store, blocks};
}

/* Carries out commands, until the client has shut down. */
void target_serve(struct target *target)
{
    (void)target;
}

/* The machine that uses the disk. */
struct client {
    int slots[WINDOW], count;
};

/* As target_new. */
void client_new(struct client *client, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq)
{
    (void)pd, (void)qp, (void)cq;
    *client = (struct client){.count = 0};
}

/*
 * Asks for a write of `data` to the block, or for a read if it is NULL, and does not wait. `slot` is a number below WINDOW that is
 * not in use; `data` is gone when this has returned.
 */
void client_submit(struct client *client, int slot, uint64_t block, const uint8_t *data)
{
    (void)block, (void)data;
    client->slots[client->count++] = slot;
}

/*
 * Waits until one of the commands that are under way is done, and says in `slot` which. Returns the block that was read, in memory
 * of yours (after a write any memory), or NULL if the device has no such block.
 */
const uint8_t *client_finish(struct client *client, int *slot)
{
    static const uint8_t nothing[BLOCK];
    *slot = client->slots[--client->count];
    return nothing;
}

/* No more commands will come: lets target_serve return. */
void client_shut_down(struct client *client)
{
    (void)client;
}
