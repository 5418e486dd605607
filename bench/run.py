#!/usr/bin/env python3
"""Measures our servers, the machine's limits and the peers on 127.0.0.1.

A whole run writes results.json, RESULTS.md and chart.svg beside this file and the table of docs/performance.md;
`bench/report.py` writes these again from results.json.

    bench/run.py                     everything: about fifty minutes; with --rounds 3 about fifteen
    bench/scaling.py                 what topics, back planes and workers cost, by few rounds
    bench/run.py --quick             the limit and ours, a few cases: about a minute; prints only
    bench/run.py --only echo64x100,fan64p4 --servers raw,ours54,lws --rounds 30
    bench/run.py --install           brings the peers named in bench/packages into bench/.deps first
"""

import argparse
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import cases
import peers
import report
import scaling
from results import collect

DEADLINE_S = 300
# So many rounds are served by the same processes: where a program lies in memory makes a difference of some percent.
ROUNDS_A_START = 3
WARM_UP_S = 0.1
START_S = 15
# Descriptors of a process beside those of its connections.
MORE_FILES = 100
SERVER_PORTS = (20000, 32000)
# So many servers are measured between two measurements of the limit.
SERVERS_A_LIMIT = 3


def free_port():
    """Finds a port below those that the system gives to clients: closed connections may still occupy these."""
    while True:
        port = random.randrange(*SERVER_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def pinned(core):
    """Gives what a child does before it becomes the program."""

    def prepare():
        os.sched_setaffinity(0, {core})
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    return prepare


def wait_for(process, port):
    """Waits until the server listens; tells whether it does."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def stop(process):
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def impossible(server, case):
    """Tells why a server cannot have the connections of a case; None where it can."""
    if server.most and case.connections > server.most:
        return "select takes descriptors below 1,024: more connections need the accelerator, or a loop of one's own"
    if case.tls and not server.tls:
        return "it is not measured with TLS"
    if case.topic and not server.topics:
        return "it has no topics"
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < case.connections + MORE_FILES:
        needed = case.connections + MORE_FILES
        return "needs %d descriptors in a process; the hard limit is %d (ulimit -Hn)" % (needed, most)
    return None


class Running:
    """A server that runs, or `error`: why it does not."""

    def __init__(self, server, case, core):
        self.server, self.case, self.process = server, case, None
        self.error = impossible(server, case)
        if self.error:
            return
        self.port, self.log = free_port(), tempfile.TemporaryFile("w+")
        environment = server.environment()
        environment.update({"BENCH_IDLE": "1"} if case.name in cases.IDLE else {})
        environment.update({"BENCH_TLS": cases.CERTIFICATES} if case.tls else {})
        environment.update({"BENCH_TOPIC": "1"} if case.topic else {})
        command = server.command + ["--port", str(self.port)] + (list(case.raw) if server.name == "raw" else [])
        self.process = subprocess.Popen(
            command, env=environment, preexec_fn=pinned(core), stdout=self.log, stderr=self.log
        )
        if not wait_for(self.process, self.port):
            self.error = "it did not start: " + last_line(self.log)

    def measure(self, core, options):
        """Puts it under the load of its case and gives the generator's report, or what went wrong."""
        if self.error:
            return {"error": self.error}
        result = generate(self.process.pid, self.port, self.case, core, options, self.server.name == "raw")
        if "error" in result and os.fstat(self.log.fileno()).st_size > 0:
            result["error"] += "; the server wrote: " + last_line(self.log)
        self.error = result.get("error")
        return result

    def stop(self):
        if self.process:
            stop(self.process)
            self.log.close()


def generate(pid, port, case, core, options, raw):
    command = [cases.RELEASE + "/generator", "--port", str(port), "--pid", str(pid), *case.load]
    if case.name not in cases.IDLE:
        command += ["--seconds", str(options.seconds), "--warm-up", str(WARM_UP_S)]
    command += ["--lengths-only"] if raw else ["--tls"] if case.tls else []
    try:
        done = subprocess.run(
            command, preexec_fn=pinned(core), capture_output=True, text=True, timeout=DEADLINE_S
        )
    except subprocess.TimeoutExpired:
        return {"error": "not done after %d s" % DEADLINE_S}
    if done.returncode != 0:
        return {"error": done.stderr.strip() or "the generator failed"}
    return json.loads(done.stdout)


def last_line(log):
    log.seek(0)
    return (log.read().strip().splitlines() or ["without a word"])[-1]


def order(running):
    """Gives the order of a round: another one each time, the limit first, last and in between."""
    limit = [one for one in running if one.server.name == "raw"]
    others = random.sample([one for one in running if one not in limit], len(running) - len(limit))
    groups = [others[at : at + SERVERS_A_LIMIT] for at in range(0, len(others), SERVERS_A_LIMIT)]
    return limit + [one for group in groups for one in group + limit]


def compare(measured):
    """Notes beside each measurement of a round what the limit was just before and just behind it."""
    limits = [at for at, (name, found) in enumerate(measured) if name == "raw" and "error" not in found]
    for at, (_, found) in enumerate(measured):
        near = [one for one in limits if one <= at][-1:] + [one for one in limits if one >= at][:1]
        costs = [measured[one][1]["server_us"] for one in near]
        if costs and "error" not in found:
            found["limit_us"] = sum(costs) / len(costs)


def measure_rounds(servers, case, rounds, cores, options):
    """Measures some servers in short rounds, one after the other."""
    results = {server.name: [] for server in servers}
    running = []
    try:
        for server in servers:
            running.append(Running(server, case, cores[0]))
        for _ in range(rounds):
            measured = [(one.server.name, one.measure(cores[1], options)) for one in order(running)]
            compare(measured)
            for name, found in measured:
                results[name].append(found)
    finally:
        for one in running:
            one.stop()
    return results


def run_all(servers, chosen, cores, options):
    """Measures every case, and gives all rounds of each case and server."""
    results = {}
    for case in chosen:
        found = results[case.name] = {server.name: [] for server in servers}
        # Ten thousand connections each: one server at a time.
        groups = [[server] for server in servers] if case.rounds else [servers]
        rounds = case.rounds or options.rounds
        for at in range(0, rounds, ROUNDS_A_START):
            for group in groups:
                some = measure_rounds(group, case, min(rounds - at, ROUNDS_A_START), cores, options)
                for name, measured in some.items():
                    found[name] += measured
        for name, measured in found.items():
            good = [one["server_us"] for one in measured if "error" not in one]
            shown = "%.2f us" % statistics.median(good) if good else measured[0]["error"]
            print("%-14s %-13s %s" % (case.name, name, shown), file=sys.stderr, flush=True)
    return results


def choose(known, names, what):
    """Picks by name, in the order of `known`."""
    wanted = names.split(",")
    unknown = set(wanted) - {one.name for one in known}
    if unknown:
        sys.exit("no %s %s; there are: %s" % (what, ", ".join(unknown), ", ".join(one.name for one in known)))
    return [one for one in known if one.name in wanted]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="limit and ours, few cases, one round")
    parser.add_argument("--install", action="store_true", help="bring the peers into bench/.deps first")
    parser.add_argument("--only", metavar="CASES", help="names of cases, separated by commas")
    parser.add_argument("--servers", metavar="NAMES", help="names of servers, separated by commas")
    parser.add_argument("--rounds", type=int, help="rounds of each case (15; quick: 5)")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a round")
    parser.add_argument("--output", metavar="FOLDER", help="where to write results.json, RESULTS.md and chart.svg")
    options = parser.parse_args()
    options.rounds = options.rounds or (5 if options.quick else 15)
    options.whole = not (options.quick or options.only or options.servers)
    if options.whole and not options.output:
        options.output = cases.BENCH
    return options


def select(options):
    """Gives the servers and the cases of this run."""
    servers = cases.all_servers()
    chosen = [case for case in cases.CASES if case.quick or not options.quick]
    if options.only:
        chosen = choose(cases.CASES, options.only, "case")
    if options.servers:
        servers = choose(servers, options.servers, "server")
    elif options.quick:
        servers = [server for server in servers if server.name == "raw" or server.name.startswith("ours")]
    return servers, chosen


def main():
    options = parse()
    if options.install:
        peers.install()
    servers, chosen = select(options)
    peers.build(servers)
    if any(case.tls for case in chosen):
        peers.make_certificate()
    for server in servers:
        server.look()
    load = os.getloadavg()[0]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("only one core: server and generator share it", file=sys.stderr)
    present = [server for server in servers if not server.missing]
    rounds = run_all(present, chosen, (cores[0], cores[-1]), options)
    results = collect(rounds, servers, chosen, options, load)
    if options.whole:
        results["scaling"] = scaling.measure(options.rounds)
    if options.output:
        report.write(results, options.output)
        if options.output == cases.BENCH:
            report.write_overview(results)
    else:
        print(report.page(results) if not options.quick else report.overview(results))


if __name__ == "__main__":
    main()
