/* Calls on sockets: a loopback connection, a pair, a pipe, a datagram. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    char data[64] = "hello";
    int on = 1, pair[2];
    int server = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(server, (void *)&address, length) || listen(server, 4)) {
        return 2;
    }
    getsockname(server, (void *)&address, &length);
    for (int i = 0; i < 10; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (void *)&address, length)) {
            return 3;
        }
        int peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
        send(client, data, 5, 0);
        recv(peer, data, 5, MSG_WAITALL);
        shutdown(client, SHUT_WR);
        close(peer);
        close(client);
    }
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    struct pollfd ready = { pair[0], POLLOUT, 0 };
    poll(&ready, 1, 0);
    struct iovec part = { data, 5 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    sendmsg(pair[0], &message, 0);
    recvmsg(pair[1], &message, 0);
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons(1);
    connect(refused, (void *)&address, length);
    pipe2(pair, O_CLOEXEC);
    return 0;
}
