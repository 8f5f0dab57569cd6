#!/usr/bin/env python3
"""What the disk store costs: 1,000,000 pages of 2 KiB stored, restarted, and hit beside nginx.

First what a stored page takes on the disk. Then restarts, after a clean stop and after kill -9: the time from exec to
the first hit, until the index is complete, and what the index takes in memory (a restarted Larder less one with an
empty store). Then hits on a working set that is 4 times the memory tier, at random, beside nginx with the same pages on
the same disk, in interleaved rounds on one core. Judged are: the 2 s to the first hit, the index, and that no stored
page is asked for. All of it is in a temporary directory on the disk (--folder), about 5 GiB.
"""
import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import re
import resource
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from common import (LOAD_CORE, SERVER_CORE, Failed, cpu_seconds, directory, fetch, free_port, main, process, ratios,
                    resident_bytes, rotated, spread, wait_until)
from hit import Cost, check_cores, table
from servers import HERE, larder_command, larder_yaml, nginx

BODY = 2048
FIRST_HIT = 2.0             # seconds from exec
INDEX_BYTES = 150           # in memory, per page
INDEX_LIMIT = 300.0         # seconds until it is complete
STOP_LIMIT = 60.0
SAMPLE = 500                # pages asked for after a restart: they have to be hits
LARGER = 4                  # the working set, of the memory tier
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
NGINX = {                   # a page takes about 128 bytes of the zone
    "nginx, open_file_cache off": {"open_files": "off"},
    # Beyond what the process may open it answers 500.
    "nginx, open_file_cache": {"open_files": f"max={min(1_000_000, FILES - 4096)} inactive=1h"},
}
ORIGIN = """
daemon off;
worker_processes 1;
pid {path}/nginx.pid;
error_log {path}/error.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type text/html;
    server {{
        listen 127.0.0.1:{port} backlog=16384;
        location /p/ {{
            add_header Cache-Control "s-maxage=31536000, stale-while-revalidate=60";
            return 200 "{page}";
        }}
    }}
    server {{
        listen 127.0.0.1:{control};
        location / {{ stub_status; }}
    }}
}}
"""


# --- what takes part -------------------------------------------------------------------------

@dataclasses.dataclass
class Origin:
    """An nginx that makes up pages: many times as fast as a page is stored."""
    port: int
    control: int
    looks: int = 0

    def asked(self):
        """How many pages so far."""
        self.looks += 1
        counts = re.search(rb"requests\s*\n\s*\d+ \d+ (\d+)", fetch(self.control, "/")[2])
        return int(counts[1]) - self.looks


@contextlib.contextmanager
def fast_origin():
    port, control = free_port(), free_port()
    start, end = "<!doctype html><p>$uri ", "</p>\n"
    filler = ("".join(random.Random(1).choices("abcdefgh ", k=BODY)))[: BODY - len(start) - len(end) + len("$uri") - 10]
    with directory() as path:
        (path / "nginx.conf").write_text(
            ORIGIN.format(path=path, port=port, control=control, page=start + filler + end))
        command = ["nice", "nginx", "-p", path, "-e", path / "error.log", "-c", path / "nginx.conf"]
        with process(command, path / "log", LOAD_CORE) as child:
            wait_until(lambda: fetch(port, page(0))[0] == 200, child, "the origin", path / "error.log")
            yield Origin(port, control)


def page(number):
    """The same length for all."""
    return f"/p/{number:07}"


class Larder:
    """One configuration, started again and again."""

    def __init__(self, folder, origin, memory, extra):
        self.folder, self.port, self.admin = folder, free_port(), free_port()
        folder.mkdir(mode=0o700)
        (folder / "store").mkdir(mode=0o700)
        disk = f"path: {folder}/store, max_size: 64GiB, sync: 1s, min_free: 1%"
        text = larder_yaml(self.port, [f"127.0.0.1:{origin.port}"], self.admin, "off", memory, extra, disk)
        (folder / "larder.yaml").write_text(text)
        self.log = folder / "log"

    @contextlib.contextmanager
    def started(self):
        """(the process, when it was started)."""
        begun = time.monotonic()
        with process(larder_command("serve", "--config", self.folder / "larder.yaml"), self.log, SERVER_CORE) as child:
            yield child, begun
            if child.poll() is None:
                child.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(STOP_LIMIT)
                if child.poll() != 0:
                    raise Failed(f"larder did not stop well: exit code {child.poll()}\n{self.log.read_text()[-2000:]}")

    def ready(self, child):
        wait_until(lambda: fetch(self.admin, "/readyz")[0] == 200, child, "larder", self.log)

    def metric(self, name, tier):
        text = fetch(self.admin, "/metrics")[2].decode()
        found = re.search(rf'^{name}\{{[^}}]*tier="{tier}"[^}}]*\}} (\S+)', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def indexed(self, pages, begun, limit):
        """Seconds until all pages are in the index."""
        while (known := self.metric("larder_store_entries", "disk")) < pages:
            if time.monotonic() - begun > limit:
                raise Failed(f"{known:.0f} of {pages} pages are in the index after {limit:g} s")
            time.sleep(0.02)
        return time.monotonic() - begun


def wrk(port, how, pages, connections, limit):
    """draw.lua: (answers, seconds). Any error or non-2xx ends the comparison."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{limit}s", "--timeout", "10s",
               "-s", str(HERE / "draw.lua"), f"http://127.0.0.1:{port}", "--", how, str(pages)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            if child.stderr.readline().startswith("all answered"):
                child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=60)
        finally:
            child.kill()
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s|m|h),", out)
    if child.returncode or not found or re.search(r"Socket errors|Non-2xx", out):
        raise Failed(f"wrk against port {port}:\n{out}{err}")
    if how == "once" and int(found[1]) < pages:
        raise Failed(f"wrk got {found[1]} of {pages} pages in {limit} s")
    return int(found[1]), float(found[2]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[3]]


# --- stored ----------------------------------------------------------------------------------

def disk_bytes(folder, *more):
    """What du says."""
    done = subprocess.run(["du", "-s", "-B1", *more, str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def stored(larder, pages):
    """Stores all pages, through Larder; returns what one takes in the memory tier."""
    with larder.started() as (child, _):
        larder.ready(child)
        begun = time.monotonic()
        wrk(larder.port, "once", pages, given.connections, given.limit)
        took = time.monotonic() - begun
        larder.indexed(pages, time.monotonic(), 60)
        time.sleep(2)
        counted, entries = (larder.metric(f"larder_store_{what}", "disk") for what in ("bytes", "entries"))
        in_memory = [larder.metric(f"larder_store_{what}", "memory") for what in ("bytes", "entries")]
        resident = resident_bytes(child.pid)
    store = larder.folder / "store"
    print(f"\n### {pages} pages of {BODY} bytes stored in {took:.0f} s, {pages / took:.0f} a second\n\n"
          f"| | bytes a page | of the body |\n|---|---|---|")
    for what, total in (("larder_store_bytes on the disk", counted), ("blocks, by du", disk_bytes(store)),
                        ("lengths, by du", disk_bytes(store, "--apparent-size"))):
        print(f"| {what} | {total / pages:.0f} | {total / pages / BODY:.2f} |")
    print(f"\n{entries:.0f} entries on the disk; resident {resident / 2**20:.0f} MiB with a memory tier of "
          f"{given.memory} MiB", flush=True)
    return in_memory[0] / max(1, in_memory[1])


# --- restarted -------------------------------------------------------------------------------

@dataclasses.dataclass
class Start:
    first_hit: float        # seconds from exec
    others: int             # answers before it that were none
    indexed: float          # seconds from exec
    resident: int           # bytes, with a complete index
    asked: int              # origin requests for SAMPLE stored pages


def first_hit(port, draw, pages, begun):
    """Asks for stored pages from the first moment: (seconds until a hit, answers that were none)."""
    others = 0
    while time.monotonic() - begun < 60:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(f"GET {page(draw.randrange(pages))} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                head = b""
                while b"\r\n\r\n" not in head and (more := client.recv(65536)):
                    head += more
        except OSError:
            time.sleep(0.001)
            continue
        if re.search(rb"(?i)cache-status: larder\s*;\s*hit\b", head):
            return time.monotonic() - begun, others
        others += 1
    raise Failed(f"no hit within a minute of a restart, {others} other answers, the last one: {head[:500]!r}")


def restarted(larder, origin, pages, kill):
    """A start on the store as it is; it ends by SIGKILL or cleanly, for the next."""
    draw, asked = random.Random(pages), origin.asked()
    with larder.started() as (child, begun):
        hit, others = first_hit(larder.port, draw, pages, begun)
        indexed = larder.indexed(pages, begun, INDEX_LIMIT)
        time.sleep(1)
        resident = resident_bytes(child.pid)
        for _ in range(SAMPLE):
            fetch(larder.port, page(draw.randrange(pages)), {"Host": "127.0.0.1"})
        if kill:
            child.send_signal(signal.SIGKILL)
            child.wait()
    return Start(hit, others, indexed, resident, origin.asked() - asked)


def empty_bytes(larder):
    """What is resident with an empty store."""
    with larder.started() as (child, _):
        larder.ready(child)
        time.sleep(1)
        return resident_bytes(child.pid)


def forget_files():
    """The page cache, and what is known of names: needs root, and disturbs all that runs here."""
    subprocess.run(["sync"], check=True)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def restarts(larder, empty, origin, pages):
    """The table; fails where a promise was not kept."""
    nothing = empty_bytes(empty)
    starts = {"a clean stop": restarted(larder, origin, pages, kill=True),
              "kill -9": restarted(larder, origin, pages, kill=False)}
    if given.cold:
        forget_files()
        starts["a clean stop, nothing cached"] = restarted(larder, origin, pages, kill=True)
        forget_files()
        starts["kill -9, nothing cached"] = restarted(larder, origin, pages, kill=False)
    print("\n### restarts\n\n| after | first hit, s | answers before it | index complete, s | resident over an empty "
          f"store, bytes a page | origin requests for {SAMPLE} pages |\n|---|---|---|---|---|---|")
    for after, one in starts.items():
        print(f"| {after} | {one.first_hit:.3f} | {one.others} | {one.indexed:.2f} "
              f"| {(one.resident - nothing) / pages:.0f} | {one.asked} |", flush=True)
    print(f"\nwith an empty store {nothing / 2**20:.1f} MiB are resident")
    return [fault for after, one in starts.items() for fault in broken(after, one, (one.resident - nothing) / pages)]


def broken(after, one, index):
    """The promises that a start did not keep."""
    if one.first_hit > FIRST_HIT or one.others:
        yield f"after {after} the first hit came in {one.first_hit:.2f} s, behind {one.others} other answers"
    if one.asked:
        yield f"after {after} {one.asked} origin requests for pages that are stored and fresh"
    if index > INDEX_BYTES and given.pages >= 100_000:
        yield f"after {after} the index takes {index:.0f} bytes a page in memory (at most {INDEX_BYTES})"


# --- hits ------------------------------------------------------------------------------------

def measure(port, pid, pages):
    before = cpu_seconds(pid)
    answers, took = wrk(port, "random", pages, given.connections, given.seconds)
    return Cost((cpu_seconds(pid) - before) / answers * 1e6, answers / took)


def hits(larder, origin, pages):
    """Rounds over Larder and nginx; all of them have all of these pages, and the origin is not asked."""
    with contextlib.ExitStack() as stack:
        child, _ = stack.enter_context(larder.started())
        larder.ready(child)
        targets = [("larder", larder.port, child.pid)]
        for label, options in NGINX.items():
            server = stack.enter_context(nginx(f"127.0.0.1:{origin.port}", SERVER_CORE, in_memory=False, zone="512m",
                                               most="64g", **options))
            targets.append((label, server.port, server.pid))
        for _, port, _ in targets:
            wrk(port, "once", pages, given.connections, given.limit)
            # Some things are opened, or promoted, at the second visit only.
            wrk(port, "random", pages, given.connections, given.seconds)
        asked = origin.asked()
        rounds = [{label: measure(port, pid, pages) for label, port, pid in rotated(targets, number)}
                  for number in range(given.rounds)]
        if more := origin.asked() - asked:
            raise Failed(f"the origin was asked {more} times: not all that was measured were hits")
    labels = [label for label, _, _ in targets]
    per_second = ratios(rounds, labels[1], lambda one: 1 / one.cpu)
    print(f"\n### hits at random on {pages} pages, {LARGER} times the memory tier of {given.memory} MiB; "
          f"{given.rounds} rounds x {given.seconds} s\n\n{table(rounds, labels, 'larder')}\n\n"
          f"| server | hits per CPU second, of {labels[1]} | a CPU second |\n|---|---|---|")
    for label in labels:
        middle = statistics.median(1e6 / one[label].cpu for one in rounds)
        print(f"| {label} | {spread(per_second[label])} | {middle:.0f} |", flush=True)


def run():
    check_cores()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(fast_origin())
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="larder-disk-", dir=given.folder)))
        larder = Larder(folder / "full", origin, given.memory, given.larder_extra)
        empty = Larder(folder / "empty", origin, given.memory, given.larder_extra)
        print(f"larder and nginx on core {SERVER_CORE}, wrk -t1 -c{given.connections} and the origin on core "
              f"{LOAD_CORE}; load average {os.getloadavg()[0]:.2f} at the start", flush=True)
        in_memory = stored(larder, given.pages)
        faults = restarts(larder, empty, origin, given.pages)
        wanted = int(LARGER * given.memory * 2**20 / max(BODY, in_memory))
        if given.rounds:
            hits(larder, origin, min(wanted, given.pages))
            if wanted > given.pages:
                print(f"\nthe working set was to be {wanted} pages: store more, or take a smaller --memory")
    if faults:
        raise Failed("\n".join(faults))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", type=int, default=1_000_000)
    arguments.add_argument("--memory", type=int, default=64, metavar="MIB", help="of the memory tier")
    arguments.add_argument("--rounds", type=int, default=7, help="of hits; 0: none")
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--limit", type=int, default=1800, help="seconds for storing all pages")
    arguments.add_argument("--cold", action="store_true", help="restarts without a page cache as well (root)")
    arguments.add_argument("--folder", help="where the pages go; the system's temporary directory by default")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not (1000 <= given.pages <= 10_000_000 and 8 <= given.memory <= 4096 and 0 <= given.rounds <= 100
            and 1 <= given.seconds <= 60 and 1 <= given.connections <= 1000):
        arguments.error("pages 1000-10000000, memory 8-4096, rounds 0-100, seconds 1-60, connections 1-1000")
    main(run)
