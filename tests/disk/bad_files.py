"""Files that were damaged while nothing ran (see faults.py). All it knows of their format is that they begin."""
import os
import random
import shutil
import time

from common import Failed
from judge import Order
from pages import some
from process import SYNC
from scene import scene

PAST_PAGE_SIZE = 5000
TOLD = ("hard-invalidated content", "soft-invalidated, but fresh")


def truncated(path, draw, _others):
    os.truncate(path, draw.randrange(path.stat().st_size))


def emptied(path, _draw, _others):
    os.truncate(path, 0)


def extended(path, draw, _others):
    with open(path, "ab") as file:
        file.write(draw.randbytes(draw.randint(1, PAST_PAGE_SIZE)))


def flipped(path, draw, _others, within=None):
    """From one bit to three, anywhere."""
    content = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(min(within or len(content), len(content)))
        content[at] ^= 1 << draw.randrange(8)
    overwrite(path, content)


def flipped_in_front(path, draw, others):
    flipped(path, draw, others, 192)


def zeroed(path, draw, _others):
    """A block that never got to the disk."""
    content = bytearray(path.read_bytes())
    at = draw.randrange(len(content)) // 512 * 512
    content[at: at + 4096] = bytes(len(content[at: at + 4096]))
    overwrite(path, content)


def foreign(path, draw, _others):
    overwrite(path, draw.randbytes(path.stat().st_size))


def another_version(path, draw, others):
    """One more in a byte that all files have in common at their beginning: the magic, or the version."""
    content, other = bytearray(path.read_bytes()), draw.choice(others).read_bytes()
    common = next((at for at in range(16) if content[at] != other[at]), 16)
    at = draw.randrange(max(1, common))
    content[at] = (content[at] + 1) % 256
    overwrite(path, content)


def swapped(path, draw, others):
    other = draw.choice(others)
    mine, its = path.read_bytes(), other.read_bytes()
    overwrite(path, its)
    overwrite(other, mine)


def spliced(path, draw, others):
    """The first half of it, the second of another."""
    mine, its = path.read_bytes(), draw.choice(others).read_bytes()
    overwrite(path, mine[: len(mine) // 2] + its[len(its) // 2:])


def removed(path, _draw, _others):
    path.unlink()


def pipe(path, _draw, _others):
    path.unlink()
    os.mkfifo(path)


def folder(path, _draw, _others):
    path.unlink()
    path.mkdir()
    (path / "something").write_text("in it")


def link_to_passwd(path, _draw, _others):
    path.unlink()
    path.symlink_to("/etc/passwd")


def link_to_zeros(path, _draw, _others):
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_another(path, draw, others):
    path.unlink()
    path.symlink_to(draw.choice(others))


def copied_beside(path, draw, _others):
    """The same content under a name that nothing has."""
    name = path.name
    stranger = "".join(draw.choice("0123456789abcdef") if letter in "0123456789abcdef" else letter for letter in name)
    shutil.copy(path, path.with_name(stranger))


def overwrite(path, content):
    """In place: the same inode."""
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


# Of a page; and whether it has to be counted when the page is asked for.
PAGES = {
    truncated: True, emptied: True, extended: True, flipped: True, flipped_in_front: True, zeroed: True, foreign: True,
    another_version: False, swapped: True, spliced: True, removed: False, pipe: True, folder: True,
    link_to_passwd: True, link_to_zeros: True, link_to_another: True, copied_beside: False,
}
# Of what else a store has for itself: an index, say.
OTHERS = (truncated, emptied, extended, flipped, foreign, removed, pipe)
# Of the journal; and whether orders that it had must hold all the same. Nothing tells a tail that is gone from one that
# never was, so of that it is only told what was lost.
JOURNAL = {emptied: True, flipped: True, foreign: True, removed: True, zeroed: True, truncated: False}


# --- files that were damaged -----------------------------------------------------------------

def files(report):
    with scene() as one:
        one.site.slow = False
        pages = prepare(one, 100 if report.given.quick else 400)
        pristine = one.folder / "pristine"
        shutil.copytree(one.disk, pristine, symlinks=True)
        for damage, counted in PAGES.items():
            report.attempt(damage.__name__, damaged_pages, one, pages, pristine, damage, counted)
        for damage in OTHERS:
            report.attempt(damage.__name__, damaged_others, one, pages, pristine, damage)
        for damage, holds in JOURNAL.items():
            report.attempt(damage.__name__, damaged_journal, one, pages, pristine, damage, holds)


def prepare(one, count):
    """Stored pages, and orders of both kinds; then a clean stop."""
    one.works()
    pages = some(count)
    one.visit_all(pages)
    for number, page in enumerate(pages[::8]):
        selector = page.selectors[number % 4 // 2 * 2]
        order = one.judge.ordered(Order(number % 2 == 0, selector, time.monotonic()))
        one.larder.revalidate(order.selector, order.hard)
        order.acknowledged = time.monotonic()
    time.sleep(SYNC)
    one.stop()
    if not one.larder.page_files():
        raise Failed(f"no files below {one.larder.root / 'pages'}")
    return pages


def again(one, pristine, seed):
    """The store as it was."""
    one.larder.close()
    shutil.rmtree(one.disk)
    shutil.copytree(pristine, one.disk, symlinks=True)
    one.judge.forget()
    return random.Random(seed)


def asked_for(one, pages, what):
    """Starts it and asks for everything; returns how many were hits, and the errors that were counted."""
    one.larder.start()
    one.visit_all(pages)
    one.still_alive(what)
    hits, errors = one.judge.counts["hits"], one.errors()
    if one.stores(5.0) is None:
        one.judge.violated("nothing is stored any more", what)
    one.stop()
    one.end()
    return hits, errors


def damaged_pages(report, one, pages, pristine, damage, counted):
    draw = again(one, pristine, report.given.seed)
    everything = sorted(one.larder.page_files())
    chosen = draw.sample(everything, len(everything) // 3)
    others = sorted(set(everything) - set(chosen))
    for path in chosen:
        damage(path, draw, others)
    hits, errors = asked_for(one, pages, damage.__name__)
    if counted and errors == 0:
        one.judge.violated("not counted", f"{damage.__name__}: larder_store_errors_total did not move")
    struck = f"{len(chosen)} of {len(everything)} files"
    report.row(f"pages {damage.__name__}", one, struck, f"{errors:.0f}", f"{hits} hits")


def damaged_others(report, one, pages, pristine, damage):
    draw = again(one, pristine, report.given.seed)
    chosen = [path for path in one.larder.root.rglob("*") if path.is_file() and path.stat().st_size
              and path != one.larder.journal and one.larder.root / "pages" not in path.parents]
    for path in chosen:
        damage(path, draw, chosen)
    if not chosen:
        report.row(f"other files {damage.__name__}", note="there are none")
        return
    hits, errors = asked_for(one, pages, damage.__name__)
    names = ", ".join(sorted({path.name for path in chosen}))
    report.row(f"{names} {damage.__name__}", one, len(chosen), f"{errors:.0f}", f"{hits} hits")


def damaged_journal(report, one, pages, pristine, damage, holds):
    """It may refuse to start, and say so; where it starts, the orders hold."""
    draw = again(one, pristine, report.given.seed)
    damage(one.larder.journal, draw, [])
    what = f"journal {damage.__name__}"
    try:
        hits, errors = asked_for(one, pages, what)
    except Failed as failure:
        if one.larder.child.poll() != 2 or str(one.larder.journal) not in one.larder.said():
            one.judge.violated("not refused well", str(failure))
        report.row(what, one, note="refused: exit code 2")
        return
    lost = one.judge.violations["hard-invalidated content"]
    if not holds:
        one.judge.pardon(TOLD)
    note = f"{hits} hits" + (f", {lost} of them hard-invalidated" if lost else "")
    report.row(what, one, "", f"{errors:.0f}", note)
