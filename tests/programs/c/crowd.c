/*
 * A server that gives back what it gets, over rsockets, to any number of clients at once; and such a client, which
 * looks at every byte. A client that says nothing for a while is given up.
 */
#include "check.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <rdma/rsocket.h>

enum { PORT = 7471, PIECE = 5000, SILENCE = 3000 };

static void *serve(void *argument)
{
    int client = (int)(intptr_t)argument;
    char piece[PIECE];
    struct pollfd ready = {client, POLLIN, 0};
    while (rpoll(&ready, 1, SILENCE) == 1) {
        ssize_t got = rrecv(client, piece, sizeof piece, 0);
        if (got <= 0 || rsend(client, piece, got, 0) != got)
            break;
    }
    struct linger at_once = {.l_onoff = 1};
    CHECK(!rsetsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    CHECK(!rclose(client));
    return NULL;
}

static int server(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = rsocket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && !rbind(listener, (struct sockaddr *)&here, sizeof here) && !rlisten(listener, 64));
    puts("serving");
    fflush(stdout);
    for (;;) {
        int client = raccept(listener, NULL, NULL);
        CHECK(client >= 0);
        pthread_t thread;
        CHECK(!pthread_create(&thread, NULL, serve, (void *)(intptr_t)client));
        CHECK(!pthread_detach(thread));
    }
}

static int client(const char *address, unsigned seed, int rounds)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    CHECK(inet_pton(AF_INET, address, &there.sin_addr) == 1);
    int server = rsocket(AF_INET, SOCK_STREAM, 0);
    CHECK(server >= 0 && !rconnect(server, (struct sockaddr *)&there, sizeof there));
    static char sent[PIECE], got[PIECE];
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < PIECE; i++)
            sent[i] = (char)(rand_r(&seed) >> 8);
        CHECK(rsend(server, sent, PIECE, 0) == PIECE);
        CHECK(rrecv(server, got, PIECE, MSG_WAITALL) == PIECE);
        CHECK(!memcmp(sent, got, PIECE));
    }
    CHECK(!rclose(server));
    return 0;
}

int main(int argc, char **argv)
{
    return argc == 4 ? client(argv[1], atoi(argv[2]), atoi(argv[3])) : server();
}
