"""What the comparisons share: processes and their cost, rounds and their ratios. It knows no server."""
import contextlib
import http.client
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
START_LIMIT = 10.0
STOP_LIMIT = 5.0


class Failed(Exception):
    """The comparison could not be made; the text says why."""


def main(run):
    """Runs a script: everything is cleaned up on errors and on SIGTERM, too."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _frame: sys.exit(128 + number))
    try:
        sys.exit(run())
    except Failed as failure:
        sys.exit(f"failed: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def raise_fd_limit(wanted):
    """Lifts the limit of this process and its children as far as allowed; fails below `wanted`."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Failed(f"{wanted} file descriptors needed, the hard limit is {hard} (ulimit -Hn)")


def fetch(port, path, headers=None):
    """One request on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


# --- processes -------------------------------------------------------------------------------

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def directory(in_memory=True):
    parent = "/dev/shm" if in_memory and os.access("/dev/shm", os.W_OK) else None
    path = pathlib.Path(tempfile.mkdtemp(prefix="larder-compare-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def process(command, log, core=None, **more):
    """A child in a group of its own; ended, and its group with it, when the block is left."""
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    with open(log, "wb") as out:
        try:
            files = {"stdout": out, "stderr": out, "stdin": subprocess.DEVNULL, **more}
            child = subprocess.Popen([str(part) for part in command], start_new_session=True, **files)
        except OSError as error:
            raise Failed(f"cannot start {command[0]}: {error}") from error
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(STOP_LIMIT)


def wait_until(ready, child, what, log):
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end and child.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ready():
                return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:]
    raise Failed(f"{what} did not start (exit code {child.poll()}); its log ends:\n{tail}")


@contextlib.contextmanager
def on_load_core():
    """Keeps this process, and what it starts without a core of its own, off the server's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- what a process costs --------------------------------------------------------------------

def children_of(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid, depth=4):
    """User and system time of a process, of its threads and of its descendants, threads that ended included.

    What a descendant used that ends in between is lost, so none may.
    """
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child, depth - 1) for child in (children_of(pid) if depth else []))


def resident_bytes(pid, depth=4):
    """Resident memory of a process and its descendants; what they share counts for each, so look at differences."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    own = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
    return own + sum(resident_bytes(child, depth - 1) for child in (children_of(pid) if depth else []))


def file_bytes(folder):
    """What the files below a folder take, in whole blocks; in /dev/shm that is memory."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


# --- rounds and ratios -----------------------------------------------------------------------

def rotated(things, round_number):
    """The order of a round: everyone is first and last equally often."""
    turn = round_number % len(things)
    return [*things[turn:], *things[:turn]]


def ratios(rounds, base, of):
    """Of each round [{name: result}], `of(result)` over that of `base`: {name: [ratio of a round]}."""
    return {name: [of(one[name]) / of(one[base]) for one in rounds] for name in rounds[0]}


def spread(values, form="{:.3g}"):
    """Median (lowest-highest), or the one value where all are the same."""
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return low if low == high else f"{middle} ({low}-{high})"
