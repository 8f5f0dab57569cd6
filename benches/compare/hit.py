#!/usr/bin/env python3
"""CPU per hit and throughput, side by side in interleaved rounds, one core each.

Each server sits on one core, wrk on another. CPU is user + system time of the serving processes with all their
threads (nginx: the worker). A ratio is the median of the ratios within a round; Larder is 1.
"""
import argparse
import contextlib
import dataclasses
import os
import re
import statistics
import subprocess
import time

from common import (CORES, LOAD_CORE, SERVER_CORE, Failed, cpu_seconds, fetch, main, raise_fd_limit, ratios, rotated,
                    spread)
from servers import APP_PAGE, SERVERS, larder_logs_to_files, next_start, origin

PAGE, PAGE_BYTES = "/page10k", 10240
APP_CONNECTIONS = 8         # `next start` gains nothing from more
CODINGS = ("gzip", "br", "zstd")
LOG_SETTLES = 1.5           # seconds without growth; nginx writes its buffer out every second
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
BROWSER_BYTES = sum(len(name) + len(value) + 4 for name, value in BROWSER.items())


@dataclasses.dataclass
class Load:
    """What every server is asked for."""
    path: str
    length: int                 # of the body
    headers: dict
    connections: int
    seconds: int                # of one round


@dataclasses.dataclass
class Cost:
    """What one server did in one round."""
    cpu: float                  # microseconds per request
    rate: float                 # requests per second
    logged: float = None        # lines of the access log per request, where one is written


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


def measure(target, load):
    """The Cost of one round."""
    before = cpu_seconds(target.pid)
    answers, took = wrk(target.port, load.path, load.connections, load.seconds, load.headers)
    used = cpu_seconds(target.pid) - before
    return Cost(used / answers * 1e6, answers / took, drained(target.log) / answers if target.log else None)


def drained(log):
    """The lines of an access log once it has come to rest; then it is emptied."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < LOG_SETTLES:
        if log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
        time.sleep(0.1)
    with open(log, "rb") as lines:
        count = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
    os.truncate(log, 0)
    return count


def prepare(target, load):
    """Warms the page and makes sure that what is measured is a hit of the right size."""
    fetch(target.port, load.path)
    status, fields, body = fetch(target.port, load.path, load.headers)
    if fields.get("Content-Encoding"):
        raise Failed(f"{target.name} answers {fields['Content-Encoding']}: bodies differ")
    if status != 200 or len(body) != load.length:
        raise Failed(f"{target.name}: status {status}, {len(body)} bytes, expected 200 and {load.length}")
    if not target.is_hit(fields):
        raise Failed(f"{target.name}: {load.path} is not a hit: {dict(fields)}")
    wrk(target.port, load.path, load.connections, 1, load.headers)
    if target.log:
        drained(target.log)


def compare(targets, load, rounds):
    """Interleaved rounds over all targets: a list of {label: Cost}."""
    for target in targets:
        prepare(target, load)
    return [{target.label: measure(target, load) for target in rotated(targets, number)} for number in range(rounds)]


def table(rounds, labels, base):
    """Rows of a Markdown table of ratios to `base`; `labels` is their order."""
    cpu, rate = (ratios(rounds, base, of) for of in (lambda one: one.cpu, lambda one: one.rate))
    lines = ["| server | CPU per request | requests per second |", "|---|---|---|"]
    lines += [f"| {label} | {spread(cpu[label])} | {spread(rate[label])} |" for label in labels]
    logged = [f"{label}: {min(one[label].logged for one in rounds):.3f}" for label in labels
              if rounds[0][label].logged is not None]
    if logged:
        lines += ["", f"Lines in the access log per request, the least of all rounds: {', '.join(logged)}."]
    middle = {part: statistics.median(getattr(one[base], part) for one in rounds) for part in ("cpu", "rate")}
    return "\n".join([*lines, "", f"{base} = 1: {middle['cpu']:.1f} us of CPU per request, {middle['rate']:.0f} "
                                  "requests per second on this machine."])


@contextlib.contextmanager
def pages(names, logged, options):
    """The named servers in front of one origin, each with the access log off and, if `logged`, another with it on."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(origin())
        targets = []
        for name in names:
            logs = logged and (name == "nginx" or (name == "larder" and larder_logs_to_files()))
            for more in [{}, {"logged": True}] if logs else [{}]:
                server = SERVERS[name](source.address, core=SERVER_CORE, **options.get(name, {}), **more)
                targets.append(stack.enter_context(server))
        yield targets
        asked = source.counts().get(PAGE, 0)
        if asked != len(targets):
            raise Failed(f"{len(targets)} servers asked the origin {asked} times: not all that was measured were hits")


@contextlib.contextmanager
def app(names, options):
    """`next start`, and each of the named servers in front of it; and what they are asked for."""
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(next_start(SERVER_CORE))
        fronts = []
        for name in names:
            server = SERVERS[name](f"127.0.0.1:{behind.port}", core=SERVER_CORE, **options.get(name, {}))
            fronts.append(stack.enter_context(server))
        yield [*fronts, behind], len(fetch(behind.port, APP_PAGE)[2])


def coded(rounds, seconds, connections):
    """What a hit costs in each content coding, against the same hit as it is: a Markdown table."""
    with origin() as source, SERVERS["larder"](source.address, core=SERVER_CORE) as target:
        fetch(target.port, PAGE)
        lengths, loads = {}, {}
        for coding in ("as it is", *CODINGS):
            headers = {"Accept-Encoding": coding} if coding in CODINGS else {}
            lengths[coding] = settled(target, coding, headers)
            loads[coding] = Load(PAGE, lengths[coding], headers, connections, seconds)
            wrk(target.port, PAGE, connections, 1, headers)
        costs = [{coding: measure(target, loads[coding]) for coding in rotated(list(loads), number)}
                 for number in range(rounds)]
    cpu, rate = (ratios(costs, "as it is", of) for of in (lambda one: one.cpu, lambda one: one.rate))
    lines = ["| coding | bytes | CPU per request | requests per second |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {coding} | {lengths[coding]} | {spread(cpu[coding])} | {spread(rate[coding])} |"
                                for coding in loads)])


def settled(target, coding, headers):
    """Asks until the page comes in this coding; its length then."""
    for _ in range(200):
        status, fields, body = fetch(target.port, PAGE, headers)
        if status == 200 and target.is_hit(fields) and fields.get("Content-Encoding", "as it is") == coding:
            return len(body)
        time.sleep(0.05)
    raise Failed(f"{PAGE} does not come {coding}")


def check_cores():
    if len(CORES) < 2:
        raise Failed("two cores are needed: one for the server, one for wrk")
    raise_fd_limit(1024)


def run():
    check_cores()
    names = [given.only] if given.only else ["larder", "nginx", *(["varnish"] if given.varnish else [])]
    # Bodies of the same length from all of them.
    options = {"larder": {"extra": given.larder_extra or "defaults: { compress: [] }"}, "nginx": {"sendfile": given.nginx_sendfile}}
    print(f"{given.rounds} rounds x {given.seconds} s, wrk -t1 -c{given.connections} on core {LOAD_CORE}, servers on "
          f"core {SERVER_CORE}; load average {os.getloadavg()[0]:.2f} at the start")
    with pages(names, given.logged, options) as targets:
        for title, headers in (("bare wrk headers", {}), (f"browser headers ({BROWSER_BYTES} bytes)", BROWSER)):
            load = Load(PAGE, PAGE_BYTES, headers, given.connections, given.seconds)
            rounds = compare(targets, load, given.rounds)
            print(f"\n### {title}\n\n{table(rounds, [target.label for target in targets], names[0])}", flush=True)
    if given.coded:
        print(f"\n### in content codings\n\n{coded(given.rounds, given.seconds, given.connections)}", flush=True)
    if given.next:
        with app(names, options) as (targets, length):
            load = Load(APP_PAGE, length, {}, APP_CONNECTIONS, given.seconds)
            rounds = compare(targets, load, given.rounds)
            print(f"\n### {APP_PAGE} of a Next.js app, {length} bytes, -c{APP_CONNECTIONS}\n\n"
                  f"{table(rounds, [target.label for target in targets], names[0])}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--only", choices=list(SERVERS))
    arguments.add_argument("--varnish", action="store_true", help="Varnish as well")
    arguments.add_argument("--logged", action="store_true", help="Larder and nginx with an access log as well")
    arguments.add_argument("--coded", action="store_true", help="Larder in each content coding as well")
    arguments.add_argument("--next", action="store_true",
                           help="`next start` of tests/nextjs/app as well, built where it is not yet")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    arguments.add_argument("--nginx-sendfile", choices=["on", "off"], default="off",
                           help="off is the cheaper one for 10 KiB (0.79 of on), so nginx gets it")
    given = arguments.parse_args()
    if not (1 <= given.rounds <= 100 and 1 <= given.seconds <= 60 and 1 <= given.connections <= 1000):
        arguments.error("rounds 1-100, seconds 1-60, connections 1-1000")
    main(run)
