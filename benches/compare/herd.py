#!/usr/bin/env python3
"""10,000 clients ask for one cold page at once: how often is the origin asked, and who gets it whole?

Then 200 clients on a cold page that answers 500. Times are counted from the end of the origin's first answer.
"""
import argparse
import asyncio
import collections
import dataclasses

from clients import Answer, herd
from common import SERVER_CORE, Failed, main, raise_fd_limit
from servers import SERVERS, origin

ROOM = 60.0         # how long after the render the last client may come, seconds
BROKEN_RENDER = 0.2


@dataclasses.dataclass
class Scene:
    """What came of one crowd on one cold page."""
    size: int
    render: float               # seconds
    status: int                 # the expected one
    asked: int                  # requests that reached the origin
    good: int                   # clients that got the page whole, or the expected status
    times: list                 # of those, when they had it, seconds after the origin's first answer
    others: collections.Counter


def scene(server, source, path, size, render, expected_status):
    source.reset()
    results = asyncio.run(herd(server.port, path, size, render + ROOM))
    counts = source.counts()

    def is_good(one):
        return isinstance(one, Answer) and (
            one.fault(path) is None if expected_status == 200 else one.status == expected_status)
    good = [one for one in results if is_good(one)]
    others = collections.Counter(one if isinstance(one, str) else f"status {one.status}, {len(one.body)} bytes"
                                 for one in results if not is_good(one))
    times = [one.at - counts["first_answer"] for one in good] if counts["first_answer"] else []
    return Scene(size, render, expected_status, counts.get(path, 0), len(good), times, others)


def scenes(name, renders, clients, failing, options):
    """The scenes of one server, which is started for them: cold pages of each render time, then the cold 500."""
    with origin() as source, SERVERS[name](source.address, core=SERVER_CORE, **options) as server:
        for render in renders:
            yield scene(server, source, f"/slow/{int(render * 1000)}/herd", clients, render, 200)
        source.mode("500")
        yield scene(server, source, f"/slow/{int(BROKEN_RENDER * 1000)}/broken", failing, BROKEN_RENDER, 500)


def told(name, one):
    line = f"{one.size} clients, {one.render:g} s, status {one.status}: origin requests {one.asked}, "
    line += f"{'whole bodies' if one.status == 200 else 'answers with it'} {one.good}"
    if one.times:
        line += f", first client {min(one.times) * 1000:+.1f} ms, last client {max(one.times) * 1000:+.1f} ms"
    print(f"{name:7} {line}", flush=True)
    for what, times in one.others.most_common(8):
        print(f"        {times} x {what}")


def run():
    raise_fd_limit(given.clients + 500)
    others = [name for name in ("nginx", "varnish") if getattr(given, name)]
    kept = True
    for name in [given.only] if given.only else ["larder", *others]:
        options = {"larder": {"extra": given.larder_extra}, "nginx": {"lock": given.nginx_lock}}.get(name, {})
        for one in scenes(name, given.renders, given.clients, given.failing, options):
            told(name, one)
            kept &= name != "larder" or (
                one.asked == 1 and one.good == one.size if one.status == 200 else one.asked <= 3)
    if not kept:
        raise Failed("larder: expected 1 origin request and every body whole, at most 3 requests for the 500")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clients", type=int, default=10000)
    arguments.add_argument("--failing", type=int, default=200, help="clients on the cold 500")
    arguments.add_argument("--renders", type=float, nargs="+", default=[0.2, 7.0], metavar="SECONDS")
    arguments.add_argument("--nginx", action="store_true", help="nginx as well")
    arguments.add_argument("--varnish", action="store_true", help="Varnish as well")
    arguments.add_argument("--only", choices=list(SERVERS))
    arguments.add_argument("--nginx-lock", default="5s", help="proxy_cache_lock_timeout and _age (nginx's own: 5s)")
    arguments.add_argument("--larder-extra", default="", metavar="YAML", help="appended to larder's configuration")
    given = arguments.parse_args()
    if not 1 <= given.clients <= 50000 or not all(0 < one <= 60 for one in given.renders):
        arguments.error("clients 1-50000, renders up to 60 s")
    main(run)
