#!/usr/bin/env python3
"""50,000 requests over 200 known, stale pages while the origin is sick, in every way it can be.

Each way starts with a fresh server and a healthy origin. A fault is whatever a visitor would notice: another
status than 200, another body, a broken connection, no answer within --patience.
"""
import argparse
import asyncio
import collections
import dataclasses
import random
import time

from clients import Tally, crowd
from common import LOAD_CORE, SERVER_CORE, Failed, main, raise_fd_limit
from servers import SERVERS, origin

WAYS = ("refuse", "hang", "503", "reset", "truncate", "garbage")
STALE_AFTER = 2.5   # seconds: s-maxage=1, and nginx counts whole ones


@dataclasses.dataclass
class Scene:
    """What visitors saw of one sickness, and how often the origin was asked meanwhile."""
    tally: Tally
    asked: int                  # nobody counts connections that are refused: 0 for "refuse"

    @property
    def faults(self):
        return self.tally.faults.total()

    @property
    def answered(self):
        return len(self.tally.latencies) + self.faults

    @property
    def errors(self):
        return self.faults + self.tally.unsent


def scene(name, way, crowd_of, options):
    """One server, started for it, through one sickness; `crowd_of` says what `crowd` gets."""
    pages = [f"/swr/{number}" for number in range(crowd_of.pages)]
    draw = random.Random(way)
    with origin() as source, SERVERS[name](source.address, core=SERVER_CORE, **options) as server:
        warm = asyncio.run(crowd(server.port, pages, 16))
        if warm.faults or warm.unsent:
            raise Failed(f"{name} did not take the pages from the healthy origin: {dict(warm.faults)}")
        time.sleep(STALE_AFTER)
        source.reset()
        source.mode(way)
        tally = asyncio.run(crowd(server.port, (draw.choice(pages) for _ in range(crowd_of.requests)),
                                  crowd_of.connections, crowd_of.patience, crowd_of.limit))
        asked = source.counts()["total"]
    if asked == 0 and way != "refuse":
        raise Failed(f"{name}, {way}: no refresh was tried, so the pages were not stale and nothing was shown")
    return Scene(tally, asked)


def told(name, way, one):
    print(f"| {name} | {way} | {one.answered} | {one.faults} | {'n/a' if way == 'refuse' else one.asked} "
          f"| {one.tally.percentile(0.5) * 1000:.2f} | {one.tally.percentile(0.99) * 1000:.2f} "
          f"| {one.tally.percentile(1) * 1000:.0f} | {one.tally.seconds:.1f} |", flush=True)
    seen = collections.Counter({f"{name}, {way}: {what}": times for what, times in one.tally.faults.items()})
    if one.tally.unsent:
        seen[f"{name}, {way}: not sent in {given.limit:g} s"] = one.tally.unsent
    return seen


def run():
    raise_fd_limit(1024)
    others = [name for name in ("nginx", "varnish") if getattr(given, name)]
    names = [given.only] if given.only else ["larder", *others]
    print(f"{given.requests} requests over {given.pages} pages, {given.connections} connections from core {LOAD_CORE}, "
          f"servers on core {SERVER_CORE}\n\n| server | origin | answered | faults | reached the origin "
          "| p50 ms | p99 ms | max ms | took s |\n|---|---|---|---|---|---|---|---|---|")
    seen = collections.Counter()
    for way in given.ways:
        for name in names:
            options = {"extra": given.larder_extra} if name == "larder" else {}
            seen += told(name, way, scene(name, way, given, options))
    for what, times in sorted(seen.items()):
        print(f"\n{times} x {what}")
    if any(what.startswith("larder") for what in seen):
        raise Failed("visitors of larder noticed")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--requests", type=int, default=50000)
    arguments.add_argument("--pages", type=int, default=200)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    arguments.add_argument("--patience", type=float, default=5.0, help="seconds a visitor waits for an answer")
    arguments.add_argument("--limit", type=float, default=120.0, help="seconds for all requests of one way")
    arguments.add_argument("--nginx", action="store_true", help="nginx as well")
    arguments.add_argument("--varnish", action="store_true", help="Varnish as well")
    arguments.add_argument("--only", choices=list(SERVERS))
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not (1 <= given.requests <= 10**7 and 1 <= given.pages <= 10**5 and 1 <= given.connections <= 1000
            and 0 < given.limit <= 3600):
        arguments.error("requests up to 10^7, pages up to 10^5, connections up to 1000, limit up to 3600 s")
    main(run)
