/* A 32-bit program without a library: prints `32`, and ends with a bit for each call that was denied as it should be. */
static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void _start(void)
{
    long denied = 0;
    call(4, 1, (long)"32\n", 3);
    denied |= (call(288, 0, -3, 0) == -1) << 0;     /* keyctl: EPERM */
    denied |= (call(26, 0, 0, 0) == -1) << 1;       /* ptrace: EPERM */
    denied |= (call(310, 0x10000000, 0, 0) == -1) << 2; /* unshare: EPERM */
    denied |= (call(435, 0, 0, 0) == -38) << 3;     /* clone3: ENOSYS */
    call(1, denied, 0, 0);
    for (;;) {
    }
}
