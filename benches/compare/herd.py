#!/usr/bin/env python3
"""10,000 clients ask for one cold page at once: how often is the origin asked, and who gets it whole?

Then 200 clients on a cold page that answers 500. Times are counted from the end of the origin's first answer.
"""
import argparse
import asyncio
import collections

from clients import Answer, herd
from common import Failed, SERVERS, main, origin, raise_fd_limit

ROOM = 60.0         # how long after the render the last client may come, seconds


def scene(server, source, path, size, render, expected_status):
    source.reset()
    results = asyncio.run(herd(server.port, path, size, render + ROOM))
    counts = source.counts()
    answers = [one for one in results if isinstance(one, Answer)]
    if expected_status == 200:
        good = [one for one in answers if one.fault(path) is None]
    else:
        good = [one for one in answers if one.status == expected_status]
    line = f"{size} clients, {render:g} s, status {expected_status}: origin requests {counts.get(path, 0)}, "
    line += f"{'whole bodies' if expected_status == 200 else 'answers with it'} {len(good)}"
    if good and counts["first_answer"]:
        after = [one.at - counts["first_answer"] for one in good]
        line += f", first client {min(after) * 1000:+.1f} ms, last client {max(after) * 1000:+.1f} ms"
    print(f"{server.name:7} {line}")
    others = collections.Counter(
        one if isinstance(one, str) else f"status {one.status}, {len(one.body)} bytes"
        for one in results if not isinstance(one, Answer) or one not in good) if len(good) < size else {}
    for what, times in sorted(others.items(), key=lambda item: -item[1])[:8]:
        print(f"        {times} x {what}")
    return counts.get(path, 0), len(good)


def run():
    raise_fd_limit(given.clients + 500)
    names = [given.only] if given.only else ["larder", "nginx"] if given.nginx else ["larder"]
    kept = True
    for name in names:
        options = {"lock": given.nginx_lock} if name == "nginx" else {"extra": given.larder_extra}
        with origin() as source, SERVERS[name](f"127.0.0.1:{source.port}", **options) as server:
            for render in given.renders:
                path = f"/slow/{int(render * 1000)}/herd"
                asked, whole = scene(server, source, path, given.clients, render, 200)
                kept &= name != "larder" or (asked == 1 and whole == given.clients)
            source.mode("500")
            asked, _ = scene(server, source, "/slow/200/broken", given.failing, 0.2, 500)
            kept &= name != "larder" or asked <= 3
    if not kept:
        raise Failed("larder: expected 1 origin request and every body whole, at most 3 requests for the 500")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clients", type=int, default=10000)
    arguments.add_argument("--failing", type=int, default=200, help="clients on the cold 500")
    arguments.add_argument("--renders", type=float, nargs="+", default=[0.2, 7.0], metavar="SECONDS")
    arguments.add_argument("--nginx", action="store_true", help="nginx as well")
    arguments.add_argument("--only", choices=list(SERVERS))
    arguments.add_argument("--nginx-lock", default="5s", help="proxy_cache_lock_timeout and _age (nginx's own: 5s)")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not 1 <= given.clients <= 50000 or not all(0 < one <= 60 for one in given.renders):
        arguments.error("clients 1-50000, renders up to 60 s")
    main(run)
