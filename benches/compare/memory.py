#!/usr/bin/env python3
"""What larder's memory store costs per page: 100,000 pages of 2 KiB, resident memory before and after."""
import argparse
import asyncio
import random
import re
import time

from clients import connect, crowd, request
from common import Failed, fetch, larder, main, origin, raise_fd_limit, resident_bytes

BODY = 2048
ALLOWANCE = 700     # over body and head, per page
WARM = 500          # pages that settle pools and buffers before the first look
SAMPLE = 500        # stored pages asked for again: they have to be hits
STORE = "store: {memory: {max_size: 1GiB}}"


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


def load(port, numbers, what):
    tally = asyncio.run(crowd(port, (f"/p/{number}" for number in numbers), given.connections, 10.0, given.limit))
    if tally.faults or tally.unsent:
        raise Failed(f"{what}: {tally.unsent} not sent, faults {dict(tally.faults.most_common(5))}")
    return tally.seconds


def run():
    raise_fd_limit(1024)
    extra = f"{STORE}\n{given.larder_extra}"
    with origin() as source, larder(f"127.0.0.1:{source.port}", extra=extra) as server:
        load(server.port, range(WARM), "warming")
        time.sleep(1)
        before, bytes_before = resident_bytes(server.pid), metric(server.admin, "larder_store_bytes")
        took = load(server.port, range(WARM, WARM + given.pages), "storing")
        time.sleep(1)
        after, bytes_after = resident_bytes(server.pid), metric(server.admin, "larder_store_bytes")
        entries = metric(server.admin, "larder_store_entries")
        asked = source.counts()["total"]
        load(server.port, random.Random(1).sample(range(WARM, WARM + given.pages), min(SAMPLE, given.pages)), "again")
        again = source.counts()["total"] - asked
        head = asyncio.run(stored_head(server.port, f"/p/{WARM}"))

    per_page = (after - before) / given.pages
    over = per_page - BODY - len(head)
    print(f"{given.pages} pages of {BODY} bytes stored in {took:.0f} s, {given.pages / took:.0f} a second")
    print(f"resident: {before / 2**20:.1f} MiB before, {after / 2**20:.1f} MiB after: {per_page:.0f} bytes a page")
    print(f"over the body: {per_page - BODY:.0f} bytes; head as received: {len(head)} bytes; "
          f"over body and head: {over:.0f} bytes (at most {ALLOWANCE})")
    if bytes_before is not None and bytes_after is not None:
        counted = (bytes_after - bytes_before) / given.pages
        print(f"larder_store_bytes: {counted:.0f} bytes a page, {per_page / counted:.2f} resident for each counted"
              if counted else "larder_store_bytes does not move")
    else:
        print("larder_store_bytes is not exposed")
    print(f"larder_store_entries: {entries}; of {min(SAMPLE, given.pages)} asked again {again} went to the origin")
    print(f"\nthe head:\n{head.decode('latin-1').strip()}")
    if again:
        raise Failed("not every page was kept")
    if over > ALLOWANCE:
        raise Failed(f"{over:.0f} bytes a page over body and head")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pages", type=int, default=100000)
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument("--limit", type=float, default=300.0, help="seconds for storing all pages")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not (1 <= given.pages <= 350000 and 1 <= given.connections <= 1000 and 0 < given.limit <= 3600):
        arguments.error("pages 1-350000 (they have to fit in 1 GiB), connections 1-1000, limit up to 3600 s")
    main(run)
