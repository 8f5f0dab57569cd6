#!/usr/bin/env python3
"""kill -9 under load, again and again: what was stored and what was ordered holds, and nothing is ever half.

Visitors and operators keep a Larder with a disk store busy. After a random while it is killed and started again on the
same directory, and without an origin it has to show: every page whose answer came more than `sync` before the kill,
with the age that it has; no page that was invalidated hard; none as fresh that was invalidated softly; no body that is
not one render of that page, whole. A page cache survives a kill: this is about what is written when, not about fsync.
"""
import argparse
import collections
import contextlib
import random
import sys
import time

from process import SYNC, Larder, leftovers
from common import directory, main
from judge import Judge
from pages import Site, some
from visitors import Crowd, Visitor, visit

SWEPT_WITHIN = 10.0     # seconds until what was half written at a kill is gone


def warm(larder, judge, pages, crowd):
    """Everything is visited, then there is load."""
    visitor = Visitor(larder.port)
    for page in pages:
        visit(visitor, page, larder, judge)
    visitor.leave()
    with crowd.about():
        time.sleep(given.warm)


def check(larder, judge, pages, totals):
    """All pages, without an origin: those that are owed have to be hits."""
    visitor = Visitor(larder.port)
    for page in pages:
        wanted = judge.owed(page)
        seen, render = visit(visitor, page, larder, judge, absent=True)
        totals["absent" if wanted is None and not render else "owed" if wanted is not None else "more"] += 1
        if wanted is not None and seen is not None and not (render and seen.hit):
            judge.violated("a page is lost", f"{seen}, render {wanted} was stored {judge.before_the_crash(page)}")
    visitor.leave()


def sweep(larder, judge):
    """Waits until what was half written is gone; how many there still are."""
    end = time.monotonic() + SWEPT_WITHIN
    while (left := leftovers(larder.root)) and time.monotonic() < end:
        time.sleep(0.05)
    if left:
        judge.violated("half-written files stay", ", ".join(str(path.relative_to(larder.root)) for path in left[:3]))
    return len(left)


def one_kill(number, larder, site, judge, pages, crowd, totals):
    """Load, kill, start, check; then a clean stop and start, so that the failures of the check are forgotten."""
    # Every other time so long that something of this life is owed, too.
    load = random.uniform(0, 0.5) if number % 2 else random.uniform(0.5, SYNC + 1.5)
    with crowd.about():
        time.sleep(load)
        moment = larder.kill()
    judge.crashed(moment, SYNC + given.slack)
    site.off()
    totals["half-written"] += len(leftovers(larder.root)) if larder.disk else 0
    larder.start()
    check(larder, judge, pages, totals)
    totals["left"] += sweep(larder, judge) if larder.disk else 0
    site.on()
    if (code := larder.stop()) != 0:
        judge.violated("a clean stop", f"exit code {code}")
    larder.start()


def loop(larder, site, judge, pages):
    """All kills; returns what was counted."""
    totals = collections.Counter()
    crowd = Crowd(larder, judge, pages, threads=given.threads)
    larder.start()
    warm(larder, judge, pages, crowd)
    for number in range(given.kills):
        one_kill(number, larder, site, judge, pages, crowd, totals)
        totals["kills"] += 1
        if given.verbose:
            print(f"kill {number + 1}: {totals['owed']} owed so far, {judge.violations.total()} violations", flush=True)
        if judge.violations.total() > given.enough:
            break
    if "panicked" in larder.said():
        judge.violated("a panic", larder.said()[larder.said().index("panicked"):][:500])
    return totals


def told(totals, judge, site, larder, seconds):
    counts = judge.counts
    print(f"{totals['kills']} kills in {seconds:.0f} s: {counts['answers']} answers, {counts['hits']} of them hits; "
          f"{len(site.renders)} renders, {counts['soft']} soft and {counts['hard']} hard invalidations; "
          f"{totals['owed']} pages owed, {judge.violations['a page is lost']} lost, "
          f"{totals['absent']} absent that may be, {totals['more']} there that need not be; "
          f"{totals['half-written']} half-written files found, {totals['left']} left; "
          f"{len(larder.started_in)} starts, the slowest {max(larder.started_in, default=0):.2f} s; "
          f"{judge.violations.total()} violations")


def run():
    random.seed(given.seed)
    begun = time.monotonic()
    with directory(in_memory=False) as folder, contextlib.closing(Site(given.seed)) as site:
        larder = Larder(folder, site, None if given.without_disk else folder / "store")
        judge, pages = Judge(site), some(given.pages)
        with contextlib.closing(larder):
            totals = loop(larder, site, judge, pages)
        told(totals, judge, site, larder, time.monotonic() - begun)
        if totals["owed"] < totals["kills"] * given.pages / 10:
            judge.violated("too little was owed to show anything")
        print("\n".join(judge.report()), file=sys.stderr)
        return 1 if judge.violations else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--pages", type=int, default=400)
    arguments.add_argument("--threads", type=int, default=4, help="visitors at a time")
    arguments.add_argument("--warm", type=float, default=3.0, metavar="SECONDS", help="load before the first kill")
    arguments.add_argument("--slack", type=float, default=0.0, metavar="SECONDS", help="what is owed is older by that")
    arguments.add_argument("--enough", type=int, default=200, help="violations that end it early")
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    arguments.add_argument("--without-disk", action="store_true", help="no disk store: this has to fail")
    arguments.add_argument("--verbose", action="store_true", help="a line for each kill")
    given = arguments.parse_args()
    if not (1 <= given.kills <= 10**5 and 20 <= given.pages <= 10**4 and 1 <= given.threads <= 64):
        arguments.error("kills 1-100000, pages 20-10000, threads 1-64")
    main(run)
