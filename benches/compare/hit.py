#!/usr/bin/env python3
"""CPU per hit and throughput: larder against nginx in interleaved rounds, one thread each.

Each server sits on one core, wrk on another. CPU is user + system time of the serving process
(all its threads; nginx: the worker). The ratio is the median of the ratios within a round.
"""
import argparse
import contextlib
import os
import re
import statistics
import subprocess
from urllib.parse import urlsplit

from common import (CORES, LOAD_CORE, SERVER_CORE, SERVERS, Failed, Server, cpu_seconds, children_of, fetch,
                    main, origin, raise_fd_limit)

PAGE, PAGE_BYTES = "/page10k", 10240
BROWSER = {
    "Cache-Control": "max-age=0",
    "sec-ch-ua": '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Windows"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                  "Chrome/140.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
              "application/signed-exchange;v=b3;q=0.7",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Cookie": "_ga=GA1.1.1234567890.1760000000",
}


class Next:
    """A running `next start`: the cost is that of its process and its children."""
    name, connections = "next", 8

    def __init__(self, url, pid):
        parts = urlsplit(url)
        self.port, self.path, self.pid = parts.port or 80, parts.path or "/", pid
        self.address = f"127.0.0.1:{self.port}"
        if parts.hostname not in ("127.0.0.1", "localhost"):
            raise Failed("--next has to be on 127.0.0.1")


def tree_cpu_seconds(pid, depth=4):
    """Of a process and its descendants; what ends in between is lost, so it must not."""
    below = children_of(pid) if depth else []
    return cpu_seconds(pid) + sum(tree_cpu_seconds(child, depth - 1) for child in below)


def wrk(port, path, connections, seconds, headers):
    """The number of answers and the seconds it took; any error or non-2xx ends the comparison."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True,
                          timeout=seconds + 30)
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s),", done.stdout)
    if done.returncode or not found or re.search(r"Socket errors|Non-2xx", done.stdout):
        raise Failed(f"wrk against port {port}:\n{done.stdout}{done.stderr}")
    if int(found[1]) == 0:
        raise Failed(f"wrk got no answer on port {port} in {seconds} s")
    return int(found[1]), float(found[2]) / (1000 if found[3] == "ms" else 1)


def measure(target, path, seconds, headers):
    """(CPU us per request, requests per second) of one round."""
    cpu_of = tree_cpu_seconds if isinstance(target, Next) else cpu_seconds
    before = cpu_of(target.pid)
    answers, took = wrk(target.port, path, getattr(target, "connections", given.connections), seconds, headers)
    return (cpu_of(target.pid) - before) / answers * 1e6, answers / took


def verify(target, path, length, headers):
    """Warms the page and makes sure that what is measured is a hit of the right size."""
    fetch(target.port, path)
    status, fields, body = fetch(target.port, path, headers)
    if fields.get("Content-Encoding"):
        raise Failed(f"{target.name} answers {fields['Content-Encoding']}: bodies differ; turn compression off "
                     "with --larder-extra 'defaults: {compress: []}'")
    if status != 200 or len(body) != length:
        raise Failed(f"{target.name}: status {status}, {len(body)} bytes, expected 200 and {length}")
    if isinstance(target, Server) and not target.is_hit(fields):
        raise Failed(f"{target.name}: {path} is not a hit: {dict(fields)}")


def compare(title, targets, path, length, headers):
    """Interleaved rounds over all targets and a table; the last target is what ratios divide by."""
    for target in targets:
        verify(target, path, length, headers)
        wrk(target.port, path, getattr(target, "connections", given.connections), 1, headers)
    rounds = []
    for number in range(given.rounds):
        order = targets if number % 2 == 0 else targets[::-1]
        rounds.append({target.name: measure(target, path, given.seconds, headers) for target in order})
    print(f"\n### {title}\n\n| server | CPU us/request, median (min-max) | req/s, median (min-max) |\n|---|---|---|")
    for target in targets:
        cost, rate = zip(*(one[target.name] for one in rounds))
        print(f"| {target.name} | {statistics.median(cost):.2f} ({min(cost):.2f}-{max(cost):.2f}) "
              f"| {statistics.median(rate):.0f} ({min(rate):.0f}-{max(rate):.0f}) |")
    if len(targets) == 2:
        first, last = targets[0].name, targets[1].name
        for label, index in (("CPU per request", 0), ("req/s", 1)):
            ratios = [one[first][index] / one[last][index] for one in rounds]
            print(f"\n**{first}/{last}, {label}: {statistics.median(ratios):.3f}** "
                  f"({min(ratios):.3f}-{max(ratios):.3f})")


def start(stack, name, address):
    options = {"extra": given.larder_extra} if name == "larder" else {"sendfile": given.nginx_sendfile}
    return stack.enter_context(SERVERS[name](address, core=SERVER_CORE, **options))


def run():
    if len(CORES) < 2:
        raise Failed("two cores are needed: one for the server, one for wrk")
    raise_fd_limit(1024)
    names = [given.only] if given.only else ["larder", "nginx"]
    browser_bytes = sum(len(name) + len(value) + 4 for name, value in BROWSER.items())
    print(f"{given.rounds} rounds x {given.seconds} s, wrk -t1 -c{given.connections} on core {LOAD_CORE}, servers on "
          f"core {SERVER_CORE}; load average {os.getloadavg()[0]:.2f} at the start")
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(origin())
        targets = [start(stack, name, f"127.0.0.1:{source.port}") for name in names]
        compare("bare wrk headers", targets, PAGE, PAGE_BYTES, {})
        compare(f"browser headers ({browser_bytes} bytes)", targets, PAGE, PAGE_BYTES, BROWSER)
        asked = source.counts().get(PAGE, 0)
        print(f"\norigin requests in all: {asked} (expected {len(targets)})")
        if asked != len(targets):
            raise Failed("not everything that was measured was a hit")
    if given.next:
        with contextlib.ExitStack() as stack:
            app = Next(given.next, given.next_pid)
            front = start(stack, names[0], app.address)
            length = len(fetch(app.port, app.path)[2])
            compare(f"next start, {length} bytes, -c{app.connections}", [app, front], app.path, length, {})


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--only", choices=list(SERVERS))
    arguments.add_argument("--next", metavar="URL", help="a page of a running `next start` that may be cached")
    arguments.add_argument("--next-pid", type=int, metavar="PID", help="its process")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    arguments.add_argument("--nginx-sendfile", choices=["on", "off"], default="off",
                           help="off is the cheaper one for 10 KiB (0.79 of on), so nginx gets it")
    given = arguments.parse_args()
    if bool(given.next) != bool(given.next_pid):
        arguments.error("--next and --next-pid go together")
    if not (1 <= given.rounds <= 100 and 1 <= given.seconds <= 60 and 1 <= given.connections <= 1000):
        arguments.error("rounds 1-100, seconds 1-60, connections 1-1000")
    main(run)
