#!/usr/bin/env python3
"""All comparisons, one after the other, in interleaved rounds: writes benches/RESULTS.md as ratios.

In each round every server has its turn, and who begins changes with the round. All of it takes about 65 minutes of a
quiet machine. With fewer sections or rounds it only prints, unless --output names a file, or --update has the sections
replaced in it (or added to it), with a line that says when and by what.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys

import crawl
import due
import herd
import hit
import idle
import invalidate
import memory
import scrape
import sick
from common import HERE, LOAD_CORE, SERVER_CORE, Failed, main, raise_fd_limit, rotated, spread
from servers import APP, APP_PAGE, LOGGED_NGINX, SERVERS, larder_command, larder_logs_to_files, varnish_command

RESULTS = HERE.parent / "RESULTS.md"
ROUNDS = 5                  # at least, for a file that is kept
LONG_ROUNDS = 3             # at most, of the sections whose rounds take minutes
CONNECTIONS = 64
RENDERS = (0.2, 7.0)        # seconds
FAILING = 200               # clients on a cold 500
KNOWN_PAGES = 200
PATIENCE = 5.0              # seconds
CALLS = 100
SCRAPERS = 10
NAMES = list(SERVERS)
BASE = "larder"
WHOLE = "{:.0f}"
PLACE = f"wrk -t1 on core {LOAD_CORE}, every server on core {SERVER_CORE}"


# --- sections --------------------------------------------------------------------------------

def hits():
    lines = [f"One 10 KiB page, always a hit; {PLACE}, {CONNECTIONS} connections, {given.seconds} s a turn. "
             "One wrk thread cannot ask for more than about 85,000 a second: trust the CPU. Access logs go to a file: "
             f"JSON from Larder, `{LOGGED_NGINX}` from nginx. Varnish writes none; its log in memory is on, as it is "
             "by itself."]
    if not larder_logs_to_files():
        lines.append("This version of Larder writes no access log to a file.")
    with hit.pages(NAMES, True, {name: options_of(name) for name in NAMES}) as targets:
        labels = [target.label for target in targets]
        for title, headers in (("Bare headers", {}), (f"A browser's headers, {hit.BROWSER_BYTES} bytes", hit.BROWSER)):
            load = hit.Load(hit.PAGE, hit.PAGE_BYTES, headers, CONNECTIONS, given.seconds)
            lines.append(f"### {title}\n\n{hit.table(hit.compare(targets, load, given.rounds), labels, BASE)}")
    return "\n\n".join(lines)


def next_start():
    with hit.app(NAMES, {name: options_of(name) for name in NAMES}) as (targets, length):
        load = hit.Load(APP_PAGE, length, {}, hit.APP_CONNECTIONS, given.seconds)
        rounds = hit.compare(targets, load, given.rounds)
    return (f"`{APP_PAGE}` of [the Next.js app of the tests](../tests/nextjs/app), a static page of {length} bytes: "
            "`next start` itself, which answers it from its own cache, and the others in front of it, always hits; "
            f"{PLACE}, {hit.APP_CONNECTIONS} connections, {given.seconds} s a turn.\n\n"
            + hit.table(rounds, [target.label for target in targets], BASE))


def herds():
    seen = in_turn(lambda name: list(herd.scenes(name, RENDERS, given.clients, FAILING, options_of(name))))
    lines = []
    for name, rounds in seen.items():
        *cold, broken = zip(*rounds)
        cells = [f"{spread([one.asked for one in scenes], WHOLE)} | {spread([one.good for one in scenes], WHOLE)}"
                 for scenes in cold]
        lines.append([name, *cells, spread([one.asked for one in broken], WHOLE)])
    titles = [f"origin requests, {render:g} s | clients that got it whole, {render:g} s" for render in RENDERS]
    return (f"{given.clients:,} clients ask for one cold page at once, and the origin takes {RENDERS[0]:g} s or "
            f"{RENDERS[1]:g} s for it; then {FAILING} clients ask for a cold page that answers 500. One origin request "
            "is the least there can be.\n\n" + markdown(["server", *titles, "origin requests, 500"], lines))


def sickness():
    crowd_of = argparse.Namespace(requests=given.requests, pages=KNOWN_PAGES, connections=CONNECTIONS,
                                  patience=PATIENCE, limit=120.0)
    seen = in_turn(lambda name: {way: sick.scene(name, way, crowd_of, options_of(name)) for way in sick.WAYS})
    lines = []
    for way in sick.WAYS:
        cells = []
        for name in NAMES:
            scenes = [one[way] for one in seen[name]]
            asked = [one.asked / KNOWN_PAGES for one in scenes]
            cells += [f"{sum(one.errors for one in scenes):,} of {given.requests * len(scenes):,}",
                      "not countable" if way == "refuse" else spread(asked)]
        lines.append([way, *cells])
    titles = [f"{name}: {what}" for name in NAMES for what in ("errors", "origin requests per page")]
    return (f"{given.requests:,} requests a turn over {KNOWN_PAGES} known, stale pages while the origin is sick. An "
            "error is what a visitor notices: another status or body, a broken connection, no answer in "
            f"{PATIENCE:g} s.\n\n" + markdown(["the origin", *titles], lines))


def memories():
    crowd_of = argparse.Namespace(pages=given.pages, connections=32, limit=600.0)
    seen = in_turn(lambda name: memory.stored(name, crowd_of, given.larder_extra))
    lines = []
    for name in NAMES:
        share = [one.per_page / base.per_page for one, base in zip(seen[name], seen[BASE])]
        over = [one.per_page - memory.BODY - len(one.head) for one in seen[name]]
        lost = sum(one.again for one in seen[name])
        body = [one.per_page / memory.BODY for one in seen[name]]
        lines.append([name, spread(share), spread(body), spread(over, WHOLE),
                      f"{lost} of {min(memory.SAMPLE, given.pages) * given.rounds}"])
    titles = ["server", "memory per page", "of its body", "bytes over body and head", "asked again, not kept"]
    return (f"{given.pages:,} pages of {memory.BODY} bytes. Memory is what is resident; for nginx also its cache "
            "files, in whole blocks, in memory here as in a page cache; Varnish with "
            f"`{memory.SMALL_LOG}`, so that its log does not count.\n\n" + markdown(titles, lines))


def invalidations():
    seen = collections.defaultdict(list)
    for number in range(given.rounds):
        for way in rotated(list(invalidate.WAYS), number):
            for pages in (invalidate.FEW, given.pages):
                settings = argparse.Namespace(pages=pages, calls=CALLS, limit=1800.0, larder_extra=given.larder_extra)
                for title, one in invalidate.WAYS[way](settings):
                    seen[title, pages].append(one)
    lines = []
    for title, pages in sorted(seen, key=lambda key: (key[1], not key[0].startswith(BASE), key[0])):
        calls, base = seen[title, pages], seen[BASE, pages]
        times = [spread([getattr(one, part) for one in calls], WHOLE) for part in ("first", "micros", "trip")]
        shares = [spread(quotients(calls, base, part)) for part in ("first", "micros")]
        lines.append([title, f"{pages:,}", *times, *shares, spread([one.asked for one in calls], WHOLE)])
    growth = [f"{title}: {spread(quotients(seen[title, given.pages], seen[title, invalidate.FEW], 'first'))} and "
              f"{spread(quotients(seen[title, given.pages], seen[title, invalidate.FEW], 'micros'))}"
              for title, pages in sorted(seen) if pages == given.pages]
    titles = ["", "pages with the tag", "us, the first call", f"us, median of the next {CALLS}",
              "us of a call that does nothing", "first, of Larder's", "median, of Larder's", "origin requests"]
    return ("One tag is invalidated, on a connection that is warm. Larder: `POST /v1/revalidate`, soft; Varnish: "
            "`ban obj.http.Cache-Tag ~ all` by a `varnishadm` that stays, hard: the next visitor of each page waits; "
            "xkey's soft purge from varnish-modules, which walks the pages, and quickly where they are purged already: "
            "look at its first call. nginx: no purge and no tags in the free version.\n\n"
            + markdown(titles, lines)
            + f"\n\nWith {given.pages:,} pages, of the same with {invalidate.FEW:,}, first call and median: "
            + "; ".join(growth) + "."
            + ("" if invalidate.has_xkey() else "\n\nxkey was not tried: varnish-modules is not installed."))


def quotients(calls, bases, part):
    return [getattr(one, part) / getattr(base, part) for one, base in zip(calls, bases)]


def scrapes():
    settings = argparse.Namespace(rounds=given.rounds, seconds=given.seconds, connections=CONNECTIONS,
                                  scrapers=SCRAPERS, larder_extra=given.larder_extra)
    return (f"Hits on one 10 KiB page, {PLACE}, {CONNECTIONS} connections, while others read Larder's /metrics from "
            "wrk's core; flat out they take time from wrk, too.\n\n"
            + scrape.table(scrape.compare(settings), SCRAPERS))


def idles():
    settings, seen = settings_of(idle), collections.defaultdict(list)
    with idle.built_app() as app:
        for number in range(rounds_of_minutes()):
            for title, one in idle.scenes(rotated(settings.cases, number), settings, app).items():
                seen[title].append(one)
    lines = []
    for title in settings.cases:
        scenes = seen[title]
        cells = [spread([getattr(one, part) for one in scenes], form) for part, form in (
            ("fresh", WHOLE), ("oldest", "{:.1f}"), ("asked", WHOLE), ("renders", WHOLE), ("per_render", "{:.2f}"))]
        never = sum(one.first is None for one in scenes)
        first = spread([one.first for one in scenes if one.first], WHOLE) if never < len(scenes) else "-"
        first += f", never in {never} of {len(scenes)} rounds" if 0 < never < len(scenes) else ""
        lines.append([title, first, *cells[:-1], "-" if idle.CASES[title][0] is None else cells[-1]])
    return (f"A page of [the Next.js app of the tests](../tests/nextjs/app) with `revalidate = {idle.WINDOW}`, served "
            f"by `next start`, is not visited for {settings.idle} s and then {settings.visits} times, once a second. "
            f"It says when it was rendered, and is fresh for {idle.WINDOW} s from then. `next start` answers the first "
            "request after a pause with its old page. Each server has a `next start` of its own behind it, or two; "
            f"none is held on a core. {rounds_of_minutes()} rounds.\n\n" + markdown(idle.TITLES, lines))


def crawls():
    settings, seen = settings_of(crawl), collections.defaultdict(list)
    for number in range(rounds_of_minutes()):
        for variant in rotated(settings.variants, number):
            seen[variant].append(crawl.scene(variant, settings))
    lines = [[f"`{variant}`" if crawl.VARIANTS[variant] else variant, *cells_of(crawl.COLUMNS, seen[variant])]
             for variant in settings.variants]
    return (f"A crawler asks for {settings.crawled:,} pages of {crawl.PAGE_BYTES} bytes, each once, over "
            f"{settings.connections} connections; {settings.hot:,} other pages of the same route are visited meanwhile "
            f"({settings.draw}), once for every {settings.pace} of the crawler's. A render takes {crawl.RENDER_MS} ms, "
            f"the store has {crawl.STORE_MIB} MiB, `renders.max_concurrent` is {crawl.CAP}. "
            f"{rounds_of_minutes()} rounds.\n\n"
            + markdown(["route", *crawl.COLUMNS], lines))


def dues():
    settings = settings_of(due)
    seen = [(due.touched(settings), due.ahead(settings)) for _ in range(rounds_of_minutes())]
    text = (f"{settings.entries:,} pages of {due.PAGE_BYTES} bytes are stored one after the other with "
            f"`revalidate: {settings.window}s`; a render takes {due.RENDER_MS} ms, `refreshes.max_concurrent` is "
            f"{due.CAP}. {rounds_of_minutes()} rounds.")
    for title, columns, scenes in zip(due.TITLES, (due.TOUCHED_COLUMNS, due.AHEAD_COLUMNS), zip(*seen)):
        text += f"\n\n### {title}\n\n{markdown(list(columns), [cells_of(columns, scenes, settings.entries)])}"
    return text


def cells_of(columns, scenes, *more):
    if None in scenes:
        return ["not available in this version", *[""] * (len(columns) - 1)]
    return [spread([of(one, *more) for one in scenes]) for of in columns.values()]


SECTIONS = {
    "hits": ("CPU per hit and throughput", hits),
    "next": ("Beside `next start`", next_start),
    "herd": ("A crowd on a cold page", herds),
    "sick": ("A sick origin", sickness),
    "memory": ("Memory per stored page", memories),
    "invalidate": ("Invalidating a tag", invalidations),
    "scrape": ("Hits while being scraped", scrapes),
    "idle": ("A page that idled, behind two caches", idles),
    "crawl": ("A crawler beside visitors", crawls),
    "due": ("Pages that are due together", dues),
}


def options_of(name):
    return {"extra": given.larder_extra} if name == BASE else {}


def settings_of(script):
    """What a script does by itself."""
    settings = script.options().parse_args([])
    settings.larder_extra = given.larder_extra
    return settings


def rounds_of_minutes():
    return min(given.rounds, LONG_ROUNDS)


def in_turn(scene_of):
    """Rounds over all servers, each started for its turn: {name: [result of a round]}."""
    results = {name: [] for name in NAMES}
    for number in range(given.rounds):
        for name in rotated(NAMES, number):
            results[name].append(scene_of(name))
    return results


def markdown(titles, lines):
    columns = "|".join(titles).count("|") + 1
    rows = [titles, ["---"] * columns, *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


# --- what was measured, on what --------------------------------------------------------------

def said(*command):
    """The first line with a digit that a command says of itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "not there"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if re.search(r"\d", line)]
    return lines[0] if lines else "does not say"


def versions():
    package = APP / "node_modules/next/package.json"
    cpus = re.findall(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text()) or ["unknown"]
    return {
        "Larder": said(*larder_command("--version")),
        "its tree": said("git", "describe", "--always", "--dirty", "--tags"),
        "nginx": said("nginx", "-v").rpartition(": ")[2],
        "Varnish": re.sub(r" revision \w+", "", said("varnishd", "-V")),
        "Next.js": json.loads(package.read_text())["version"] if package.exists() else "not there",
        "Node.js": said("node", "--version"),
        "wrk": said("wrk", "-v").partition(" Copyright")[0],
        "Python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}",
        "CPU": f"{len(cpus)} x {cpus[0]}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
    }


def configuration():
    command = varnish_command("PORT", "default.vcl", "DIR", 256, ())
    lines = ["- Larder: [larder.yaml.template](compare/larder.yaml.template)"
             + (f", and `--larder-extra {shlex.quote(given.larder_extra)}`" if given.larder_extra else ""),
             "- nginx: [nginx.conf.template](compare/nginx.conf.template), `sendfile off` (the cheaper one here), both "
             f"lock times at its own 5 s; with a log, `access_log FILE {LOGGED_NGINX}`",
             f"- Varnish: [varnish.vcl.template](compare/varnish.vcl.template), `{shlex.join(map(str, command))}`",
             "- Next.js: [tests/nextjs/app](../tests/nextjs/app), `next build`, `next start -p PORT -H 127.0.0.1`",
             "- the origin: [origin.py](compare/origin.py); the clients: wrk and [clients.py](compare/clients.py)"]
    return "\n".join(lines)


def command_line():
    words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in vars(given).items()
             if name not in ("output", "sections", "update") and value != arguments.get_default(name)]
    words += [f"--sections {','.join(given.sections)}"] if given.sections != list(SECTIONS) else []
    return " ".join(["benches/compare/results.py", *words])


def head(load):
    today = datetime.datetime.now(datetime.timezone.utc)
    table = markdown(["", "version"], [[name, version] for name, version in versions().items()])
    return f"""# Larder beside nginx, Varnish and Next.js

Written by `{command_line()}` on {today:%d %B %Y}; load average {load:.2f} before it began.
Everything ran on one machine over loopback, each server on one core, in {given.rounds} interleaved rounds: every server
has its turn in every round, and who begins changes. **Larder is 1** where a cell is a ratio: 1.5 means one and a half
times as much as Larder in the same round. A cell is the median of the rounds, in brackets the lowest and the highest.
Ratios travel between machines, absolute times do not. [How to run one of these alone](compare/README.md).

## What ran

{table}

{configuration()}
"""


def updated(text, sections):
    """The text of a results file with these sections, {title: body}, in the place of what it said of them."""
    today = datetime.datetime.now(datetime.timezone.utc)
    by = (f"Written by `{command_line()}` on {today:%d %B %Y}, {said(*larder_command('--version'))}, tree "
          f"{said('git', 'describe', '--always', '--dirty', '--tags')}.")
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    for title, body in sections.items():
        part = f"## {title}\n\n{by}\n\n{body}\n\n"
        at = [number for number, old in enumerate(parts) if old.startswith(f"## {title}\n")]
        if at:
            parts[at[0]] = part
        else:
            parts += [parts.pop().rstrip("\n") + "\n\n", part]
    return "".join(parts).rstrip("\n") + "\n"


def run():
    raise_fd_limit(given.clients + 500)
    hit.check_cores()
    text, whole, sections = head(os.getloadavg()[0]), True, {}
    print(text, flush=True)
    for name in given.sections:
        title, section = SECTIONS[name]
        try:
            body = sections[title] = section()
        except Failed as failure:
            body, whole = f"This comparison could not be made:\n\n```\n{failure}\n```", False
        print(f"## {title}\n\n{body}\n", flush=True)
        text += f"\n## {title}\n\n{body}\n"
    if given.update:
        text = updated(given.output.read_text(), sections)
    if given.output:
        given.output.write_text(text)
        print(f"written to {given.output.name}", file=sys.stderr)
    else:
        print(f"not written: that takes all sections and {ROUNDS} rounds or more, or --output FILE, or --update",
              file=sys.stderr)
    if not whole:
        raise Failed("not every comparison could be made")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--seconds", type=int, default=4, help="of a turn under wrk")
    arguments.add_argument("--sections", nargs="+", default=list(SECTIONS), metavar="SECTION",
                           help=f"of {', '.join(SECTIONS)}; with commas or spaces")
    arguments.add_argument("--clients", type=int, default=10000, help="in the crowd on a cold page")
    arguments.add_argument("--requests", type=int, default=10000, help="a turn to a sick origin, in each of its ways")
    arguments.add_argument("--pages", type=int, default=100000, help="stored for memory and invalidation")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    arguments.add_argument("--output", type=pathlib.Path, metavar="FILE")
    arguments.add_argument("--update", action="store_true",
                           help=f"replace only these sections in the file, by itself {RESULTS.name}")
    given = arguments.parse_args()
    given.sections = [name for word in given.sections for name in word.split(",") if name]
    if unknown := set(given.sections) - set(SECTIONS):
        arguments.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if not (1 <= given.rounds <= 100 and 1 <= given.seconds <= 60 and 1 <= given.clients <= 50000
            and 1 <= given.requests <= 10**7 and invalidate.FEW <= given.pages <= 350000):
        arguments.error("rounds 1-100, seconds 1-60, clients 1-50000, requests up to 10^7, "
                        f"pages {invalidate.FEW}-350000")
    if given.output is None and given.update:
        given.output = RESULTS
    if given.output is None and given.sections == list(SECTIONS) and given.rounds >= ROUNDS:
        given.output = RESULTS
    main(run)
