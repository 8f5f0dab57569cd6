#!/usr/bin/env python3
"""A crawler asks for 200,000 pages that nobody else wants: do the 1,000 that are visited all the while stay stored?

All of them are pages of one route, and the store holds a part of the crawled ones. The visits keep pace with the crawl
(one for every --pace answers to it), so the numbers do not depend on how fast the machine is. Nothing is judged.
"""
import argparse
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import re
import time

from clients import Tally, crowd
from common import LOAD_CORE, SERVER_CORE, Failed, main, on_load_core, raise_fd_limit, resident_bytes
from servers import larder, larder_refuses, origin

CRAWLED, HOT = 200_000, 1000
PAGE_BYTES, RENDER_MS = 10240, 5
STORE_MIB = 64
CAP = 64                # renders.max_concurrent, as it is by itself
CONNECTIONS = 128       # of the crawler: more than the cap
VISITORS = 48           # connections of those who visit the hot pages
PACE = 4
BEFORE = 5000           # visits of hot pages that are counted before the crawl
WARM_LIMIT = 240.0      # seconds until all hot pages are stored
VARIANTS = {
    "default": "",
    "admit_after: 2": ", admit_after: 2",
    "renders_per_minute: 600": ", renders_per_minute: 600",
}


@dataclasses.dataclass
class Visits:
    """Of the hot pages."""
    seen: int = 0
    hits: int = 0
    faults: int = 0

    def count(self, _path, answer):
        self.seen += 1
        self.hits += is_hit(answer)

    @property
    def share(self):
        """Of hits, in percent of the visits; no answer is no hit."""
        return 100 * self.hits / max(1, self.seen + self.faults)


@dataclasses.dataclass
class Scene:
    """One crawl."""
    before: Visits
    during: Visits
    tally: Tally                # of the crawler
    asked: int                  # origin requests meanwhile, those for hot pages included
    peak: int                   # of them at once
    resident: int               # bytes, at the end

    @property
    def lost(self):
        return self.before.share - self.during.share

    @property
    def crawled(self):
        return len(self.tally.latencies) + self.tally.faults.total()

    @property
    def refused(self):
        """Answers with a status that says no."""
        return sum(times for what, times in self.tally.faults.items() if re.fullmatch(r"status (429|503)", what))


# Of a table, from a Scene.
COLUMNS = {
    "hits of the hot pages before, %": lambda one: one.before.share,
    "during, %": lambda one: one.during.share,
    "points lost": lambda one: one.lost,
    "hot visits without an answer": lambda one: one.during.faults,
    "origin requests per crawled page": lambda one: one.asked / max(1, one.crawled),
    "answers in time, of 1": lambda one: one.crawled / (one.crawled + one.tally.unsent),
    "refused (429, 503), of 1": lambda one: one.refused / max(1, one.crawled),
    f"renders at once, of the cap of {CAP}": lambda one: one.peak / CAP,
    f"resident, of the store's {STORE_MIB} MiB": lambda one: one.resident / 2**20 / STORE_MIB,
}


def is_hit(answer):
    return re.match(r"larder\s*;\s*hit\b", answer.field("cache-status")) is not None


def route(variant):
    return f'routes:\n  - {{ name: pages, match: "/render/**", revalidate: 1h{VARIANTS[variant]} }}\n'


def page(kind, number):
    return f"/render/{PAGE_BYTES}/{RENDER_MS}/{kind}{number}"


def draws(settings):
    """Hot pages, one after the other, without an end."""
    draw, pages = random.Random(1), [page("hot", number) for number in range(settings.hot)]
    weights = [1 / rank for rank in range(1, len(pages) + 1)] if settings.draw == "zipf" else [1.0] * len(pages)
    cumulated = list(itertools.accumulate(weights))
    while True:
        yield from draw.choices(pages, cum_weights=cumulated, k=1000)


def warm(server, settings):
    """Visits the hot pages until each was a hit."""
    missing, end = {page("hot", number) for number in range(settings.hot)}, time.monotonic() + WARM_LIMIT
    while missing:
        stored = set()
        asyncio.run(crowd(server.port, sorted(missing), VISITORS, settings.patience, end - time.monotonic(),
                          lambda path, answer: stored.add(path) if is_hit(answer) else None))
        missing -= stored
        if missing and time.monotonic() > end:
            raise Failed(f"{len(missing)} of {settings.hot} hot pages were not stored in {WARM_LIMIT:g} s")
        if missing:
            time.sleep(0.5)


def visits(server, settings):
    counted, paths = Visits(), itertools.islice(draws(settings), BEFORE)
    tally = asyncio.run(crowd(server.port, paths, VISITORS, settings.patience, seen=counted.count))
    counted.faults = tally.faults.total() - (counted.seen - len(tally.latencies))
    return counted


async def crawl(server, settings):
    """(Visits, Tally): of the hot pages during the crawl, and of the crawler."""
    counted, answers = Visits(), itertools.count(1)
    permits, over = asyncio.Semaphore(0), asyncio.Event()

    async def turn():
        await permits.acquire()
        return not over.is_set()

    def crawled(_path, _answer):
        if next(answers) % settings.pace == 0:
            permits.release()

    paths = itertools.islice(draws(settings), settings.crawled // settings.pace)
    visiting = asyncio.create_task(
        crowd(server.port, paths, VISITORS, settings.patience, settings.limit, counted.count, turn))
    tally = await crowd(server.port, (page("crawled", number) for number in range(settings.crawled)),
                        settings.connections, settings.patience, settings.limit, crawled)
    over.set()
    for _ in range(VISITORS):
        permits.release()
    visited = await visiting
    counted.faults = visited.faults.total() - (counted.seen - len(visited.latencies))
    return counted, tally


def scene(variant, settings):
    """The Scene of a Larder that is started for it, or None where it does not have the key of this variant."""
    extra = route(variant) + settings.larder_extra
    if refusal := larder_refuses(extra):
        if VARIANTS[variant]:
            return None
        raise Failed(refusal)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_load_core())
        source = stack.enter_context(origin(nice=5))
        server = stack.enter_context(larder(source.address, SERVER_CORE, extra, memory=STORE_MIB))
        warm(server, settings)
        before = visits(server, settings)
        source.reset()
        during, tally = asyncio.run(crawl(server, settings))
        load = source.load()
        time.sleep(1)
        return Scene(before, during, tally, load["requests"], load["peak"], resident_bytes(server.pid))


def told(variant, one):
    if one is None:
        print(f"| {variant} | not available in this version |" + " |" * len(COLUMNS), flush=True)
        return collections.Counter()
    cells = [f"{of(one):.3g}" for of in COLUMNS.values()]
    print(f"| {variant} | {' | '.join(cells)} | {one.crawled / one.tally.seconds:.0f} |", flush=True)
    seen = collections.Counter({f"{variant}, the crawler: {what}": times for what, times in one.tally.faults.items()})
    seen[f"{variant}, the crawler: not sent in {given.limit:g} s"] = one.tally.unsent
    seen[f"{variant}, hot pages: no answer"] = one.during.faults
    seen[f"{variant}, hot pages: visits"] = one.during.seen
    return seen


def run():
    raise_fd_limit(1024)
    print(f"{given.crawled} pages crawled over {given.connections} connections, {given.hot} hot pages ({given.draw}) "
          f"with a visit for every {given.pace} of them; {PAGE_BYTES} bytes, {RENDER_MS} ms; the load on core "
          f"{LOAD_CORE}, larder on core {SERVER_CORE}\n\n| route | {' | '.join(COLUMNS)} | crawled a second |\n"
          f"{'|---' * (len(COLUMNS) + 2)}|", flush=True)
    seen = collections.Counter()
    for variant in given.variants:
        seen += told(variant, scene(variant, given))
    print()
    for what, times in sorted(seen.items()):
        print(f"{times} x {what}")


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--crawled", type=int, default=CRAWLED, help="pages that the crawler asks for once each")
    arguments.add_argument("--hot", type=int, default=HOT, help="pages that are visited all the while")
    arguments.add_argument("--draw", choices=["zipf", "uniform"], default="zipf", help="how hot pages are chosen")
    arguments.add_argument("--pace", type=int, default=PACE, help="crawled pages for one visit of a hot one")
    arguments.add_argument("--connections", type=int, default=CONNECTIONS, help="of the crawler")
    arguments.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments.add_argument("--patience", type=float, default=10.0, help="seconds that a client waits for an answer")
    arguments.add_argument("--limit", type=float, default=300.0, help="seconds for one crawl")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    return arguments


if __name__ == "__main__":
    arguments = options()
    given = arguments.parse_args()
    if not (1 <= given.crawled <= 10**6 and 1 <= given.hot <= 5000 and 1 <= given.pace <= 1000
            and 1 <= given.connections <= 1000 and 0 < given.limit <= 3600):
        arguments.error("crawled 1-1000000, hot 1-5000, pace 1-1000, connections 1-1000, limit up to 3600 s")
    main(run)
