"""The servers that are compared, and the origin behind them: how each is configured, started and stopped.

Everything runs on loopback, on free ports, in a directory of its own that goes away with the script.
"""
import contextlib
import dataclasses
import functools
import grp
import json
import os
import pathlib
import pwd
import re
import resource
import socket
import subprocess
import sys

from common import HERE, Failed, children_of, directory, fetch, free_port, process, wait_until

LARDER = pathlib.Path(os.environ.get("LARDER_BIN") or HERE.parents[1] / "target/release/larder")
TOKEN = "benchmark"         # in larder.yaml.template
APP = HERE.parents[1] / "tests/nextjs/app"
APP_PAGE = "/login"         # of the fixture: static, so `next start` answers it from its own cache
BUILD_LIMIT = 900
LOGGED_NGINX = "combined buffer=64k flush=1s"


@dataclasses.dataclass
class Server:
    name: str
    port: int
    pid: int                            # of the process that does the work, or the parent of those that do
    admin: int = 0                      # larder: the port of its admin address
    log: pathlib.Path = None            # the access log, where one is written
    folder: pathlib.Path = None         # its own files, the cache included

    @property
    def label(self):
        return f"{self.name}, access log" if self.log else self.name

    def is_hit(self, headers):
        if self.name == "larder":
            return re.search(r"larder\s*;\s*hit\b", headers.get("Cache-Status", "")) is not None
        return headers.get("X-Nextjs-Cache" if self.name == "next" else "X-Cache-Status") == "HIT"


class Origin:
    """The control side of origin.py."""

    def __init__(self, port, control):
        self.port, self.control = port, control
        self.address = f"127.0.0.1:{port}"

    def _ask(self, path):
        status, _, body = fetch(self.control, path)
        if status != 200:
            raise Failed(f"the origin answered {status} to {path}: {body!r}")
        return json.loads(body)

    def mode(self, mode):
        self._ask(f"/__mode?m={mode}")

    def counts(self):
        return self._ask("/__counts")

    def reset(self):
        self._ask("/__reset")

    def load(self):
        """How many requests came since the reset, how many are under way, and how many were at once at most."""
        return self._ask("/__load")

    def times(self):
        """When each of them came, time.monotonic()."""
        return self._ask("/__times")


@contextlib.contextmanager
def origin(nice=0):
    command = [*(["nice", "-n", nice] if nice else []), sys.executable, HERE / "origin.py"]
    with directory() as path, process(
            command, path / "log", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        line = child.stdout.readline()
        if not line:
            raise Failed(f"the origin did not start: {(path / 'log').read_text()[-2000:]}")
        yield Origin(**json.loads(line))


def filled(template, values):
    """A file of this folder with its @NAMES@ filled in."""
    return re.sub(r"@([A-Z_]+)@", lambda m: str(values.get(m[1], m[0])), (HERE / template).read_text())


def larder_command(*arguments):
    if not os.access(LARDER, os.X_OK):
        raise Failed(f"no larder at {LARDER}: build it, or set LARDER_BIN (or --only nginx)")
    return [str(LARDER), *map(str, arguments)]


def larder_yaml(port, addresses, admin, log, memory, extra, disk="", tls=None):
    tls = f", tls: {{ certificates: [{{ cert: {tls[0]}, key: {tls[1]} }}] }}" if tls else ""
    servers = ", ".join(f'{{ url: "http://{address}" }}' for address in addresses)
    values = {"PORT": port, "SERVERS": servers, "ADMIN": admin, "MEMORY": memory, "LOG": log,
              "TLS": tls, "DISK": f", disk: {{ {disk} }}" if disk else ""}
    return filled("larder.yaml.template", values) + extra + "\n"


@functools.lru_cache(maxsize=None)
def larder_refuses(extra, log="off"):
    """What this larder says against more YAML or an access log, or None: what it does not have yet, it refuses."""
    with directory() as path:
        (path / "larder.yaml").write_text(larder_yaml(1, ["127.0.0.1:2"], 3, log, 256, extra))
        done = subprocess.run(larder_command("check", path / "larder.yaml"), capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip().replace(f"{path}/", "")
        return (said or f"exit code {done.returncode}") if done.returncode else None


def larder_logs_to_files():
    return larder_refuses("", "/dev/null") is None


@contextlib.contextmanager
def larder(origin_address, core=None, extra="", logged=False, memory=256, more_addresses=(), tls=None):
    """Larder with one thread, from larder.yaml.template; `extra` is more YAML, `memory` the store's MiB, its
    origin has a server at each address, and `tls` is a certificate and its key."""
    port, admin = free_port(), free_port()
    with directory() as path:
        access = path / "access.log" if logged else None
        (path / "larder.yaml").write_text(
            larder_yaml(port, [origin_address, *more_addresses], admin, access or "off", memory, extra, tls=tls))
        log = path / "log"
        with process(larder_command("serve", "--config", path / "larder.yaml"), log, core) as child:
            wait_until(lambda: fetch(admin, "/readyz")[0] == 200, child, "larder", log)
            yield Server("larder", port, child.pid, admin, access, path)


@contextlib.contextmanager
def nginx(origin_address, core=None, lock="5s", sendfile="off", logged=False, in_memory=True, zone="64m", most="2g",
          open_files="max=10000 inactive=60s", tls=None):
    """nginx with one worker, from nginx.conf.template; 5s is its own default for both lock times. `in_memory`: where its
    cache files are; `zone` and `most`: the size of what it knows of them, and of all of them; `tls`: a certificate and its key,
    with which it speaks HTTP/2, too."""
    port, files = free_port(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with directory(in_memory) as path:
        access = path / "access.log" if logged else None
        values = {"DIR": path, "PORT": port, "ORIGIN": origin_address, "LOCK": lock, "SENDFILE": sendfile,
                  "ZONE": zone, "MOST": most, "OPEN_FILES": open_files,
                  "SPEAKS": " ssl http2" if tls else "",
                  "TLS": f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else "",
                  "FILES": files, "CONNECTIONS": min(files - 100, 30000),
                  "LOG": f"{access} {LOGGED_NGINX}" if logged else "off",
                  "USER": pwd.getpwuid(os.geteuid()).pw_name, "GROUP": grp.getgrgid(os.getegid()).gr_name}
        (path / "nginx.conf").write_text(filled("nginx.conf.template", values))
        log = path / "error.log"
        with process(["nginx", "-p", path, "-e", log, "-c", path / "nginx.conf"], path / "log", core) as child:
            def ready():
                socket.create_connection(("127.0.0.1", port), 1).close()
                return worker_of(child.pid) is not None
            wait_until(ready, child, "nginx", log)
            yield Server("nginx", port, worker_of(child.pid), log=access, folder=path)


def worker_of(master):
    for pid in children_of(master):
        if b"worker process" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def varnish_command(port, vcl, folder, memory, parameters):
    """How Varnish is started. It is never another user: its files are its starter's, as they are for the others."""
    command = ["varnishd", "-F", "-f", vcl, "-s", f"malloc,{memory}m", "-a", f"127.0.0.1:{port}", "-n", folder]
    for parameter in parameters:
        command += ["-p", parameter]
    return command + (["-j", "none"] if os.geteuid() == 0 else [])


@contextlib.contextmanager
def varnish(origin_address, core=None, vcl="", memory=256, parameters=()):
    """Varnish from varnish.vcl.template with its own parameters; `vcl` is more VCL, `memory` the store's MiB."""
    port = free_port()
    with directory() as path:
        values = {"ORIGIN_PORT": origin_address.rpartition(":")[2]}
        (path / "default.vcl").write_text(filled("varnish.vcl.template", values) + vcl)
        command = varnish_command(port, path / "default.vcl", path / "work", memory, parameters)
        log = path / "log"
        with process(command, log, core) as child:
            def ready():
                socket.create_connection(("127.0.0.1", port), 1).close()
                return bool(children_of(child.pid))
            wait_until(ready, child, "varnishd", log)
            yield Server("varnish", port, child.pid, folder=path)


SERVERS = {"larder": larder, "nginx": nginx, "varnish": varnish}


def build_app():
    """The application of tests/nextjs, installed and built where it is not yet; its tests know how."""
    harness = (HERE.parents[1] / "tests/nextjs/harness.mjs").as_uri()
    script = f"import {{ buildApp }} from {json.dumps(harness)}; await buildApp();"
    try:
        done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True,
                              timeout=BUILD_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"the Next.js application was not built: {error}") from error
    if done.returncode:
        raise Failed(f"the Next.js application was not built:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def next_start(core=None, app=None):
    """`next start` of that application, or of one that is built already."""
    if app is None:
        build_app()
    port = free_port()
    command = ["node", "node_modules/next/dist/bin/next", "start", "-p", port, "-H", "127.0.0.1"]
    # The app speaks to a Larder where the environment has one's token; here it is to be Next.js and nothing else.
    own = {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}
    environment = {**own, "NEXT_TELEMETRY_DISABLED": "1", "NODE_ENV": "production"}
    with directory() as path:
        log = path / "log"
        with process(command, log, core, cwd=app or APP, env=environment) as child:
            wait_until(lambda: fetch(port, APP_PAGE)[0] == 200, child, "next start", log)
            yield Server("next", port, child.pid)
