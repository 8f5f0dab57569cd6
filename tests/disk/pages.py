"""Pages that cannot be mistaken for one another, and the origin that renders them. It knows no cache.

Every render is one of its kind: its body says what it is (the page, a generation that only grows, a nonce, how long it
is fresh) and is filled up with random text, and the origin keeps its digest. So a body is one render, whole, or wrong.
"""
import asyncio
import dataclasses
import email.utils
import hashlib
import random
import re
import secrets
import socket
import threading
import time

SECTIONS, TAGS = 8, 20
KINDS = {
    "h": (1, 2, 60, 3600),      # header-driven: each render is fresh for one of these (s-maxage)
    "q": (1, 2, 60, 3600),      # the same, and its query is part of its key
    "v": (2, 3600),             # the same, with a variant for each language
    "i": (2,),                  # of a route with `revalidate: 2s`
    "j": (3600,),               # of a route with `revalidate: 1h`
    "b": (3600,),               # header-driven, BIG each
}
LANGUAGES = ("en", "de")
ROUTES = """routes:
  - { name: short, match: "/i/**", revalidate: 2s }
  - { name: long, match: "/j/**", revalidate: 1h }
"""
STALE = 30 * 86400
BIG = 64 * 1024
DELAYS = (0, 0, 0, 0.003, 0.03)     # seconds that a render takes: what is ordered meanwhile has to win
HEAD = re.compile(rb"render (\d+) of ")


@dataclasses.dataclass(frozen=True)
class Page:
    """What has one stored response."""
    kind: str
    number: int
    language: str = ""

    @property
    def path(self):
        return f"/{self.kind}/s{self.number % SECTIONS}/{self.number}"

    @property
    def target(self):
        return self.path + ("?page=2" if self.kind == "q" else "")

    @property
    def prefix(self):
        return self.path[: self.path.rindex("/") + 1]

    @property
    def tags(self):
        return f"t{self.number % TAGS}", f"n{self.number}"

    @property
    def selectors(self):
        """What an invalidation may name to select it."""
        return [("paths", self.path), ("prefixes", self.prefix), *(("tags", tag) for tag in self.tags)]

    @property
    def size(self):
        """Bytes of its body: from what fits into every buffer to what does not."""
        if self.kind == "b":
            return BIG
        return 300_000 if self.number % 50 == 7 else 70_000 if self.number % 10 == 3 else 200 + self.number * 37 % 6000


def some(count, kinds="hqvij"):
    """About so many pages of all these kinds."""
    pages = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        pages += [Page(kind, number, language) for language in (LANGUAGES if kind == "v" else ("",))]
    return pages[:count]


def read_target(target, language):
    """The page of a request, or None."""
    found = re.fullmatch(r"/([a-z])/s\d+/(\d+)(\?page=2)?", target)
    if not found or found[1] not in KINDS:
        return None
    page = Page(found[1], int(found[2]), language if found[1] == "v" else "")
    return page if page.target == target else None


@dataclasses.dataclass
class Render:
    generation: int
    page: Page
    fresh: int              # seconds
    nonce: str
    asked: float            # when the request came, time.monotonic()
    done: float = None      # when the answer went, time.time()
    digest: bytes = b""

    def body(self):
        """The page; called once, its digest is kept."""
        head = f"render {self.generation} of {self.page.target} {self.page.language} {self.nonce} fresh {self.fresh}\n"
        filler = secrets.token_hex(max(0, self.page.size - len(head) - 5) // 2 + 1)
        whole = f"{head}{filler}\nend\n".encode()
        self.digest = hashlib.sha256(whole).digest()
        return whole


class Site:
    """The origin, in a thread of its own. `off` is a machine that refuses connections."""

    def __init__(self, seed=0):
        self.renders = []               # the generation is the index
        self.draw = random.Random(seed)
        self.slow = True                # whether some renders take their time
        self.connections, self.server, self.port = set(), None, steady_port()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.on()

    def render_of(self, body):
        """The Render that a body is, byte for byte, or None."""
        found = HEAD.match(body)
        render = self.renders[int(found[1])] if found and int(found[1]) < len(self.renders) else None
        return render if render and render.digest == hashlib.sha256(body).digest() else None

    def on(self):
        self._do(self._listen())

    def off(self):
        self._do(self._leave())

    def close(self):
        self.off()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _do(self, what):
        asyncio.run_coroutine_threadsafe(what, self.loop).result(10)

    async def _listen(self):
        if self.server is None:
            self.server = await self.loop.create_server(
                lambda: Connection(self), "127.0.0.1", self.port, backlog=1024, reuse_address=True)

    async def _leave(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in list(self.connections):
            connection.transport.abort()


class Connection(asyncio.Protocol):
    def __init__(self, site):
        self.site, self.buffer = site, b""

    def connection_made(self, transport):
        self.transport = transport
        self.site.connections.add(self)

    def connection_lost(self, _cause):
        self.site.connections.discard(self)

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            lines = self.buffer[:end].decode("latin-1").split("\r\n")
            self.buffer = self.buffer[end + 4:]
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            self.asked(lines[0].split(" ")[1], fields)

    def asked(self, target, fields):
        page = read_target(target, fields.get("accept-language", ""))
        if page is None:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n")
            return
        site = self.site
        render = Render(len(site.renders), page, site.draw.choice(KINDS[page.kind]), secrets.token_hex(8),
                        time.monotonic())
        site.renders.append(render)
        site.loop.call_later(site.draw.choice(DELAYS) if site.slow else 0, self.answer, render)

    def answer(self, render):
        if self.transport.is_closing():
            return
        body = render.body()
        head = (f"HTTP/1.1 200 OK\r\nDate: {email.utils.formatdate(usegmt=True)}\r\nContent-Type: text/plain\r\n"
                f"Cache-Control: s-maxage={render.fresh}, stale-while-revalidate={STALE}\r\n"
                f"Cache-Tag: {', '.join(render.page.tags)}\r\n")
        if render.page.kind == "v":
            head += "Vary: Accept-Language\r\n"
        if render.generation % 3 == 0:
            sent = head + "Transfer-Encoding: chunked\r\n\r\n" + f"{len(body):x}\r\n", body + b"\r\n0\r\n\r\n"
        else:
            sent = head + f"Content-Length: {len(body)}\r\n\r\n", body
        render.done = time.time()
        self.transport.write(sent[0].encode() + sent[1])


def steady_port():
    """A free port that no connection gets as its own: what listens there can be started again."""
    low = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(max(1024, low - 20000), low)))
                return probe.getsockname()[1]
            except OSError:
                continue
