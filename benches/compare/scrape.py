#!/usr/bin/env python3
"""Do scrapers of /metrics slow hits down? The p99 of hits without them, with 10 that ask once a second, and flat out.

Larder alone has one core; wrk and the scrapers share the other, so flat out they take time from wrk, too: that row
says what Larder lost at most. A ratio is the median of the ratios within a round; without scrapers is 1.
"""
import argparse
import asyncio
import contextlib
import re
import statistics
import subprocess
import threading

from clients import connect
from common import LOAD_CORE, SERVER_CORE, Failed, main, on_load_core, ratios, rotated, spread
from hit import PAGE, PAGE_BYTES, Load, check_cores, prepare
from servers import larder, origin

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
WARM = 0.5              # seconds that scrapers run before the hits are looked at


class Scrapers:
    """So many clients in a thread of their own; each asks again `pause` seconds after its answer."""

    def __init__(self, port, count, pause):
        self.port, self.count, self.pause = port, count, pause
        self.answers, self.size, self.fault = 0, 0, None

    async def one(self, number, ended):
        client = await connect(self.port)
        raw = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await self.wait(ended, self.pause * number / self.count)
        while not ended.is_set():
            answer = await client.send(raw)
            if answer.status != 200:
                raise Failed(f"/metrics answered {answer.status}")
            self.answers, self.size = self.answers + 1, len(answer.body)
            await self.wait(ended, self.pause)
        client.drop()

    async def wait(self, ended, seconds):
        if seconds:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), seconds)

    async def all(self):
        self.loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        self.started.set()
        await asyncio.gather(*(self.one(number, self.ended) for number in range(self.count)))

    def work(self):
        try:
            asyncio.run(self.all())
        except (OSError, asyncio.TimeoutError, Failed) as error:
            self.fault = error
        finally:
            self.started.set()

    def __enter__(self):
        self.started, self.thread = threading.Event(), threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        self.started.wait()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(RuntimeError):     # its loop ended with a fault
            self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(10)


def p99(port, load):
    """(p99 in seconds, requests per second) of hits."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s",
               "--latency", f"http://127.0.0.1:{port}{load.path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=load.seconds + 30)
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if done.returncode or not found or not rate or re.search(r"Socket errors|Non-2xx", done.stdout):
        raise Failed(f"wrk against port {port}:\n{done.stdout}{done.stderr}")
    return float(found[1]) * UNITS[found[2]], float(rate[1])


def conditions(count):
    """The title of each: seconds between scrapes, or None for no scrapers."""
    return {"no scrapers": None, f"{count} scrapers, each once a second": 1.0, f"{count} scrapers, flat out": 0.0}


def measure(server, load, count, pause):
    """(p99 in seconds, requests per second, scrapes per second) of one round."""
    if pause is None:
        return (*p99(server.port, load), 0.0)
    with Scrapers(server.admin, count, pause) as scrapers:
        scrapers.thread.join(WARM)
        before = scrapers.answers
        latency, rate = p99(server.port, load)
        scraped = scrapers.answers - before
    if scrapers.fault or not scraped:
        raise Failed(f"the scrapers got {scraped} answers: {scrapers.fault}")
    return latency, rate, scraped / load.seconds


def compare(settings):
    """Interleaved rounds: a list of {condition: (p99, requests per second, scrapes per second)}."""
    load = Load(PAGE, PAGE_BYTES, {}, settings.connections, settings.seconds)
    pauses = list(conditions(settings.scrapers).items())
    with on_load_core(), origin() as source, larder(source.address, SERVER_CORE, settings.larder_extra) as server:
        prepare(server, load)
        return [{title: measure(server, load, settings.scrapers, pause) for title, pause in rotated(pauses, number)}
                for number in range(settings.rounds)]


def table(rounds, count):
    titles = list(conditions(count))
    latency, rate = (ratios(rounds, titles[0], lambda one, part=part: one[part]) for part in (0, 1))
    lines = ["| | p99 of hits | requests per second | scrapes per second |", "|---|---|---|---|"]
    lines += [f"| {title} | {spread(latency[title])} | {spread(rate[title])} "
              f"| {statistics.median(one[title][2] for one in rounds):.0f} |" for title in titles]
    middle = statistics.median(one[titles[0]][0] for one in rounds)
    return "\n".join([*lines, "", f"{titles[0]} = 1: {middle * 1000:.2f} ms on this machine."])


def run():
    check_cores()
    print(f"{given.rounds} rounds x {given.seconds} s, wrk -t1 -c{given.connections} --latency on core {LOAD_CORE}, "
          f"larder on core {SERVER_CORE}\n")
    print(table(compare(given), given.scrapers))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--scrapers", type=int, default=10)
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not (1 <= given.rounds <= 100 and 1 <= given.seconds <= 60 and 1 <= given.connections <= 1000
            and 1 <= given.scrapers <= 100):
        arguments.error("rounds 1-100, seconds 1-60, connections 1-1000, scrapers 1-100")
    main(run)
