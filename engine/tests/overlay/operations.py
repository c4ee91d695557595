"""What programs do with files, one function each, on the layer's files below /t. Prints a line for each that fails."""
import ctypes
import errno
import fcntl
import mmap
import os

os.chdir("/t")


def write(path, text, flags=os.O_CREAT | os.O_EXCL):
    descriptor = os.open(path, os.O_WRONLY | flags, 0o640)
    os.write(descriptor, text)
    os.close(descriptor)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def missing(path):
    return not os.path.lexists(path)


def refused(code, action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return error.errno == code
    return False


def create():
    write("created", b"new\n")
    assert read("created") == b"new\n" and os.stat("created").st_mode & 0o777 == 0o640
    assert refused(errno.EEXIST, write, "created", b"")
    assert refused(errno.EEXIST, write, "kept", b"")


def rename_over():
    write("over", b"over\n")
    os.rename("over", "replaced")
    assert read("replaced") == b"over\n" and missing("over")


def rename_layer_file():
    os.rename("renamed", "renamed-to")
    assert read("renamed-to") == b"renamed\n" and missing("renamed")


def rename_new_directory():
    os.mkdir("made")
    write("made/file", b"x\n")
    os.rename("made", "made-to")
    assert read("made-to/file") == b"x\n" and missing("made")


def rename_layer_directory():
    os.rename("directory", "directory-to")
    assert read("directory-to/below/b") == b"b\n" and missing("directory")


def unlink():
    os.unlink("gone")
    assert missing("gone") and "gone" not in os.listdir(".")
    write("gone-new", b"x")
    os.unlink("gone-new")
    assert missing("gone-new")


def create_again():
    os.unlink("again")
    write("again", b"anew\n")
    assert read("again") == b"anew\n"


def rmdir():
    assert refused(errno.ENOTEMPTY, os.rmdir, "tree")
    os.unlink("tree/a")
    os.rmdir("tree")
    assert missing("tree")


def directory_again():
    os.unlink("remade/old")
    os.rmdir("remade")
    os.mkdir("remade")
    assert os.listdir("remade") == []
    write("remade/new", b"new\n")
    assert os.listdir("remade") == ["new"]


def hard_link():
    for name in ["linked", "created"]:
        os.link(name, name + "-too")
        assert os.stat(name).st_nlink == 2
        write(name + "-too", b"more\n", os.O_APPEND)
        assert read(name).endswith(b"more\n")


def hard_link_number():
    os.link("numbered", "numbered-too")
    assert os.stat("numbered").st_ino == os.stat("numbered-too").st_ino


def symbolic_link():
    os.symlink("kept", "link")
    assert os.readlink("link") == "kept" and read("link") == b"kept\n"


def truncate():
    os.truncate("truncated", 3)
    os.truncate("truncated", 5)
    assert read("truncated") == b"tru\0\0"


def append():
    write("appended", b"more\n", os.O_APPEND)
    assert read("appended") == b"appended\nmore\n"


def modes_and_times():
    os.chmod("mode", 0o2701)
    os.utime("mode", ns=(1_000_000_001_000_000_002, 1_000_000_003_000_000_004))
    found = os.stat("mode")
    assert found.st_mode & 0o7777 == 0o2701 and found.st_mtime_ns == 1_000_000_003_000_000_004


def map_shared():
    with open("mapped", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0:3] = b"MAP"
        memory.flush()
    assert read("mapped") == b"MAPped\n"


def attributes():
    os.mkdir("attributed")
    for name in ["attributed", "attribute"]:
        os.setxattr(name, "user.one", b"1")
        os.setxattr(name, "user.two", b"2")
        os.removexattr(name, "user.two")
        assert os.getxattr(name, "user.one") == b"1" and os.listxattr(name) == ["user.one"]


def open_unlinked():
    descriptor = os.open("unlinked", os.O_RDWR)
    os.unlink("unlinked")
    assert os.pwrite(descriptor, b"UN", 0) == 2 and os.pread(descriptor, 9, 0) == b"UNlinked\n"
    assert os.fstat(descriptor).st_size == 9 and missing("unlinked")
    os.ftruncate(descriptor, 1)
    os.close(descriptor)


def read_while_written():
    descriptor = os.open("written", os.O_RDONLY)
    write("written", b"WR", 0)
    assert os.pread(descriptor, 8, 0) == b"WRitten\n"


def lock():
    with open("locked", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holes():
    with open("sparse", "wb") as file:
        file.truncate(1 << 20)
        os.posix_fallocate(file.fileno(), 0, 4096)
    assert os.stat("sparse").st_size == 1 << 20


def fifo():
    os.mkfifo("fifo")
    assert os.stat("fifo").st_mode & 0o170000 == 0o010000


def nameless():
    descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR)
    os.write(descriptor, b"x\n")
    # Python's own link does not follow.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.linkat(-100, b"/proc/self/fd/%d" % descriptor, -100, b"named", 0x400) != 0:
        raise OSError(ctypes.get_errno(), "linkat")
    assert read("named") == b"x\n"


def exchange():
    write("one", b"1")
    write("two", b"2")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, b"one", -100, b"two", 2) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    assert read("one") == b"2"


def no_replace():
    write("source", b"s")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.renameat2(-100, b"source", -100, b"kept", 1) == -1
    assert ctypes.get_errno() == errno.EEXIST and read("kept") == b"kept\n"


def sync():
    descriptor = os.open(".", os.O_RDONLY)
    os.fsync(descriptor)
    write("synced", b"x")
    descriptor = os.open("synced", os.O_RDWR)
    os.fsync(descriptor)
    os.fdatasync(descriptor)


def marks_as_names():
    for name in [".wh.name", ".wh..opq"]:
        write(name, b"x")
        assert read(name) == b"x" and name in os.listdir(".")
        os.unlink(name)


OPERATIONS = [
    create, rename_over, rename_layer_file, rename_new_directory, rename_layer_directory, unlink, create_again, rmdir,
    directory_again, hard_link, hard_link_number, symbolic_link, truncate, append, modes_and_times, map_shared, attributes, open_unlinked,
    read_while_written, lock, holes, fifo, nameless, exchange, no_replace, sync, marks_as_names,
]
for operation in OPERATIONS:
    try:
        operation()
    except (OSError, AssertionError) as error:
        name = errno.errorcode.get(getattr(error, "errno", None), "wrong")
        print(operation.__name__, name)
