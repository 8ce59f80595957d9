/* What the C programs of the tests have in common. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <infiniband/verbs.h>

/* Ends the program with the line that does not hold. */
#define CHECK(what)                                                                         \
    do {                                                                                    \
        if (!(what)) {                                                                      \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #what, errno); \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

/* A device, and a queue pair on it. */
struct end {
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_mr *mr;
    char *memory;
    /* Of the peer's memory. */
    uint32_t rkey;
};

enum { ROOM = 1 << 16, DEPTH = 256 };

static inline void open_end(struct end *end)
{
    int count = 0;
    struct ibv_device **list = ibv_get_device_list(&count);
    CHECK(list && count > 0);
    CHECK((end->context = ibv_open_device(list[0])));
    ibv_free_device_list(list);
    CHECK((end->pd = ibv_alloc_pd(end->context)));
    CHECK((end->channel = ibv_create_comp_channel(end->context)));
    CHECK((end->cq = ibv_create_cq(end->context, 2 * DEPTH, end, end->channel, 0)));
    struct ibv_qp_init_attr init = {
        .send_cq = end->cq,
        .recv_cq = end->cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
    CHECK((end->qp = ibv_create_qp(end->pd, &init)));
    CHECK((end->memory = calloc(1, ROOM)));
    int rights = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
    CHECK((end->mr = ibv_reg_mr(end->pd, end->memory, ROOM, rights)));
}

/* Connects a queue pair to another on the same address, or to itself. */
static inline void connect_end(struct end *end, const struct end *peer)
{
    end->rkey = peer->mr->rkey;
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_INIT,
        .port_num = 1,
        .qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC,
    };
    CHECK(!ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS));
    union ibv_gid gid;
    CHECK(!ibv_query_gid(end->context, 1, 0, &gid));
    memset(&attr, 0, sizeof attr);
    attr.qp_state = IBV_QPS_RTR;
    attr.path_mtu = IBV_MTU_1024;
    attr.dest_qp_num = peer->qp->qp_num;
    attr.max_dest_rd_atomic = 4;
    attr.min_rnr_timer = 1;
    attr.ah_attr.is_global = 1;
    attr.ah_attr.port_num = 1;
    attr.ah_attr.grh.dgid = gid;
    attr.ah_attr.grh.hop_limit = 64;
    CHECK(!ibv_modify_qp(end->qp, &attr,
                         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                             IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER));
    attr.qp_state = IBV_QPS_RTS;
    attr.timeout = 14;
    attr.retry_cnt = attr.rnr_retry = 7;
    attr.max_rd_atomic = 4;
    CHECK(!ibv_modify_qp(end->qp, &attr,
                         IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                             IBV_QP_MAX_QP_RD_ATOMIC));
}

static inline void close_end(struct end *end)
{
    CHECK(!ibv_destroy_qp(end->qp));
    CHECK(!ibv_destroy_cq(end->cq));
    CHECK(!ibv_destroy_comp_channel(end->channel));
    CHECK(!ibv_dereg_mr(end->mr));
    CHECK(!ibv_dealloc_pd(end->pd));
    CHECK(!ibv_close_device(end->context));
    free(end->memory);
}

static inline int post(struct end *end, enum ibv_wr_opcode opcode, uint64_t to, uint64_t id)
{
    struct ibv_sge sge = {(uintptr_t)end->memory, 8, end->mr->lkey};
    struct ibv_send_wr wr = {.wr_id = id, .sg_list = &sge, .num_sge = 1, .opcode = opcode}, *bad;
    if (opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        wr.wr.atomic.remote_addr = to;
        wr.wr.atomic.rkey = end->rkey;
        wr.wr.atomic.compare_add = 1;
    } else {
        wr.wr.rdma.remote_addr = to;
        wr.wr.rdma.rkey = end->rkey;
    }
    return ibv_post_send(end->qp, &wr, &bad);
}

static inline struct ibv_wc completion(struct end *end)
{
    struct ibv_wc wc;
    int found;
    while ((found = ibv_poll_cq(end->cq, 1, &wc)) == 0)
        ;
    CHECK(found == 1);
    return wc;
}

#endif
