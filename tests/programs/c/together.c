/*
 * Threads that share a queue pair, descriptors that programs wait for in their own ways, signals, and forked children:
 * what ordinary verbs programs do around the verbs. Linked against Ferroce's shared object itself.
 */
#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ADDITIONS = 200 };

static struct end self;
static int left = THREADS * ADDITIONS;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Adds to one word of memory, as often as it may, and takes whatever completion comes. */
static void *add(void *word)
{
    for (int i = 0; i < ADDITIONS; i++) {
        while (post(&self, IBV_WR_ATOMIC_FETCH_AND_ADD, (uintptr_t)word, i) == ENOMEM)
            ;
        struct ibv_wc wc = completion(&self);
        CHECK(wc.status == IBV_WC_SUCCESS && wc.opcode == IBV_WC_FETCH_ADD);
        pthread_mutex_lock(&lock);
        left--;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void threads_share_a_queue_pair(void)
{
    uint64_t *word = (uint64_t *)(self.memory + 4096);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(!pthread_create(&threads[i], NULL, add, word));
    for (int i = 0; i < THREADS; i++)
        CHECK(!pthread_join(threads[i], NULL));
    CHECK(left == 0 && *word == THREADS * ADDITIONS);
}

/* A channel in an epoll set, edge-triggered and non-blocking, as asynchronous runtimes have it. */
static void channels_live_in_epoll(void)
{
    struct ibv_cq *cq;
    void *context;
    CHECK(!fcntl(self.channel->fd, F_SETFL, O_NONBLOCK));
    CHECK(ibv_get_cq_event(self.channel, &cq, &context) == -1 && errno == EAGAIN);
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &self};
    CHECK(!epoll_ctl(set, EPOLL_CTL_ADD, self.channel->fd, &event));
    for (int round = 0; round < 20; round++) {
        CHECK(!ibv_req_notify_cq(self.cq, 0));
        CHECK(!post(&self, IBV_WR_RDMA_READ, (uintptr_t)self.memory + 64, round));
        CHECK(epoll_wait(set, &event, 1, 10000) == 1 && event.data.ptr == &self);
        CHECK(!ibv_get_cq_event(self.channel, &cq, &context) && cq == self.cq && context == &self);
        CHECK(ibv_get_cq_event(self.channel, &cq, &context) == -1 && errno == EAGAIN);
        ibv_ack_cq_events(cq, 1);
        CHECK(completion(&self).wr_id == (uint64_t)round);
        /* Armed once, told once. */
        CHECK(epoll_wait(set, &event, 1, 0) == 0);
    }
    close(set);
    CHECK(!fcntl(self.channel->fd, F_SETFL, 0));
}

static volatile sig_atomic_t alarms;
static pthread_t main_thread;

static void on_alarm(int number)
{
    (void)number;
    CHECK(pthread_equal(pthread_self(), main_thread));
    alarms++;
}

/* A signal wakes the program's thread, not one of Ferroce's, and ends its wait. */
static void signals_end_waits(void)
{
    struct ibv_cq *cq;
    void *context;
    main_thread = pthread_self();
    struct sigaction action = {.sa_handler = on_alarm};
    CHECK(!sigaction(SIGALRM, &action, NULL));
    struct itimerval soon = {.it_value.tv_usec = 20000};
    for (int round = 1; round <= 5; round++) {
        CHECK(!setitimer(ITIMER_REAL, &soon, NULL));
        CHECK(ibv_get_cq_event(self.channel, &cq, &context) == -1 && errno == EINTR && alarms == round);
    }
    struct ibv_async_event event;
    CHECK(!setitimer(ITIMER_REAL, &soon, NULL));
    CHECK(ibv_get_async_event(self.context, &event) == -1 && errno == EINTR && alarms == 6);
}

/* A child has devices of its own, and what it closes of its parent's stays open there. */
static void children_are_on_their_own(void)
{
    CHECK(!ibv_fork_init() && ibv_is_fork_initialized() == IBV_FORK_UNNEEDED);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct end own;
        open_end(&own);
        connect_end(&own, &own);
        CHECK(!post(&own, IBV_WR_RDMA_WRITE, (uintptr_t)own.memory + 512, 1));
        CHECK(completion(&own).status == IBV_WC_SUCCESS);
        close_end(&own);
        ibv_destroy_qp(self.qp);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(!post(&self, IBV_WR_RDMA_WRITE, (uintptr_t)self.memory + 512, 2));
    CHECK(completion(&self).status == IBV_WC_SUCCESS);
}

/* Domains and regions are known to whoever has the device's descriptor. */
static void objects_cross_contexts(void)
{
    int fd = dup(self.context->cmd_fd);
    struct ibv_context *other = ibv_import_device(fd);
    CHECK(other);
    struct ibv_pd *pd = ibv_import_pd(other, self.pd->handle);
    CHECK(pd && ibv_import_pd(other, 0x00abcdef) == NULL);
    struct ibv_mr *mr = ibv_import_mr(pd, self.mr->handle);
    CHECK(mr && mr->lkey == self.mr->lkey && mr->rkey == self.mr->rkey);
    ibv_unimport_mr(mr);
    ibv_unimport_pd(pd);
    CHECK(!ibv_close_device(other));
    CHECK(!post(&self, IBV_WR_RDMA_READ, (uintptr_t)self.memory + 64, 3));
    CHECK(completion(&self).status == IBV_WC_SUCCESS);
}

static struct rdma_cm_event *next(struct rdma_event_channel *channel, enum rdma_cm_event_type wanted)
{
    struct rdma_cm_event *event;
    CHECK(!rdma_get_cm_event(channel, &event) && event->event == wanted && event->status == 0);
    return event;
}

static struct rdma_cm_id *identifier(struct rdma_event_channel *channel, struct sockaddr_in *at)
{
    struct rdma_cm_id *id;
    CHECK(!rdma_create_id(channel, &id, NULL, RDMA_PS_TCP));
    CHECK(!at || !rdma_bind_addr(id, (struct sockaddr *)at));
    return id;
}

static void create_queue_pair(struct rdma_cm_id *id)
{
    struct ibv_qp_init_attr init = {
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = 1,
    };
    CHECK(!rdma_create_qp(id, NULL, &init));
}

static struct ibv_wc completion_at(struct ibv_cq *cq)
{
    struct end only = {.cq = cq};
    return completion(&only);
}

/* A program may put the queue pair of one identifier into another, as uDAPL does when it accepts. */
static void queue_pairs_move_between_identifiers(void)
{
    union ibv_gid gid;
    CHECK(!ibv_query_gid(self.context, 1, 0, &gid));
    struct sockaddr_in here = {.sin_family = AF_INET};
    memcpy(&here.sin_addr, gid.raw + 12, 4);
    struct rdma_event_channel *channel = rdma_create_event_channel();
    struct rdma_cm_id *spare = identifier(channel, &here), *listener = identifier(channel, &here);
    CHECK(!rdma_listen(listener, 1));
    here.sin_port = rdma_get_src_port(listener);
    create_queue_pair(spare);

    struct rdma_cm_id *client = identifier(channel, NULL);
    CHECK(!rdma_resolve_addr(client, NULL, (struct sockaddr *)&here, 5000));
    CHECK(!rdma_ack_cm_event(next(channel, RDMA_CM_EVENT_ADDR_RESOLVED)) && !rdma_resolve_route(client, 5000));
    CHECK(!rdma_ack_cm_event(next(channel, RDMA_CM_EVENT_ROUTE_RESOLVED)));
    create_queue_pair(client);
    char *memory = calloc(1, 64);
    struct ibv_mr *mr = ibv_reg_mr(client->pd, memory, 64, IBV_ACCESS_LOCAL_WRITE);
    struct ibv_sge sge = {(uintptr_t)memory, 8, mr->lkey}, from = {(uintptr_t)memory + 8, 8, mr->lkey};
    struct ibv_recv_wr receive = {.wr_id = 1, .sg_list = &sge, .num_sge = 1}, *bad_receive;
    CHECK(!ibv_post_recv(client->qp, &receive, &bad_receive));
    CHECK(!rdma_connect(client, NULL));

    struct rdma_cm_event *event = next(channel, RDMA_CM_EVENT_CONNECT_REQUEST);
    struct rdma_cm_id *server = event->id;
    server->qp = spare->qp;
    spare->qp = NULL;
    CHECK(!rdma_accept(server, NULL) && !rdma_ack_cm_event(event));
    CHECK(!rdma_ack_cm_event(next(channel, RDMA_CM_EVENT_ESTABLISHED)));
    CHECK(!rdma_ack_cm_event(next(channel, RDMA_CM_EVENT_ESTABLISHED)));
    strcpy(memory + 8, "moved");
    struct ibv_send_wr send = {.wr_id = 2, .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND}, *bad_send;
    CHECK(!ibv_post_send(server->qp, &send, &bad_send));
    CHECK(completion_at(spare->send_cq).status == IBV_WC_SUCCESS);
    CHECK(completion_at(client->recv_cq).status == IBV_WC_SUCCESS && !strcmp(memory, "moved"));

    CHECK(!rdma_disconnect(server) && !rdma_ack_cm_event(next(channel, RDMA_CM_EVENT_DISCONNECTED)));
    /* The answer to the peer's wish. */
    CHECK(!rdma_disconnect(client) && !rdma_ack_cm_event(next(channel, RDMA_CM_EVENT_DISCONNECTED)));
    rdma_destroy_qp(server);
    rdma_destroy_qp(client);
    CHECK(!ibv_dereg_mr(mr));
    CHECK(!rdma_destroy_id(server) && !rdma_destroy_id(client) && !rdma_destroy_id(listener) && !rdma_destroy_id(spare));
    rdma_destroy_event_channel(channel);
    free(memory);
}

int main(void)
{
    open_end(&self);
    connect_end(&self, &self);
    threads_share_a_queue_pair();
    channels_live_in_epoll();
    signals_end_waits();
    children_are_on_their_own();
    objects_cross_contexts();
    queue_pairs_move_between_identifiers();
    close_end(&self);
    puts("together: all is well");
    return 0;
}
