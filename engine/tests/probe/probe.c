/* What a hostile program would try. `probe plant <dir> <token> seen-<token>` puts something to be found in every place of the host that
 * it can think of, says where in one line, and takes it away when its input ends. `probe look <key=value…>` tries to find it,
 * and prints a line for each attempt: its name, and `found` or `denied`. Everything that is planted holds the token. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER_KEYRING -4

static char **arguments;

/* The value of an argument `key=value`; the empty text when there is none. */
static const char *told(const char *key)
{
    for (char **argument = arguments; *argument; argument++) {
        size_t length = strlen(key);
        if (!strncmp(*argument, key, length) && (*argument)[length] == '=')
            return *argument + length + 1;
    }
    return "";
}

static const char *below(const char *directory, const char *name)
{
    static char paths[8][4096];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static int holds(const char *bytes, size_t length, const char *text)
{
    return *text && memmem(bytes, length, text, strlen(text)) != NULL;
}

static int reads(int fd, const char *text)
{
    static char bytes[1 << 20];
    size_t length = 0;
    ssize_t more;
    while (length < sizeof bytes && (more = read(fd, bytes + length, sizeof bytes - length)) > 0)
        length += (size_t)more;
    return holds(bytes, length, text);
}

static int file_holds(const char *path, const char *text)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    return fd >= 0 && reads(fd, text);
}

static int opens(const char *path, int flags)
{
    return open(path, flags | O_NONBLOCK | O_NOCTTY) >= 0;
}

static int host(void)
{
    return atoi(told("process"));
}

static int link_is(const char *path, const char *wanted)
{
    char found[4096];
    ssize_t length = readlink(path, found, sizeof found - 1);
    if (length < 0)
        return 0;
    found[length] = 0;
    return *wanted && !strcmp(found, wanted);
}

/* Whether a file of any process has the text. */
static int any_process(const char *name, const char *text)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char path[300];
        snprintf(path, sizeof path, "/proc/%s/%s", entry->d_name, name);
        int own = atoi(entry->d_name) == getpid() || atoi(entry->d_name) == getppid();
        if (atoi(entry->d_name) > 0 && !own && file_holds(path, text))
            return 1;
    }
    return 0;
}

static int connects(int family, const void *address, socklen_t length)
{
    int fd = socket(family, SOCK_STREAM, 0);
    return fd >= 0 && connect(fd, address, length) == 0;
}

static socklen_t unix_address(struct sockaddr_un *address, const char *path, int abstract)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strncpy(address->sun_path + abstract, path, sizeof address->sun_path - 2);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)abstract + strlen(path) + !abstract);
}

static int connects_to(const char *path, int abstract)
{
    struct sockaddr_un address;
    return *path && connects(AF_UNIX, &address, unix_address(&address, path, abstract));
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int status_is(const char *field, const char *value)
{
    char line[256], wanted[256];
    snprintf(wanted, sizeof wanted, "%s:\t%s\n", field, value);
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strcmp(line, wanted))
            return 1;
    return 0;
}

static int field_holds(const char *field, const char *value)
{
    return !status_is(field, value);
}

/* The attempts. Each runs in a process of its own and answers whether it has found something. */

#define SECRET(directory) file_holds(below(told(directory), "secret"), told("token"))
static int file_in_tmp(void) { return SECRET("dir"); }
static int file_in_home(void) { return SECRET("home"); }
static int file_in_shm(void) { return file_holds(told("shm"), told("token")); }
static int file_in_var_tmp(void) { return file_holds(told("var"), told("token")); }
static int file_by_dots(void) { return file_holds(below("../../../../../../..", below(told("dir"), "secret")), told("token")); }
static int file_by_link(void)
{
    char name[] = "/tmp/probe-link-XXXXXX";
    int fd = mkstemp(name);
    if (fd < 0 || unlink(name) || symlink(below(told("dir"), "secret"), name))
        return 0;
    int found = file_holds(name, told("token"));
    unlink(name);
    return found;
}
static int file_of_first_root(void) { return file_holds(below("/proc/1/root", below(told("dir"), "secret")), told("token")); }
static int file_of_first_cwd(void) { return opens("/proc/1/cwd/.", O_PATH | O_DIRECTORY); }
static int file_of_host_process(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cwd/secret", host());
    return file_holds(path, told("token"));
}
static int directory_listed(void) { return opendir(told("dir")) != NULL; }
static int directory_written(void)
{
    const char *path = below(told("dir"), "probed");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    unlink(path);
    return fd >= 0;
}
static int working_directory(void)
{
    char path[4096];
    return getcwd(path, sizeof path) && file_holds("secret", told("token"));
}
static int program_of_host(void) { return access(told("program"), X_OK) == 0; }
static int program_planted(void)
{
    pid_t child = fork();
    if (child == 0) {
        execl(below(told("dir"), "run"), "run", NULL);
        _exit(9);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}
static int accounts(void) { return file_holds("/etc/passwd", told("account")); }
static int machine_id(void) { return file_holds("/etc/machine-id", told("machine")); }
static int host_name(void)
{
    struct utsname names;
    return uname(&names) == 0 && !strcmp(names.nodename, told("name"));
}

static int variable(void) { return getenv("PLANTED") != NULL; }
static int variable_in_memory(void) { return file_holds("/proc/self/environ", told("token")); }
static int variable_of_others(void) { return any_process("environ", told("token")); }
static int arguments_of_others(void)
{
    /* The token alone is in our own arguments. */
    char text[256];
    snprintf(text, sizeof text, "seen-%s", told("token"));
    return any_process("cmdline", text);
}
static int agent(void) { return connects_to(getenv("SSH_AUTH_SOCK") ? getenv("SSH_AUTH_SOCK") : "", 0); }
static int descriptor(void)
{
    for (int fd = 3; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 1;
    return 0;
}
static int descriptor_read(void) { return lseek(9, 0, SEEK_SET) == 0 && reads(9, told("token")); }

static int first_environment(void) { return opens("/proc/1/environ", O_RDONLY); }
static int first_descriptors(void) { return opendir("/proc/1/fd") != NULL; }
static int first_program(void)
{
    char path[4096];
    return readlink("/proc/1/exe", path, sizeof path) > 0;
}
static int first_program_written(void) { return opens("/proc/1/exe", O_WRONLY); }
static int first_maps(void) { return file_holds("/proc/1/maps", "-"); }
static int first_memory(void) { return opens("/proc/1/mem", O_RDWR); }

static int process_signalled(void) { return kill(host(), 0) == 0; }
static int process_opened(void) { return syscall(SYS_pidfd_open, host(), 0) >= 0; }
static int process_priority(void)
{
    errno = 0;
    return getpriority(PRIO_PROCESS, (id_t)host()) != -1 || errno == 0;
}
static int process_affinity(void)
{
    cpu_set_t set;
    return sched_getaffinity(host(), sizeof set, &set) == 0;
}
static int process_limits(void)
{
    struct rlimit limit;
    return prlimit(host(), RLIMIT_CORE, NULL, &limit) == 0;
}
static int process_session(void) { return getsid(host()) > 0; }
static int process_traced(void)
{
    if (ptrace(PTRACE_ATTACH, host(), 0, 0))
        return 0;
    waitpid(host(), NULL, __WALL);
    ptrace(PTRACE_DETACH, host(), 0, 0);
    return 1;
}
static int process_read(void)
{
    static char here[8];
    struct iovec to = {here, 8}, from = {here, 8};
    /* A copy of this process: the address is good in both. */
    return process_vm_readv(getppid(), &to, 1, &from, 1, 0) == 8;
}
static int process_traces_itself(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0; }

static int namespace_is(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    return link_is(path, told(below("ns", name)));
}
static int namespace_user(void) { return namespace_is("user"); }
static int namespace_mnt(void) { return namespace_is("mnt"); }
static int namespace_pid(void) { return namespace_is("pid"); }
static int namespace_net(void) { return namespace_is("net"); }
static int namespace_ipc(void) { return namespace_is("ipc"); }
static int namespace_uts(void) { return namespace_is("uts"); }
static int namespace_cgroup(void) { return namespace_is("cgroup"); }

static int network_ipv4(void)
{
    struct sockaddr_in address = loopback(atoi(told("port")));
    return connects(AF_INET, &address, sizeof address);
}
static int network_listed(void)
{
    char port[16];
    snprintf(port, sizeof port, ":%04X", atoi(told("port")));
    return file_holds("/proc/net/tcp", port);
}
static int socket_named(void) { return connects_to(below(told("dir"), "socket"), 0); }
static int socket_abstract(void) { return connects_to(told("token"), 1); }
static int socket_listed(void) { return file_holds("/proc/net/unix", told("token")); }
static int socket_vsock(void) { return socket(40, SOCK_STREAM, 0) >= 0; }
static int socket_alg(void) { return socket(AF_ALG, SOCK_SEQPACKET, 0) >= 0; }

static int shared_memory(void)
{
    int id = shmget(atoi(told("key")), 0, 0);
    void *at = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);
    return at != (void *)-1 && holds(at, 64, told("token"));
}
static int semaphores(void) { return semget(atoi(told("key")), 0, 0) >= 0; }
static int messages(void) { return msgget(atoi(told("key")), 0) >= 0; }
static int messages_posix(void) { return mq_open(below("", told("token")), O_RDONLY) >= 0; }
static int memory_listed(void) { return file_holds("/proc/sysvipc/shm", told("key")); }

static int key_found(void) { return syscall(SYS_keyctl, 10, USER_KEYRING, "user", told("token"), 0) > 0; }
static int key_requested(void) { return syscall(SYS_request_key, "user", told("token"), NULL, 0) > 0; }
static int key_added(void) { return syscall(SYS_add_key, "user", "probe", "x", 1, -1) > 0; }
static int keys_listed(void) { return file_holds("/proc/keys", told("token")); }

static int terminal_of_others(void) { return opens(told("terminal"), O_RDWR); }
static int device_fuse(void) { return opens("/dev/fuse", O_RDWR); }
static int device_memory(void) { return opens("/dev/mem", O_RDONLY); }
static int device_log(void) { return opens("/dev/kmsg", O_RDONLY); }
static int device_made(void)
{
    int made = mknod("/tmp/probe-null", S_IFCHR | 0666, (1 << 8) | 3) == 0;
    int opened = opens("/tmp/probe-null", O_RDWR);
    unlink("/tmp/probe-null");
    return made && opened;
}
static int system_tree(void) { return access("/sys/kernel", F_OK) == 0; }
static int system_devices(void) { return access("/sys/class/net/lo", F_OK) == 0; }
static int kernel_timers(void) { return file_holds("/proc/timer_list", "cpu"); }
static int kernel_memory(void) { return file_holds("/proc/kcore", "ELF"); }
static int kernel_settings(void) { return opens("/proc/sys/kernel/core_pattern", O_WRONLY); }
static int kernel_keys(void) { return opens("/proc/sysrq-trigger", O_WRONLY); }
static int kernel_log(void) { return syscall(SYS_syslog, 10, NULL, 0) >= 0; }

static int call_bpf(void)
{
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) >= 0;
}
static int call_perf(void)
{
    struct perf_event_attr counter = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof counter, .exclude_kernel = 1, .exclude_hv = 1};
    return syscall(SYS_perf_event_open, &counter, 0, -1, -1, 0) >= 0;
}
static int call_userfaultfd(void) { return syscall(SYS_userfaultfd, 1) >= 0; }
static int call_io_uring(void)
{
    static char parameters[256];
    return syscall(SYS_io_uring_setup, 4, parameters) >= 0;
}
static int call_unshare(void) { return unshare(CLONE_NEWUSER) == 0; }
static int call_mount(void)
{
    /* In a namespace of its own: outside nothing of the host is changed. */
    return (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 || unshare(CLONE_NEWNS) == 0) &&
           mount("none", "/tmp", "tmpfs", 0, NULL) == 0;
}
static int call_handle(void)
{
    struct file_handle *handle = calloc(1, sizeof *handle + MAX_HANDLE_SZ);
    int mount_id;
    handle->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, "/tmp", handle, &mount_id, 0))
        return 0;
    return open_by_handle_at(open("/tmp", O_RDONLY), handle, O_RDONLY) >= 0;
}
static int call_chroot(void) { return chroot("/tmp") == 0; }
static int call_clock(void) { return syscall(SYS_settimeofday, NULL, NULL) == 0; }
static int call_host_name(void)
{
    struct utsname names;
    return uname(&names) == 0 && sethostname(names.nodename, strlen(names.nodename)) == 0;
}

static int rights_bounding(void) { return field_holds("CapBnd", "0000000000000000"); }
static int rights_inherited(void) { return field_holds("NoNewPrivs", "1"); }
static int rights_unfiltered(void) { return field_holds("Seccomp", "2"); }
static int rights_ids(void) { return file_holds("/proc/self/uid_map", "4294967295"); }

#define ATTEMPT(name) {#name, name}
static const struct {
    const char *name;
    int (*attempt)(void);
} ATTEMPTS[] = {
    ATTEMPT(file_in_tmp), ATTEMPT(file_in_home), ATTEMPT(file_in_shm), ATTEMPT(file_in_var_tmp), ATTEMPT(file_by_dots),
    ATTEMPT(file_by_link), ATTEMPT(file_of_first_root), ATTEMPT(file_of_first_cwd), ATTEMPT(file_of_host_process),
    ATTEMPT(directory_listed), ATTEMPT(directory_written), ATTEMPT(working_directory), ATTEMPT(program_of_host),
    ATTEMPT(program_planted), ATTEMPT(accounts), ATTEMPT(machine_id), ATTEMPT(host_name),
    ATTEMPT(variable), ATTEMPT(variable_in_memory), ATTEMPT(variable_of_others), ATTEMPT(arguments_of_others),
    ATTEMPT(agent), ATTEMPT(descriptor), ATTEMPT(descriptor_read), ATTEMPT(first_environment), ATTEMPT(first_descriptors),
    ATTEMPT(first_program), ATTEMPT(first_program_written), ATTEMPT(first_maps), ATTEMPT(first_memory),
    ATTEMPT(process_signalled), ATTEMPT(process_opened), ATTEMPT(process_priority), ATTEMPT(process_affinity),
    ATTEMPT(process_limits), ATTEMPT(process_session), ATTEMPT(process_traced), ATTEMPT(process_read),
    ATTEMPT(process_traces_itself), ATTEMPT(namespace_user), ATTEMPT(namespace_mnt), ATTEMPT(namespace_pid),
    ATTEMPT(namespace_net), ATTEMPT(namespace_ipc), ATTEMPT(namespace_uts), ATTEMPT(namespace_cgroup),
    ATTEMPT(network_ipv4), ATTEMPT(network_listed), ATTEMPT(socket_named), ATTEMPT(socket_abstract),
    ATTEMPT(socket_listed), ATTEMPT(socket_vsock), ATTEMPT(socket_alg), ATTEMPT(shared_memory), ATTEMPT(semaphores),
    ATTEMPT(messages), ATTEMPT(messages_posix), ATTEMPT(memory_listed), ATTEMPT(key_found), ATTEMPT(key_requested),
    ATTEMPT(key_added), ATTEMPT(keys_listed), ATTEMPT(terminal_of_others), ATTEMPT(device_fuse), ATTEMPT(device_memory),
    ATTEMPT(device_log), ATTEMPT(device_made), ATTEMPT(system_tree), ATTEMPT(system_devices), ATTEMPT(kernel_timers),
    ATTEMPT(kernel_memory), ATTEMPT(kernel_settings), ATTEMPT(kernel_keys), ATTEMPT(kernel_log), ATTEMPT(call_bpf),
    ATTEMPT(call_perf), ATTEMPT(call_userfaultfd), ATTEMPT(call_io_uring), ATTEMPT(call_unshare), ATTEMPT(call_mount),
    ATTEMPT(call_handle), ATTEMPT(call_chroot), ATTEMPT(call_clock), ATTEMPT(call_host_name), ATTEMPT(rights_bounding),
    ATTEMPT(rights_inherited), ATTEMPT(rights_unfiltered), ATTEMPT(rights_ids),
};

static int look(void)
{
    for (size_t at = 0; at < sizeof ATTEMPTS / sizeof *ATTEMPTS; at++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(ATTEMPTS[at].attempt() ? 1 : 0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        printf("%s %s\n", ATTEMPTS[at].name, WIFEXITED(status) && WEXITSTATUS(status) == 1 ? "found" : "denied");
    }
    return 0;
}

static void must(int done, const char *what)
{
    if (!done) {
        perror(what);
        exit(1);
    }
}

static void plant_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
    close(fd);
}

static void listens(int family, const void *address, socklen_t length, const char *what)
{
    int fd = socket(family, SOCK_STREAM, 0);
    must(fd >= 0 && bind(fd, address, length) == 0 && listen(fd, 64) == 0, what);
}

static void tell_link(const char *name)
{
    char path[64], found[256];
    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    ssize_t length = readlink(path, found, sizeof found - 1);
    must(length > 0, path);
    printf("ns/%s=%.*s\n", name, (int)length, found);
}

static void plant_sockets(const char *directory, const char *token)
{
    struct sockaddr_un address;
    listens(AF_UNIX, &address, unix_address(&address, below(directory, "socket"), 0), "socket");
    listens(AF_UNIX, &address, unix_address(&address, token, 1), "abstract socket");
    struct sockaddr_in network = loopback(0);
    socklen_t length = sizeof network;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(fd >= 0 && bind(fd, (void *)&network, length) == 0 && listen(fd, 64) == 0, "port");
    must(getsockname(fd, (void *)&network, &length) == 0, "port");
    printf("port=%d\n", ntohs(network.sin_port));
}

static int plant_memory(const char *token)
{
    /* Any number that nobody has. */
    int key = 0x50000000 | (getpid() & 0xffffff);
    int id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
    char *at = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
    must(at != (char *)-1, "shared memory");
    strcpy(at, token);
    must(semget(key, 1, IPC_CREAT | IPC_EXCL | 0600) >= 0, "semaphores");
    must(msgget(key, IPC_CREAT | IPC_EXCL | 0600) >= 0, "messages");
    must(mq_open(below("", token), O_CREAT | O_EXCL | O_RDWR, 0600, NULL) >= 0, "message queue");
    printf("key=%d\n", key);
    return key;
}

static void take_memory(int key, const char *token)
{
    shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
    semctl(semget(key, 0, 0), 0, IPC_RMID);
    msgctl(msgget(key, 0), IPC_RMID, NULL);
    mq_unlink(below("", token));
}

static int plant(const char *directory, const char *token)
{
    const char *shm = strdup(below("/dev/shm", token)), *var = strdup(below("/var/tmp", token));
    plant_file(below(directory, "secret"), token, 0600);
    plant_file(below(directory, "run"), "#!/bin/sh\nexit 42\n", 0700);
    must(mkdir(below(directory, "planted-home"), 0700) == 0, "home");
    plant_file(below(directory, "planted-home/secret"), token, 0600);
    plant_file(shm, token, 0600);
    plant_file(var, token, 0600);
    printf("token=%s\ndir=%s\nhome=%s/planted-home\nshm=%s\nvar=%s\n", token, directory, directory, shm, var);
    plant_sockets(directory, token);
    int key = plant_memory(token);
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    must(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0, "terminal");
    /* Some hosts have no keys; then there is none to be found. */
    long secret = syscall(SYS_add_key, "user", token, token, strlen(token), USER_KEYRING);
    const char *spaces[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    for (int at = 0; at < 7; at++)
        tell_link(spaces[at]);
    printf("process=%d\nterminal=%s\n\n", getpid(), ptsname(terminal));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    if (secret > 0)
        syscall(SYS_keyctl, 9, secret, USER_KEYRING);
    take_memory(key, token);
    unlink(shm);
    unlink(var);
    return 0;
}

int main(int count, char **given)
{
    arguments = given + 1;
    if (count == 5 && !strcmp(given[1], "plant"))
        return chdir(given[2]) ? 1 : plant(given[2], given[3]);
    if (count > 2 && !strcmp(given[1], "look"))
        return look();
    fprintf(stderr, "usage: probe plant <dir> <token> seen-<token> | probe look <key=value>...\n");
    return 2;
}
