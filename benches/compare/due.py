#!/usr/bin/env python3
"""50,000 pages become due together: what reaches the origin, how evenly, and do hits notice?

touched: they are stored one after the other, and when the last one's window is over wrk asks for each of them, as fast
as it can, while somebody visits one page that is a hit. ahead: on a route with `refresh_ahead: true` each is visited
once within its window, and then nobody comes until all windows are over: what was rendered anew by then, and how
evenly? Nothing is judged.
"""
import argparse
import array
import asyncio
import collections
import contextlib
import dataclasses
import math
import re
import statistics
import time

from clients import crowd
from common import LOAD_CORE, SERVER_CORE, Failed, directory, fetch, main, on_load_core, process, raise_fd_limit
from invalidate import Http
from servers import larder, larder_refuses, origin

ENTRIES, WINDOW = 50_000, 60            # pages, seconds
PAGE_BYTES, RENDER_MS = 1024, 2
STORE_MIB = 512
CAP = 16                # refreshes.max_concurrent, as it is by itself
CONNECTIONS = 64        # of those who store, visit and touch
HOT = "/p/hot"          # on no route: an hour by its own headers
PAUSE = 0.002           # seconds between two visits of it
WARM = 0.2              # seconds of them that are not counted
BEFORE = 5.0            # seconds of them before anything is due
TOUCH_LIMIT = 300.0     # seconds
SETTLED = 2.0           # seconds without a refresh: there are no more
NICE = 10               # of all that is not the server or the visitor of the hot page
AHEAD = ", refresh_ahead: true"
SCRIPT = """-- Every page once, then the hot one until all are answered; wrk itself only ends with its time.
local sent, answered, faults = 0, 0, 0
request = function()
  sent = sent + 1
  return wrk.format("GET", sent <= @COUNT@ and ("@PREFIX@" .. sent - 1) or "@HOT@")
end
response = function(status)
  answered = answered + 1
  if status ~= 200 then faults = faults + 1 end
  if answered == @COUNT@ + @CONNECTIONS@ then
    local file = io.open("@DONE@", "w")
    file:write(faults, "\\n")
    file:close()
    wrk.thread:stop()
  end
end
"""


@dataclasses.dataclass
class Starts:
    """Requests at the origin, second by second."""
    times: list                 # since the moment that counts, seconds
    peak: int                   # of them at once

    @property
    def seconds(self):
        """{second: how many}"""
        return dict(sorted(collections.Counter(math.floor(at) for at in self.times).items()))

    @property
    def unevenness(self):
        """The busiest second over the mean of all busy ones; the first and the last one are no whole seconds."""
        counts = list(self.seconds.values())
        return max(counts) / statistics.mean(counts[1:-1] if len(counts) > 4 else counts) if counts else 0.0


@dataclasses.dataclass
class Touched:
    starts: Starts
    touching: float             # seconds until all were answered
    before: array.array         # latencies of the hot page, seconds
    during: array.array


@dataclasses.dataclass
class Ahead:
    starts: Starts              # before the first visit after the window, counted from when the first page is due
    early: int                  # visits within the window that were answered with a fresh page
    fresh: int                  # visits after the window that were


def page(number):
    return f"/render/{PAGE_BYTES}/{RENDER_MS}/{number}"


def is_fresh(answer):
    """A hit within its window."""
    return re.match(r"larder\s*;\s*hit\s*;\s*ttl=\d", answer.field("cache-status")) is not None


def percentile(latencies, share):
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def wait_until(moment):
    time.sleep(max(0.0, moment - time.monotonic()))


@contextlib.contextmanager
def stored(settings, more):
    """(server, origin, when the first page was stored, when the last one was), all pages stored within a window."""
    extra = f'routes:\n  - {{ match: "/render/**", revalidate: {settings.window}s{more} }}\n' + settings.larder_extra
    if refusal := larder_refuses(extra):
        raise Failed(refusal)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_load_core())
        source = stack.enter_context(origin(nice=NICE))
        server = stack.enter_context(larder(source.address, SERVER_CORE, extra, memory=STORE_MIB))
        first = time.monotonic()
        visits(server, settings, "storing")
        last = time.monotonic()
        if last - first > settings.window / 2:
            raise Failed(f"storing the pages took {last - first:.0f} s, too much of a window of {settings.window} s: "
                         "--window")
        yield server, source, first, last


def visits(server, settings, what, turn=None, seen=None):
    """A visit for every page."""
    tally = asyncio.run(crowd(server.port, (page(number) for number in range(settings.entries)), CONNECTIONS, 30.0,
                              600.0, seen, turn))
    if tally.faults or tally.unsent:
        raise Failed(f"{what}: {tally.unsent} not sent, faults {dict(tally.faults.most_common(5))}")


def fills(server):
    """How many requests to the origin somebody waited for."""
    text = fetch(server.admin, "/metrics")[2].decode()
    counts = re.findall(r'^larder_origin_requests_total\{[^}]*kind="fill"[^}]*\} (\d+)', text, re.MULTILINE)
    return sum(int(count) for count in counts)


# --- touched together ------------------------------------------------------------------------

def hot_visits(server, latencies, until):
    """Visits the hot page until a moment, on one connection: the latencies, with the ends of the visits."""
    with contextlib.closing(Http(server.port)) as connection:
        while (begin := time.monotonic()) < until:
            status, _ = connection.call(f"GET {HOT}")
            end = time.monotonic()
            if " 200" not in status:
                raise Failed(f"the hot page: {status}")
            latencies.append((end, end - begin))
            time.sleep(PAUSE)


@contextlib.contextmanager
def touching(server, settings):
    """wrk asks for every page once: gives the file that is there, with the number of faults, once all are answered."""
    with directory() as path:
        script, done = SCRIPT, path / "done"
        for name, value in (("COUNT", settings.entries), ("CONNECTIONS", CONNECTIONS), ("HOT", HOT), ("DONE", done),
                            ("PREFIX", page(""))):
            script = script.replace(f"@{name}@", str(value))
        (path / "each.lua").write_text(script)
        # The host is in the cache key; wrk's own has the port.
        command = ["nice", "-n", NICE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{TOUCH_LIMIT:.0f}s",
                   "-s", path / "each.lua", "-H", "Host: 127.0.0.1", f"http://127.0.0.1:{server.port}"]
        with process(command, path / "log"):
            yield done


def touched(settings):
    with stored(settings, "") as (server, source, _, last):
        before, during = [], []
        hot_visits(server, [], time.monotonic() + WARM)
        wait_until(last + settings.window - BEFORE - 1)
        hot_visits(server, before, time.monotonic() + BEFORE)
        waited_for = fills(server)
        wait_until(last + settings.window + 1)
        source.reset()
        begin, begin_of_day = time.monotonic(), time.time()
        with touching(server, settings) as done:
            known, since = 0, begin
            while not done.exists() or time.monotonic() - since < SETTLED:
                hot_visits(server, during, time.monotonic() + 0.25)
                if (count := source.load()["requests"]) != known:
                    known, since = count, time.monotonic()
                if time.monotonic() - begin > TOUCH_LIMIT:
                    raise Failed(f"the pages were not touched and refreshed in {TOUCH_LIMIT:g} s")
            took, faults = done.stat().st_mtime - begin_of_day, int(done.read_text())
        if faults:
            raise Failed(f"{faults} of the pages were not answered with 200")
        if fills(server) != waited_for:
            raise Failed(f"{fills(server) - waited_for:g} requests waited for a render: they were not for stored pages")
        times, peak = source.times(), source.load()["peak"]
    end = max(times, default=begin)
    return Touched(Starts([at - begin for at in times], peak), took,
                   array.array("d", (one for _, one in before)),
                   array.array("d", (one for at, one in during if at <= end)))


# --- rendered ahead --------------------------------------------------------------------------

def ahead(settings):
    """None where this larder does not have `refresh_ahead`."""
    if larder_refuses(f'routes:\n  - {{ match: "/render/**", revalidate: 60s{AHEAD} }}\n'):
        return None
    with stored(settings, AHEAD) as (server, source, first, last):
        source.reset()
        begin, sent, counted = time.monotonic(), 0, collections.Counter()
        step = (first + settings.window * settings.visited - begin) / settings.entries

        async def turn():
            nonlocal sent
            sent += 1
            await asyncio.sleep(max(0.0, begin + sent * step - time.monotonic()))
            return True
        visits(server, settings, "visiting", turn, lambda _path, answer: counted.update(early=is_fresh(answer)))
        wait_until(last + settings.window + 1)
        times, peak = source.times(), source.load()["peak"]
        visits(server, settings, "visiting again", None, lambda _path, answer: counted.update(fresh=is_fresh(answer)))
    return Ahead(Starts([at - first - settings.window for at in times], peak), counted["early"], counted["fresh"])


# --- what is told ----------------------------------------------------------------------------

def slower(share):
    """The latency of hits meanwhile over that of before."""
    return lambda one, _entries: percentile(one.during, share) / percentile(one.before, share)


TITLES = ("Touched together", "With `refresh_ahead: true`, each visited once within its window")
# Of a table, from a result and the number of pages.
COMMON = {
    "refreshes per page": lambda one, entries: len(one.starts.times) / entries,
    f"refreshes at once, of the cap of {CAP}": lambda one, _entries: one.starts.peak / CAP,
    "a second: the most, of the mean": lambda one, _entries: one.starts.unevenness,
}
TOUCHED_COLUMNS = {**COMMON, "p50 of hits meanwhile, of before": slower(0.5), "p99": slower(0.99)}
AHEAD_COLUMNS = {
    **COMMON,
    "visits within the window with a fresh page, of 1": lambda one, entries: one.early / entries,
    "visits after it with one, of 1": lambda one, entries: one.fresh / entries,
}


def told(title, columns, one):
    cells = [f"{of(one, given.entries):.3g}" for of in columns.values()] if one else [
        "not available in this version", *[""] * (len(columns) - 1)]
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n| {' | '.join(cells)} |")
    if one:
        seconds = ", ".join(f"{second:+d} s: {times}" for second, times in one.starts.seconds.items())
        print(f"\nrefreshes a second: {seconds or 'none'}", flush=True)


def run():
    raise_fd_limit(1024)
    print(f"{given.entries} pages of {PAGE_BYTES} bytes, rendered in {RENDER_MS} ms, window {given.window} s; the load "
          f"on core {LOAD_CORE}, larder on core {SERVER_CORE}", flush=True)
    if "touched" in given.variants:
        one = touched(given)
        told(TITLES[0], TOUCHED_COLUMNS, one)
        for when, latencies in (("before", one.before), ("meanwhile", one.during)):
            print(f"{len(latencies)} hits {when}: p50 {percentile(latencies, 0.5) * 1e6:.0f} us, p99 "
                  f"{percentile(latencies, 0.99) * 1e6:.0f} us")
        print(f"touched in {one.touching:.2f} s", flush=True)
    if "ahead" in given.variants:
        told(TITLES[1], AHEAD_COLUMNS, ahead(given))


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entries", type=int, default=ENTRIES)
    arguments.add_argument("--window", type=int, default=WINDOW, help="seconds; twice what storing takes, at least")
    arguments.add_argument("--visited", type=float, default=0.75,
                           help="the share of the window in which each page gets its one visit (refresh ahead)")
    arguments.add_argument("--variants", nargs="+", choices=["touched", "ahead"], default=["touched", "ahead"])
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    return arguments


if __name__ == "__main__":
    arguments = options()
    given = arguments.parse_args()
    if not (100 <= given.entries <= 200_000 and 10 <= given.window <= 3600 and 0.1 <= given.visited <= 1):
        arguments.error("entries 100-200000, window 10-3600 s, visited 0.1-1")
    main(run)
