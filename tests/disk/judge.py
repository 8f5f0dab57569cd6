"""What visitors may be given: it knows every render, every order and every answer, and nothing of how they are kept."""
import collections
import dataclasses
import re
import threading

HELD = 128 << 10    # bytes: `memory.max_object` of this Larder
DOUBT = 0.5         # seconds: a fetch that began so near an order may have begun on its other side
SHOWN = 20          # violations whose words are kept


@dataclasses.dataclass
class Visit:
    """An answer."""
    page: object
    status: int
    fields: object
    body: bytes
    sent: float         # time.monotonic()
    got: float
    at: float           # time.time(), as `got`

    @property
    def cache_status(self):
        return self.fields.get("Cache-Status", "")

    @property
    def hit(self):
        return re.search(r"larder\s*;\s*hit\b", self.cache_status) is not None

    @property
    def stored(self):
        return self.hit or re.search(r";\s*stored\b", self.cache_status) is not None

    @property
    def foretold(self):
        """Whether it was said to be stored before its length was known: while the disk is off, a large one is not."""
        return not self.hit and self.fields.get("Content-Length") is None and len(self.body) > HELD

    @property
    def ttl(self):
        found = re.search(r"\bttl=(-?\d+)", self.cache_status)
        return int(found[1]) if found else None

    def __str__(self):
        age = self.fields.get("Age")
        return f"{self.page.target} {self.page.language}: {self.status}, {self.cache_status!r}, Age {age}"


@dataclasses.dataclass
class Order:
    """An invalidation."""
    hard: bool
    selector: tuple
    sent: float
    acknowledged: float = None

    def __str__(self):
        return f"{'hard' if self.hard else 'soft'} by {self.selector[0]} {self.selector[1]}"


class Judge:
    """`disk_fails`: the store is off at times."""

    def __init__(self, site, tolerance=2.0, disk_fails=False):
        self.site, self.tolerance, self.disk_fails = site, tolerance, disk_fails
        self.orders = collections.defaultdict(list)     # by selector
        self.known = collections.defaultdict(list)      # by page: (when an answer showed it stored, generation), rising
        self.counts = collections.Counter()
        self.violations, self.shown = collections.Counter(), []
        self.crash = 0.0
        self.lock = threading.Lock()

    # --- what happens ------------------------------------------------------------------------

    def violated(self, what, details=""):
        with self.lock:
            self.violations[what] += 1
            # Some of each kind are told.
            if self.violations[what] <= 5 and len(self.shown) < SHOWN:
                self.shown.append(f"{what}: {details}")

    def ordered(self, order):
        """Before it is sent."""
        with self.lock:
            self.orders[order.selector].append(order)
            self.counts["hard" if order.hard else "soft"] += 1
        return order

    def visited(self, visit, absent=False):
        """`absent`: the origin is off, so the page need not be there. Returns the render, or None."""
        self.counts["answers"] += 1
        self.counts["hits"] += visit.hit
        if visit.status != 200:
            if not (absent and visit.status in (502, 503, 504)):
                self.violated("an error", f"{visit} {visit.body[-400:]!r}")
            return None
        render = self.site.render_of(visit.body)
        if render is None:
            parts = f"{visit.body[:120]!r}..{visit.body[-60:]!r}"
            self.violated("a wrong body", f"{visit}, {len(visit.body)} bytes, {parts}")
            return None
        if render.page != visit.page:
            self.violated("another page", f"{visit} is {render.page}")
            return None
        self._judge_version(visit, render)
        if visit.hit:
            self._judge_age(visit, render)
        return render

    def crashed(self, moment, sync):
        """It was killed at that moment: what was stored less than `sync` before it may be gone."""
        self.crash = moment
        for page, versions in self.known.items():
            self.known[page] = [version for version in versions if version[0] <= moment - sync]

    def forget(self):
        """What was known of the store is no longer."""
        self.known.clear()

    # --- what is right -----------------------------------------------------------------------

    def owed(self, page):
        """The generation that must be served, it or a newer one, after `crashed`, or None."""
        if not self.known[page]:
            return None
        render = self.site.renders[self.known[page][-1][1]]
        return None if any(order.hard for order in self._orders(page, render)) else render.generation

    def before_the_crash(self, page):
        return f"{self.crash - self.known[page][-1][0]:.2f} s before the kill"

    def _orders(self, page, render):
        """Orders that a version may be older than."""
        return [order for selector in page.selectors for order in self.orders.get(selector, ())
                if order.acknowledged is None or render.asked < order.acknowledged + DOUBT]

    def _judge_version(self, visit, render):
        page = visit.page
        stored = visit.stored and not (self.disk_fails and visit.foretold)
        with self.lock:
            versions = self.known[page]
            before = next((version for got, version in reversed(versions) if got <= visit.sent), -1)
            if stored and render.generation > (versions[-1][1] if versions else -1):
                versions.append((visit.got, render.generation))
        if render.generation < before:
            self.violated("an older version than before", f"{visit}, render {render.generation} after {before}")
        for order in self._orders(page, render):
            holds = order.acknowledged is not None and order.acknowledged <= visit.sent and render.asked < order.sent
            if not holds:
                continue
            details = f"{visit}, {order}, {visit.sent - order.acknowledged:.3f} s ago"
            if order.hard:
                self.violated("hard-invalidated content", details)
            elif visit.hit and (visit.ttl is None or visit.ttl > 0):
                self.violated("soft-invalidated, but fresh", details)

    def _judge_age(self, visit, render):
        age, told = visit.at - render.done, visit.fields.get("Age", "")
        if not told.isdecimal() or not -self.tolerance <= int(told) - age <= self.tolerance:
            self.violated("a wrong Age", f"{visit}, it is {age:.1f}")
        left = render.fresh - age
        if visit.ttl is None or visit.ttl > left + self.tolerance:
            self.violated("fresher than it is", f"{visit}, fresh for {left:.1f}")
        elif visit.ttl < left - self.tolerance and not self._orders(visit.page, render):
            self.violated("staler than it is", f"{visit}, fresh for {left:.1f}")

    def pardon(self, kinds):
        """These are told in another way."""
        for what in kinds:
            self.violations.pop(what, None)
        self.shown = [line for line in self.shown if line.partition(":")[0] not in kinds]

    def report(self):
        """All there is to say against it, in lines; none if nothing."""
        return [*(f"{times} x {what}" for what, times in self.violations.most_common()), *self.shown]
