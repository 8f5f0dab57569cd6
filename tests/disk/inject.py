"""Faults of system calls, by strace, in a process that runs already. It knows no store."""
import contextlib
import re
import signal
import subprocess
import time

from common import Failed

ATTACH_LIMIT, DETACH_LIMIT = 15.0, 30.0
# What a store may ask of a file system; where there are several calls for one thing, they fail together.
GROUPS = {
    "write": ("pwrite64", "pwritev", "pwritev2"),
    "sync": ("fsync", "fdatasync", "syncfs", "sync_file_range"),
    "rename": ("rename", "renameat", "renameat2", "link", "linkat"),
    "remove": ("unlink", "unlinkat", "rmdir"),
    "open": ("open", "openat", "openat2", "creat"),
    "read": ("pread64", "preadv", "preadv2"),
    "stat": ("stat", "lstat", "fstat", "newfstatat", "statx"),
    "size": ("ftruncate", "fallocate", "copy_file_range"),
    "space": ("statfs", "fstatfs"),
    "list": ("getdents64", "mkdir", "mkdirat"),
}
# A kernel promises not to wait where these are given, so a delay there is more than a disk can do.
NEVER_WAITS = ("RWF_NOWAIT", "RESOLVE_CACHED")


class Injection:
    """What strace tells."""

    def __init__(self, log):
        self.log = log

    def lines(self):
        """The calls that were struck; what another thread's call came between is one line again."""
        struck, begun = [], {}
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else []:
            thread, _, call = line.partition(" ")
            if call.endswith("<unfinished ...>"):
                begun[thread] = call
            elif "(INJECTED)" in call or "(DELAYED)" in call:
                struck.append(begun.pop(thread, "") + call)
        return struck

    def struck(self):
        """How many calls."""
        return len(self.lines())

    def only_where_none_waits(self):
        lines = self.lines()
        return bool(lines) and all(any(flag in line for flag in NEVER_WAITS) for line in lines)


def possible():
    """Why strace cannot be used, or None."""
    try:
        with subprocess.Popen(["sleep", "60"]) as child:
            try:
                time.sleep(0.1)
                with attached(child.pid, ["-e", "trace=pread64"], None):
                    return None
            except Failed as failure:
                return str(failure)
            finally:
                child.kill()
    except OSError as error:
        return str(error)


@contextlib.contextmanager
def attached(pid, options, log):
    """strace on all threads of a process until the block is left."""
    command = ["strace", "-f", "-p", str(pid), "-o", str(log or "/dev/null"), *options]
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True, start_new_session=True)
    except OSError as error:
        raise Failed(f"no strace: {error}") from error
    try:
        said = child.stderr.readline()
        if "attached" not in said:
            raise Failed(f"strace: {said}{child.communicate(timeout=ATTACH_LIMIT)[1]}")
        yield Injection(log)
    finally:
        # It lets go of all threads before it ends.
        child.send_signal(signal.SIGINT)
        try:
            child.communicate(timeout=DETACH_LIMIT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def injected(pid, calls, how, log, only=None):
    """`how`: as behind strace's `inject=...:`; `only`: in calls on these paths."""
    calls = ",".join(f"?{call}" for call in calls)
    options = ["-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    for path in only or ():
        options += ["-P", str(path)]
    return attached(pid, options, log)


def used(pid, calls, log, seconds):
    """Which of these calls a process makes meanwhile: {name: times}."""
    with attached(pid, ["-e", "trace=" + ",".join(f"?{call}" for call in calls)], log):
        time.sleep(seconds)
    counts = {}
    for name in re.findall(r"^\d+\s+(\w+)\(", log.read_text(errors="replace"), re.MULTILINE):
        counts[name] = counts.get(name, 0) + 1
    return counts
