/*
 * What programs do wrong: each mistake has the error number that the manual pages and the kernel give it, and nothing
 * is harmed by it. Linked against the distribution's libraries, and run with Ferroce's instead.
 */
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <rdma/rdma_cma.h>
#include <rdma/rsocket.h>

static struct end self, peer;

static void objects_in_use_stay(void)
{
    CHECK(ibv_dealloc_pd(self.pd) == EBUSY);
    CHECK(ibv_destroy_cq(self.cq) == EBUSY);
    CHECK(ibv_destroy_comp_channel(self.channel) == EBUSY);
}

static void stale_pointers_are_noticed(void)
{
    struct ibv_pd *pd = ibv_alloc_pd(self.context);
    CHECK(pd && !ibv_dealloc_pd(pd));
    CHECK(ibv_dealloc_pd(pd) == EINVAL);
    CHECK(!ibv_reg_mr(pd, self.memory, ROOM, 0) && errno == EINVAL);
    struct ibv_cq *cq = ibv_create_cq(self.context, 4, NULL, NULL, 0);
    CHECK(cq && !ibv_destroy_cq(cq));
    CHECK(ibv_destroy_cq(cq) == EINVAL);
}

static void arguments_are_checked(void)
{
    struct ibv_device_attr device;
    CHECK(!ibv_query_device(self.context, &device));
    CHECK(!ibv_create_cq(self.context, device.max_cqe + 1, NULL, NULL, 0) && errno == EINVAL);
    CHECK(!ibv_create_cq(self.context, 0, NULL, NULL, 0) && errno == EINVAL);
    CHECK(!ibv_create_cq(self.context, 1, NULL, NULL, self.context->num_comp_vectors) && errno == EINVAL);
    CHECK(!ibv_reg_mr(self.pd, self.memory, ROOM, IBV_ACCESS_REMOTE_WRITE) && errno == EINVAL);
    struct ibv_port_attr port;
    CHECK(ibv_query_port(self.context, 2, &port) == EINVAL);
    union ibv_gid gid;
    CHECK(ibv_query_gid(self.context, 1, 9999, &gid) != 0);
    struct ibv_ah_attr nowhere = {.port_num = 1};
    CHECK(!ibv_create_ah(self.pd, &nowhere));
    struct ibv_qp_init_attr init = {.send_cq = self.cq, .recv_cq = self.cq, .qp_type = IBV_QPT_RC};
    init.cap.max_send_wr = device.max_qp_wr + 1;
    CHECK(!ibv_create_qp(self.pd, &init) && errno == EINVAL);
    init.cap.max_send_wr = 1;
    init.qp_type = IBV_QPT_RAW_PACKET;
    CHECK(!ibv_create_qp(self.pd, &init) && errno == EOPNOTSUPP);
}

static void states_are_kept_to(void)
{
    CHECK(post(&self, IBV_WR_SEND, 0, 1) == EINVAL);
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS};
    CHECK(ibv_modify_qp(self.qp, &attr, IBV_QP_STATE) == EINVAL);
    connect_end(&self, &peer);
    connect_end(&peer, &self);
    attr.qp_state = IBV_QPS_INIT;
    CHECK(ibv_modify_qp(self.qp, &attr, IBV_QP_STATE) == EINVAL);
    CHECK(!ibv_query_qp(self.qp, &attr, IBV_QP_STATE, &(struct ibv_qp_init_attr){0}) && attr.qp_state == IBV_QPS_RTS);
}

/* Of a list of requests those before the wrong one are posted, and it is named. */
static void the_bad_request_is_named(void)
{
    struct ibv_sge good = {(uintptr_t)self.memory, 8, self.mr->lkey}, many[3] = {good, good, good};
    struct ibv_send_wr third = {.wr_id = 3, .sg_list = &good, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE};
    struct ibv_send_wr second = {.wr_id = 2, .next = &third, .sg_list = many, .num_sge = 3, .opcode = IBV_WR_RDMA_WRITE};
    struct ibv_send_wr first = {.wr_id = 1, .next = &second, .sg_list = &good, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE};
    first.wr.rdma.remote_addr = third.wr.rdma.remote_addr = second.wr.rdma.remote_addr = (uintptr_t)peer.memory;
    first.wr.rdma.rkey = third.wr.rdma.rkey = second.wr.rdma.rkey = self.rkey;
    struct ibv_send_wr *bad = NULL;
    CHECK(ibv_post_send(self.qp, &first, &bad) == EINVAL && bad == &second);
    CHECK(completion(&self).wr_id == 1);
    struct ibv_wc wc;
    CHECK(ibv_poll_cq(self.cq, 1, &wc) == 0);
    second.opcode = 99;
    second.num_sge = 1;
    CHECK(ibv_post_send(self.qp, &second, &bad) != 0 && bad == &second);
}

/* A wrong key ends the queue pair, by a completion and not by an error of the call. */
static void wrong_keys_are_told_by_completions(void)
{
    struct ibv_sge sge = {(uintptr_t)self.memory, 8, self.mr->lkey};
    struct ibv_send_wr wr = {.wr_id = 7, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_READ}, *bad;
    wr.wr.rdma.remote_addr = (uintptr_t)peer.memory;
    wr.wr.rdma.rkey = self.rkey ^ 0x100;
    CHECK(!ibv_post_send(self.qp, &wr, &bad));
    struct ibv_wc wc = completion(&self);
    CHECK(wc.wr_id == 7 && wc.status == IBV_WC_REM_ACCESS_ERR);
    CHECK(!post(&self, IBV_WR_RDMA_READ, (uintptr_t)peer.memory, 8));
    CHECK(completion(&self).status == IBV_WC_WR_FLUSH_ERR);
}

static void connections_have_their_order(struct sockaddr_in *here)
{
    struct rdma_event_channel *channel = rdma_create_event_channel();
    struct rdma_cm_id *id, *other;
    struct rdma_cm_event *event;
    CHECK(channel && !fcntl(channel->fd, F_SETFL, O_NONBLOCK));
    CHECK(rdma_get_cm_event(channel, &event) == -1 && errno == EAGAIN);
    CHECK(rdma_create_id(channel, &id, NULL, 0x7777) == -1 && errno == EINVAL);
    CHECK(!rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) && !rdma_create_id(channel, &other, NULL, RDMA_PS_TCP));
    CHECK(rdma_connect(id, NULL) == -1 && errno == EINVAL);
    CHECK(rdma_accept(id, NULL) == -1 && errno == EINVAL);
    CHECK(rdma_disconnect(id) == -1 && errno == EINVAL);
    struct sockaddr_in elsewhere = *here;
    elsewhere.sin_addr.s_addr = htonl(0xc0000263);
    CHECK(rdma_bind_addr(id, (struct sockaddr *)&elsewhere) == -1 && errno == EADDRNOTAVAIL);
    CHECK(!rdma_bind_addr(id, (struct sockaddr *)here) && !rdma_listen(id, 1));
    here->sin_port = rdma_get_src_port(id);
    CHECK(here->sin_port != 0 && id->verbs);
    CHECK(rdma_bind_addr(other, (struct sockaddr *)here) == -1 && errno == EADDRINUSE);
    CHECK(!rdma_destroy_id(id));
    CHECK(rdma_listen(id, 1) == -1 && errno == EINVAL);
    CHECK(!rdma_bind_addr(other, (struct sockaddr *)here));
    CHECK(!rdma_destroy_id(other));
    rdma_destroy_event_channel(channel);
}

static void sockets_say_what_sockets_say(struct sockaddr_in *here)
{
    char byte;
    here->sin_port = 0;
    CHECK(rsocket(AF_UNIX, SOCK_STREAM, 0) == -1);
    CHECK(rrecv(9999, &byte, 1, 0) == -1 && errno == EBADF);
    int listener = rsocket(AF_INET, SOCK_STREAM, 0), client = rsocket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && client >= 0 && listener != client);
    CHECK(rsend(client, "x", 1, 0) == -1 && errno == ENOTCONN);
    CHECK(!rbind(listener, (struct sockaddr *)here, sizeof *here) && !rlisten(listener, 1));
    socklen_t len = sizeof *here;
    CHECK(!rgetsockname(listener, (struct sockaddr *)here, &len) && here->sin_port && len == sizeof *here);
    CHECK(!rfcntl(listener, F_SETFL, O_NONBLOCK) && raccept(listener, NULL, NULL) == -1 && errno == EAGAIN);
    CHECK(!rfcntl(client, F_SETFL, O_NONBLOCK));
    CHECK(rconnect(client, (struct sockaddr *)here, sizeof *here) == -1 && errno == EINPROGRESS);
    int server = -1;
    while (server < 0) {
        struct pollfd fds[2] = {{listener, POLLIN, 0}, {client, POLLOUT, 0}};
        CHECK(rpoll(fds, 2, 10000) > 0);
        if (fds[0].revents)
            CHECK((server = raccept(listener, NULL, NULL)) >= 0);
    }
    struct pollfd ready = {client, POLLOUT, 0};
    CHECK(rpoll(&ready, 1, 10000) == 1 && ready.revents == POLLOUT);
    int error = -1;
    len = sizeof error;
    CHECK(!rgetsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len) && error == 0);
    CHECK(rconnect(client, (struct sockaddr *)here, sizeof *here) == -1 && errno == EISCONN);
    CHECK(rrecv(client, &byte, 1, 0) == -1 && errno == EAGAIN);
    CHECK(rsend(client, "y", 1, 0) == 1 && rrecv(server, &byte, 1, MSG_WAITALL) == 1 && byte == 'y');
    CHECK(!rclose(client) && rrecv(server, &byte, 1, 0) == 0);
    CHECK(!rclose(server) && rclose(server) == -1 && errno == EBADF);
    CHECK(!rclose(listener));
    /* Nobody listens there any more. */
    client = rsocket(AF_INET, SOCK_STREAM, 0);
    CHECK(rconnect(client, (struct sockaddr *)here, sizeof *here) == -1 && errno == ECONNREFUSED);
    CHECK(!rclose(client));
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    struct sockaddr_in here = {.sin_family = AF_INET};
    CHECK(inet_pton(AF_INET, argv[1], &here.sin_addr) == 1);
    open_end(&self);
    open_end(&peer);
    objects_in_use_stay();
    stale_pointers_are_noticed();
    arguments_are_checked();
    states_are_kept_to();
    the_bad_request_is_named();
    wrong_keys_are_told_by_completions();
    close_end(&self);
    close_end(&peer);
    connections_have_their_order(&here);
    sockets_say_what_sockets_say(&here);
    puts("misuse: all is well");
    return 0;
}
