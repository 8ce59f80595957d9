/* Three ways to connect. Read README.md, write the six functions, then: ferroce lab check */
#include "lab.h"
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <rdma/rsocket.h>

/* One end, connected or not: a queue pair in Init, with a receive posted. */
struct end {
    struct ibv_cq *cq;
    struct ibv_qp *qp;
    struct ibv_mr *inbox, *outbox;
    size_t size;
};

static void fill_message(uint8_t *message, uint64_t round, size_t size, uint8_t fill)
{
    for (size_t at = 0; at < size; at++)
        message[at] = fill + round + at;
}

static void answer_message(uint8_t *answer, const uint8_t *message, size_t size)
{
    for (size_t at = 0; at < size; at++)
        answer[at] = message[at] + 1;
}

static uint64_t total(const uint8_t *message, size_t size)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < size; at++)
        sum += message[at];
    return sum;
}

static void post_receive(struct end *end)
{
    struct ibv_sge sge = {(uintptr_t)end->inbox->addr, end->size, end->inbox->lkey};
    struct ibv_recv_wr wr = {.wr_id = 1, .sg_list = &sge, .num_sge = 1}, *bad;
    MUST(!ibv_post_recv(end->qp, &wr, &bad));
}

/* What a queue pair of ours is like. */
static struct ibv_qp_init_attr wish(struct ibv_cq *cq)
{
    return (struct ibv_qp_init_attr){
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
}

/* An end whose queue pair is in Init. */
static struct end end_of(struct ibv_pd *pd, struct ibv_cq *cq, struct ibv_qp *qp, size_t size)
{
    struct end end = {cq, qp, memory(pd, size, IBV_ACCESS_LOCAL_WRITE), memory(pd, size, 0), size};
    post_receive(&end);
    return end;
}

/* Waits for the completion of a receive; those of sends come in between. */
static void await_message(struct end *end)
{
    struct ibv_wc wc;
    do {
        wc = wait_for(end->cq);
        if (wc.status != IBV_WC_SUCCESS) fail("%s", ibv_wc_status_str(wc.status));
    } while (wc.opcode != IBV_WC_RECV);
}

static void send_message(struct end *end)
{
    struct ibv_sge sge = {(uintptr_t)end->outbox->addr, end->size, end->outbox->lkey};
    struct ibv_send_wr wr = {.wr_id = 2, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND}, *bad;
    MUST(!ibv_post_send(end->qp, &wr, &bad));
}

static void serve(struct end *end, uint64_t rounds)
{
    for (uint64_t round = 0; round < rounds; round++) {
        await_message(end);
        answer_message(end->outbox->addr, end->inbox->addr, end->size);
        post_receive(end);
        send_message(end);
    }
}

static uint64_t ask(struct end *end, uint64_t rounds, uint8_t fill)
{
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        fill_message(end->outbox->addr, round, end->size, fill);
        send_message(end);
        await_message(end);
        sum += total(end->inbox->addr, end->size);
        post_receive(end);
    }
    return sum;
}

static struct end by_hand(struct ibv_context *context, const char *peer, size_t size)
{
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = ibv_create_cq(context, 16, NULL, NULL, 0);
    MUST(pd && cq);
    struct ibv_qp_init_attr init = wish(cq);
    struct ibv_qp *qp = ibv_create_qp(pd, &init);
    MUST(qp);
    to_init(qp, 0);
    struct end end = end_of(pd, cq, qp, size);
    uint64_t us[] = {qp->qp_num, 7}, them[2];
    tell(peer, 2, us);
    MUST(hear(peer, 2, them) == 2);
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = IBV_MTU_1024,
        .dest_qp_num = them[0],
        .rq_psn = them[1],
        .min_rnr_timer = 12,
        .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = gid_of(peer), .hop_limit = 64}},
    };
    MUST(!ibv_modify_qp(qp, &attr,
                        IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                            IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER));
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .sq_psn = us[1], .timeout = 13, .retry_cnt = 7, .rnr_retry = 7};
    MUST(!ibv_modify_qp(qp, &attr,
                        IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                            IBV_QP_MAX_QP_RD_ATOMIC));
    return end;
}

/* By hand. Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0). */
void hand_server(struct ibv_context *context, uint64_t rounds, size_t size)
{
    struct end end = by_hand(context, "client", size);
    serve(&end, rounds);
}

/*
 * Sends `rounds` messages, each after the answer to the one before: the first has the bytes fill, fill + 1, fill + 2 and so on,
 * the second begins with fill + 1, and so on (after 255 comes 0). Returns the sum of all bytes of all answers.
 */
uint64_t hand_client(struct ibv_context *context, uint64_t rounds, size_t size, uint8_t fill)
{
    struct end end = by_hand(context, "server", size);
    return ask(&end, rounds, fill);
}

/* The identifier knows the card; its queue pair begins in Init. */
static struct end by_cm(struct rdma_cm_id *id, size_t size)
{
    struct ibv_pd *pd = ibv_alloc_pd(id->verbs);
    struct ibv_cq *cq = ibv_create_cq(id->verbs, 16, NULL, NULL, 0);
    MUST(pd && cq);
    struct ibv_qp_init_attr init = wish(cq);
    MUST(!rdma_create_qp(id, pd, &init));
    return end_of(pd, cq, id->qp, size);
}

static struct rdma_conn_param proposal(const uint8_t *version)
{
    return (struct rdma_conn_param){
        .private_data = version,
        .private_data_len = 1,
        .retry_count = 7,
        .rnr_retry_count = 7,
    };
}

/* By the connection manager. Accepts one client that speaks this version of the protocol, and rejects others before. */
void cm_server(uint16_t port, uint8_t version, uint64_t rounds, size_t size)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct rdma_cm_id *listener, *id;
    MUST(!rdma_create_id(NULL, &listener, NULL, RDMA_PS_TCP));
    MUST(!rdma_bind_addr(listener, (struct sockaddr *)&any));
    MUST(!rdma_listen(listener, 8));
    for (;;) {
        MUST(!rdma_get_request(listener, &id));
        const uint8_t *wanted = id->event->param.conn.private_data;
        if (wanted[0] == version)
            break;
        MUST(!rdma_reject(id, &version, 1));
        rdma_destroy_id(id);
    }
    struct end end = by_cm(id, size);
    struct rdma_conn_param param = proposal(&version);
    MUST(!rdma_accept(id, &param));
    serve(&end, rounds);
    /* Others can listen at this port now. The connection stays: the last answer may be on its way yet. */
    rdma_destroy_id(listener);
}

/* Tries these versions, one after the other, until the server accepts. */
uint64_t cm_client(struct sockaddr_in *server, const uint8_t *versions, int count, uint64_t rounds, size_t size, uint8_t fill)
{
    for (int i = 0; i < count; i++) {
        struct rdma_cm_id *id;
        MUST(!rdma_create_id(NULL, &id, NULL, RDMA_PS_TCP));
        MUST(!rdma_resolve_addr(id, NULL, (struct sockaddr *)server, 2000));
        MUST(!rdma_resolve_route(id, 2000));
        struct end end = by_cm(id, size);
        struct rdma_conn_param param = proposal(&versions[i]);
        if (!rdma_connect(id, &param))
            return ask(&end, rounds, fill);
        MUST(errno == ECONNREFUSED);
        rdma_destroy_qp(id);
        rdma_destroy_id(id);
    }
    fail("the server speaks none of %d versions", count);
}

static void read_all(int stream, uint8_t *bytes, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t read = rrecv(stream, bytes + have, size - have, 0);
        MUST(read > 0);
        have += read;
    }
}

/* Over sockets. */
void socket_server(uint16_t port, uint64_t rounds, size_t size)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int listener = rsocket(AF_INET, SOCK_STREAM, 0);
    MUST(listener >= 0);
    MUST(!rbind(listener, (struct sockaddr *)&any, sizeof any));
    MUST(!rlisten(listener, 8));
    int stream = raccept(listener, NULL, NULL);
    MUST(stream >= 0);
    uint8_t *message = malloc(size);
    for (uint64_t round = 0; round < rounds; round++) {
        read_all(stream, message, size);
        answer_message(message, message, size);
        MUST(rsend(stream, message, size, 0) == (ssize_t)size);
    }
    free(message);
    rclose(stream);
    rclose(listener);
}

uint64_t socket_client(struct sockaddr_in *server, uint64_t rounds, size_t size, uint8_t fill)
{
    int stream = rsocket(AF_INET, SOCK_STREAM, 0);
    MUST(stream >= 0);
    MUST(!rconnect(stream, (struct sockaddr *)server, sizeof *server));
    uint8_t *message = malloc(size);
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        fill_message(message, round, size, fill);
        MUST(rsend(stream, message, size, 0) == (ssize_t)size);
        read_all(stream, message, size);
        sum += total(message, size);
    }
    free(message);
    rclose(stream);
    return sum;
}
