"""Visitors and operators of a Larder: what they get goes to the judge."""
import contextlib
import http.client
import random
import threading
import time

from judge import Order, Visit
from process import Refused

PATIENCE = 10.0
HOST = "site.test"


class Broken(Exception):
    """No whole answer."""


class Visitor:
    """One keep-alive connection, opened again when it was closed."""

    def __init__(self, port, patience=PATIENCE):
        self.port, self.patience, self.connection = port, patience, None

    def get(self, page):
        fields = {"Host": HOST, **({"Accept-Language": page.language} if page.language else {})}
        sent = time.monotonic()
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
            self.connection.request("GET", page.target, headers=fields)
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.leave()
            took = time.monotonic() - sent
            raise Broken(f"{page.target}: {type(error).__name__} {error} after {took:.2f} s") from error
        if answer.will_close:
            self.leave()
        return Visit(page, answer.status, answer.headers, body, sent, time.monotonic(), time.time())

    def leave(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Crowd:
    """Threads that visit pages at random and order invalidations, until they are stopped.

    `soft` and `hard` are the shares of orders in what they do. `fussy`: an order that is refused is a violation.
    """

    def __init__(self, larder, judge, pages, threads=4, soft=0.06, hard=0.01, fussy=True, pause=0.0):
        self.larder, self.judge, self.pages = larder, judge, pages
        self.threads, self.soft, self.hard, self.fussy, self.pause = threads, soft, hard, fussy, pause
        self.draw, self.running = random.Random(1), []
        self.over = threading.Event()

    def start(self):
        self.over.clear()
        self.running = [threading.Thread(target=self._run, args=(self.draw.random(),), daemon=True)
                        for _ in range(self.threads)]
        for thread in self.running:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.running:
            thread.join(2 * PATIENCE)
            if thread.is_alive():
                self.judge.violated("a visitor hangs")
        self.running = []

    @contextlib.contextmanager
    def about(self):
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def _run(self, seed):
        draw, visitor = random.Random(seed), Visitor(self.larder.port)
        while not self.over.is_set():
            page, what = draw.choice(self.pages), draw.random()
            if what < self.soft + self.hard:
                self._order(draw, page, what < self.hard)
            else:
                visit(visitor, page, self.larder, self.judge)
            if self.larder.dying or self.pause:
                time.sleep(self.pause or 0.005)
        visitor.leave()

    def _order(self, draw, page, hard):
        # What selects many is ordered less often.
        selector = draw.choices(page.selectors, [6, 1, 1, 4])[0]
        order = self.judge.ordered(Order(hard, selector, time.monotonic()))
        try:
            self.larder.revalidate(selector, hard)
            order.acknowledged = time.monotonic()
        except Refused as refusal:
            self.judge.counts["orders refused"] += 1
            if self.fussy:
                self.judge.violated("an order refused", f"{order}: {refusal}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not self.larder.dying:
                self.judge.violated("an order without an answer", f"{order}: {error}")


def visit(visitor, page, larder, judge, absent=False):
    """One visit, judged: (Visit, Render or None), or (None, None) where there was no whole answer."""
    try:
        seen = visitor.get(page)
    except Broken as broken:
        if not larder.dying:
            judge.violated("a broken answer", str(broken))
        return None, None
    return seen, judge.visited(seen, absent)
