/* A counter and a lock in memory that nobody looks after. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

struct client {
    struct ibv_qp *qp;
    struct ibv_cq *cq;
    /* A word that comes from the other side or goes there. */
    struct ibv_mr *word;
};

void client_new(struct client *client, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq)
{
    *client = (struct client){qp, cq, memory(pd, 8, IBV_ACCESS_LOCAL_WRITE)};
}

/* Does something with the word, and waits until it is done. Returns what is in it then. */
static uint64_t call(struct client *client, struct ibv_send_wr wr)
{
    struct ibv_sge sge = {(uintptr_t)client->word->addr, 8, client->word->lkey};
    struct ibv_send_wr *bad;
    wr.sg_list = &sge;
    wr.num_sge = 1;
    MUST(!ibv_post_send(client->qp, &wr, &bad));
    MUST(wait_for(client->cq).status == IBV_WC_SUCCESS);
    return *(volatile uint64_t *)client->word->addr;
}

static uint64_t move(struct client *client, enum ibv_wr_opcode opcode, struct remote remote)
{
    return call(client, (struct ibv_send_wr){.opcode = opcode, .wr.rdma = {remote.addr, remote.rkey}});
}

/*
 * Takes a ticket: the number that `counter`, a word of 8 bytes, has now, which is one more for the next. No ticket is given out
 * twice, and none is left out.
 */
uint64_t client_ticket(struct client *client, struct remote counter)
{
    return call(client, (struct ibv_send_wr){
                            .opcode = IBV_WR_ATOMIC_FETCH_AND_ADD,
                            .wr.atomic = {.remote_addr = counter.addr, .rkey = counter.rkey, .compare_add = 1},
                        });
}

/*
 * Adds `amount` to `account` by reading it, and writing the sum: with READ and WRITE only. Whoever does that holds `lock`, a
 * word that is 0 when nobody does.
 */
void client_deposit(struct client *client, struct remote lock, struct remote account, uint64_t amount)
{
    struct ibv_send_wr take = {
        .opcode = IBV_WR_ATOMIC_CMP_AND_SWP,
        .wr.atomic = {.remote_addr = lock.addr, .rkey = lock.rkey, .compare_add = 0, .swap = 1},
    };
    uint64_t *word = client->word->addr;
    while (call(client, take) != 0)
        ;
    *word = move(client, IBV_WR_RDMA_READ, account) + amount;
    move(client, IBV_WR_RDMA_WRITE, account);
    /* Not before the write has completed: it must be there before the lock is free. */
    *word = 0;
    move(client, IBV_WR_RDMA_WRITE, lock);
}
