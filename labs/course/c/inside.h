/*
 * What is behind lab.h, and the program around the student's file: `lab_play` is called for each part. Names begin with lab_, so
 * that all others are left to the student.
 */
#ifndef INSIDE_H
#define INSIDE_H

#define LAB_INSIDE
#include "lab.h"
#undef LAB_INSIDE

enum { LAB_MOST = 1024, LAB_LINE = 1 << 20 };

static char lab_line[LAB_LINE];
static FILE *lab_lines;
static struct {
    struct ibv_qp *qps[LAB_MOST];
    struct ibv_mr *mrs[LAB_MOST];
    int qp_count, mr_count;
    unsigned long completions;
    /* The words of the part that is played. */
    char *words[LAB_LINE / 8];
    int word_count;
} lab_stage;

/* A part: its name, and the numbers that its function is given. Returns what the function returns. */
static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers);

/* How completions are taken out, where a harness has its own way. */
static int (*lab_take)(struct ibv_cq *cq, int room, struct ibv_wc *wc);

static void lab_say(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vdprintf(0, format, list);
    va_end(list);
}

/* The answer to a line that was said. */
static char *lab_answer(void)
{
    if (!fgets(lab_line, LAB_LINE, lab_lines))
        exit(1);
    lab_line[strcspn(lab_line, "\n")] = 0;
    if (strncmp(lab_line, "ok", 2))
        fail("%s", lab_line);
    return lab_line + 2;
}

void fail(const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    lab_say("panic %s\n", text);
    exit(1);
}

void tell(const char *program, int count, const uint64_t *numbers)
{
    size_t size = 64 + strlen(program) + 21 * (size_t)count;
    char *text = malloc(size);
    int at = snprintf(text, size, "ok tell %s", program);
    for (int i = 0; i < count; i++)
        at += snprintf(text + at, size - at, " %llu", (unsigned long long)numbers[i]);
    lab_say("%s\n", text);
    free(text);
    lab_answer();
}

int hear(const char *program, int room, uint64_t *numbers)
{
    int count = 0;
    lab_say("ok hear %s\n", program);
    char *words = lab_answer(), *end;
    for (uint64_t number = strtoull(words, &end, 10); end != words && count < room; number = strtoull(words, &end, 10)) {
        numbers[count++] = number;
        words = end;
    }
    return count;
}

union ibv_gid gid_of(const char *program)
{
    union ibv_gid gid = {.raw = {[10] = 0xff, [11] = 0xff}};
    size_t length = strlen(program);
    for (int i = 0; i < lab_stage.word_count; i++) {
        const char *word = lab_stage.words[i];
        if (word[0] == '@' && !strncmp(word + 1, program, length) && word[1 + length] == '=') {
            uint8_t *raw = gid.raw + 12;
            if (sscanf(word + length + 2, "%hhu.%hhu.%hhu.%hhu", raw, raw + 1, raw + 2, raw + 3) == 4)
                return gid;
        }
    }
    fail("gid_of(): there is no program '%s'", program);
}

struct ibv_qp *lab_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *init)
{
    struct ibv_qp *qp = ibv_create_qp(pd, init);
    if (qp && lab_stage.qp_count < LAB_MOST)
        lab_stage.qps[lab_stage.qp_count++] = qp;
    return qp;
}

struct ibv_mr *lab_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
    struct ibv_mr *mr = ibv_reg_mr(pd, addr, length, access);
    if (mr && lab_stage.mr_count < LAB_MOST)
        lab_stage.mrs[lab_stage.mr_count++] = mr;
    return mr;
}

int lab_poll_cq(struct ibv_cq *cq, int room, struct ibv_wc *wc)
{
    int found = lab_take ? lab_take(cq, room, wc) : ibv_poll_cq(cq, room, wc);
    lab_stage.completions += found > 0 ? found : 0;
    return found;
}

struct ibv_mr *memory(struct ibv_pd *pd, size_t length, int access)
{
    void *bytes = calloc(1, length);
    MUST(bytes);
    struct ibv_mr *mr = lab_reg_mr(pd, bytes, length, access);
    MUST(mr);
    return mr;
}

struct ibv_wc wait_for(struct ibv_cq *cq)
{
    struct ibv_wc wc;
    int found;
    /* The card is a program too, and may wait for this processor. */
    while ((found = lab_poll_cq(cq, 1, &wc)) == 0)
        sched_yield();
    MUST(found == 1);
    return wc;
}

void to_init(struct ibv_qp *qp, int access)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = access};
    MUST(!ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS));
}

/* The two halves of connecting: say who one is, and hear who the other is. */
static void lab_introduce(const char *program, struct ibv_qp *qp)
{
    uint64_t number = qp->qp_num;
    tell(program, 1, &number);
}

static void lab_meet(const char *program, struct ibv_qp *qp)
{
    uint64_t number;
    MUST(hear(program, 1, &number) == 1);
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTR};
    attr.path_mtu = IBV_MTU_256;
    attr.dest_qp_num = number;
    attr.rq_psn = 0x100;
    attr.max_dest_rd_atomic = 1;
    attr.min_rnr_timer = 12;
    attr.ah_attr.is_global = 1;
    attr.ah_attr.port_num = 1;
    attr.ah_attr.grh.dgid = gid_of(program);
    attr.ah_attr.grh.hop_limit = 64;
    MUST(!ibv_modify_qp(qp, &attr,
                        IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                            IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER));
    attr.qp_state = IBV_QPS_RTS;
    attr.sq_psn = 0x100;
    attr.timeout = 13;
    attr.retry_cnt = attr.rnr_retry = 7;
    attr.max_rd_atomic = 1;
    MUST(!ibv_modify_qp(qp, &attr,
                        IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                            IBV_QP_MAX_QP_RD_ATOMIC));
}

void connect_to(const char *program, struct ibv_qp *qp, int access)
{
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    MUST(!ibv_query_qp(qp, &attr, IBV_QP_STATE, &init));
    if (attr.qp_state == IBV_QPS_RESET)
        to_init(qp, access);
    lab_introduce(program, qp);
    lab_meet(program, qp);
}

/* What not every harness calls, and no compiler shall talk about when a student's file is wrong. */
#define LAB_SHARED __attribute__((unused)) static

/* A queue pair, in Reset, with room for as many requests each way. */
LAB_SHARED struct ibv_qp *lab_queue_pair(struct ibv_pd *pd, struct ibv_cq *cq, uint32_t room, int signal_all)
{
    struct ibv_qp_init_attr init = {
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = room, .max_recv_wr = room, .max_send_sge = 1, .max_recv_sge = 1},
        .sq_sig_all = signal_all,
    };
    struct ibv_qp *qp = lab_create_qp(pd, &init);
    MUST(qp);
    return qp;
}

/* Lets another program's harness go on, which hears an empty line. It does not count as told. */
LAB_SHARED void lab_note(const char *program)
{
    lab_say("ok note %s\n", program);
    lab_answer();
}

/* Where memory is that peers may use. */
LAB_SHARED void lab_tell_memory(const char *program, const struct ibv_mr *mr)
{
    uint64_t us[] = {(uintptr_t)mr->addr, mr->rkey};
    tell(program, 2, us);
}

LAB_SHARED struct remote lab_hear_memory(const char *program)
{
    uint64_t them[2];
    MUST(hear(program, 2, them) == 2);
    return (struct remote){them[0], them[1]};
}

void work(unsigned microseconds)
{
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000L};
    nanosleep(&time, NULL);
}

/* What there is in the end. Whoever polls has the card take in what has come, and write its capture. */
static void lab_report(struct ibv_cq *cq)
{
    struct ibv_wc none;
    for (int i = 0; i < 3; i++) {
        work(1000);
        ibv_poll_cq(cq, 1, &none);
    }
    lab_say("ok completions %lu", lab_stage.completions);
    for (int i = 0; i < lab_stage.qp_count; i++) {
        struct ibv_qp_attr attr;
        struct ibv_qp_init_attr init;
        if (!ibv_query_qp(lab_stage.qps[i], &attr, IBV_QP_STATE, &init))
            lab_say(";state %d", attr.qp_state);
    }
    for (int i = 0; i < lab_stage.mr_count; i++) {
        const uint8_t *bytes = lab_stage.mrs[i]->addr;
        size_t length = lab_stage.mrs[i]->length;
        char *text = malloc(2 * length + 1);
        for (size_t at = 0; at < length; at++)
            sprintf(text + 2 * at, "%02x", bytes[at]);
        lab_say(";memory %.*s", (int)(2 * length), text);
        free(text);
    }
    lab_say("\n");
}

int main(void)
{
    lab_lines = fdopen(dup(0), "r");
    int count = 0;
    struct ibv_device **list = ibv_get_device_list(&count);
    MUST(list && count > 0);
    struct ibv_context *context = ibv_open_device(list[0]);
    MUST(context);
    struct ibv_cq *cq = ibv_create_cq(context, 1, NULL, NULL, 0);
    MUST(cq);
    static uint64_t numbers[LAB_LINE / 8];
    static char part[LAB_LINE];
    while (fgets(lab_line, LAB_LINE, lab_lines)) {
        lab_line[strcspn(lab_line, "\n")] = 0;
        if (!strcmp(lab_line, "report")) {
            lab_report(cq);
            continue;
        }
        memset(&lab_stage, 0, sizeof lab_stage);
        strcpy(part, lab_line);
        char *rest, *name = strtok_r(part, " ", &rest), *word;
        count = 0;
        while ((word = strtok_r(NULL, " ", &rest))) {
            lab_stage.words[lab_stage.word_count++] = word;
            if (word[0] != '@')
                numbers[count++] = strtoull(word, NULL, 10);
        }
        lab_say("ok end %llu\n", (unsigned long long)lab_play(context, name, count, numbers));
    }
    return 0;
}

/* From here on the calls are noted. */
#undef ibv_reg_mr
#define ibv_create_qp lab_create_qp
#define ibv_reg_mr lab_reg_mr
#define ibv_poll_cq lab_poll_cq

#endif
