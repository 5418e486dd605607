#!/usr/bin/env python3
"""Counts what the library does; a count does not drift as a time does, so two trees can be compared.

    bench/counts/run.py                               this tree
    bench/counts/run.py --tree ../before --tree .     one column for each; with two, the change in percent
    bench/counts/run.py --only codes,calls            of codes, instructions, calls, memory, walk

A tree has lua/ and, by `make native`, build/native/. README.md beside this file explains the rows.
"""

import argparse
import contextlib
import glob
import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile

from load import FANOUT, TIMEOUT_S, Connection, echo, fan_out

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WARM_UP = 50
IDLE = 10000
# Descriptors of a process beside those of its connections.
MORE_FILES = 100
# Lua 5.4 spreads keys over its tables by a seed.
SEEDS = 5
KINDS = ("codes", "instructions", "calls", "memory", "walk")
NATIVE, PURE, JIT = ("lua5.4", "native"), ("lua5.4", "pure"), ("luajit", "native")


class Missing(Exception):
    """Why something cannot be counted here."""


def need(*tools):
    for name in tools:
        if not shutil.which(name):
            raise Missing("%s is not installed" % name)


def environment(tree, lua, engine):
    """All variables of a server. Others would move its stack, and with it the seed of Lua's hashes."""
    need(lua)
    folder = os.path.join(tree, "build", "native", lua)
    if engine == "native" and not os.path.isdir(folder):
        raise Missing("no %s: make native" % folder)
    return {
        "PATH": os.environ["PATH"],
        "WEBSOCKETS_NATIVE": "on" if engine == "native" else "off",
        "LUA_PATH": "{0}/lua/?.lua;{0}/lua/?/init.lua;;".format(tree),
        "LUA_CPATH": folder + "/?.so;;",
    }


@contextlib.contextmanager
def serving(variant, *arguments, before=(), **more):
    """Runs the server; gives its process, its port and a control connection, which stops it at the end."""
    command = [*before, variant[1], os.path.join(HERE, "server.lua"), *arguments]
    variables = {**environment(*variant), **more}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise Missing((log.read().strip().splitlines() or ["the server did not start"])[-1])
            control = Connection(int(line), "control")
            yield process, int(line), control
            control.ask("stop")
            process.wait(TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def per_message(look, load, count):
    """What a message adds to the counter that `look` reads. What reading costs is in both differences."""
    load(WARM_UP)
    before = look()
    load(count)
    between = look()
    load(2 * count)
    return ((look() - between) - (between - before)) / count


def asked(variant, name, *arguments):
    """A count of the server's own for each message of an echo."""
    with serving(variant, *arguments) as (_, port, control):
        return per_message(lambda: control.ask(name), echo(port), 500)


def instructions(variant, make, count, *shape):
    """The server's instructions a message, without the kernel's and the collector's; the mean of some seeds."""
    need("valgrind", "cc")
    with tempfile.TemporaryDirectory() as folder:
        library, source = folder + "/fixed_time.so", os.path.join(HERE, "fixed_time.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)

        def run(seed):
            reports = "%s/%d" % (folder, seed)
            before = ["valgrind", "-q", "--tool=callgrind", "--dump-before=setlocale"]
            before.append("--callgrind-out-file=" + reports)
            more = {"LD_PRELOAD": library, "COUNTS_TIME": str(seed)}
            with serving(variant, "run", before=before, **more) as (_, port, control):

                def look():
                    control.ask("mark")
                    texts = [open(name).read() for name in glob.glob(reports + ".*")]
                    return sum(int(re.search(r"^totals: (\d+)", text, re.M).group(1)) for text in texts)

                return per_message(look, make(port, *shape), count)

        return statistics.mean(run(seed) for seed in range(1, SEEDS + 1))


def system_calls(variant):
    """The server's system calls a message."""
    need("strace")
    with tempfile.NamedTemporaryFile("r") as log:
        with serving(variant, "run", before=["strace", "-f", "-o", log.name]) as (_, port, control):

            def look():
                control.ask("mark")
                log.seek(0)
                return len(log.readlines())

            return per_message(look, echo(port), 1000)


def resident_bytes(process):
    with open("/proc/%d/smaps_rollup" % process.pid) as file:
        return 1024 * int(re.search(r"Rss: +(\d+)", file.read()).group(1))


def idle(variant, is_heap):
    """Bytes that an idle open connection takes: in Lua's heap, or of the process."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most < IDLE + MORE_FILES:
        raise Missing("needs %d descriptors in a process; the hard limit is %d" % (IDLE + MORE_FILES, most))
    with serving(variant, "run", BENCH_IDLE="1") as (process, port, control):
        echo(port)(WARM_UP)

        def look():
            return control.ask("heap") if is_heap else resident_bytes(process)

        before = look()
        connections = [Connection(port) for _ in range(IDLE)]
        return (look() - before) / len(connections)


def walk(variant):
    """The files of Lua that run while one thing is served: its name -> the files."""
    command = [variant[1], os.path.join(HERE, "walk.lua")]
    done = subprocess.run(command, env=environment(*variant), capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise Missing(done.stderr.strip().splitlines()[0])
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: files.replace("websockets/", "").split() for name, files in lines}


# Kind, name, Lua and engine, digits after the point, how to count.
ROWS = [
    ("codes", "byte codes a message, run", NATIVE, 2, lambda v: asked(v, "codes", "run", "codes")),
    ("codes", "byte codes a message, run", PURE, 2, lambda v: asked(v, "codes", "run", "codes")),
    ("codes", "byte codes a message, service(-1)", NATIVE, 2, lambda v: asked(v, "codes", "service", "codes")),
    ("codes", "byte codes a message, service(-1)", PURE, 2, lambda v: asked(v, "codes", "service", "codes")),
    ("instructions", "instructions a message, 1 in flight", NATIVE, 0, lambda v: instructions(v, echo, 1000)),
    ("instructions", "instructions a message, 16 in flight", NATIVE, 0, lambda v: instructions(v, echo, 8000, 16)),
    ("instructions", "instructions a delivery, fan-out to %d" % FANOUT, NATIVE, 0,
     lambda v: instructions(v, fan_out, 50 * FANOUT)),
    ("instructions", "instructions a delivery, topic of %d" % FANOUT, NATIVE, 0,
     lambda v: instructions(v, fan_out, 50 * FANOUT, "topic")),
    ("calls", "system calls a message, 1 in flight", NATIVE, 2, system_calls),
    ("calls", "system calls a message, 1 in flight", PURE, 2, system_calls),
    ("memory", "bytes of garbage a message", NATIVE, 2, lambda v: asked(v, "allocated", "run")),
    ("memory", "bytes of garbage a message", PURE, 2, lambda v: asked(v, "allocated", "run")),
    ("memory", "bytes of an idle connection, RSS", NATIVE, 0, lambda v: idle(v, False)),
    ("memory", "bytes of an idle connection, Lua heap", NATIVE, 0, lambda v: idle(v, True)),
    ("memory", "bytes of an idle connection, RSS", JIT, 0, lambda v: idle(v, False)),
    ("memory", "bytes of an idle connection, Lua heap", JIT, 0, lambda v: idle(v, True)),
]


def attempt(count, variant):
    """Gives the count, or None and what went wrong."""
    try:
        return count(variant), None
    except (Missing, OSError, subprocess.SubprocessError) as error:
        return None, str(error)


def show(name, variant, cells, change, faults):
    print("%-40s%-8s%-8s%s%s" % (name, *variant, "".join("%14s" % cell for cell in cells), change), flush=True)
    for fault in dict.fromkeys(filter(None, faults)):
        print("  not counted: " + fault)


def show_row(name, variant, digits, results):
    values = [value for value, _ in results]
    cells = ["-" if value is None else "{:,.{}f}".format(value, digits) for value in values]
    change = "%+10.2f %%" % (100 * values[1] / values[0] - 100) if len(values) == 2 and None not in values else ""
    show(name, variant, cells, change, [fault for _, fault in results])


def show_walks(trees):
    """How many files pass between receiving and sending, and how many in all; then their names."""
    lists = []
    for variant in (NATIVE, PURE):
        results = [attempt(walk, (tree, *variant)) for tree in trees]
        for thing in next((found for found, _ in results if found), ["walk"]):
            lists += [(thing, variant[1], tree, found[thing]) for tree, (found, _) in zip(trees, results) if found]
            files = [found[thing] if found else [] for found, _ in results]
            cells = ["%d of %d" % (sum(name[0] != "(" for name in some), len(some)) if some else "-" for some in files]
            show("files of Lua, " + thing, variant, cells, "", [fault for _, fault in results])
    for thing, engine, tree, files in lists:
        print("\n%s, %s, %s:\n  %s" % (thing, engine, tree, " ".join(files)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", action="append", metavar="FOLDER", help="the library's tree, once or several times")
    parser.add_argument("--only", default=",".join(KINDS), metavar="KINDS", help="of " + ", ".join(KINDS))
    options = parser.parse_args()
    kinds = options.only.split(",")
    if set(kinds) - set(KINDS):
        parser.error("--only: there are " + ", ".join(KINDS))
    trees = [os.path.abspath(tree) for tree in options.tree or [ROOT]]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("trees: " + ", ".join(trees))
    for kind, name, variant, digits, count in ROWS:
        if kind in kinds:
            show_row(name, variant, digits, [attempt(count, (tree, *variant)) for tree in trees])
    if "walk" in kinds:
        show_walks(trees)


if __name__ == "__main__":
    main()
