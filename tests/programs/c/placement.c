/*
 * ATOMIC WRITE and FLUSH (IBTA annex A19) by the work-request builder: what a program does that writes a log, flushes it
 * to where everybody sees it, and then moves the end of the log in one step. Linked against Ferroce's shared object
 * itself, run with `ferroce run --placement`; with the argument "without" on a device that does not know them.
 */
#include "check.h"

/* Not in headers older than rdma-core 46. */
enum {
    ACCESS_FLUSH_GLOBAL = 1 << 8,
    ACCESS_FLUSH_PERSISTENT = 1 << 9,
    FLUSH_GLOBAL = 1 << 0,
    LEVEL_RANGE = 0,
    LEVEL_REGION = 1,
    WC_FLUSH = 8,
    WITH_FLUSH = 1 << 11,
};
#define CAP_FLUSH_GLOBAL (1ULL << 38)
#define CAP_ATOMIC_WRITE (1ULL << 40)

/* The function for FLUSH stands behind what older headers know of a queue pair. */
typedef void (*flush_function)(struct ibv_qp_ex *, uint32_t rkey, uint64_t to, size_t len, uint8_t kinds, uint8_t level);
enum { PLACE_OF_FLUSH = 352 };

static struct end self, peer;
static struct ibv_qp_ex *builder;

static void flush(uint64_t to, size_t len, uint8_t kinds, uint8_t level)
{
    flush_function function;
    memcpy(&function, (char *)builder + PLACE_OF_FLUSH, sizeof function);
    function(builder, self.rkey, to, len, kinds, level);
}

static uint64_t capabilities(void)
{
    struct ibv_device_attr_ex attr;
    CHECK(!ibv_query_device_ex(self.context, NULL, &attr));
    return attr.device_cap_flags_ex & (CAP_FLUSH_GLOBAL | CAP_ATOMIC_WRITE);
}

/* In place of the queue pair that every end has: one with a builder. */
static struct ibv_qp *create_with_builder(void)
{
    struct ibv_qp_init_attr_ex init = {
        .send_cq = self.cq,
        .recv_cq = self.cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = DEPTH, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 64},
        .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
        .pd = self.pd,
        .send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_ATOMIC_WRITE | WITH_FLUSH,
        .sq_sig_all = 1,
    };
    return ibv_create_qp_ex(self.context, &init);
}

static void give_peer_a_region_that_can_be_flushed(void)
{
    CHECK(!ibv_dereg_mr(peer.mr));
    int rights = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | ACCESS_FLUSH_GLOBAL;
    /* A program's memory does not outlive the machine's power. */
    CHECK(!ibv_reg_mr(peer.pd, peer.memory, ROOM, rights | ACCESS_FLUSH_PERSISTENT) && errno == EINVAL);
    CHECK((peer.mr = ibv_reg_mr(peer.pd, peer.memory, ROOM, rights)));
}

/* Queue pairs have to allow what the region does. */
static void connect_both(void)
{
    connect_end(&self, &peer);
    connect_end(&peer, &self);
    int rights = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | ACCESS_FLUSH_GLOBAL;
    struct ibv_qp_attr attr = {.qp_access_flags = rights};
    CHECK(!ibv_modify_qp(peer.qp, &attr, IBV_QP_ACCESS_FLAGS));
}

static void a_log_grows(void)
{
    uint64_t *end_of_log = (uint64_t *)peer.memory, at = (uintptr_t)peer.memory + 4096;
    for (uint64_t entry = 1; entry <= 50; entry++, at += 64) {
        char text[64];
        snprintf(text, sizeof text, "entry %d", (int)entry);
        ibv_wr_start(builder);
        builder->wr_id = 3 * entry;
        builder->wr_flags = 0;
        ibv_wr_rdma_write(builder, self.rkey, at);
        ibv_wr_set_inline_data(builder, text, sizeof text);
        builder->wr_id = 3 * entry + 1;
        flush(at, sizeof text, FLUSH_GLOBAL, LEVEL_RANGE);
        ibv_wr_set_sge(builder, 0, 0, 0);
        builder->wr_id = 3 * entry + 2;
        ibv_wr_atomic_write(builder, self.rkey, (uintptr_t)end_of_log, &entry);
        CHECK(!ibv_wr_complete(builder));
        const enum ibv_wc_opcode opcodes[] = {IBV_WC_RDMA_WRITE, (enum ibv_wc_opcode)WC_FLUSH, IBV_WC_ATOMIC_WRITE};
        for (int i = 0; i < 3; i++) {
            struct ibv_wc wc = completion(&self);
            CHECK(wc.status == IBV_WC_SUCCESS && wc.wr_id == 3 * entry + i && wc.opcode == opcodes[i]);
        }
        CHECK(*(volatile uint64_t *)end_of_log == entry && !memcmp((void *)(uintptr_t)at, text, sizeof text));
    }
}

static void whole_regions_are_flushed(void)
{
    ibv_wr_start(builder);
    builder->wr_id = 1;
    flush(0, 0, FLUSH_GLOBAL, LEVEL_REGION);
    ibv_wr_set_sge(builder, 0, 0, 0);
    CHECK(!ibv_wr_complete(builder));
    CHECK(completion(&self).status == IBV_WC_SUCCESS);
}

static void nonsense_is_refused(void)
{
    ibv_wr_start(builder);
    flush((uintptr_t)peer.memory, 8, 0, LEVEL_RANGE);
    CHECK(ibv_wr_complete(builder) == EINVAL);
}

/* Eight bytes at a time, at multiples of eight: the peer says no to others, which ends the connection. */
static void crooked_places_are_refused(void)
{
    uint64_t word = 1;
    ibv_wr_start(builder);
    builder->wr_id = 2;
    ibv_wr_atomic_write(builder, self.rkey, (uintptr_t)peer.memory + 4, &word);
    CHECK(!ibv_wr_complete(builder));
    CHECK(completion(&self).status == IBV_WC_REM_INV_REQ_ERR);
}

int main(int argc, char **argv)
{
    (void)argv;
    open_end(&self);
    open_end(&peer);
    if (argc > 1) {
        CHECK(capabilities() == 0);
        CHECK(!create_with_builder() && errno == EOPNOTSUPP);
    } else {
        CHECK(capabilities() == (CAP_FLUSH_GLOBAL | CAP_ATOMIC_WRITE));
        CHECK(!ibv_destroy_qp(self.qp) && (self.qp = create_with_builder()));
        CHECK((builder = ibv_qp_to_qp_ex(self.qp)));
        give_peer_a_region_that_can_be_flushed();
        connect_both();
        a_log_grows();
        whole_regions_are_flushed();
        nonsense_is_refused();
        crooked_places_are_refused();
    }
    close_end(&self);
    close_end(&peer);
    puts("placement: all is well");
    return 0;
}
