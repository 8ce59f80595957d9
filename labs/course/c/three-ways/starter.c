/* Three ways to connect. Read README.md, write the six functions, then: ferroce lab check */
#include "lab.h"
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <rdma/rsocket.h>

/* By hand. Answers `rounds` messages of `size` bytes: every byte comes back increased by 1 (255 becomes 0). */
void hand_server(struct ibv_context *context, uint64_t rounds, size_t size)
{
    (void)context, (void)rounds, (void)size;
}

/*
 * Sends `rounds` messages, each after the answer to the one before: the first has the bytes fill, fill + 1, fill + 2 and so on,
 * the second begins with fill + 1, and so on (after 255 comes 0). Returns the sum of all bytes of all answers.
 */
uint64_t hand_client(struct ibv_context *context, uint64_t rounds, size_t size, uint8_t fill)
{
    (void)context, (void)rounds, (void)size, (void)fill;
    return 0;
}

/* By the connection manager. Accepts one client that speaks this version of the protocol, and rejects others before. */
void cm_server(uint16_t port, uint8_t version, uint64_t rounds, size_t size)
{
    (void)port, (void)version, (void)rounds, (void)size;
}

/* Tries these versions, one after the other, until the server accepts. */
uint64_t cm_client(struct sockaddr_in *server, const uint8_t *versions, int count, uint64_t rounds, size_t size, uint8_t fill)
{
    (void)server, (void)versions, (void)count, (void)rounds, (void)size, (void)fill;
    return 0;
}

/* Over sockets. */
void socket_server(uint16_t port, uint64_t rounds, size_t size)
{
    (void)port, (void)rounds, (void)size;
}

uint64_t socket_client(struct sockaddr_in *server, uint64_t rounds, size_t size, uint8_t fill)
{
    (void)server, (void)rounds, (void)size, (void)fill;
    return 0;
}
