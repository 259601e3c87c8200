/* The least a client can do with connections that stay: send a request on each, read its answer through epoll to
   the end of the chunked body, send the next. It understands nothing. The baseline of the benchmarks of requests.
   usage: bare_requests HOST PORT CONNECTIONS REQUESTS REQUEST_FILE
   Prints {"requests":..,"reads":..,"cpu_s":..,"wall_s":..}; CPU from the first connect to the last byte. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    static char buffer[262144], request[65536];
    static const char end[] = "\r\n0\r\n\r\n";
    struct epoll_event ready[256];
    struct sockaddr_in peer = {0};
    int connections, left, open_requests = 0, epoll, one = 1;
    int64_t reads = 0, requests;
    size_t request_n;
    double cpu, started;
    FILE *file;

    if (argc != 6) return fprintf(stderr, "usage: bare_requests HOST PORT CONNECTIONS REQUESTS REQUEST_FILE\n"), 2;
    peer.sin_family = AF_INET;
    peer.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1) die("inet_pton");
    connections = atoi(argv[3]);
    requests = left = atoi(argv[4]);
    if (!(file = fopen(argv[5], "rb"))) die("fopen");
    request_n = fread(request, 1, sizeof request, file);
    fclose(file);
    if ((epoll = epoll_create1(0)) < 0) die("epoll_create1");
    cpu = cpu_s();
    started = now_s();
    for (int i = 0; i < connections && left; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof peer)) die("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (send(fd, request, request_n, 0) != (ssize_t)request_n) die("send");
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
        left--;
        open_requests++;
    }
    while (open_requests) {
        int n = epoll_wait(epoll, ready, 256, 60000);
        if (n <= 0) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            (void)now_s();
            reads++;
            if (got <= 0) die("recv");
            /* The last chunk is looked for where it comes in one piece, as servers write it. */
            if (got < 5 || memcmp(buffer + got - 5, end + 2, 5)) continue;
            open_requests--;
            if (!left) continue;
            if (send(fd, request, request_n, 0) != (ssize_t)request_n) die("send");
            left--;
            open_requests++;
        }
    }
    printf("{\"requests\":%lld,\"reads\":%lld,\"cpu_s\":%.6f,\"wall_s\":%.6f}\n", (long long)requests, (long long)reads,
           cpu_s() - cpu, now_s() - started);
    return 0;
}
