/* What is behind lab.h, and the program around the student's file: `play` is called for each part. */
#ifndef INSIDE_H
#define INSIDE_H

#define LAB_INSIDE
#include "lab.h"
#undef LAB_INSIDE

enum { MOST = 1024, LINE = 1 << 20 };

static char line[LINE];
static FILE *lines;
static struct {
    struct ibv_qp *qps[MOST];
    struct ibv_mr *mrs[MOST];
    int qp_count, mr_count;
    unsigned long completions;
    /* The words of the part that is played. */
    char *words[LINE / 8];
    int word_count;
} stage;

/* A part: its name, and the numbers that its function is given. Returns what the function returns. */
static uint64_t play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers);

static void say(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vdprintf(0, format, list);
    va_end(list);
}

/* The answer to a line that was said. */
static char *answer(void)
{
    if (!fgets(line, LINE, lines))
        exit(1);
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "ok", 2))
        fail("%s", line);
    return line + 2;
}

void fail(const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    say("panic %s\n", text);
    exit(1);
}

void tell(const char *program, int count, const uint64_t *numbers)
{
    size_t size = 64 + strlen(program) + 21 * (size_t)count;
    char *text = malloc(size);
    int at = snprintf(text, size, "ok tell %s", program);
    for (int i = 0; i < count; i++)
        at += snprintf(text + at, size - at, " %llu", (unsigned long long)numbers[i]);
    say("%s\n", text);
    free(text);
    answer();
}

int hear(const char *program, int room, uint64_t *numbers)
{
    int count = 0;
    say("ok hear %s\n", program);
    char *words = answer(), *end;
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
    for (int i = 0; i < stage.word_count; i++) {
        const char *word = stage.words[i];
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
    if (qp && stage.qp_count < MOST)
        stage.qps[stage.qp_count++] = qp;
    return qp;
}

struct ibv_mr *lab_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
    struct ibv_mr *mr = ibv_reg_mr(pd, addr, length, access);
    if (mr && stage.mr_count < MOST)
        stage.mrs[stage.mr_count++] = mr;
    return mr;
}

int lab_poll_cq(struct ibv_cq *cq, int room, struct ibv_wc *wc)
{
    int found = ibv_poll_cq(cq, room, wc);
    stage.completions += found > 0 ? found : 0;
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
static void introduce(const char *program, struct ibv_qp *qp)
{
    uint64_t number = qp->qp_num;
    tell(program, 1, &number);
}

static void meet(const char *program, struct ibv_qp *qp)
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
    attr.timeout = 14;
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
    introduce(program, qp);
    meet(program, qp);
}

void work(unsigned microseconds)
{
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000L};
    nanosleep(&time, NULL);
}

/* What there is in the end. Whoever polls has the card take in what has come, and write its capture. */
static void report(struct ibv_cq *cq)
{
    struct ibv_wc none;
    for (int i = 0; i < 3; i++) {
        work(1000);
        ibv_poll_cq(cq, 1, &none);
    }
    say("ok completions %lu", stage.completions);
    for (int i = 0; i < stage.qp_count; i++) {
        struct ibv_qp_attr attr;
        struct ibv_qp_init_attr init;
        if (!ibv_query_qp(stage.qps[i], &attr, IBV_QP_STATE, &init))
            say(";state %d", attr.qp_state);
    }
    for (int i = 0; i < stage.mr_count; i++) {
        const uint8_t *bytes = stage.mrs[i]->addr;
        size_t length = stage.mrs[i]->length;
        char *text = malloc(2 * length + 1);
        for (size_t at = 0; at < length; at++)
            sprintf(text + 2 * at, "%02x", bytes[at]);
        say(";memory %.*s", (int)(2 * length), text);
        free(text);
    }
    say("\n");
}

int main(void)
{
    lines = fdopen(dup(0), "r");
    int count = 0;
    struct ibv_device **list = ibv_get_device_list(&count);
    MUST(list && count > 0);
    struct ibv_context *context = ibv_open_device(list[0]);
    MUST(context);
    struct ibv_cq *cq = ibv_create_cq(context, 1, NULL, NULL, 0);
    MUST(cq);
    static uint64_t numbers[LINE / 8];
    static char part[LINE];
    while (fgets(line, LINE, lines)) {
        line[strcspn(line, "\n")] = 0;
        if (!strcmp(line, "report")) {
            report(cq);
            continue;
        }
        memset(&stage, 0, sizeof stage);
        strcpy(part, line);
        char *rest, *name = strtok_r(part, " ", &rest), *word;
        count = 0;
        while ((word = strtok_r(NULL, " ", &rest))) {
            stage.words[stage.word_count++] = word;
            if (word[0] != '@')
                numbers[count++] = strtoull(word, NULL, 10);
        }
        say("ok end %llu\n", (unsigned long long)play(context, name, count, numbers));
    }
    return 0;
}

/* From here on the calls are noted. */
#undef ibv_reg_mr
#define ibv_create_qp lab_create_qp
#define ibv_reg_mr lab_reg_mr
#define ibv_poll_cq lab_poll_cq

#endif
