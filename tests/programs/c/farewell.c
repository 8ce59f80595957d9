/*
 * Programs that end right after their last completion and close nothing. What they have seen to arrive is acknowledged
 * all the same.
 */
#include "check.h"
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { QUESTIONS = 50, ENDS = 4 };

/* Tells the other process who we are, and connects to it. */
static void meet(struct end *end, int other)
{
    uint32_t numbers[2] = {end->qp->qp_num, end->mr->rkey};
    CHECK(write(other, numbers, sizeof numbers) == sizeof numbers);
    CHECK(read(other, numbers, sizeof numbers) == sizeof numbers);
    struct ibv_qp qp = {.qp_num = numbers[0]};
    struct ibv_mr mr = {.rkey = numbers[1]};
    connect_end(end, &(struct end){.qp = &qp, .mr = &mr});
}

static void expect(struct end *end)
{
    struct ibv_sge sge = {(uintptr_t)end->memory, 8, end->mr->lkey};
    struct ibv_recv_wr wr = {.sg_list = &sge, .num_sge = 1}, *bad;
    CHECK(!ibv_post_recv(end->qp, &wr, &bad));
}

/* Answers, and does not answer what comes last. */
static void server(int other, int how)
{
    struct end end;
    open_end(&end);
    meet(&end, other);
    for (int i = 0; i <= QUESTIONS; i++)
        expect(&end);
    CHECK(write(other, "", 1) == 1);
    for (int heard = 0; heard <= QUESTIONS;) {
        struct ibv_wc wc = completion(&end);
        CHECK(wc.status == IBV_WC_SUCCESS);
        if (wc.opcode == IBV_WC_RECV && heard++ < QUESTIONS)
            CHECK(!post(&end, IBV_WR_SEND, 0, heard));
    }
    if (how % 2)
        _exit(0);
    exit(0);
}

static void client(int other)
{
    struct end end;
    char ready;
    open_end(&end);
    meet(&end, other);
    CHECK(read(other, &ready, 1) == 1);
    for (int i = 0; i < QUESTIONS; i++) {
        expect(&end);
        CHECK(!post(&end, IBV_WR_SEND, 0, i));
        CHECK(completion(&end).status == IBV_WC_SUCCESS);
        CHECK(completion(&end).status == IBV_WC_SUCCESS);
    }
    CHECK(!post(&end, IBV_WR_SEND, 0, QUESTIONS));
    CHECK(completion(&end).status == IBV_WC_SUCCESS);
    close_end(&end);
}

int main(void)
{
    for (int how = 0; how < ENDS; how++) {
        int sockets[2], status;
        CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
        pid_t child = fork();
        CHECK(child >= 0);
        close(sockets[child == 0 ? 0 : 1]);
        if (child == 0)
            server(sockets[1], how);
        client(sockets[0]);
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        close(sockets[0]);
    }
    return 0;
}
