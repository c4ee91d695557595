/* Makes system calls that a container denies, and prints for each its name and how it ended.
 * Whatever succeeds outside is undone or harmless: arguments are chosen so that nothing of the host changes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long error)
{
    const char *text = error == 0 ? "ok" : strerrorname_np((int)error);
    printf("%s %s\n", name, text ? text : "unknown");
    fflush(stdout);
}

/* In a process of its own: what succeeds ends with it. */
static void attempt(const char *name, long number, long a, long b, long c, long d, long e)
{
    pid_t child = fork();
    if (child == 0) {
        long result = syscall(number, a, b, c, d, e, 0);
        _exit(result < 0 ? errno : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    /* A new process that the call itself has made ends the same way. */
    tell(name, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

/* The 32-bit call of a 64-bit program. */
static void attempt32(const char *name, long number, long a, long b, long c)
{
    pid_t child = fork();
    if (child == 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
        _exit((int)result < 0 ? -(int)result : 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    tell(name, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

#define TRY(name, ...) attempt(#name, SYS_##name, __VA_ARGS__)

int main(void)
{
    static struct perf_event_attr counter = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof counter, .exclude_kernel = 1, .exclude_hv = 1};
    static char buffer[256];

    TRY(add_key, (long)"user", (long)"x", (long)"x", 1, -1);
    TRY(request_key, (long)"user", (long)"nothing", 0, 0, 0);
    TRY(keyctl, 0, -3, 0, 0, 0);
    TRY(bpf, 0, 0, 0, 0, 0);
    TRY(perf_event_open, (long)&counter, 0, -1, -1, 0);
    TRY(userfaultfd, 1, 0, 0, 0, 0);
    TRY(ptrace, PTRACE_TRACEME, 0, 0, 0, 0);
    TRY(process_vm_readv, getpid(), 0, 0, 0, 0);
    TRY(process_vm_writev, getpid(), 0, 0, 0, 0);
    TRY(kcmp, getpid(), getpid(), 0, 0, 1);
    TRY(pidfd_getfd, -1, 0, 0, 0, 0);
    TRY(init_module, 0, 0, (long)"", 0, 0);
    TRY(finit_module, -1, (long)"", 0, 0, 0);
    TRY(delete_module, (long)"no_such_module", O_NONBLOCK, 0, 0, 0);
    TRY(kexec_load, 0, -1, 0, -1, 0);
    TRY(kexec_file_load, -1, -1, 0, 0, -1);
    TRY(settimeofday, 0, 0, 0, 0, 0);
    TRY(clock_settime, -1, 0, 0, 0, 0);
    TRY(clock_adjtime, -1, 0, 0, 0, 0);
    TRY(adjtimex, 0, 0, 0, 0, 0);
    TRY(swapon, (long)"/nowhere", 0, 0, 0, 0);
    TRY(swapoff, (long)"/nowhere", 0, 0, 0, 0);
    TRY(reboot, 0, 0, 0, 0, 0);
    TRY(acct, (long)"/nowhere", 0, 0, 0, 0);
    TRY(quotactl, -1, 0, 0, 0, 0);
    TRY(quotactl_fd, -1, -1, 0, 0, 0);
    TRY(syslog, 10, 0, 0, 0, 0);
    TRY(iopl, 9, 0, 0, 0, 0);
    TRY(ioperm, 0, 0, 0, 0, 0);
    TRY(open_by_handle_at, -1, 0, 0, 0, 0);
    TRY(mount, (long)"x", (long)"/nowhere", (long)"tmpfs", 0, 0);
    TRY(umount2, (long)"/nowhere", 0, 0, 0, 0);
    TRY(pivot_root, (long)"/nowhere", (long)"/nowhere", 0, 0, 0);
    TRY(move_mount, -1, (long)"", -1, (long)"", 0);
    TRY(open_tree, -1, (long)"/nowhere", 0, 0, 0);
    TRY(fsopen, (long)"nofs", 0, 0, 0, 0);
    TRY(fsconfig, -1, 0, 0, 0, 0);
    TRY(fsmount, -1, 0, 0, 0, 0);
    TRY(fspick, -1, (long)"/nowhere", 0, 0, 0);
    TRY(mount_setattr, -1, (long)"/nowhere", 0, 0, 0);
    TRY(clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    TRY(unshare, CLONE_NEWUSER, 0, 0, 0, 0);
    TRY(setns, -1, 0, 0, 0, 0);
    TRY(clone3, 0, 0, 0, 0, 0);
    TRY(io_uring_setup, 1, (long)buffer, 0, 0, 0);
    attempt("TIOCSTI", SYS_ioctl, 0, 0x5412, (long)"x", 0, 0);
    attempt("TIOCLINUX", SYS_ioctl, 0, 0x541c, (long)"x", 0, 0);
    attempt("TIOCSTI-high", SYS_ioctl, 0, 0x100005412, (long)"x", 0, 0);
    attempt("socket-vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0);
    attempt("socket-alg", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, 0, 0);
    attempt("newer", 600, 0, 0, 0, 0, 0);
    attempt("x32", 0x40000000 | SYS_getpid, 0, 0, 0, 0, 0);
    attempt32("int80-keyctl", 288, 0, -3, 0);
    attempt32("int80-ptrace", 26, PTRACE_TRACEME, 0, 0);
    attempt32("int80-unshare", 310, CLONE_NEWUSER, 0, 0);
    attempt32("int80-clone", 120, CLONE_NEWUSER | SIGCHLD, 0, 0);
    attempt32("int80-socket-alg", 359, AF_ALG, SOCK_SEQPACKET, 0);
    attempt32("int80-newer", 600, 0, 0, 0);
    return 0;
}
