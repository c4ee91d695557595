// Runs a program on a host that refuses user namespaces: refuse WHAT program [argument...]
//
//   all          to everybody
//   mounts       grants them, and refuses mounts in them, as AppArmor does where it takes the capabilities away
//   but:PATH     to everybody but the program PATH and its descendants; they are traced to know them. A filter that asks a
//                listener would take the one place that the runtime needs
//   only:PATH    as `but`, and mounts too, and not to what the program starts
//   as:ID:WHAT   becomes user and group ID first, one of the two above. For root, without whom no program that is started becomes
//                somebody else (set-user-id): neither under a tracer of the user's own nor behind a filter of theirs. `fusermount3`
//                may mount then, as on hosts that refuse
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const char mounter[] = "/usr/bin/fusermount3";
static char allowed[4 << 20];
// A new process may stop before its parent is seen to have made it, and goes on only after that.
static enum { UNKNOWN, KNOWN, STOPPED } state[4 << 20];

static void die(const char *what) {
  perror(what);
  exit(99);
}

static void load(unsigned answer, unsigned mounts, int for_root) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mount, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_unshare, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER, 3, 2),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, mounts),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, answer),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if ((!for_root && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
    die("seccomp");
}

// The call is not made and answers EPERM.
static void refuse(pid_t pid) {
#ifdef __x86_64__
  struct user_regs_struct registers;
  ptrace(PTRACE_GETREGS, pid, 0, &registers);
  registers.orig_rax = -1;
  registers.rax = -EPERM;
  ptrace(PTRACE_SETREGS, pid, 0, &registers);
#else
  int none = -1;
  struct user_regs_struct registers;
  struct iovec call = {&none, sizeof none}, all = {&registers, sizeof registers};
  ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &all);
  registers.regs[0] = -EPERM;
  ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &all);
  ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &call);
#endif
}

static int is(pid_t pid, const char *path) {
  char link[64], exe[PATH_MAX] = "";
  snprintf(link, sizeof link, "/proc/%d/exe", pid);
  return readlink(link, exe, sizeof exe - 1) > 0 && !strcmp(exe, path);
}

// Whether the parent was killed, before it was seen to have made the process.
static int is_orphan(pid_t pid) {
  char path[64];
  int parent = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *stat = fopen(path, "r");
  if (!stat)
    return 1;
  int found = fscanf(stat, "%*d (%*[^)]) %*c %d", &parent);
  fclose(stat);
  return found != 1 || state[parent] != KNOWN;
}

static void go_on(pid_t pid) {
  state[pid] = KNOWN;
  ptrace(PTRACE_CONT, pid, 0, 0);
}

// Tells the exit code when the program ends, and goes on until everything has that it has started: a process that stops for a tracer
// who is gone stays so.
static void trace(pid_t program, const char *but, int inherited, int mounts, int told) {
  int status, waiting = 0;
  pid_t stopped[64];
  for (;;) {
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0)
      exit(0);
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      allowed[pid] = 0;
      state[pid] = UNKNOWN;
      for (int i = 0; i < waiting; i++)
        if (state[stopped[i]] == STOPPED && is_orphan(stopped[i]))
          go_on(stopped[i]);
      if (pid == program) {
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        prctl(PR_SET_PDEATHSIG, 0);
        for (int stream = 0; stream < 3; stream++)
          close(stream);
        if (write(told, &code, sizeof code) != sizeof code)
          exit(99);
        close(told);
      }
      continue;
    }
    int signal = WSTOPSIG(status), event = status >> 16;
    unsigned long born = 0;
    if (event == 0 && signal == SIGSTOP && state[pid] == UNKNOWN) {
      if (is_orphan(pid)) {
        go_on(pid);
        continue;
      }
      state[pid] = STOPPED;
      int free = 0;
      while (free < waiting && state[stopped[free]] == STOPPED && stopped[free] != pid)
        free++;
      if (free == sizeof stopped / sizeof *stopped)
        die("too many processes");
      stopped[free] = pid;
      waiting += free == waiting;
      continue;
    }
    switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
      ptrace(PTRACE_GETEVENTMSG, pid, 0, &born);
      allowed[born] = allowed[pid];
      if (state[born] == STOPPED)
        ptrace(PTRACE_CONT, born, 0, 0);
      state[born] = KNOWN;
      break;
    case PTRACE_EVENT_EXEC:
      allowed[pid] = (inherited && allowed[pid]) || is(pid, but) || (mounts && is(pid, mounter));
      break;
    case PTRACE_EVENT_SECCOMP:
      if (!allowed[pid])
        refuse(pid);
      break;
    }
    // The first stop of a new process is none that it would have by itself.
    int is_own = event == 0 && signal != SIGSTOP && signal != SIGTRAP;
    ptrace(PTRACE_CONT, pid, 0, is_own ? signal : 0);
  }
}

int main(int count, char **arguments) {
  const unsigned eperm = SECCOMP_RET_ERRNO | EPERM;
  if (count < 3)
    return 99;
  if (!strcmp(arguments[1], "all") || !strcmp(arguments[1], "mounts")) {
    int mounts = arguments[1][0] == 'm';
    load(mounts ? SECCOMP_RET_ALLOW : eperm, mounts ? SECCOMP_RET_ERRNO | EACCES : SECCOMP_RET_ALLOW, 0);
    execv(arguments[2], arguments + 2);
    die(arguments[2]);
  }
  long id = 0;
  if (!strncmp(arguments[1], "as:", 3)) {
    id = strtol(arguments[1] + 3, &arguments[1], 10);
    arguments[1]++;
  }
  int inherited = arguments[1][0] == 'b';
  int told[2], code = 99;
  if (pipe2(told, O_CLOEXEC))
    die("pipe2");
  if (fork()) {
    close(told[1]);
    return read(told[0], &code, sizeof code) < 0 ? 99 : code;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close(told[0]);
  pid_t program = fork();
  if (!program) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    load(SECCOMP_RET_TRACE, inherited ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRACE, id > 0);
    if (id && (setgroups(0, 0) || setresgid(id, id, id) || setresuid(id, id, id)))
      die("setresuid");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(arguments[2], arguments + 2);
    die(arguments[2]);
  }
  // They are for the program.
  for (int signal_of_all = SIGHUP; signal_of_all <= SIGQUIT; signal_of_all++)
    signal(signal_of_all, SIG_IGN);
  int status;
  waitpid(program, &status, 0);
  state[program] = KNOWN;
  ptrace(PTRACE_SETOPTIONS, program, 0,
         PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP);
  ptrace(PTRACE_CONT, program, 0, 0);
  trace(program, strchr(arguments[1], ':') + 1, inherited, id > 0, told[1]);
}
