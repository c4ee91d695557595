/* A sandbox as Chromium makes it (sandbox/linux/services/credentials.cc and namespace_sandbox.cc of its source): user, pid and network
   namespaces by one clone, ids mapped from inside, a root in a directory of a process that has ended, no capabilities, a filter of system calls of its
   own, and a renderer in a further pid namespace. Prints a line for each step, and the first that fails with its error. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void done(const char *step, int is_done) {
    if (!is_done) {
        printf("%s: %s\n", step, strerror(errno));
        exit(1);
    }
    printf("%s\n", step);
    fflush(stdout);
}

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    int is_written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    close(file);
    return is_written;
}

static int map(uid_t uid, gid_t gid) {
    char text[64];
    if (!put("/proc/self/setgroups", "deny"))
        return 0;
    snprintf(text, sizeof text, "%u %u 1\n", gid, gid);
    if (!put("/proc/self/gid_map", text))
        return 0;
    snprintf(text, sizeof text, "%u %u 1\n", uid, uid);
    return put("/proc/self/uid_map", text);
}

static int ended_well(pid_t child) {
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int enter_nothing(void *unused) {
    (void)unused;
    _exit(chroot("/proc/self/fdinfo/") == 0 && chdir("/") == 0 ? 0 : 1);
}

static int drop_files(void) {
    static char stack[65536] __attribute__((aligned(16)));
    pid_t child = clone(enter_nothing, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FS | SIGCHLD, NULL);
    struct stat status;
    return child > 0 && ended_well(child) && stat("/proc", &status) != 0 && open("/bin", O_RDONLY) < 0;
}

static void trapped(int signal) {
    (void)signal;
    _exit(42);
}

static int filter(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

static void zygote(uid_t uid, gid_t gid, int shared) {
    done("map", map(uid, gid) && getuid() == uid && getgid() == gid);
    done("first of its processes", getpid() == 1);
    done("root in nothing", drop_files());
    pid_t renderer = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (renderer == 0) {
        struct { unsigned version; int pid; } head = {0x20080522, 0};
        struct { unsigned effective, permitted, inheritable; } none[2] = {{0, 0, 0}, {0, 0, 0}};
        done("first again", getpid() == 1);
        done("no capabilities", syscall(SYS_capset, &head, none) == 0 && chroot("/") != 0);
        signal(SIGSYS, trapped);
        done("filter", filter());
        errno = 0;
        done("denied by it", syscall(SYS_getuid) == -1 && errno == EXDEV);
        char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
        done("shared memory", memory != MAP_FAILED);
        memory[0] = 'x';
        socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(1);
    }
    int status;
    int has_ended = renderer > 0 && waitpid(renderer, &status, 0) == renderer;
    done("trapped by it", has_ended && WIFEXITED(status) && WEXITSTATUS(status) == 42);
    _exit(0);
}

int main(void) {
    uid_t uid = getuid();
    gid_t gid = getgid();
    int shared = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    done("memory", shared >= 0 && ftruncate(shared, 4096) == 0);
    pid_t probe = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (probe == 0)
        _exit(map(uid, gid) ? 0 : 1);
    done("probe", probe > 0 && ended_well(probe));
    pid_t child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        zygote(uid, gid, shared);
    done("zygote", child > 0 && ended_well(child));
    char byte = 0;
    done("shared with it", pread(shared, &byte, 1, 0) == 1 && byte == 'x');
    return 0;
}
