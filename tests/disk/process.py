"""A Larder that can be stopped, killed and started again where it was."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches/compare"))

from common import Failed, fetch            # noqa: E402
from pages import ROUTES, steady_port       # noqa: E402

LARDER = pathlib.Path(os.environ.get("LARDER_BIN") or ROOT / "target/debug/larder")
TOKEN = "disk-tests"
START_LIMIT, STOP_LIMIT = 10.0, 10.0
SYNC = 1.0              # seconds; `sync` of the store


class Refused(Exception):
    """The admin API said no."""


class Larder:
    """`disk`: the directory of its store, or None; `options`: more keys of it, as YAML."""

    def __init__(self, folder, site, disk, options="", memory="max_size: 2MiB, max_object: 128KiB", threads=2):
        self.folder, self.disk = pathlib.Path(folder), disk
        self.port, self.admin = steady_port(), steady_port()
        self.log, self.config = self.folder / "log", self.folder / "larder.yaml"
        self.child, self.dying, self.started_in = None, False, []
        if disk and not os.path.lexists(disk):
            os.mkdir(disk, 0o700)
        keys = f", disk: {{ path: {disk}, sync: {SYNC:g}s{options and ', ' + options} }}" if disk else ""
        self.config.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f'origins: {{ app: {{ servers: [{{ url: "http://127.0.0.1:{site.port}" }}] }} }}\n'
            f"server: {{ threads: {threads} }}\n"
            f'admin: {{ listen: "127.0.0.1:{self.admin}", token: {TOKEN} }}\n'
            f'logging: {{ access: {{ format: json, output: "off" }} }}\n'
            f"store: {{ memory: {{ {memory} }}{keys} }}\n{ROUTES}")

    @property
    def root(self):
        """What it calls its own of the directory."""
        return pathlib.Path(self.disk) / "larder-1"

    @property
    def journal(self):
        return self.root / "journal"

    def page_files(self):
        return [path for path in walk(self.root / "pages") if path.is_file()]

    # --- its life ----------------------------------------------------------------------------

    def spawn(self):
        if not os.access(LARDER, os.X_OK):
            raise Failed(f"no larder at {LARDER}: run `cargo build --bin larder`, or set LARDER_BIN")
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen([LARDER, "serve", "--config", self.config], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, start_new_session=True)

    def start(self):
        """Returns when it is ready."""
        begun = time.monotonic()
        self.spawn()
        while time.monotonic() < begun + START_LIMIT and self.child.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if fetch(self.admin, "/readyz")[0] == 200:
                    self.dying = False
                    self.started_in.append(time.monotonic() - begun)
                    return self
            time.sleep(0.01)
        raise Failed(f"larder did not start (exit code {self.child.poll()}); its log ends:\n{self.said()[-2000:]}")

    def kill(self):
        """kill -9; returns the moment before it."""
        self.dying, moment = True, time.monotonic()
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        return moment

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.dying = True
        self.child.terminate()
        try:
            return self.child.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"none within {STOP_LIMIT:g} s"

    def close(self):
        if self.child is not None and self.child.poll() is None:
            self.kill()

    def alive(self):
        return self.child.poll() is None

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # --- its operator ------------------------------------------------------------------------

    def revalidate(self, selector, hard):
        """Returns when the invalidation is acknowledged."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            order = json.dumps({selector[0]: [selector[1]], "hard": hard})
            fields = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/revalidate", order, fields)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200 or not isinstance(json.loads(body).get("epoch"), int):
            raise Refused(f"{answer.status} {body[:300]!r}")
        # It counts, and says itself that it would not survive: the disk refuses it.
        if json.loads(body).get("durable") is False:
            raise Refused("not durable")

    def metric(self, name, **labels):
        """The sum of a metric over those of its series that have these labels, or None where there is none."""
        text = fetch(self.admin, "/metrics")[2].decode()
        values = [float(value) for series, value in re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)", text, re.MULTILINE)
                  if all(f'{label}="{wanted}"' in series for label, wanted in labels.items())]
        return sum(values) if values else None


def walk(folder):
    """All that is below a folder, also while it changes; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield pathlib.Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    yield from walk(entry.path)
    except OSError:
        return


def leftovers(root):
    """Files below a store's root that look as if they were being written."""
    temporary = re.compile(r"tmp|temp|part|new|incoming|~$|^\.")
    # A process that lives holds its lock.
    return [path for path in walk(root) if path.is_file() and path.name != "lock"
            and any(temporary.search(part) for part in path.relative_to(root).parts)]
