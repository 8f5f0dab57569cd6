#!/usr/bin/env python3
"""Two caches, one window: a page of a real `next start` idles, then it is visited once a second. When is it fresh?

`next start` answers the first request after a pause with its old page and renders behind it, so a cache in front that
believes it keeps an old page for another window. The page says when it was rendered; it is fresh while that is less
than its window ago. Every server has a `next start` of its own behind it, or two, and a relay in between counts the
requests. They are all visited at the same time, which is no load. Nothing is judged.
"""
import argparse
import asyncio
import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import threading
import time

from common import Failed, directory, fetch, main, raise_fd_limit
from servers import APP, BUILD_LIMIT, SERVERS, next_start

WINDOW = 5              # seconds
IDLE, VISITS = 12, 25   # seconds without a visit, visits after them
PAGE = "/idle"
SOURCE = f"""import {{ renderMarker }} from '../../lib/render';

export const revalidate = {WINDOW};

export default function Idle() {{
  return <p id="render">{{renderMarker('idle')}}</p>;
}}
"""
MARKER = re.compile(rb"render:idle:(\d+):(\d+)")
ISR_ROUTE = f"routes:\n  - {{ name: idle, match: {PAGE}, revalidate: {WINDOW}s }}\n"
WARM_LIMIT = 30.0
SETTLED = 1.0           # seconds after the last visit, for what it started
# Of each: the server, its options, and how many `next start` are behind it.
CASES = {
    "next start alone": (None, {}, 1),
    "larder": ("larder", {}, 1),
    f"larder, revalidate: {WINDOW}s": ("larder", {"extra": ISR_ROUTE}, 1),
    "nginx": ("nginx", {}, 1),
    "varnish": ("varnish", {}, 1),
    "larder, two next start": ("larder", {}, 2),
    f"larder, revalidate: {WINDOW}s, two": ("larder", {"extra": ISR_ROUTE}, 2),
}


@dataclasses.dataclass
class Scene:
    """What the visits of one server saw."""
    ages: list = dataclasses.field(default_factory=list)        # of the page, in seconds, visit by visit
    asked: int = 0              # requests for the page that reached `next start`
    renders: int = 0            # that `next start` made meanwhile

    @property
    def first(self):
        """Which visit was the first with a fresh page, or None."""
        return next((number for number, age in enumerate(self.ages, 1) if age < WINDOW), None)

    @property
    def fresh(self):
        return sum(age < WINDOW for age in self.ages)

    @property
    def oldest(self):
        return max(self.ages[1:], default=self.ages[0])

    @property
    def per_render(self):
        return self.asked / max(1, self.renders)


class Relays:
    """Relays in front of `next start`, in a thread of their own; each counts the requests for the page."""

    def __enter__(self):
        self.loop, self.counts = asyncio.new_event_loop(), {}
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def to(self, port):
        """The port of a new relay to this one."""
        return asyncio.run_coroutine_threadsafe(self.listen(port), self.loop).result(5)

    async def listen(self, target):
        async def accepted(reader, writer):
            try:
                back_reader, back_writer = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                writer.close()
                return
            await asyncio.gather(self.pump(reader, back_writer, own), self.pump(back_reader, writer))
        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        own = server.sockets[0].getsockname()[1]
        self.counts[own] = 0
        return own

    async def pump(self, reader, writer, counted=None):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if counted:     # a head comes whole: nothing that asks here sends it in parts
                    self.counts[counted] += data.count(f"GET {PAGE} ".encode())
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def built_app():
    """The application of tests/nextjs with one more page, built in a folder that goes away."""
    with directory(in_memory=False) as path:
        app = path / "app"
        whole = (APP / "node_modules/.package-lock.json").exists()      # npm writes it at the end
        left_out = [".next"] if whole else [".next", "node_modules"]
        shutil.copytree(APP, app, symlinks=True, ignore=shutil.ignore_patterns(*left_out), copy_function=linked)
        (app / "app/idle").mkdir(exist_ok=True)
        (app / "app/idle/page.jsx").write_text(SOURCE)
        if not whole:
            made(["npm", "ci", "--no-audit", "--no-fund"], app)
        made(["node", "node_modules/next/dist/bin/next", "build"], app)
        yield app


def linked(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def made(command, folder):
    environment = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"the Next.js application was not built: {error}") from error
    if done.returncode:
        raise Failed(f"the Next.js application was not built:\n{(done.stdout + done.stderr)[-4000:]}")


@contextlib.contextmanager
def next_of_its_own(app):
    """`next start` of a copy: what it renders it also writes into its folder."""
    with directory() as path:
        shutil.copytree(app, path / "app", symlinks=True, ignore=shutil.ignore_patterns("node_modules"))
        (path / "app/node_modules").symlink_to(app / "node_modules")
        with next_start(app=path / "app") as server:
            yield server


def page_at(port):
    """(when the page that is served was rendered, in seconds since 1970; the number of that render)"""
    status, _, body = fetch(port, PAGE)
    found = MARKER.search(body)
    if status != 200 or not found:
        raise Failed(f"{PAGE} on port {port}: status {status}, {body[:200]!r}")
    return int(found[1]) / 1000, int(found[2])


def warm(behind, begun):
    """Visits `next start` until its page is a new one: the number of that render."""
    end = time.monotonic() + WARM_LIMIT
    while time.monotonic() < end:
        at, render = page_at(behind.port)
        if at > begun and time.time() - at < WINDOW / 2:
            return render
        time.sleep(0.2)
    raise Failed(f"next start did not render {PAGE} in {WARM_LIMIT:g} s")


class Case:
    """A server that runs, with its relays and `next start` behind it."""

    def __init__(self, title, app, relays, stack, extra):
        name, options, count = CASES[title]
        self.relays = relays
        self.behind = [stack.enter_context(next_of_its_own(app)) for _ in range(count)]
        self.between = [relays.to(behind.port) for behind in self.behind]
        self.port, self.scene = self.between[0], Scene()
        if name is not None:
            options = {**options, "extra": options.get("extra", "") + extra} if name == "larder" else options
            addresses = [f"127.0.0.1:{port}" for port in self.between]
            more = {"more_addresses": addresses[1:]} if count > 1 else {}
            self.port = stack.enter_context(SERVERS[name](addresses[0], **options, **more)).port

    def warm(self, begun):
        self.scene.renders = -sum(warm(behind, begun) for behind in self.behind)
        page_at(self.port)

    def begin(self):
        self.scene.asked = -self.asked()

    def visit(self):
        at, _ = page_at(self.port)
        self.scene.ages.append(time.time() - at)

    def end(self):
        """A look past the relay makes `next start` render, maybe, but shows the last render before."""
        self.scene.asked += self.asked()
        self.scene.renders += sum(page_at(behind.port)[1] for behind in self.behind)

    def asked(self):
        return sum(self.relays.counts[port] for port in self.between)


def scenes(titles, settings, app):
    """{title: Scene} of the cases, all at the same time."""
    begun = time.time()
    with contextlib.ExitStack() as stack:
        relays = stack.enter_context(Relays())
        cases = {title: Case(title, app, relays, stack, settings.larder_extra) for title in titles}
        for case in cases.values():
            case.warm(begun)
        time.sleep(settings.idle)
        for case in cases.values():
            case.begin()
        start = time.monotonic()
        for number in range(settings.visits):
            time.sleep(max(0.0, start + number - time.monotonic()))
            for case in cases.values():
                case.visit()
        time.sleep(SETTLED)
        for case in cases.values():
            case.end()
        return {title: case.scene for title, case in cases.items()}


def row(title, one):
    alone = CASES[title][0] is None
    return [title, str(one.first or "-"), f"{one.fresh} of {len(one.ages)}", f"{one.oldest:.1f}", str(one.asked),
            str(one.renders), "-" if alone else f"{one.per_render:.2f}"]


TITLES = ["", "first visit with a fresh page", "visits with one", "oldest page after the first visit, s",
          "origin requests", "renders", "requests per render"]


def run():
    raise_fd_limit(1024)
    with built_app() as app:
        seen = scenes(given.cases, given, app)
    print(f"a page with a window of {WINDOW} s, {given.idle:g} s without a visit, then {given.visits} visits, one a "
          f"second\n\n| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|")
    for title, one in seen.items():
        print(f"| {' | '.join(row(title, one))} |")
    for title, one in seen.items():
        if given.ages:
            print(f"\n{title}: {' '.join(f'{age:.1f}' for age in one.ages)}")


def options():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--idle", type=float, default=IDLE, help="seconds without a visit")
    arguments.add_argument("--visits", type=int, default=VISITS)
    arguments.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), metavar="CASE",
                           help=f"of: {'; '.join(CASES)}")
    arguments.add_argument("--ages", action="store_true", help="the age of the page at every visit as well")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    return arguments


if __name__ == "__main__":
    arguments = options()
    given = arguments.parse_args()
    if not (WINDOW < given.idle <= 600 and 1 <= given.visits <= 600):
        arguments.error(f"idle {WINDOW}-600 s, visits 1-600")
    main(run)
