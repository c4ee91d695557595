/* Tries what its arguments say and ends as the last one says: with a number, or by a signal. What it tries may fail. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void reach(int kind, const char *where, int port) {
    int six = strchr(where, ':') != NULL;
    int socket_of_it = socket(six ? AF_INET6 : AF_INET, kind, 0);
    struct sockaddr_in old = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 new = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(six ? AF_INET6 : AF_INET, where, six ? (void *)&new.sin6_addr : (void *)&old.sin_addr);
    struct sockaddr *to = six ? (struct sockaddr *)&new : (struct sockaddr *)&old;
    socklen_t size = six ? sizeof new : sizeof old;
    if (kind == SOCK_DGRAM)
        sendto(socket_of_it, "x", 1, 0, to, size);
    else
        connect(socket_of_it, to, size);
    close(socket_of_it);
}

int main(int count, char **wishes) {
    for (int place = 1; place < count; place++) {
        const char *wish = wishes[place];
        if (!strcmp(wish, "unshare"))
            unshare(CLONE_NEWUSER);
        else if (!strcmp(wish, "clone")) {
            if (syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) == 0)
                _exit(0);
        } else if (!strcmp(wish, "ptrace"))
            ptrace(PTRACE_TRACEME, 0, 0, 0);
        else if (!strcmp(wish, "tcp"))
            reach(SOCK_STREAM, "192.0.2.1", 80);
        else if (!strcmp(wish, "tcp6"))
            reach(SOCK_STREAM, "2001:db8::1", 80);
        else if (!strcmp(wish, "udp"))
            reach(SOCK_DGRAM, "192.0.2.1", 53);
        else if (!strcmp(wish, "resolve"))
            reach(SOCK_DGRAM, "127.0.0.1", 53);
        else if (!strcmp(wish, "local"))
            reach(SOCK_STREAM, "127.0.0.1", 1);
        else if (!strcmp(wish, "abort"))
            abort();
        else if (!strcmp(wish, "terminate"))
            kill(getpid(), SIGTERM);
        else
            return atoi(wish);
    }
    return 0;
}
