"""System calls of a running Larder that fail, or take a second each (see faults.py)."""
import contextlib
import threading
import time

from inject import GROUPS, injected, possible, used
from pages import some
from scene import new_pages, scene
from visitors import Visitor, visit

HIT_LIMIT = 0.5         # seconds for a hit from memory while a disk call takes one
DELAY_US = 1_000_000
# Each on its own, so that one which may wait does not hide behind one that never does.
SLOW = ("pread64", "preadv2", "openat", "openat2", "statx", "pwrite64", "fdatasync", "syncfs", "rename", "renameat",
        "renameat2", "unlink", "unlinkat")


# --- calls that fail -------------------------------------------------------------------------

def plans(quick):
    """(name, calls, error, when, only on the journal)"""
    if quick:
        chosen = [("write", "ENOSPC", "1+1"), ("write", "EIO", "2+3"), ("sync", "EIO", "1+1"), ("rename", "EIO", "1+1"),
                  ("open", "EIO", "2+3"), ("read", "EIO", "1+1"), ("stat", "EIO", "2+3"), ("size", "ENOSPC", "1+1"),
                  ("list", "EIO", "1+1")]
        yield from ((name, GROUPS[name], error, when, False) for name, error, when in chosen)
    else:
        for name, calls in GROUPS.items():
            for error in ("EIO", "ENOSPC", "EROFS"):
                for when in ("1+1", "2+3", "5+11"):
                    yield name, calls, error, when, False
        # What the group hides: one of several ways fails, the next would do.
        for name, calls in GROUPS.items():
            yield from ((call, (call,), "EIO", "1+2", False) for call in calls)
    for error in ("EIO", "ENOSPC"):
        yield "journal write", ("write", "writev", *GROUPS["write"], *GROUPS["sync"]), error, "1+2", True


def calls(report):
    if refusal := possible():
        report.row("calls", note=f"skipped: strace may not attach: {refusal}")
        return
    with scene() as one:
        one.works()
        pages = some(400)
        one.visit_all(pages)
        with one.crowd(pages + new_pages(200)).about():
            every = [call for group in GROUPS.values() for call in group]
            made = used(one.larder.child.pid, every, one.folder / "used", 3)
        report.row("none, traced", one, note=", ".join(f"{call} {times}" for call, times in sorted(made.items())))
        struck = 0
        for plan in plans(report.given.quick):
            struck += report.attempt(f"{plan[0]} {plan[2]} {plan[3]}", one_plan, one, pages, *plan) or 0
            if not one.larder.alive():
                one.larder.start()
        if struck == 0:
            one.judge.violated("nothing was struck", "no disk call failed, so nothing was shown")
        one.orders_hold(pages)
        report.row("then kill -9", one)


def one_plan(report, one, pages, name, group, error, when, journal):
    """One kind of call fails for a while; returns how often it did."""
    log, before = one.folder / "strace", one.errors()
    crowd = one.crowd(pages + new_pages(300), **({"soft": 0.3, "hard": 0.05} if journal else {}))
    only = [one.larder.journal] if journal else None
    with crowd.about(), injected(one.larder.child.pid, group, f"error={error}:when={when}", log, only) as injection:
        time.sleep(report.given.seconds)
    what = f"{name} {error} {when}"
    one.still_alive(what)
    struck, errors = injection.struck(), one.errors() - before
    if struck:
        one.recovers(what)
    log.unlink(missing_ok=True)
    refused = one.judge.counts["orders refused"]
    note = "never called" if not struck else f"{refused} orders refused" if refused else ""
    report.row(what, one, struck, f"{errors:.0f}", note)
    return struck


# --- a disk that hangs -----------------------------------------------------------------------

class Regular:
    """Visits a few pages that are in memory, all the while; keeps the time that each hit took."""

    def __init__(self, one, pages):
        self.one, self.pages, self.times, self.over = one, pages, [], threading.Event()

    def _run(self):
        visitor = Visitor(self.one.larder.port)
        while not self.over.is_set():
            for page in self.pages:
                seen, _ = visit(visitor, page, self.one.larder, self.one.judge)
                self.times += [seen.got - seen.sent] if seen and seen.hit else []
            time.sleep(0.01)
        visitor.leave()

    @contextlib.contextmanager
    def about(self):
        self.over.clear()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            thread.join(20)


def stuck(report):
    if refusal := possible():
        report.row("stuck", note=f"skipped: strace may not attach: {refusal}")
        return
    with scene(options="max_object: 1MiB") as one:
        one.works()
        regular, cold = Regular(one, new_pages(5)), some(150, "b")     # 9 MiB, of which 2 are in memory
        one.visit_all(cold)
        with one.crowd(cold + new_pages(50), threads=2).about():
            made = used(one.larder.child.pid, SLOW, one.folder / "used", 2)
        # The first is what tracing alone costs.
        for call, delay in [(",".join(made) or "pread64", 0), *((call, DELAY_US) for call in made)]:
            report.attempt(f"{call} takes {delay / 1e6:g} s", one_stuck, one, regular, cold, call, delay)
            if not one.larder.alive():
                one.larder.start()


FIND_OUT = 2            # workers of this Larder


def one_stuck(report, one, regular, cold, call, delay):
    how, log = f"delay_enter={delay or 1}", one.folder / "strace"
    with regular.about():
        time.sleep(0.5)         # now they are in memory
        regular.times.clear()
        with one.crowd(cold + new_pages(50), threads=2, soft=0.02, hard=0).about():
            with injected(one.larder.child.pid, call.split(","), how, log) as injection:
                time.sleep(report.given.seconds + 1)
                times = list(regular.times)
    one.still_alive(f"{call} takes {delay} us")
    # One hit per worker may find out that a call that was not to wait does wait: strace makes it.
    times.sort()
    worst, note = times[-1 - FIND_OUT] if len(times) > FIND_OUT else float("inf"), ""
    if not injection.struck():
        note = "never called"
    elif injection.only_where_none_waits():
        note = "only told: the kernel promises not to wait there"
    elif worst > HIT_LIMIT:
        one.judge.violated("a hit from memory waits for the disk", f"{call}: {worst:.2f} s, of {len(times)} hits")
    if not times:
        one.judge.violated("no hit from memory", call)
    if injection.struck() and delay:
        one.recovers(f"{call} takes a second")
    report.row(f"{call} takes {delay / 1e6:g} s", one, injection.struck(), "",
               f"hits from memory: {len(times)}, the slowest {worst * 1000:.0f} ms {note}")
    log.unlink(missing_ok=True)
