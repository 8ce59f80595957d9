#include <arpa/inet.h>
#include <rdma/rdma_cma.h>
#include <rdma/rsocket.h>

/* Where servers listen. */
enum { LAB_PORT = 7471 };

/* Most bytes that come at once where a program does not ask for all: a stream may bring fewer than were sent. */
enum { LAB_PIECE = 1000 };

/* The client begins when somebody listens. */
static int lab_listens(int result)
{
    if (!result)
        lab_note("client");
    return result;
}

LAB_SHARED ssize_t lab_some(int socket, void *bytes, size_t length, int flags)
{
    return rrecv(socket, bytes, length > LAB_PIECE && !(flags & MSG_WAITALL) ? LAB_PIECE : length, flags);
}

#define rdma_listen(id, backlog) lab_listens(rdma_listen(id, backlog))
#define rlisten(socket, backlog) lab_listens(rlisten(socket, backlog))
#define rrecv(socket, bytes, length, flags) lab_some(socket, bytes, length, flags)
#define rread(socket, bytes, length) lab_some(socket, bytes, length, 0)

#include "ways.c"

static void lab_server(struct ibv_context *context, uint64_t way, uint64_t rounds, size_t size, uint8_t version)
{
    if (way == 0)
        hand_server(context, rounds, size);
    else if (way == 3)
        socket_server(LAB_PORT, rounds, size);
    else
        cm_server(LAB_PORT, version, rounds, size);
    lab_note("client");
}

static uint64_t lab_play(struct ibv_context *context, const char *part, int count, const uint64_t *numbers)
{
    MUST(count >= 4 && count <= 4 + LAB_MOST);
    uint64_t way = numbers[0], rounds = numbers[1], size = numbers[2], last = numbers[3], word;
    if (!strcmp(part, "server")) {
        lab_server(context, way, rounds, size, last);
        return 0;
    }
    if (way == 0)
        return hand_client(context, rounds, size, last);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(LAB_PORT)};
    memcpy(&address.sin_addr, gid_of("server").raw + 12, sizeof address.sin_addr);
    uint8_t versions[LAB_MOST];
    for (int i = 4; i < count; i++)
        versions[i - 4] = numbers[i];
    hear("server", 1, &word);
    if (way == 3)
        return socket_client(&address, rounds, size, last);
    return cm_client(&address, versions, count - 4, rounds, size, last);
}
