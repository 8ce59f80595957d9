/*
 * What the labs in C give you besides the verbs. Read this file; the check uses its own copy, so changing it changes
 * nothing. Verbs are those of <infiniband/verbs.h>: `man ibv_post_send` explains one, if the package libibverbs-dev is
 * installed.
 */
#ifndef LAB_H
#define LAB_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Memory of a peer: its address there, and the key for it. */
struct remote {
    uint64_t addr;
    uint32_t rkey;
};

/* Ends the program with a message, like printf; the check shows it. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Ends the program with the line that does not hold. */
#define MUST(what)                                                                     \
    do {                                                                               \
        if (!(what))                                                                   \
            fail("%s:%d: not so: %s (errno %d)", __FILE__, __LINE__, #what, errno);    \
    } while (0)

/* Tells another program numbers, outside of RDMA. Real programs use a TCP connection for this. */
void tell(const char *program, int count, const uint64_t *numbers);

/* Waits for what another program tells; returns how many numbers there are, `room` at most. */
int hear(const char *program, int room, uint64_t *numbers);

/* The GID of another program's card; its own has index 0. */
union ibv_gid gid_of(const char *program);

/* Registers `length` zero bytes. */
struct ibv_mr *memory(struct ibv_pd *pd, size_t length, int access);

/* Waits until there is a completion, and takes it out. */
struct ibv_wc wait_for(struct ibv_cq *cq);

/*
 * Connects a queue pair to that of another program, as you did in the lab "Ping-pong": leads it from wherever it is to ready
 * to send. Post the first receives before, once it is in Init (`to_init`).
 */
void connect_to(const char *program, struct ibv_qp *qp, int access);
void to_init(struct ibv_qp *qp, int access);

/* Works on something else for so many microseconds. */
void work(unsigned microseconds);

/* The check looks at queue pairs, memory and completions in the end; these note what there is. */
struct ibv_qp *lab_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *init);
struct ibv_mr *lab_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access);
int lab_poll_cq(struct ibv_cq *cq, int room, struct ibv_wc *wc);
#ifndef LAB_INSIDE
#undef ibv_reg_mr
#define ibv_create_qp lab_create_qp
#define ibv_reg_mr lab_reg_mr
#define ibv_poll_cq lab_poll_cq
#endif

#endif
