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
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* SOF_TIMESTAMPING_OPT_ID_TCP, since Linux 6.2: ids count from the next byte that is written. */
enum { LENS_STAMP_ID_OF_TCP = 1 << 16 };

/* Ask for the software stamps of what this socket receives from now on and, of TCP, of what it sends: 0 when it is
   done, 1 when only receives are stamped. A Unix socket takes the request and has no error queue to tell in. */
static inline int lens_stamp(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    int receives = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    int both = receives | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY | SOF_TIMESTAMPING_OPT_ID
        | LENS_STAMP_ID_OF_TCP;
    /* Only of an IP socket; a Unix one takes the option, but has no error queue: asked for it, it gives what came. */
    if (!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && (domain == AF_INET || domain == AF_INET6)
        && !setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &both, sizeof both))
        return 0;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &receives, sizeof receives) ? -1 : 1;
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
    if (fd < 0 || lens_stamp(fd) < 0) return fd;
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

/* The stamp of bytes that have left for the network: 1 and *real (CLOCK_REALTIME) of those up to byte number *last,
   counted modulo 2^32 from where stamping began; 0 when there is no more to tell. */
static inline int lens_receive_sent(int fd, uint32_t *last, int64_t *real) {
    char control[256];
    struct msghdr msg = {0};
    struct cmsghdr *c;
    ptrdiff_t got;
    msg.msg_control = control;
    msg.msg_controllen = sizeof control;
    *real = 0;
    do got = recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT); while (got < 0 && errno == EINTR);
    /* A socket without an error queue reads its data instead. */
    if (got < 0 || !(msg.msg_flags & MSG_ERRQUEUE)) return 0;
    for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamps;
            memcpy(&stamps, CMSG_DATA(c), sizeof stamps);
            *real = (int64_t)stamps.ts[0].tv_sec * 1000000000LL + stamps.ts[0].tv_nsec;
        } else if (c->cmsg_level == SOL_IP || c->cmsg_level == SOL_IPV6) {
            struct sock_extended_err error;
            memcpy(&error, CMSG_DATA(c), sizeof error);
            *last = error.ee_data;
        }
    }
    return 1;
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

/* Descriptors that are ready, `most` (up to LENS_READY_MOST) of them, as soon as there is one or `wait_ms` have
   passed; -1 waits without end. Of one whose error queue has something to tell the complement is given. */
enum { LENS_READY_MOST = 256 };
static inline int lens_epoll_ready(int epoll, int *fds, int most, int wait_ms) {
    struct epoll_event ready[LENS_READY_MOST];
    int i, n;
    if (most > LENS_READY_MOST) most = LENS_READY_MOST;
    do n = epoll_wait(epoll, ready, most, wait_ms); while (n < 0 && errno == EINTR);
    for (i = 0; i < n; i++) fds[i] = ready[i].events & EPOLLERR ? ~ready[i].data.fd : ready[i].data.fd;
    return n;
}

/* An eventfd: readable from set to clear. */
static inline int lens_event_open(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
static inline void lens_event_set(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {}
}
static inline void lens_event_clear(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

static inline void lens_sleep(int64_t ns) {
    struct timespec wanted = {ns / 1000000000LL, ns % 1000000000LL};
    nanosleep(&wanted, NULL);
}

static inline int lens_pid(void) { return (int)getpid(); }

typedef pthread_t lens_thread_t;
/* A thread that runs `run(what)` and is never given a signal: those are Python's. 0, or an errno. */
static inline int lens_thread_start(lens_thread_t *thread, void *(*run)(void *), void *what) {
    sigset_t all, before;
    int error;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(thread, NULL, run, what);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
static inline void lens_thread_join(lens_thread_t thread) { pthread_join(thread, NULL); }

/* rtt, rttvar, min_rtt (us), retransmits and acknowledged bytes so far; older kernels leave -1 for what they do not
   know. */
static inline int lens_tcp_info(int fd, int64_t out[5]) {
    struct tcp_info info;
    socklen_t n = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n)) return -1;
    out[0] = info.tcpi_rtt;
    out[1] = info.tcpi_rttvar;
    out[2] = n >= offsetof(struct tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt ? (int64_t)info.tcpi_min_rtt : -1;
    out[3] = info.tcpi_total_retrans;
    out[4] = n >= offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked
        ? (int64_t)info.tcpi_bytes_acked : -1;
    return 0;
}
#else
#define LENS_HAS_REACTOR 0

static inline int lens_absent(void) { errno = ENOSYS; return -1; }
static inline int lens_stamp(int fd) { (void)fd; return lens_absent(); }
static inline int lens_receive_sent(int fd, uint32_t *last, int64_t *real) {
    (void)fd; (void)last; (void)real;
    return 0;
}
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
enum { LENS_READY_MOST = 256 };
static inline int lens_epoll_ready(int epoll, int *fds, int most, int wait_ms) {
    (void)epoll; (void)fds; (void)most; (void)wait_ms;
    return lens_absent();
}
static inline int lens_event_open(void) { return lens_absent(); }
static inline void lens_event_set(int fd) { (void)fd; }
static inline void lens_event_clear(int fd) { (void)fd; }
static inline void lens_sleep(int64_t ns) { (void)ns; }
static inline int lens_pid(void) { return 0; }
typedef int lens_thread_t;
static inline int lens_thread_start(lens_thread_t *thread, void *(*run)(void *), void *what) {
    (void)thread; (void)run; (void)what;
    return ENOSYS;
}
static inline void lens_thread_join(lens_thread_t thread) { (void)thread; }
static inline int lens_tcp_info(int fd, int64_t out[5]) { (void)fd; (void)out; return lens_absent(); }
#endif

#endif
