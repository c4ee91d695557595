/* Gives a file away, becomes others and makes devices, by every system call there is for it, and prints for each its name and how it
 * ended. The file is the first argument; a device would be made beside it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHER = 12, UNCHANGED = -1 };

static long native(long number, long a, long b, long c, long d, long e)
{
    long result = syscall(number, a, b, c, d, e);
    return result < 0 ? errno : 0;
}

/* The 32-bit call of a 64-bit program. */
static long compat(long number, long a, long b, long c, long d, long e)
{
    long result;
    register long r8 __asm__("r8") = 0;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), "r"(r8) : "memory", "r9", "r10", "r11");
    return (int)result < 0 ? -(int)result : 0;
}

typedef long make(long, long, long, long, long, long);

/* In a process of its own, which may have become somebody else. */
static void attempt(const char *kind, const char *name, make *call, long number, long a, long b, long c, long d, long e)
{
    pid_t child = fork();
    if (child == 0)
        _exit((int)call(number, a, b, c, d, e));
    int status = 0;
    waitpid(child, &status, 0);
    int error = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    const char *text = error == 0 ? "ok" : strerrorname_np(error);
    printf("%s%s %s\n", kind, name, text ? text : "unknown");
    fflush(stdout);
}

#define TRY(name, ...) attempt("", #name, native, SYS_##name, __VA_ARGS__)
#define TRY32(name, number, ...) attempt("32-", #name, compat, number, __VA_ARGS__)

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    /* Where 32 bits reach. */
    char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED || strlen(arguments[1]) > 1000)
        return 2;
    char *path = strcpy(low, arguments[1]), *device = low + 2048;
    sprintf(device, "%s.device", path);
    unsigned *group = (unsigned *)(low + 4000);
    *group = OTHER;
    int file = open(path, O_RDONLY), here = AT_FDCWD;
    long p = (long)path, n = (long)device, g = (long)group;
    long terminal = makedev(1, 3);

    TRY(chown, p, OTHER, OTHER, 0, 0);
    TRY(lchown, p, OTHER, OTHER, 0, 0);
    TRY(fchown, file, OTHER, OTHER, 0, 0);
    TRY(fchownat, here, p, OTHER, OTHER, 0);
    TRY(setuid, OTHER, 0, 0, 0, 0);
    TRY(setgid, OTHER, 0, 0, 0, 0);
    TRY(setreuid, OTHER, OTHER, 0, 0, 0);
    TRY(setregid, OTHER, OTHER, 0, 0, 0);
    TRY(setresuid, UNCHANGED, OTHER, UNCHANGED, 0, 0);
    TRY(setresgid, UNCHANGED, OTHER, UNCHANGED, 0, 0);
    TRY(setgroups, 1, g, 0, 0, 0);
    TRY(mknod, n, S_IFCHR | 0600, terminal, 0, 0);
    TRY(mknodat, here, n, S_IFBLK | 0600, terminal, 0);
    TRY32(chown, 182, p, OTHER, OTHER, 0, 0);
    TRY32(lchown, 16, p, OTHER, OTHER, 0, 0);
    TRY32(fchown, 95, file, OTHER, OTHER, 0, 0);
    TRY32(chown32, 212, p, OTHER, OTHER, 0, 0);
    TRY32(lchown32, 198, p, OTHER, OTHER, 0, 0);
    TRY32(fchown32, 207, file, OTHER, OTHER, 0, 0);
    TRY32(fchownat, 298, here, p, OTHER, OTHER, 0);
    TRY32(setuid, 23, OTHER, 0, 0, 0, 0);
    TRY32(setgid, 46, OTHER, 0, 0, 0, 0);
    TRY32(setresuid32, 208, UNCHANGED, OTHER, UNCHANGED, 0, 0);
    TRY32(setresgid32, 210, UNCHANGED, OTHER, UNCHANGED, 0, 0);
    TRY32(setgroups32, 206, 1, g, 0, 0, 0);
    TRY32(mknod, 14, n, S_IFCHR | 0600, terminal, 0, 0);
    TRY32(mknodat, 297, here, n, S_IFBLK | 0600, terminal, 0);
    /* What is no device is made. */
    TRY(mknod, n, S_IFIFO | 0600, 0, 0, 0);
    return 0;
}
