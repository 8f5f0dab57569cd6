"""What the faults share: a Larder with a disk store under load, a disk of its own, and when it is well again."""
import contextlib
import itertools
import pathlib
import shutil
import subprocess
import time

from process import Larder, walk
from common import Failed, directory
from judge import Judge
from pages import Page, Site
from visitors import Crowd, Visitor, visit

WELL_WITHIN = 30.0      # seconds from the end of a fault
SETTLES = 2.0           # seconds from an answer until its page is on the disk, `sync` included
TOLERANCE = 5.0         # seconds of an Age: a process that is traced is slow
NEW = itertools.count(10**6)


class Scene:
    """`disk`: the directory of its store; `said` collects what goes into the last line."""

    def __init__(self, folder, site, disk, **more):
        self.folder, self.site, self.disk = folder, site, disk
        self.judge = Judge(site, TOLERANCE, disk_fails=True)
        self.larder = Larder(folder, site, disk, **more)
        self.said = []

    def crowd(self, pages, **more):
        # The journal may be on the bad disk: an order may be refused then, and what is refused need not hold.
        return Crowd(self.larder, self.judge, pages, **{"fussy": False, "pause": 0.002, **more})

    def visit(self, page, absent=False):
        visitor = Visitor(self.larder.port)
        try:
            return visit(visitor, page, self.larder, self.judge, absent)
        finally:
            visitor.leave()

    def visit_all(self, pages):
        visitor = Visitor(self.larder.port)
        for page in pages:
            visit(visitor, page, self.larder, self.judge)
        visitor.leave()

    def up(self):
        with contextlib.suppress(OSError):
            return self.larder.metric("larder_store_up", tier="disk")

    def errors(self):
        return self.larder.metric("larder_store_errors_total", tier="disk") or 0

    def evictions(self):
        return self.larder.metric("larder_store_evictions_total", tier="disk") or 0

    def stores(self, limit):
        """Visits new pages until one of them is on the disk: (seconds, the page), or None after `limit`."""
        begun = time.monotonic()
        while time.monotonic() - begun < limit:
            page = Page("j", next(NEW))
            _, render = self.visit(page)
            end = time.monotonic() + SETTLES
            while render and time.monotonic() < end:
                if self.up() == 1 and holds(self.disk, render.nonce):
                    return time.monotonic() - begun, page
                time.sleep(0.1)
        return None

    def works(self):
        """The beginning: pages get to the disk, or nothing can be shown."""
        self.larder.start()
        if self.stores(5.0) is None:
            raise Failed(f"no page gets to {self.disk} in the first place, larder_store_up is {self.up()}; "
                         f"larder said:\n{self.larder.said()[-2000:]}")

    def recovers(self, what):
        """Judges that it is well again in time after a fault has ended; returns a page that is on the disk then."""
        well = self.stores(WELL_WITHIN)
        if well is None:
            details = f"{what}: {WELL_WITHIN:g} s later larder_store_up is {self.up()}, and no new page is on the disk"
            self.judge.violated("no recovery", f"{details}; larder said:\n{self.larder.said()[-1000:]}")
            return None
        self.said.append(well[0])
        return well[1]

    def survives_kill(self, page):
        """Judges that a page is a hit after kill -9, without an origin."""
        if page is None:
            return
        self.judge.crashed(self.larder.kill(), SETTLES)
        self.site.off()
        self.larder.start()
        seen, _ = self.visit(page, absent=True)
        if seen is not None and not seen.hit:
            self.judge.violated("a page is lost", f"{seen}, after a fault that has ended, and kill -9")
        self.site.on()

    def orders_hold(self, pages):
        """Judges after kill -9, or a stop, and without an origin: what was acknowledged holds, and nothing is wrong."""
        if self.larder.alive():
            self.larder.kill()
        self.judge.forget()
        self.site.off()
        self.larder.start()
        visitor = Visitor(self.larder.port)
        for page in pages:
            visit(visitor, page, self.larder, self.judge, absent=True)
        visitor.leave()
        self.site.on()

    def stop(self):
        if (code := self.larder.stop()) != 0:
            self.judge.violated("a clean stop", f"exit code {code}")

    def still_alive(self, what):
        if not self.larder.alive():
            raise Failed(f"{what}: larder is dead (exit code {self.larder.child.poll()}); its log ends:\n"
                         f"{self.larder.said()[-2000:]}")

    def end(self):
        if "panicked" in (said := self.larder.said()):
            self.judge.violated("a panic", said[said.index("panicked"):][:500])


@contextlib.contextmanager
def scene(disk=None, **more):
    """A Scene in a folder of its own, with a started Larder or without: see Scene.works."""
    with directory(in_memory=False) as folder, contextlib.closing(Site()) as site:
        one = Scene(folder, site, disk or folder / "store", **more)
        with contextlib.closing(one.larder):
            yield one
            one.end()


@contextlib.contextmanager
def small_disk(mebibytes):
    """The mount point of a tmpfs. Needs root."""
    with directory(in_memory=False) as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", folder],
                              capture_output=True, text=True)
        if done.returncode:
            raise Failed(done.stderr.strip())
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=False)


def cannot_mount():
    """Why there is no small_disk, or None."""
    try:
        with small_disk(1):
            return None
    except (Failed, OSError) as failure:
        return str(failure)


def holds(folder, nonce):
    """Whether a stored page below a folder has these words; what is still being written does not count."""
    for path in walk(folder):
        if "tmp" in path.parts[len(folder.parts):]:
            continue
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and nonce.encode() in path.read_bytes():
                return True
    return False


def new_pages(count, kind="j"):
    """Pages that nobody has seen."""
    return [Page(kind, next(NEW)) for _ in range(count)]


def free_bytes(folder):
    return shutil.disk_usage(folder).free


def fill_up(ballast: pathlib.Path):
    """Takes all the room that there still is."""
    with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as file:
        while file.write(bytes(64 * 1024)):
            pass
