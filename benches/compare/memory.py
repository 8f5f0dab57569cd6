#!/usr/bin/env python3
"""What a stored page costs: 100,000 pages of 2 KiB, memory before and after.

Memory is what is resident of the serving processes; for nginx also its cache files, in whole blocks, which lie in
memory here as they do in a page cache.
"""
import argparse
import asyncio
import dataclasses
import random
import re
import time

from clients import connect, crowd, request
from common import SERVER_CORE, Failed, fetch, file_bytes, main, raise_fd_limit, resident_bytes
from servers import SERVERS, origin

BODY = 2048
ALLOWANCE = 700     # over body and head, per page
WARM = 500          # pages that settle pools and buffers before the first look
SAMPLE = 500        # stored pages asked for again: they have to be hits
STORE_MIB = 1024
PROMISED = "larder"
# Varnish keeps the last 80 MiB of its log in memory; with the least it allows, warming fills that.
SMALL_LOG = "vsl_space=1m"


@dataclasses.dataclass
class Stored:
    """What storing the pages took."""
    pages: int
    before: int                 # bytes
    after: int                  # bytes
    counted: float              # larder_store_bytes per page, or None
    entries: float              # larder_store_entries, or None
    head: bytes
    again: int                  # of SAMPLE stored pages, how many went to the origin
    seconds: float

    @property
    def per_page(self):
        return (self.after - self.before) / self.pages


def metric(admin, name):
    """The sum of a metric over its labels, or None where it is not exposed."""
    text = fetch(admin, "/metrics")[2].decode()
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.eE+]+)", text, re.MULTILINE)
    return sum(float(value) for value in values) if values else None


async def stored_head(port, path):
    """The head of a stored page as it goes to a client."""
    client = await connect(port)
    try:
        await client.send(request(path))
        return (await client.send(request(path))).head
    finally:
        client.drop()


def load(port, numbers, what, crowd_of):
    tally = asyncio.run(crowd(port, (f"/p/{number}" for number in numbers), crowd_of.connections, 10.0, crowd_of.limit))
    if tally.faults or tally.unsent:
        raise Failed(f"{what}: {tally.unsent} not sent, faults {dict(tally.faults.most_common(5))}")
    return tally.seconds


def in_memory(server):
    return resident_bytes(server.pid) + (file_bytes(server.folder / "cache") if server.name == "nginx" else 0)


def stored(name, crowd_of, extra=""):
    """One server, started for it, stores the pages; `crowd_of` says how many and how they are asked for."""
    options = {"larder": {"extra": extra, "memory": STORE_MIB},
               "varnish": {"memory": STORE_MIB, "parameters": [SMALL_LOG]}}.get(name, {})
    first = crowd_of.pages + WARM
    with origin() as source, SERVERS[name](source.address, core=SERVER_CORE, **options) as server:
        def told(metric_name):
            return metric(server.admin, metric_name) if server.admin else None
        load(server.port, range(WARM), "warming", crowd_of)
        time.sleep(1)
        before, bytes_before = in_memory(server), told("larder_store_bytes")
        took = load(server.port, range(WARM, first), "storing", crowd_of)
        time.sleep(1)
        after, bytes_after = in_memory(server), told("larder_store_bytes")
        entries, asked = told("larder_store_entries"), source.counts()["total"]
        sample = random.Random(1).sample(range(WARM, first), min(SAMPLE, crowd_of.pages))
        load(server.port, sample, "again", crowd_of)
        again = source.counts()["total"] - asked
        head = asyncio.run(stored_head(server.port, f"/p/{WARM}"))
    counted = None if None in (bytes_before, bytes_after) else (bytes_after - bytes_before) / crowd_of.pages
    return Stored(crowd_of.pages, before, after, counted, entries, head, again, took)


def told(name, one):
    over = one.per_page - BODY - len(one.head)
    print(f"\n### {name}\n\n{one.pages} pages of {BODY} bytes stored in {one.seconds:.0f} s, "
          f"{one.pages / one.seconds:.0f} a second")
    print(f"in memory: {one.before / 2**20:.1f} MiB before, {one.after / 2**20:.1f} MiB after: "
          f"{one.per_page:.0f} bytes a page")
    print(f"over the body: {one.per_page - BODY:.0f} bytes; head as received: {len(one.head)} bytes; "
          f"over body and head: {over:.0f} bytes" + (f" (at most {ALLOWANCE})" if name == PROMISED else ""))
    if one.counted is not None:
        print(f"larder_store_bytes: {one.counted:.0f} bytes a page, {one.per_page / one.counted:.2f} resident for each "
              "counted" if one.counted else "larder_store_bytes does not move")
    elif name == PROMISED:
        print("larder_store_bytes is not exposed")
    entries = f"larder_store_entries: {one.entries}; " if name == PROMISED else ""
    print(f"{entries}of {min(SAMPLE, one.pages)} asked again {one.again} went to the origin")
    print(f"\nthe head:\n{one.head.decode('latin-1').strip()}", flush=True)
    if name == PROMISED and one.again:
        raise Failed("not every page was kept")
    if name == PROMISED and over > ALLOWANCE:
        raise Failed(f"{over:.0f} bytes a page over body and head")


def run():
    raise_fd_limit(1024)
    others = [name for name in ("nginx", "varnish") if getattr(given, name)]
    for name in [PROMISED, *others]:
        told(name, stored(name, given, given.larder_extra))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", type=int, default=100000)
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--limit", type=float, default=300.0, help="seconds for storing all pages")
    arguments.add_argument("--nginx", action="store_true", help="nginx as well")
    arguments.add_argument("--varnish", action="store_true", help="Varnish as well")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not (1 <= given.pages <= 350000 and 1 <= given.connections <= 1000 and 0 < given.limit <= 3600):
        arguments.error("pages 1-350000 (they have to fit in 1 GiB), connections 1-1000, limit up to 3600 s")
    main(run)
