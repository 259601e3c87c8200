/* The least a client can do: connect, send, and read every stream through epoll, with a stamp each read.
   It frames events by blank lines only and understands nothing. The baseline of the CPU benchmarks.
   usage: bare_client HOST PORT STREAMS REQUEST_FILE
   Prints {"events":..,"reads":..,"cpu_s":..,"wall_s":..}; CPU from the first connect to the last byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    static char buffer[262144], request[65536];
    struct epoll_event ready[256];
    struct sockaddr_in peer = {0};
    int64_t events = 0, reads = 0, last = 0, started;
    int streams, open_streams, epoll, one = 1;
    size_t request_n;
    double cpu;
    char *newline; /* whether the last byte of a stream's newest read was a newline */
    FILE *file;

    if (argc != 5) return fprintf(stderr, "usage: bare_client HOST PORT STREAMS REQUEST_FILE\n"), 2;
    peer.sin_family = AF_INET;
    peer.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1) die("inet_pton");
    streams = open_streams = atoi(argv[3]);
    if (!(file = fopen(argv[4], "rb"))) die("fopen");
    request_n = fread(request, 1, sizeof request, file);
    fclose(file);
    newline = calloc(65536, 1);
    if ((epoll = epoll_create1(0)) < 0) die("epoll_create1");
    cpu = cpu_s();
    started = now_ns();
    for (int i = 0; i < streams; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (fd < 0 || fd >= 65536 || connect(fd, (struct sockaddr *)&peer, sizeof peer)) die("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (send(fd, request, request_n, 0) != (ssize_t)request_n) die("send");
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
    }
    while (open_streams) {
        int n = epoll_wait(epoll, ready, 256, 60000);
        if (n <= 0) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            char *p = buffer, *end;
            last = now_ns();
            reads++;
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (got <= 0) {
                close(fd);
                open_streams--;
                continue;
            }
            end = buffer + got;
            if (newline[fd] && *p == '\n') events++;
            while ((p = memchr(p, '\n', (size_t)(end - p)))) {
                if (++p < end && *p == '\n') events++;
                if (p >= end) break;
            }
            newline[fd] = end[-1] == '\n';
        }
    }
    printf("{\"events\":%lld,\"reads\":%lld,\"cpu_s\":%.6f,\"wall_s\":%.6f}\n", (long long)events, (long long)reads,
           cpu_s() - cpu, (last - started) / 1e9);
    return 0;
}
