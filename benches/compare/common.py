"""What the comparisons share: starting and stopping servers, reading their cost.

Everything runs on loopback, on free ports, in a directory of its own that goes away with the script.
"""
import contextlib
import dataclasses
import grp
import http.client
import json
import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LARDER = pathlib.Path(os.environ.get("LARDER_BIN") or HERE.parents[1] / "target/release/larder")
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


# --- servers ---------------------------------------------------------------------------------

@dataclasses.dataclass
class Server:
    name: str
    port: int
    pid: int            # the process that does the work
    admin: int = 0

    def is_hit(self, headers):
        if self.name == "nginx":
            return headers.get("X-Cache-Status") == "HIT"
        return re.search(r"larder\s*;\s*hit\b", headers.get("Cache-Status", "")) is not None


class Origin:
    """The control side of origin.py."""

    def __init__(self, port, control):
        self.port, self.control = port, control

    def _ask(self, path):
        status, _, body = fetch(self.control, path)
        if status != 200:
            raise Failed(f"the origin answered {status} to {path}: {body!r}")
        return json.loads(body)

    def mode(self, mode):
        self._ask(f"/__mode?m={mode}")

    def counts(self):
        return self._ask("/__counts")

    def reset(self):
        self._ask("/__reset")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def directory():
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = pathlib.Path(tempfile.mkdtemp(prefix="larder-compare-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def process(command, log, core=None, **pipes):
    """A child in a group of its own; ended, and its group with it, when the block is left."""
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    with open(log, "wb") as out:
        try:
            files = {"stdout": out, "stderr": out, "stdin": subprocess.DEVNULL, **pipes}
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
def origin():
    with directory() as path, process(
            [sys.executable, HERE / "origin.py"], path / "log", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        line = child.stdout.readline()
        if not line:
            raise Failed(f"the origin did not start: {(path / 'log').read_text()[-2000:]}")
        yield Origin(**json.loads(line))


@contextlib.contextmanager
def larder(origin_address, core=None, extra=""):
    """Larder with one thread and the access log off; `extra` is more YAML."""
    if not os.access(LARDER, os.X_OK):
        raise Failed(f"no larder at {LARDER}: build it, or set LARDER_BIN (or --only nginx)")
    port, admin = free_port(), free_port()
    with directory() as path:
        (path / "larder.yaml").write_text(
            f"listen: 127.0.0.1:{port}\norigin: http://{origin_address}\nserver: {{threads: 1}}\n"
            f"admin: {{listen: \"127.0.0.1:{admin}\"}}\nlogging: {{access: {{output: \"off\"}}}}\n{extra}\n")
        log = path / "log"
        with process([LARDER, "serve", "--config", path / "larder.yaml"], log, core) as child:
            wait_until(lambda: fetch(admin, "/readyz")[0] == 200, child, "larder", log)
            yield Server("larder", port, child.pid, admin)


@contextlib.contextmanager
def nginx(origin_address, core=None, lock="5s", sendfile="off"):
    """nginx with one worker, from nginx.conf.template; 5s is its own default for both lock times."""
    port, files = free_port(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with directory() as path:
        values = {"DIR": path, "PORT": port, "ORIGIN": origin_address, "LOCK": lock, "SENDFILE": sendfile,
                  "FILES": files, "CONNECTIONS": min(files - 100, 30000),
                  "USER": pwd.getpwuid(os.geteuid()).pw_name, "GROUP": grp.getgrgid(os.getegid()).gr_name}
        template = (HERE / "nginx.conf.template").read_text()
        (path / "nginx.conf").write_text(re.sub(r"@([A-Z]+)@", lambda m: str(values.get(m[1], m[0])), template))
        log = path / "error.log"
        with process(["nginx", "-p", path, "-e", log, "-c", path / "nginx.conf"], path / "log", core) as child:
            def ready():
                socket.create_connection(("127.0.0.1", port), 1).close()
                return worker_of(child.pid) is not None
            wait_until(ready, child, "nginx", log)
            yield Server("nginx", port, worker_of(child.pid))


SERVERS = {"larder": larder, "nginx": nginx}


# --- what a process costs --------------------------------------------------------------------

def children_of(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def worker_of(master):
    for pid in children_of(master):
        if b"worker process" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def cpu_seconds(pid):
    """User and system time of all threads of a process, those that ended included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
