#!/usr/bin/env python3
"""The admin API against its own description: Schemathesis asks a running Larder, right and wrong, and judges every answer.

Takes about a minute, and the binary at $LARDER_BIN (target/debug/larder). The first time, pip fetches Schemathesis.
"""
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LARDER = pathlib.Path(os.environ.get("LARDER_BIN") or ROOT / "target/debug/larder")
VERSION = "4.32.5"
START_LIMIT = 20.0
STOP_LIMIT = 10.0
RUN_LIMIT = 170.0
PAGES = ["/", "/blog/one", "/blog/two", "/blog/three", "/search?q=a", "/search?q=b"]
# Whose answers may have members that are not described: what goes with a problem or a reload depends on it.
OPEN = {"Problem", "NotReloaded"}


class Failed(Exception):
    """The text says what happened, and what to do."""


def schemathesis():
    """The pinned command, in an environment of its own that stays for the next time."""
    home = ROOT / "target/tmp" / f"schemathesis-{VERSION}"
    command = home / "bin/schemathesis"
    if not command.exists():
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", home], capture_output=True, text=True)
        if made.returncode != 0:
            raise Failed(f"no environment at {home}: {made.stdout[-1000:]}{made.stderr[-1000:]}\n"
                         "If ensurepip is missing, install python3-venv (Debian: sudo apt-get install python3-venv)")
        install = [home / "bin/pip", "install", "--quiet", "--disable-pip-version-check", f"schemathesis=={VERSION}"]
        if subprocess.run(install).returncode != 0:
            raise Failed(f"pip could not install schemathesis {VERSION}: its last lines are above")
    return command


class Page(http.server.BaseHTTPRequestHandler):
    """An origin to which every path is a page."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"<html><body>a page</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Cache-Control", "s-maxage=60, stale-while-revalidate=600")
        self.send_header("Cache-Tag", "page, blog")
        self.send_header("Vary", "Accept-Language")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def fetch(port, path):
    """One request on a connection of its own: (status, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def becomes_ready(child, admin):
    end = time.monotonic() + START_LIMIT
    while time.monotonic() < end and child.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if fetch(admin, "/readyz")[0] == 200:
                return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def larder(source, token, directory):
    """Larder in front of the origin: (child, visitors' port, admin port). Another try when a port was taken meanwhile."""
    if not os.access(LARDER, os.X_OK):
        raise Failed(f"no larder at {LARDER}: run `cargo build --bin larder`, or set LARDER_BIN")
    config, log = directory / "larder.yaml", directory / "log"
    for _ in range(3):
        port, admin = free_ports(2)
        config.write_text(
            f"listen: 127.0.0.1:{port}\norigin: http://127.0.0.1:{source}\n"
            f"admin:\n  listen: 127.0.0.1:{admin}\n  token: {token}\n"
            "logging: { access: { output: \"off\" } }\n"
            "routes:\n  - { name: blog, match: \"/blog/{slug}\", revalidate: 60s, tags: [blog, \"post:{slug}\"] }\n")
        with open(log, "wb") as out:
            child = subprocess.Popen([LARDER, "serve", "--config", config], stdout=out, stderr=out)
        try:
            if becomes_ready(child, admin):
                yield child, port, admin
                return
            if b"cannot listen" not in log.read_bytes():
                break
        finally:
            child.terminate()
            try:
                child.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    raise Failed(f"larder did not start; it said:\n{log.read_text(errors='replace')[-2000:]}")


def closed(schema):
    """The same, without members that are not described: a new one has to be written down."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(value) for name, value in schema.items()}
    if "type" in schema and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def examined(served):
    """The description as Schemathesis gets it."""
    document = json.loads(served)
    schemas = document["components"]["schemas"]
    for name in schemas.keys() - OPEN:
        schemas[name] = closed(schemas[name])
    # Which cursors are good no schema can say: tests/it follows them.
    entries = document["paths"]["/v1/entries"]["get"]
    entries["parameters"] = [one for one in entries["parameters"] if one["name"] != "cursor"]
    return document


def run():
    command, token = schemathesis(), secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="larder-openapi-") as directory, origin() as source:
        directory = pathlib.Path(directory)
        with larder(source, token, directory) as (child, port, admin):
            for path in PAGES:
                if fetch(port, path)[0] != 200:
                    raise Failed(f"{path} does not come through")
            status, served = fetch(admin, "/openapi.json")
            if status != 200:
                raise Failed(f"/openapi.json is answered with {status}")
            (directory / "openapi.json").write_text(json.dumps(examined(served)))
            try:
                judged = subprocess.run(
                    [command, "--config-file", HERE / "schemathesis.toml", "run", "openapi.json",
                     "--url", f"http://127.0.0.1:{admin}", "--checks", "all", "--no-color"],
                    cwd=directory, env={**os.environ, "LARDER_ADMIN_TOKEN": token}, timeout=RUN_LIMIT)
            except subprocess.TimeoutExpired as slow:
                raise Failed(f"not done after {RUN_LIMIT:g} s") from slow
            alive = child.poll() is None and fetch(admin, "/healthz")[0] == 200
        log = (directory / "log").read_text(errors="replace")
        if judged.returncode != 0:
            raise Failed("the answers above are not what src/admin/openapi.json says; mend the one that is wrong")
        if not alive or "panicked" in log:
            raise Failed(f"larder did not come through it; its log ends:\n{log[-2000:]}")


if __name__ == "__main__":
    # Larder ends with this script, however that ends.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        run()
    except Failed as failure:
        sys.exit(f"failed: {failure}")
