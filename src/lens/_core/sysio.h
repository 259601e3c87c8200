/* Sockets as the reactor needs them: readiness, reads with the kernel's receive stamp, TCP_INFO.
   Linux has all of it; elsewhere the calls that do not exist answer ENOSYS and the plain
   selector loop reads instead. Every function returns -1 and leaves errno on failure. */
#ifndef LENS_SYSIO_H
#define LENS_SYSIO_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _WIN32
#include <winsock2.h>
static inline ptrdiff_t lens_send(int fd, const void *data, size_t n) {
    int sent = send((SOCKET)fd, (const char *)data, n > 1 << 30 ? 1 << 30 : (int)n, 0);
    if (sent == SOCKET_ERROR) {
        errno = WSAGetLastError() == WSAEWOULDBLOCK ? EAGAIN : WSAGetLastError();
        return -1;
    }
    return sent;
}
#else
#include <sys/socket.h>
#ifdef MSG_NOSIGNAL
#define LENS_SEND_FLAGS MSG_NOSIGNAL
#else
#define LENS_SEND_FLAGS 0
#endif
static inline ptrdiff_t lens_send(int fd, const void *data, size_t n) { return send(fd, data, n, LENS_SEND_FLAGS); }
#endif

#ifdef __linux__
#define LENS_HAS_REACTOR 1

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Ask for the software receive stamp of what this socket receives from now on. */
static inline int lens_stamp_receives(int fd) {
    int flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags);
}

static inline ptrdiff_t lens_receive(int fd, void *data, size_t n, int64_t *real);

/* The kernel turns stamping on in the background when the first socket of the machine asks for it, so
   what comes within the next moments has no stamp. This socket asks early, keeps it on, and sends itself
   a byte at a time until one comes stamped: some microseconds when idle, 200 ms at most. */
static inline int lens_keep_stamping(void) {
    struct sockaddr_in self = {0};
    socklen_t n = sizeof self;
    int64_t real = 0;
    char byte = 0;
    int tries, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || lens_stamp_receives(fd)) return fd;
    self.sin_family = AF_INET;
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&self, n) || getsockname(fd, (struct sockaddr *)&self, &n)) return fd;
    if (connect(fd, (struct sockaddr *)&self, n)) return fd;
    for (tries = 0; tries < 400 && !real; tries++) {
        if (tries) usleep(500);
        if (lens_send(fd, &byte, 1) == 1) lens_receive(fd, &byte, 1, &real);
    }
    return fd;
}

/* recvmsg; *real is the CLOCK_REALTIME stamp of the last segment that was returned, 0 when there is none. */
static inline ptrdiff_t lens_receive(int fd, void *data, size_t n, int64_t *real) {
    char control[256];
    struct iovec piece = {data, n};
    struct msghdr msg = {0};
    struct cmsghdr *c;
    ptrdiff_t got;
    msg.msg_iov = &piece;
    msg.msg_iovlen = 1;
    msg.msg_control = control;
    msg.msg_controllen = sizeof control;
    *real = 0;
    do got = recvmsg(fd, &msg, MSG_DONTWAIT); while (got < 0 && errno == EINTR);
    if (got <= 0) return got;
    for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamps;
            memcpy(&stamps, CMSG_DATA(c), sizeof stamps);
            *real = (int64_t)stamps.ts[0].tv_sec * 1000000000LL + stamps.ts[0].tv_nsec;
        }
    }
    return got;
}

static inline int lens_epoll_open(void) { return epoll_create1(EPOLL_CLOEXEC); }
static inline int lens_epoll_close(int fd) { return close(fd); }

/* op: 1 add, 2 remove, 3 set. wanted: read or not at all (errors are told all the same). The kernel is given the
   descriptor back, never an address: what it names may have gone when it is told of. */
static inline int lens_epoll_set(int epoll, int op, int fd, int wanted) {
    struct epoll_event e = {0};
    e.events = wanted ? EPOLLIN : 0;
    e.data.fd = fd;
    return epoll_ctl(epoll, op, fd, &e);
}

/* Descriptors that are ready now, `most` (up to 256) of them; waits for none. */
static inline int lens_epoll_ready(int epoll, int *fds, int most) {
    struct epoll_event ready[256];
    int i, n;
    if (most > 256) most = 256;
    do n = epoll_wait(epoll, ready, most, 0); while (n < 0 && errno == EINTR);
    for (i = 0; i < n; i++) fds[i] = ready[i].data.fd;
    return n;
}

/* rtt, rttvar, min_rtt (us) and retransmits so far; older kernels know no min_rtt and leave -1. */
static inline int lens_tcp_info(int fd, int64_t out[4]) {
    struct tcp_info info;
    socklen_t n = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n)) return -1;
    out[0] = info.tcpi_rtt;
    out[1] = info.tcpi_rttvar;
    out[2] = n >= offsetof(struct tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt ? (int64_t)info.tcpi_min_rtt : -1;
    out[3] = info.tcpi_total_retrans;
    return 0;
}
#else
#define LENS_HAS_REACTOR 0

static inline int lens_absent(void) { errno = ENOSYS; return -1; }
static inline int lens_stamp_receives(int fd) { (void)fd; return lens_absent(); }
static inline int lens_keep_stamping(void) { return lens_absent(); }
static inline ptrdiff_t lens_receive(int fd, void *data, size_t n, int64_t *real) {
    (void)fd; (void)data; (void)n; *real = 0;
    return lens_absent();
}
static inline int lens_epoll_open(void) { return lens_absent(); }
static inline int lens_epoll_close(int fd) { (void)fd; return lens_absent(); }
static inline int lens_epoll_set(int epoll, int op, int fd, int wanted) {
    (void)epoll; (void)op; (void)fd; (void)wanted;
    return lens_absent();
}
static inline int lens_epoll_ready(int epoll, int *fds, int most) {
    (void)epoll; (void)fds; (void)most;
    return lens_absent();
}
static inline int lens_tcp_info(int fd, int64_t out[4]) { (void)fd; (void)out; return lens_absent(); }
#endif

#endif
