/* Installs files and runs a script in the order and by the calls by which Alpine's apk does (src/fs_fsys.c and src/database.c of apk-tools 2.14
   and 3.0): below a descriptor of the root, each under a temporary name with owner, mode, attributes and times, then renamed; and a script in a
   process of its own, whose root is that descriptor. The script is the argument. Prints what is not as a package has it, and ends with 1
   when apk would give up. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MAIL = 8, WWW_DATA = 33 };

static int root;

static void must(const char *what, int result) {
    if (result < 0) {
        printf("%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static const char *temporary(const char *path) {
    static char text[256];
    snprintf(text, sizeof text, "%.*s/.apk.0123456789abcdef", (int)(strrchr(path, '/') - path), path);
    return text;
}

static void place(const char *path, mode_t mode, uid_t uid, gid_t gid, const char *text, int has_capability) {
    const char *name = temporary(path);
    if (unlinkat(root, name, 0) < 0 && errno != ENOENT)
        must("unlinkat", -1);
    switch (mode & S_IFMT) {
    case S_IFREG: {
        int file = openat(root, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_EXCL, mode & 07777);
        must("openat", file);
        must("write", write(file, text, strlen(text)));
        close(file);
        break;
    }
    case S_IFLNK:
        must("symlinkat", symlinkat(text, root, name));
        break;
    default:
        must("mknodat", mknodat(root, name, mode, 0));
    }
    int flags = S_ISLNK(mode) ? AT_SYMLINK_NOFOLLOW : 0;
    must("fchownat", fchownat(root, name, uid, gid, flags));
    if (mode & 07000)
        must("fchmodat", fchmodat(root, name, mode & 07777, 0));
    if (has_capability) {
        /* cap_net_raw=ep, version 2 (struct vfs_cap_data). */
        const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0};
        int file = openat(root, name, O_RDWR);
        must("openat", file);
        if (fsetxattr(file, "security.capability", capability, sizeof capability, 0) < 0)
            printf("%s has no capability: %s\n", path, strerror(errno));
        close(file);
    }
    if (!S_ISLNK(mode)) {
        const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
        must("utimensat", utimensat(root, name, times, flags));
    }
    must("renameat", renameat(root, name, root, path));
}

static void run(const char *script) {
    const char *path = "usr/lib/apk/exec/served-1.post-install";
    must("mkdirat", mkdirat(root, "usr/lib/apk", 0755) < 0 && errno != EEXIST ? -1 : 0);
    must("mkdirat", mkdirat(root, "usr/lib/apk/exec", 0755) < 0 && errno != EEXIST ? -1 : 0);
    int file = openat(root, path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0755);
    must("openat", file);
    must("write", write(file, script, strlen(script)));
    must("fchmod", fchmod(file, 0755));
    close(file);
    pid_t child = fork();
    if (child == 0) {
        umask(022);
        char *arguments[] = {(char *)path, "1", NULL};
        char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "APK_PACKAGE=served", NULL};
        must("fchdir", fchdir(root));
        must("chroot", chroot("."));
        execve(path, arguments, environment);
        must("execve", -1);
    }
    int status;
    must("waitpid", waitpid(child, &status, 0));
    must("unlinkat", unlinkat(root, path, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("the script has failed: %x\n", status);
        exit(1);
    }
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(0);
    root = open("/", O_RDONLY | O_CLOEXEC);
    must("open", root);
    int lock = openat(root, "var/lock-of-packages", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must("open", lock);
    must("flock", flock(lock, LOCK_EX | LOCK_NB));
    must("mkdirat", mkdirat(root, "usr/lib/served", 02750));
    must("fchownat", fchownat(root, "usr/lib/served", MAIL, WWW_DATA, 0));
    must("fchmodat", fchmodat(root, "usr/lib/served", 02750, 0));
    place("usr/lib/served/version", S_IFREG | 0640, MAIL, WWW_DATA, "1", 0);
    place("usr/lib/served/link", S_IFLNK | 0777, MAIL, WWW_DATA, "version", 0);
    must("linkat", linkat(root, "usr/lib/served/version", root, "usr/lib/served/hard", 0));
    place("usr/lib/served/fifo", S_IFIFO | 0600, 0, 0, "", 0);
    place("usr/bin/served", S_IFREG | 04755, 0, 0, "#!/bin/sh\necho served\n", 0);
    place("usr/bin/capable", S_IFREG | 0755, 0, 0, "#!/bin/sh\n", 1);
    if (count > 1)
        run(arguments[1]);
    return 0;
}
