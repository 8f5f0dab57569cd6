#!/usr/bin/env python3
"""A small, fast HTTP/1.1 origin that can fall sick on command.

Pages: /page10k (10 KiB), /p/<n> and /swr/<n> (2 KiB), /slow/<ms>/<id> (10 KiB after ms), /render/<bytes>/<ms>/<id>,
/tagged/<n> (256 bytes, Cache-Tag: all).
Control, on its own port in every mode (and on the main one, unless it refuses): /__counts of each path, /__load (how
many requests, how many at once at most), /__times of all requests, /__reset,
/__mode?m=ok|refuse|hang|503|500|reset|truncate|garbage.

Prints {"port": .., "control": ..} when ready. Ends with its standard input, so it never outlives
the script that started it. Request bodies are not read: this origin is for GET and HEAD.
"""
import argparse
import array
import asyncio
import collections
import email.utils
import functools
import hashlib
import json
import os
import socket
import struct
import sys
import time
from urllib.parse import parse_qs, urlsplit

MODES = ("ok", "refuse", "hang", "503", "500", "reset", "truncate", "garbage")
LONG = "s-maxage=3600, stale-while-revalidate=60"
SHORT = "s-maxage=1, stale-while-revalidate=31536000"
TAG = "all"
HEAD_LIMIT = 64 * 1024
DELAY_LIMIT_MS = 60_000
BYTES = range(512, 2**20)
TIMES_LIMIT = 5_000_000
GARBAGE = b"\x16\x03\x01\x00\xff\x00 this is not HTTP \xfe\xff\r\n\r\n" + bytes(range(256))


def kind_of(path):
    """(size of the body, Cache-Control, delay in ms) of a path, or None where there is no page."""
    part = path.split("/")
    if path == "/page10k":
        return 10240, LONG, 0
    if len(part) == 3 and part[1] == "p":
        return 2048, LONG, 0
    if len(part) == 3 and part[1] == "tagged":
        return 256, LONG, 0
    if len(part) == 3 and part[1] == "swr":
        return 2048, SHORT, 0
    if len(part) == 4 and part[1] == "slow" and part[2].isdecimal():
        return 10240, LONG, min(int(part[2]), DELAY_LIMIT_MS)
    if len(part) == 5 and part[1] == "render" and (part[2] + part[3]).isdecimal() and int(part[2]) in BYTES:
        return int(part[2]), LONG, min(int(part[3]), DELAY_LIMIT_MS)
    return None


@functools.lru_cache(maxsize=4096)
def body_of(path):
    """The page of a path: always the same bytes, different for every path."""
    size = kind_of(path)[0]
    start = f"<!doctype html><html><head><title>{path}</title></head><body><p>".encode()
    end = b"</p></body></html>\n"
    seed = hashlib.sha256(path.encode()).hexdigest().encode()
    fill = (seed + b" ") * (size // len(seed) + 1)
    return start + fill[: size - len(start) - len(end)] + end


class Origin:
    """What all connections share."""

    def __init__(self):
        self.mode = "ok"
        self.port = 0
        self.server = None
        self.connections = set()
        self.under_way = 0
        self.reset()

    def reset(self):
        self.counts = collections.Counter()
        self.times = array.array("d")       # of the requests, in their order
        self.peak = self.under_way
        self.accepted = 0
        self.first_answer = self.last_answer = None

    async def listen(self):
        self.server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), "127.0.0.1", self.port, backlog=16384, reuse_address=True)
        self.port = self.server.sockets[0].getsockname()[1]

    async def switch(self, mode):
        self.mode = mode
        if mode == "refuse" and self.server:
            self.server.close()
            self.server = None
            for connection in list(self.connections):
                connection.transport.abort()
        elif mode != "refuse" and not self.server:
            await self.listen()

    def report(self):
        return {**self.counts, "total": self.counts.total(), "connections": self.accepted,
                "mode": self.mode, "first_answer": self.first_answer, "last_answer": self.last_answer}

    def load(self):
        return {"requests": len(self.times), "under_way": self.under_way, "peak": self.peak}

    def asked(self, path):
        self.counts[path] += 1
        if len(self.times) < TIMES_LIMIT:
            self.times.append(time.monotonic())
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)

    def answered(self):
        self.last_answer = time.monotonic()
        self.first_answer = self.first_answer or self.last_answer


def response(status, content_type, body, cache_control=None, head_only=False, tag=None):
    cache = f"Cache-Control: {cache_control}\r\n" if cache_control else ""
    cache += f"Cache-Tag: {tag}\r\n" if tag else ""
    head = (f"HTTP/1.1 {status}\r\nDate: {email.utils.formatdate(usegmt=True)}\r\n"
            f"Content-Type: {content_type}\r\n{cache}Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + (b"" if head_only else body)


class Connection(asyncio.Protocol):
    def __init__(self, origin, control=False):
        self.origin = origin
        self.control = control
        self.buffer = b""
        self.under_way = 0          # requests on this connection without an answer

    def connection_made(self, transport):
        self.transport = transport
        if not self.control:
            self.origin.connections.add(self)
            self.origin.accepted += 1

    def connection_lost(self, _cause):
        self.origin.connections.discard(self)
        self.origin.under_way -= self.under_way

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            line = self.buffer[: self.buffer.find(b"\r\n")].decode("latin-1").split(" ")
            self.buffer = self.buffer[end + 4:]
            if len(line) != 3:
                self.transport.abort()
                return
            self.request(line[0], line[1])
        if len(self.buffer) > HEAD_LIMIT:
            self.transport.abort()

    def request(self, method, target):
        url = urlsplit(target)
        if url.path.startswith("/__"):
            self.task = asyncio.ensure_future(self.command(url))  # kept, or it may be collected
            return
        self.origin.asked(url.path)
        self.under_way += 1
        kind = kind_of(url.path)
        delay = kind[2] if kind else 0
        if delay:
            asyncio.get_running_loop().call_later(delay / 1000, self.answer, method, url.path, kind)
        else:
            self.answer(method, url.path, kind)

    def answer(self, method, path, kind):
        if self.transport.is_closing():
            return
        mode, head_only = self.origin.mode, method == "HEAD"
        if mode == "hang":
            return
        self.under_way -= 1
        self.origin.under_way -= 1
        self.origin.answered()
        if mode == "reset":
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        elif mode == "garbage":
            self.transport.write(GARBAGE)
            self.transport.close()
        elif mode == "503":
            self.transport.write(response("503 Service Unavailable", "text/html", b"sick\n", None, head_only))
        elif mode == "500":
            self.transport.write(response("500 Internal Server Error", "text/html", b"broken\n", None, head_only))
        elif kind is None:
            self.transport.write(response("404 Not Found", "text/html", b"no such page\n", None, head_only))
        else:
            body = body_of(path)
            tag = TAG if path.startswith("/tagged/") else None
            whole = response("200 OK", "text/html; charset=utf-8", body, kind[1], head_only, tag)
            if mode == "truncate":
                self.transport.write(whole[: len(whole) - len(body) // 2])
                self.transport.close()
            else:
                self.transport.write(whole)

    async def command(self, url):
        status, answer = "200 OK", None
        if url.path == "/__counts":
            answer = self.origin.report()
        elif url.path == "/__load":
            answer = self.origin.load()
        elif url.path == "/__times":
            answer = self.origin.times.tolist()
        elif url.path == "/__reset":
            self.origin.reset()
        elif url.path == "/__mode":
            mode = parse_qs(url.query).get("m", [""])[0]
            if mode in MODES:
                await self.origin.switch(mode)
            else:
                status, answer = "400 Bad Request", f"m is one of {', '.join(MODES)}"
        else:
            status = "404 Not Found"
        if not self.transport.is_closing():
            self.transport.write(response(status, "application/json", json.dumps(answer).encode()))


async def run(port, control_port):
    origin = Origin()
    origin.port = port
    await origin.listen()
    loop = asyncio.get_running_loop()
    control = await loop.create_server(lambda: Connection(origin, True), "127.0.0.1", control_port)
    ready = {"port": origin.port, "control": control.sockets[0].getsockname()[1]}
    print(json.dumps(ready), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, lambda: ended.set() if not os.read(0, 4096) else None)
    await ended.wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--control-port", type=int, default=0)
    given = arguments.parse_args()
    try:
        asyncio.run(run(given.port, given.control_port))
    except KeyboardInterrupt:
        pass
