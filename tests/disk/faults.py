#!/usr/bin/env python3
"""Bad disks under a running Larder: no visitor may notice, no answer may be wrong, and it gets well by itself.

space: a full one (a small tmpfs; needs root). calls: system calls that fail, injected by strace into the running
process. stuck: each disk call takes a second; hits from memory must not notice. gone: a directory that is removed, made
read-only, not there or unusable at the start. files: files that were damaged while nothing ran.
A violation is an answer that is not the page, whole and in its place in time, or no answer; or that Larder is not well
30 s after the fault: larder_store_up is 1 and a new page is on the disk.
"""
import argparse
import contextlib
import shutil
import subprocess
import sys
import threading
import time

from process import Larder
from common import Failed, main
import bad_calls
import bad_files
from pages import some
from scene import SETTLES, cannot_mount, fill_up, free_bytes, new_pages, scene, small_disk

DISK_MIB = 16
LIMIT_MIB = 8
EXIT_LIMIT = 10.0


class Report:
    """A Markdown table, a row for each fault, and whatever is wrong."""

    def __init__(self, given):
        self.given, self.bad, self.details = given, 0, []
        print("| fault | answers | struck | store errors | violations | well again after, s | |\n"
              "|---|---|---|---|---|---|---|")

    def attempt(self, what, show, *more):
        """Shows one fault; where that cannot be done, it is a violation, and the next is shown."""
        try:
            return show(self, *more)
        except (Failed, OSError) as failure:
            self.bad += 1
            self.details.append(f"{what}: {failure}")
            self.row(what, note="failed, see below")
            return None

    def row(self, what, one=None, struck="", errors="", note=""):
        """Of a scene: its judge starts anew behind it."""
        judge = one.judge if one else None
        answers = judge.counts["answers"] if judge else ""
        violations = judge.violations.total() if judge else ""
        well = f"{max(one.said):.1f}" if one and one.said else ""
        print(f"| {what} | {answers} | {struck} | {errors} | {violations} | {well} | {note} |", flush=True)
        if judge:
            self.bad += violations
            self.details += [f"{what}: {line}" for line in judge.report()]
            judge.counts.clear()
            judge.violations.clear()
            judge.shown.clear()
            one.said.clear()


# --- a full disk -----------------------------------------------------------------------------

def space(report):
    if refusal := cannot_mount():
        report.row("space", note=f"skipped: no tmpfs may be mounted: {refusal}")
        return
    for least in ("0%", "5%"):
        report.attempt(f"full, min_free {least}", full, least)
    report.attempt("more than max_size", limited)


def full(report, least):
    """Pages until nothing fits, then somebody else takes the rest, then there is room again."""
    with small_disk(DISK_MIB) as disk, scene(disk / "store", options=f"min_free: {least}") as one:
        filled_up(report, one, disk, least)


def filled_up(report, one, disk, least):
    ballast, lowest = disk / "ballast", free_bytes(disk)
    one.works()
    pages = some((20 if report.given.quick else 32) * DISK_MIB, "b")        # more than fits: 16 take a MiB
    one.visit_all(pages)
    before = free_bytes(disk) / (DISK_MIB << 20)
    if before < (0.04 if least == "5%" else 0):
        one.judge.violated("min_free is not kept", f"{before:.1%} are free")
    with one.crowd(pages).about():
        for _ in range(report.given.turns):
            fill_up(ballast)
            time.sleep(1)
            lowest = min(lowest, free_bytes(disk))
    one.still_alive("a full disk")
    errors, evictions = one.errors(), one.evictions()
    if errors + evictions == 0:
        one.judge.violated("nothing was full", f"{free_bytes(disk)} bytes are free, no errors, no evictions")
    ballast.unlink()
    one.survives_kill(one.recovers(f"a full disk, min_free {least}"))
    report.row(f"full, min_free {least}", one, f"{lowest} bytes free", f"{errors:.0f}",
               f"{evictions:.0f} evictions; {before:.0%} were free before somebody else took it")


def limited(report):
    """More than max_size: the store stays within it, and a tenth."""
    with scene(options=f"max_size: {LIMIT_MIB}MiB, max_object: 1MiB") as one:
        one.works()
        one.visit_all(some(4 * LIMIT_MIB * 16, "b"))
        time.sleep(SETTLES)
        occupied = sum(path.stat().st_blocks * 512 for path in one.larder.page_files()) / 2**20
        if occupied > LIMIT_MIB * 1.1:
            one.judge.violated("max_size is not kept", f"{occupied:.1f} MiB of {LIMIT_MIB}")
        evictions = one.evictions()
        one.survives_kill(one.recovers("more than max_size"))
        note = f"{evictions:.0f} evictions"
        report.row(f"more than max_size ({LIMIT_MIB} MiB)", one, f"{occupied:.1f} MiB", note=note)


# --- a directory that is not what it was -----------------------------------------------------

def gone(report):
    report.attempt("unusable at the start", unusable_at_start)
    report.attempt("directory open to all", open_to_all)
    report.attempt("a second one on the directory", twice)
    for what, damage, mend in (
        ("contents removed", lambda one: empty(one.disk), None),
        ("directory removed, made again", lambda one: shutil.rmtree(one.disk, ignore_errors=True), make_again),
    ):
        report.attempt(what, removed, what, damage, mend)
    report.attempt("read-only", read_only)
    report.attempt("journal removed", journal_removed)


def removed(report, what, damage, mend):
    with scene() as one:
        while_running(report, one, what, damage, mend)


def while_running(report, one, what, damage, mend):
    """A fault under load that is mended, or not, and then it has to be well."""
    one.works()
    pages = some(300)
    one.visit_all(pages)
    with one.crowd(pages + new_pages(300)).about():
        time.sleep(0.5)
        note = damage(one)
        time.sleep(report.given.seconds)
        if mend:
            mend(one)
        time.sleep(0.5)
    one.still_alive(what)
    errors = one.errors()
    one.survives_kill(one.recovers(what))
    report.row(what, one, errors=f"{errors:.0f}", note=note or "")


def empty(folder):
    """Removes what is in it, while it changes."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def make_again(one):
    shutil.rmtree(one.disk, ignore_errors=True)
    one.disk.mkdir(0o700, exist_ok=True)


def read_only(report):
    if refusal := cannot_mount():
        report.row("read-only", note=f"skipped: no tmpfs may be mounted: {refusal}")
        return
    with small_disk(4 * DISK_MIB) as mount, scene(mount / "store") as one:
        while_running(report, one, "read-only", lambda one: freeze(mount, one.disk), lambda one: thaw(mount, one.disk))


def freeze(mount, disk):
    """Makes it read-only, by force where something in it is open for writing; returns how."""
    done = subprocess.run(["mount", "-o", "remount,ro", mount], capture_output=True, text=True)
    if done.returncode == 0:
        return "remounted"
    done = subprocess.run(["chattr", "-R", "-f", "+i", disk], capture_output=True, text=True)
    return f"busy, so all of it was made immutable (chattr says {done.returncode})"


def thaw(mount, disk):
    subprocess.run(["chattr", "-R", "-f", "-i", disk], capture_output=True)
    done = subprocess.run(["mount", "-o", "remount,rw", mount], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{mount} stays read-only: {done.stderr}")


def journal_removed(report):
    """Under load, and while nothing runs: after the next start nothing that was invalidated hard comes back."""
    pages = some(200)
    with scene() as one:
        one.works()
        one.visit_all(pages)
        with one.crowd(pages, hard=0.05).about():
            time.sleep(1)
            one.larder.journal.unlink()
            time.sleep(report.given.seconds)
        one.still_alive("the journal was removed")
        one.orders_hold(pages)
        report.row("journal removed while it runs, then kill -9", one)
    with scene() as one:
        one.works()
        one.visit_all(pages)
        with one.crowd(pages, hard=0.05).about():
            time.sleep(1)
        one.stop()
        one.larder.journal.unlink()
        one.orders_hold(pages)
        report.row("journal removed while nothing runs", one)


def unusable_at_start(report):
    """Exit code 2, and a message that names the directory."""
    with scene() as one:
        bad = {"a file": one.folder / "file", "in a file": one.folder / "file/store", "in /proc": "/proc/larder/store",
               "a pipe": one.folder / "pipe", "its own part is a file": one.folder / "taken"}
        (one.folder / "file").write_text("not a directory")
        subprocess.run(["mkfifo", one.folder / "pipe"], check=True)
        (one.folder / "taken").mkdir(0o700)
        (one.folder / "taken/larder-1").write_text("not a directory")
        for what, path in bad.items():
            exit_code, said = ended_at_once(one, path)
            named = str(path) in said
            if exit_code != 2 or not named or "panicked" in said:
                one.judge.violated("not refused well", f"{what}: exit code {exit_code}, it said {said[-500:]!r}")
            last = said.strip().splitlines()[-1:] or [""]
            report.row(f"the directory is {what}", one, note=f"exit code {exit_code}: {last[0][:150]}")


def ended_at_once(one, path):
    """Starts one with this directory: (exit code, what it said)."""
    # The directory is named by the configuration alone: the class would make it.
    folder = one.folder / "other"
    folder.mkdir(exist_ok=True)
    other = Larder(folder, one.site, None)
    config = other.config.read_text().replace("store: {", f"store: {{ disk: {{ path: {path} }},")
    other.config.write_text(config)
    other.log.write_bytes(b"")
    with contextlib.closing(other):
        other.spawn()
        try:
            code = other.child.wait(EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            code = f"none within {EXIT_LIMIT:g} s"
    return code, other.said()


def open_to_all(report):
    """A directory that everybody may write to: refused, or there is a warning that names it."""
    with scene() as one:
        one.disk.chmod(0o777)
        code, said = "", ""
        try:
            one.larder.start()
        except Failed:
            code = one.larder.child.poll()
        said = "\n".join(line for line in one.larder.said().splitlines() if str(one.disk) in line)
        if (code not in ("", 2)) or not said:
            one.judge.violated("not told", f"everybody may write to the directory; exit code {code}, it said {said!r}")
        report.row("directory open to all", one, note=f"{f'exit code {code}' if code else 'served'}: {said[-200:]}")


def twice(report):
    """A second one on the same directory follows; the first does not notice, and nothing is damaged."""
    with scene() as one:
        one.works()
        pages = some(100)
        one.visit_all(pages)
        with one.crowd(pages).about():
            code, said = ended_at_once(one, one.disk)
            time.sleep(0.5)
        one.still_alive("a second one was started")
        if code in (1, 2):
            one.judge.violated("a second one on the directory", f"exit code {code}, it said {said[-500:]!r}")
        one.survives_kill(one.recovers("a second one"))
        last = said.strip().splitlines()[-1:] or [""]
        report.row("a second one on the directory", one, note=f"exit code {code}: {last[0][:150]}")


# --- all of it -------------------------------------------------------------------------------

SCENES = {"space": space, "calls": bad_calls.calls, "stuck": bad_calls.stuck, "gone": gone, "files": bad_files.files}


def run():
    report = Report(given)
    for name in given.scenes or SCENES:
        begun = time.monotonic()
        report.attempt(name, SCENES[name])
        if given.verbose:
            print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"\n{report.bad} violations")
    print("\n".join(report.details), file=sys.stderr)
    return 1 if report.bad else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("scenes", nargs="*", metavar="scene", help=f"of {', '.join(SCENES)}; all of them by default")
    arguments.add_argument("--quick", action="store_true", help="fewer and shorter: all in less than 4 minutes")
    arguments.add_argument("--seconds", type=float, default=None, help="how long each fault lasts (5, quick: 1.5)")
    arguments.add_argument("--seed", type=int, default=1, help="of what is damaged")
    arguments.add_argument("--verbose", action="store_true", help="how long each scene took")
    given = arguments.parse_args()
    given.seconds = given.seconds or (1.5 if given.quick else 5.0)
    given.turns = 3 if given.quick else 10
    if unknown := set(given.scenes) - set(SCENES):
        arguments.error(f"no such scene: {', '.join(unknown)}")
    main(run)
