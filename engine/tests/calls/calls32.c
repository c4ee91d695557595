/* A 32-bit program without a library: prints `32`, and `1` for each thing that is as it should be, or `0`. */
static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static void say(int is_so)
{
    call(4, 1, (long)(is_so ? "1" : "0"), 1);
}

#define SOCKET 1
#define SOCKETPAIR 8
#define CLOEXEC 02000000

static long socketcall(long what, long family, long type, long place)
{
    long arguments[] = {family, type, 0, place};
    return call(102, what, (long)arguments, 0);
}

static long close_on_exec(long descriptor)
{
    return call(221, descriptor, 1, 0); /* fcntl64, F_GETFD */
}

static int pairs(void)
{
    int pair[2] = {-1, -1};
    char byte = 0;
    if (socketcall(SOCKETPAIR, 1, 1, (long)pair))
        return 0;
    call(4, pair[0], (long)"x", 1);
    call(3, pair[1], (long)&byte, 1);
    return byte == 'x' && close_on_exec(pair[0]) == 0;
}

/* More than there are descriptors, so each must be one's own. */
static int many(void)
{
    for (int i = 0; i < 300; i++) {
        long descriptor = socketcall(SOCKET, 2, 2, 0);
        if (descriptor < 0 || call(6, descriptor, 0, 0))
            return 0;
    }
    return 1;
}

void _start(void)
{
    call(4, 1, (long)"32\n", 3);
    say(call(288, 0, -3, 0) == -1);                         /* keyctl: EPERM */
    say(call(26, 0, 0, 0) == -1);                           /* ptrace: EPERM */
    say(call(310, 0x10000000, 0, 0) == -1);                 /* unshare: EPERM */
    say(call(435, 0, 0, 0) == -38);                         /* clone3: ENOSYS */
    say(socketcall(SOCKET, 40, 1, 0) == -97);               /* AF_VSOCK: EAFNOSUPPORT */
    say(socketcall(SOCKETPAIR, 38, 1, 0) == -97);           /* AF_ALG */
    say(socketcall(SOCKET, 2, 77, 0) == -22);               /* what the kernel says of a type: EINVAL */
    say(call(102, SOCKET, 16, 0) == -14);                   /* EFAULT */
    say(close_on_exec(socketcall(SOCKET, 2, 1, 0)) == 0);
    say(close_on_exec(socketcall(SOCKET, 10, 1 | CLOEXEC, 0)) == 1);
    say(pairs());
    say(many());
    call(210, 1000, 1000, 1000);                            /* setresgid32: works where there is such an id */
    call(208, 1000, 1000, 1000);                            /* setresuid32 */
    say(close_on_exec(socketcall(SOCKET, 1, 1, 0)) == 0);
    call(1, 0, 0, 0);
    for (;;) {
    }
}
