#!/usr/bin/env python3
"""What it takes to invalidate one tag that 1,000 or 100,000 stored pages carry: the first call, and the median of 100.

Larder: POST /v1/revalidate. Varnish: a ban by varnishadm, and xkey's soft purge where varnish-modules is installed.
nginx has no purge and no tags in its free version. Every call is made on a connection that is already warm, and none
may ask the origin for anything; one visit after them has to.
"""
import argparse
import asyncio
import contextlib
import dataclasses
import json
import pathlib
import socket
import statistics
import subprocess
import time

from clients import crowd
from common import SERVER_CORE, Failed, fetch, main, raise_fd_limit
from origin import TAG
from servers import SERVERS, TOKEN, origin

FEW = 1000
SAMPLE = 500            # stored pages asked for again before the calls: they have to be hits
WARMING = 10            # calls that do nothing and are not counted: the connection is warm then
SETTLED = 5.0           # seconds that a visit's refresh may take to reach the origin
BYTES_PER_PAGE = 4096   # room in the store, generously
MODULES = ("varnish/vmods", "*/varnish/vmods")      # below /usr/lib
XKEY_VCL = f"""
import xkey;
sub vcl_recv {{
    if (req.method == "POST" && req.url == "/softpurge") {{
        return (synth(200, xkey.softpurge("{TAG}")));
    }}
}}
sub vcl_backend_response {{ set beresp.http.xkey = beresp.http.Cache-Tag; }}
"""


@dataclasses.dataclass
class Calls:
    """The calls of one way to invalidate."""
    pages: int
    first: float                # microseconds of the first call, which finds every page as it was stored
    micros: float               # of each of those that follow, median
    trip: float                 # of a call on the same connection that invalidates nothing, median
    asked: int                  # origin requests that the calls caused


class Http:
    """A warm connection and one call on it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(120)

    def call(self, line, fields=(), body=b""):
        """(status line, body)"""
        head = [line + " HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *fields]
        self.socket.sendall("\r\n".join([*head, "", ""]).encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = dict(field.partition(b":")[::2] for field in head.lower().split(b"\r\n")[1:])
        length = int(fields.get(b"content-length", 0))
        while len(rest) < length:
            rest += self.more()
        return head.partition(b"\r\n")[0].decode(), rest

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Failed("the connection was closed in the middle of an answer")
        return data

    def close(self):
        self.socket.close()


class Cli:
    """One varnishadm that stays: with -p, commands go in and each answer comes with its status and length."""

    def __init__(self, folder):
        command = ["varnishadm", "-p", "-n", str(folder)]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self, command):
        self.child.stdin.write(command.encode() + b"\n")
        self.child.stdin.flush()
        head = self.child.stdout.readline().split()
        if len(head) != 2:
            raise Failed(f"varnishadm does not answer to {command}")
        text = self.child.stdout.read(int(head[1]))
        if head[0] != b"200":
            raise Failed(f"varnishadm {command}: {head[0].decode()} {text!r}")

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)


def took(call):
    """Microseconds."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def fill(server, source, settings):
    paths = [f"/tagged/{number}" for number in range(settings.pages)]
    tally = asyncio.run(crowd(server.port, paths, 32, 10.0, settings.limit))
    if tally.faults or tally.unsent:
        raise Failed(f"{server.name}: {tally.unsent} not sent, faults {dict(tally.faults.most_common(5))}")
    again = asyncio.run(crowd(server.port, paths[:: max(1, len(paths) // SAMPLE)], 32))
    if again.faults or source.counts()["total"] != len(paths):
        raise Failed(f"{server.name} did not store all pages: {source.counts()['total']} requests for {len(paths)}")


def measured(source, settings, invalidate, nothing, visit):
    """The Calls of one way; afterwards `visit` has to make the server ask the origin for that page."""
    source.reset()
    trip = [took(nothing) for _ in range(WARMING + settings.calls)][WARMING:]
    first = took(invalidate)
    micros = [took(invalidate) for _ in range(settings.calls)]
    asked = source.counts()["total"]
    visit()
    end = time.monotonic() + SETTLED
    while source.counts()["total"] == asked:
        if time.monotonic() > end:
            raise Failed("a page with the tag was not asked for again: nothing was invalidated")
        time.sleep(0.05)
    return Calls(settings.pages, first, statistics.median(micros), statistics.median(trip), asked)


def revalidate(connection):
    body = json.dumps({"tags": [TAG]}).encode()
    status, answer = connection.call(
        "POST /v1/revalidate", [f"Authorization: Bearer {TOKEN}", "Content-Type: application/json"], body)
    if " 200" not in status:
        raise Failed(f"POST /v1/revalidate: {status} {answer[:500]!r}")


def soft_purge(connection, pages):
    """The first has to find them all; xkey passes by those that are purged already."""
    status, _ = connection.call("POST /softpurge")
    if " 200 " not in status or int(status.split()[-1]) not in (pages, 0):
        raise Failed(f"xkey was to purge {pages} pages: {status}")


def larder_calls(settings):
    with filled("larder", settings, {"extra": settings.larder_extra}) as (server, source):
        with contextlib.closing(Http(server.admin)) as connection:
            yield "larder", measured(source, settings, lambda: revalidate(connection),
                                     lambda: connection.call("GET /healthz"), lambda: fetch(server.port, "/tagged/0"))


def varnish_calls(settings):
    xkey = has_xkey()
    with filled("varnish", settings, {"vcl": XKEY_VCL if xkey else ""}) as (server, source):
        if xkey:
            with contextlib.closing(Http(server.port)) as connection:
                yield "varnish, xkey soft purge", measured(
                    source, settings, lambda: soft_purge(connection, settings.pages),
                    lambda: connection.call("GET /tagged/1"), lambda: fetch(server.port, "/tagged/0"))
        with contextlib.closing(Cli(server.folder / "work")) as connection:
            yield "varnish, ban", measured(source, settings, lambda: connection.call(f"ban obj.http.Cache-Tag ~ {TAG}"),
                                           lambda: connection.call("ping"), lambda: fetch(server.port, "/tagged/0"))


@contextlib.contextmanager
def filled(name, settings, options):
    memory = max(256, settings.pages * BYTES_PER_PAGE // 2**20)
    with origin() as source, SERVERS[name](source.address, core=SERVER_CORE, memory=memory, **options) as server:
        fill(server, source, settings)
        yield server, source


def has_xkey():
    return any(any(pathlib.Path("/usr/lib").glob(f"{folder}/libvmod_xkey.so")) for folder in MODULES)


WAYS = {"larder": larder_calls, "varnish": varnish_calls}


def told(name, one):
    print(f"| {name} | {one.pages} | {one.first:.0f} | {one.micros:.0f} | {one.trip:.0f} | {one.asked} |", flush=True)
    if one.asked:
        raise Failed(f"{name}: the calls alone caused {one.asked} origin requests")


def run():
    raise_fd_limit(1024)
    names = [given.only] if given.only else list(WAYS)
    print(f"| | pages with the tag | us, the first call | us, median of the next {given.calls} "
          "| us of a call that does nothing | origin requests |\n|---|---|---|---|---|---|")
    for pages in (FEW, given.pages):
        for name in names:
            for way, one in WAYS[name](argparse.Namespace(**{**vars(given), "pages": pages})):
                told(way, one)
    if "varnish" in names and not has_xkey():
        print("\nxkey was not tried: it comes with the package varnish-modules, which is not installed")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", type=int, default=100000)
    arguments.add_argument("--calls", type=int, default=100)
    arguments.add_argument("--limit", type=float, default=1800.0, help="seconds for storing all pages")
    arguments.add_argument("--only", choices=list(WAYS))
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not (FEW <= given.pages <= 1_000_000 and 1 <= given.calls <= 1000 and 0 < given.limit <= 7200):
        arguments.error(f"pages {FEW}-1000000, calls 1-1000, limit up to 7200 s")
    main(run)
