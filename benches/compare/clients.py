"""Many HTTP/1.1 clients in one process: enough of the protocol to judge every answer, and no more."""
import asyncio
import collections
import dataclasses
import time

from origin import body_of

CONNECT_LIMIT = 10.0
CONNECTING_AT_ONCE = 500


@dataclasses.dataclass
class Answer:
    status: int
    head: bytes
    body: bytes
    at: float           # when the last byte came, time.monotonic()

    def field(self, name):
        """A field's value in lower case, or nothing; `name` is lower case, too."""
        head, name = self.head.lower(), f"\r\n{name}:".encode()
        at = head.find(name)
        return "" if at < 0 else head[at + len(name): head.index(b"\r\n", at + 2)].decode("latin-1").strip()

    def fault(self, path):
        """What is wrong with this answer for a page of the origin, or None."""
        if self.status != 200:
            return f"status {self.status}"
        return None if self.body == body_of(path) else "wrong body"


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class Client(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self):
        self.waiting = None
        self.since = 0.0
        self.usable = False
        self.answers = 0

    def connection_made(self, transport):
        self.transport = transport
        self.usable = True

    def send(self, raw):
        self.waiting = asyncio.get_running_loop().create_future()
        self.buffer, self.head, self.end, self.chunked = bytearray(), None, None, False
        self.since = time.monotonic()
        self.transport.write(raw)
        return self.waiting

    def data_received(self, data):
        if self.waiting is None:
            self.transport.abort()
            return
        self.buffer += data
        try:
            if self.head is None and not self.read_head():
                return
            body = self.whole_body()
        except (ValueError, IndexError):
            self.fail("not HTTP")
            return
        if body is not None:
            self.done(body)

    def read_head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.head = bytes(self.buffer[: end + 4])
        del self.buffer[: end + 4]
        lower = self.head.lower()
        if not lower.startswith(b"http/1."):
            raise ValueError
        self.status = int(lower[9:12])
        self.chunked = b"\r\ntransfer-encoding: chunked\r\n" in lower
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            self.end = int(lower[at + 17: lower.index(b"\r\n", at + 17)])
        if b"\r\nconnection: close\r\n" in lower:
            self.usable = False
        return True

    def whole_body(self):
        if not self.chunked:
            return bytes(self.buffer) if self.end is not None and len(self.buffer) >= self.end else None
        body, at = b"", 0
        while (line := self.buffer.find(b"\r\n", at)) >= 0:     # every turn goes forward in the buffer
            size = int(self.buffer[at:line].split(b";")[0], 16)
            if len(self.buffer) < line + 4 + size:
                return None
            if size == 0:
                return body
            body += self.buffer[line + 2: line + 2 + size]
            at = line + 4 + size
        return None

    def done(self, body):
        waiting, self.waiting = self.waiting, None
        self.answers += 1
        if not self.usable:
            self.transport.close()
        if not waiting.done():
            waiting.set_result(Answer(self.status, self.head, body, time.monotonic()))

    def fail(self, why):
        waiting, self.waiting = self.waiting, None
        self.usable = False
        self.transport.abort()
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionError(why))

    def drop(self):
        """Leaves, whatever is under way."""
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
        self.transport.abort()

    def connection_lost(self, _cause):
        self.usable = False
        if self.waiting is None:
            return
        if self.head is not None and self.end is None and not self.chunked:
            self.done(bytes(self.buffer))
        elif self.head is None and not self.buffer:     # a browser would try a later one again
            self.fail("closed before the first byte" + (" of a later answer" if self.answers else ""))
        else:
            self.fail("closed in the middle of the answer")


async def connect(port):
    opening = asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return (await asyncio.wait_for(opening, CONNECT_LIMIT))[1]


@dataclasses.dataclass
class Tally:
    """What a crowd saw."""
    faults: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    latencies: list = dataclasses.field(default_factory=list)       # of whole right answers, seconds
    unsent: int = 0
    seconds: float = 0.0

    def percentile(self, share):
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


async def crowd(port, paths, connections=64, patience=5.0, limit=120.0, seen=None, turn=None):
    """Asks for each path once over keep-alive connections, as fast as they answer, or when it is their `turn`.

    An answer that takes longer than `patience` is a fault; after `limit` seconds, or a turn that is over, the rest is
    not sent. `seen(path, answer)` gets every answer, the faulty ones included.
    """
    tally, clients, queue = Tally(), [None] * connections, collections.deque(paths)
    start = time.monotonic()

    async def visitor(slot):
        while queue and time.monotonic() - start < limit:
            if turn is not None and not (await turn() and queue):
                return
            path = queue.popleft()
            try:
                client = clients[slot]
                if client is None or not client.usable:
                    client = clients[slot] = await connect(port)
                answer = await client.send(request(path))
            except (OSError, asyncio.TimeoutError) as error:
                tally.faults[str(error) or type(error).__name__] += 1
                continue
            if seen is not None:
                seen(path, answer)
            if fault := answer.fault(path):
                tally.faults[fault] += 1
            else:
                tally.latencies.append(answer.at - client.since)

    async def watch():
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            for client in clients:
                if client and client.waiting and now - client.since > patience:
                    client.fail(f"no answer in {patience:g} s")

    watcher = asyncio.create_task(watch())
    try:
        await asyncio.gather(*(visitor(slot) for slot in range(connections)))
    finally:
        watcher.cancel()
        for client in clients:
            if client:
                client.drop()
    tally.unsent, tally.seconds = len(queue), time.monotonic() - start
    return tally


async def herd(port, path, size, limit):
    """`size` clients connect, then all ask for one path at once: [Answer or the error's text]."""
    turn = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def arrive():
        async with turn:
            try:
                return await connect(port)
            except (OSError, asyncio.TimeoutError) as error:
                return f"connect: {error or type(error).__name__}"

    clients = await asyncio.gather(*(arrive() for _ in range(size)))
    raw = request(path)
    try:
        sent = [client.send(raw) if isinstance(client, Client) and client.usable else None for client in clients]
        waiting = [future for future in sent if future is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=limit)
        results = []
        for client, future in zip(clients, sent):
            if future is None:
                results.append(client if isinstance(client, str) else "closed before the request")
            elif not future.done():
                results.append(f"no answer in {limit:g} s")
            else:
                results.append(str(future.exception()) if future.exception() else future.result())
        return results
    finally:
        for client in clients:
            if isinstance(client, Client):
                client.drop()
