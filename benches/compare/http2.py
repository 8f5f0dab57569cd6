#!/usr/bin/env python3
"""TLS handshakes and HTTP/2 hits beside nginx with the same certificate, in interleaved rounds, one core each.

A handshake is a connection of its own with one hit on it, in full (nobody resumes); its cost is that of all of it. h2load asks
on another core. CPU is user + system time of the serving process; Larder is 1.
"""
import argparse
import contextlib
import re
import statistics
import subprocess

from common import (CORES, LOAD_CORE, SERVER_CORE, Failed, cpu_seconds, directory, main, raise_fd_limit, ratios, rotated,
                    spread)
from servers import larder, nginx, origin

PAGE = "/page10k"


def certificate(folder):
    """P-256, as most sites have it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"openssl made no certificate:\n{done.stderr}")
    return cert, key


def h2load(port, *arguments):
    """The number of answers, all of them good ones."""
    command = ["taskset", "-c", str(LOAD_CORE), "h2load", "-t1", *map(str, arguments), f"https://127.0.0.1:{port}{PAGE}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    if done.returncode or not found or any(int(n) for n in found.groups()[1:]) or not failed or any(map(int, failed.groups())):
        raise Failed(f"h2load against port {port}:\n{done.stdout}{done.stderr}")
    return int(found[1])


LOADS = {
    "HTTP/2, 16 connections with 8 requests at a time": lambda port: h2load(port, "-c16", "-m8", "-n", given.requests),
    "HTTP/2, 16 connections, one request at a time": lambda port: h2load(port, "-c16", "-m1", "-n", given.requests),
    "HTTP/1.1 in TLS, 16 connections": lambda port: h2load(port, "--h1", "-c16", "-m1", "-n", given.requests),
    "handshakes, each with one request in HTTP/2":
        lambda port: sum(h2load(port, "-c100", "-m1", "-n", 100) for _ in range(given.handshakes // 100)),
}


def measure(target, load):
    before = cpu_seconds(target.pid)
    answers = load(target.port)
    return (cpu_seconds(target.pid) - before) / answers * 1e6


def run():
    if len(CORES) < 2:
        raise Failed("two cores are needed: one for the server, one for h2load")
    raise_fd_limit(1024)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(directory())
        cert, key = certificate(folder)
        source = stack.enter_context(origin())
        targets = [stack.enter_context(server(source.address, core=SERVER_CORE, tls=(cert, key), **more))
                   for server, more in ((larder, {"extra": "defaults: { compress: [] }"}), (nginx, {}))]
        for target in targets:
            h2load(target.port, "-c1", "-m1", "-n", 2)
        print(f"{given.rounds} rounds, h2load on core {LOAD_CORE}, servers on core {SERVER_CORE}\n")
        print("| load | larder, us of CPU each | nginx | a CPU second of larder | of nginx |\n|---|---|---|---|---|")
        for name, load in LOADS.items():
            rounds = [{target.name: measure(target, load) for target in rotated(targets, number)}
                      for number in range(given.rounds)]
            middle = {which: statistics.median(one[which] for one in rounds) for which in rounds[0]}
            ratio = spread(ratios(rounds, "larder", lambda one: one)["nginx"])
            print(f"| {name} | 1 ({middle['larder']:.1f}) | {ratio} | {1e6 / middle['larder']:.0f} | {1e6 / middle['nginx']:.0f} |",
                  flush=True)
        asked = source.counts().get(PAGE, 0)
        if asked != len(targets):
            raise Failed(f"{len(targets)} servers asked the origin {asked} times: not all that was measured were hits")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--requests", type=int, default=100_000)
    arguments.add_argument("--handshakes", type=int, default=2_000)
    given = arguments.parse_args()
    main(run)
