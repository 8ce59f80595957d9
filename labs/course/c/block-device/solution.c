/* A remote block device. Read README.md, write the functions, then: ferroce lab check */
#include "lab.h"

/* Bytes of a block, and commands that can be under way. */
enum { BLOCK = 512, WINDOW = 8 };

enum kind { READ, WRITE, END };

struct command {
    uint64_t kind, slot, block, addr, rkey;
};

struct answer {
    uint64_t missing, slot;
};

/* Numbers of work requests: of a receive its place, of data the slot and this, of a command or answer this. */
enum { DATA = 100, SENT = 999 };

/* Part number `place` of memory that has many of this size. */
static struct ibv_sge part(const struct ibv_mr *mr, uint64_t place, size_t size)
{
    return (struct ibv_sge){(uintptr_t)mr->addr + place * size, size, mr->lkey};
}

static void post_receive(struct ibv_qp *qp, const struct ibv_mr *mr, uint64_t place, size_t size)
{
    struct ibv_sge sge = part(mr, place, size);
    struct ibv_recv_wr wr = {.wr_id = place, .sg_list = &sge, .num_sge = 1}, *bad;
    MUST(!ibv_post_recv(qp, &wr, &bad));
}

static void post(struct ibv_qp *qp, uint64_t wr_id, struct ibv_sge sge, enum ibv_wr_opcode opcode, struct remote remote)
{
    struct ibv_send_wr wr = {
        .wr_id = wr_id,
        .sg_list = &sge,
        .num_sge = 1,
        .opcode = opcode,
        .wr.rdma = {remote.addr, remote.rkey},
    };
    struct ibv_send_wr *bad;
    MUST(!ibv_post_send(qp, &wr, &bad));
}

/* The machine with the disk. */
struct target {
    struct ibv_qp *qp;
    struct ibv_cq *cq;
    uint8_t (*store)[BLOCK];
    uint64_t blocks;
    /* In `buffers` a block for each slot. */
    struct ibv_mr *commands, *answers, *buffers;
    /* What the slots are used for. */
    struct command running[WINDOW];
};

/*
 * `store` is the disk: block n is store[n]. Completions of `qp` come to `cq`; it has room for 32 requests each way, and will be
 * connected to the client after this, so receives can be posted.
 */
void target_new(struct target *target, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq, uint8_t (*store)[BLOCK], uint64_t blocks)
{
    *target = (struct target){.qp = qp, .cq = cq, .store = store, .blocks = blocks};
    target->commands = memory(pd, (WINDOW + 1) * sizeof(struct command), IBV_ACCESS_LOCAL_WRITE);
    target->answers = memory(pd, WINDOW * sizeof(struct answer), 0);
    target->buffers = memory(pd, WINDOW * BLOCK, IBV_ACCESS_LOCAL_WRITE);
    /* One more than commands: the end. */
    for (int place = 0; place <= WINDOW; place++)
        post_receive(qp, target->commands, place, sizeof(struct command));
}

static void answer(struct target *target, uint64_t slot, int missing)
{
    ((struct answer *)target->answers->addr)[slot] = (struct answer){missing, slot};
    post(target->qp, SENT, part(target->answers, slot, sizeof(struct answer)), IBV_WR_SEND, (struct remote){0, 0});
}

/* A command has come. */
static void begin(struct target *target, struct command command)
{
    if (command.block >= target->blocks) {
        answer(target, command.slot, 1);
        return;
    }
    struct ibv_sge buffer = part(target->buffers, command.slot, BLOCK);
    if (command.kind == READ)
        memcpy((void *)buffer.addr, target->store[command.block], BLOCK);
    enum ibv_wr_opcode opcode = command.kind == WRITE ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
    target->running[command.slot] = command;
    post(target->qp, DATA + command.slot, buffer, opcode, (struct remote){command.addr, command.rkey});
}

/* The data of a command has been moved. */
static void end(struct target *target, uint64_t slot)
{
    const struct command *command = &target->running[slot];
    if (command->kind == WRITE)
        memcpy(target->store[command->block], (uint8_t *)target->buffers->addr + slot * BLOCK, BLOCK);
    answer(target, slot, 0);
}

/* Carries out commands, until the client has shut down. */
void target_serve(struct target *target)
{
    for (;;) {
        struct ibv_wc wc = wait_for(target->cq);
        if (wc.status != IBV_WC_SUCCESS) fail("%s", ibv_wc_status_str(wc.status));
        if (wc.opcode == IBV_WC_RECV) {
            struct command command = ((struct command *)target->commands->addr)[wc.wr_id];
            post_receive(target->qp, target->commands, wc.wr_id, sizeof command);
            if (command.kind == END)
                return;
            begin(target, command);
        } else if (wc.wr_id >= DATA && wc.wr_id < SENT) {
            end(target, wc.wr_id - DATA);
        }
    }
}

/* The machine that uses the disk. */
struct client {
    struct ibv_qp *qp;
    struct ibv_cq *cq;
    /* In `buffers` a block for each slot, where the target reads and writes. */
    struct ibv_mr *commands, *answers, *buffers;
};

/* As target_new. */
void client_new(struct client *client, struct ibv_pd *pd, struct ibv_qp *qp, struct ibv_cq *cq)
{
    *client = (struct client){.qp = qp, .cq = cq};
    client->commands = memory(pd, (WINDOW + 1) * sizeof(struct command), 0);
    client->answers = memory(pd, WINDOW * sizeof(struct answer), IBV_ACCESS_LOCAL_WRITE);
    client->buffers = memory(pd, WINDOW * BLOCK, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
    for (int place = 0; place < WINDOW; place++)
        post_receive(qp, client->answers, place, sizeof(struct answer));
}

static void send_command(struct client *client, uint64_t place, struct command command)
{
    ((struct command *)client->commands->addr)[place] = command;
    post(client->qp, SENT + place, part(client->commands, place, sizeof command), IBV_WR_SEND, (struct remote){0, 0});
}

/*
 * Asks for a write of `data` to the block, or for a read if it is NULL, and does not wait. `slot` is a number below WINDOW that is
 * not in use; `data` is gone when this has returned.
 */
void client_submit(struct client *client, int slot, uint64_t block, const uint8_t *data)
{
    uint64_t buffer = (uintptr_t)client->buffers->addr + slot * BLOCK;
    if (data)
        memcpy((void *)buffer, data, BLOCK);
    send_command(client, slot, (struct command){data ? WRITE : READ, slot, block, buffer, client->buffers->rkey});
}

/*
 * Waits until one of the commands that are under way is done, and says in `slot` which. Returns the block that was read, in memory
 * of yours (after a write any memory), or NULL if the device has no such block.
 */
const uint8_t *client_finish(struct client *client, int *slot)
{
    struct ibv_wc wc;
    do {
        wc = wait_for(client->cq);
        if (wc.status != IBV_WC_SUCCESS) fail("%s", ibv_wc_status_str(wc.status));
    } while (wc.opcode != IBV_WC_RECV);
    struct answer answer = ((struct answer *)client->answers->addr)[wc.wr_id];
    post_receive(client->qp, client->answers, wc.wr_id, sizeof answer);
    *slot = answer.slot;
    return answer.missing ? NULL : (const uint8_t *)client->buffers->addr + answer.slot * BLOCK;
}

/* No more commands will come: lets target_serve return. */
void client_shut_down(struct client *client)
{
    send_command(client, WINDOW, (struct command){.kind = END});
    while (wait_for(client->cq).wr_id != SENT + WINDOW)
        ;
}
