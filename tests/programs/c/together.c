/*
 * Threads that share a queue pair, descriptors that programs wait for in their own ways, signals, and forked children:
 * what ordinary verbs programs do around the verbs. Linked against Ferroce's shared object itself.
 */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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

int main(void)
{
    open_end(&self);
    connect_end(&self, &self);
    threads_share_a_queue_pair();
    channels_live_in_epoll();
    signals_end_waits();
    children_are_on_their_own();
    objects_cross_contexts();
    close_end(&self);
    puts("together: all is well");
    return 0;
}
