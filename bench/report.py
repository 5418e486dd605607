#!/usr/bin/env python3
"""Turns results.json into RESULTS.md, chart.svg and the table of docs/performance.md.

`bench/report.py` does it again.
"""

import json
import os
import sys
import textwrap

import chart
import scaling
from cases import BENCH, IDLE, ROOT
from results import Results, to_json

# As in src/reader.rs.
SAMPLE_EVERY = 16
MARKS = ("<!-- benchmark: `make bench` writes what follows -->\n", "<!-- benchmark: end -->\n")
CHART = "![Processor time per message as a multiple of the limit, less is better](../bench/chart.svg)\n"
FIGURES = "All figures, with their spread: [bench/RESULTS.md](../bench/RESULTS.md).\n"

INTRODUCTION = """# Results of the benchmark

Processor time of the server for each message in microseconds: the median of {rounds} rounds of {seconds:g} s, in which
the servers take turns. In brackets: how many times that of the limit, also the median. The machine has neighbours, and
what they do comes and goes within seconds, so each measurement is compared with the limit just before and just after
it. A message of a fan-out is one delivered message. The limit is a program of our own that makes one `recv` for a
readable socket and one `send` for all answers due, and looks at no byte.

{alike}

Server and generator had one core each; all traffic stayed on 127.0.0.1. The generator checks the length of every
message and the content of one in {sample}, and polls without sleeping, so that no server pays for waking it.
Rates depend on the neighbours of a virtual machine, processor time much less: compare the numbers in brackets.

Machine: {machine}; load average before the run {load:.1f}. {versions}

Again: `make bench`.
"""

ALIKE = """No two messages of a run are the same, except in the cases named "all alike", which send what many other
generators send. LuaJIT keeps equal strings once, so there it makes no new ones."""

# Columns of the overview; of several servers in one column the better counts, case by case.
COLUMNS = [
    ("Lua 5.4", ("ours54",)),
    ("LuaJIT", ("oursjit",)),
    ("uWebSockets", ("uws",)),
    ("libwebsockets", ("lws", "lws-uv")),
    ("picows", ("picows",)),
    ("ws", ("ws",)),
    ("websockets (Python)", ("websockets",)),
    ("lua-http", ("lua-http",)),
    ("Lua 5.4, pure", ("ours54-pure",)),
    ("LuaJIT, pure", ("oursjit-pure",)),
]


def number(value):
    """Writes a figure with three significant digits."""
    if value >= 100:
        return "{:,.0f}".format(value)
    return "%.1f" % value if value >= 10 else "%.2f" % value


def round_trip(measured):
    """Gives the microseconds from a message to its echo, where one connection has one in flight."""
    return 1e6 / measured["per_second"]


def table(head, rows, align="---"):
    lines = ["| " + " | ".join(head) + " |", "|---|" + (align + "|") * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def line_of(title, columns, value, shown):
    """One row of the overview: the least in bold."""
    values = [value(names) for _, names in columns]
    best = min((one for one in values if one is not None), default=None)
    cells = ["–" if one is None else "**%s**" % shown(one) if one == best else shown(one) for one in values]
    return [title] + cells


def idle_lines(results, columns, case):
    """The rows of the overview on idle connections."""

    def one(names, what):
        return results.least(names, lambda name: what((results.good(case, name) or [None])[0]))

    def kib(names):
        return one(names, lambda found: found and found["rss_bytes"] / 1024)

    def slower(names):
        return one(names, lambda found: found and round_trip(found) / round_trip(found["alone"]))

    memory = line_of(IDLE[case] + ", KiB each", columns, kib, number)
    echo = line_of("echo among them, times as long as alone", columns, slower, number)
    return [memory[:1] + [""] + memory[1:], echo[:1] + [""] + echo[1:]]


def overview(found):
    """One row a case: the limit in microseconds, and for each server how many times that."""
    results = Results(found)
    columns = [(title, names) for title, names in COLUMNS if any(name in results.missing for name in names)]
    rows = []
    for case in results.cases:
        name = case["name"]
        if name in IDLE:
            rows += idle_lines(results, columns, name)
            continue
        ratios = line_of(case["title"], columns, lambda names: results.least_ratio(name, names), number)
        limit = results.cost(name, "raw")
        rows.append(ratios[:1] + [number(limit) if limit else "–"] + ratios[1:])
    return table(["", "limit, µs"] + [title for title, _ in columns], rows, "--:")


def cell(results, case, server):
    if results.missing[server]:
        return "not installed"
    value = results.cost(case, server)
    if value is None:
        return "failed" if results.error(case, server) else ""
    ratio = results.ratio(case, server)
    return number(value) + (" (%s)" % number(ratio) if ratio else "")


def summary(results):
    """One row a server, one column a case."""
    shown = [case for case in results.cases if case["name"] not in IDLE]
    rows = [[one["title"]] + [cell(results, case["name"], one["name"]) for case in shown] for one in results.servers]
    return table(["server"] + [case["title"] for case in shown], rows)


def idle(results, case):
    """Memory of idle connections, and what one busy connection costs alone and among them."""
    head = ["server", "bytes a connection (RSS)", "(PSS)", "RSS before, after, MiB"]
    head += ["echo alone, µs", "among them, µs", "round trip alone, µs", "among them, µs"]
    rows = []
    for server in results.servers:
        good = results.good(case, server["name"])
        if not good:
            rows.append([server["title"], cell(results, case, server["name"])] + [""] * 6)
            continue
        one = good[0]
        memory = ["{:,.0f}".format(one["rss_bytes"]), "{:,.0f}".format(one["pss_bytes"])]
        change = "%.1f, %.1f" % (one["rss_before_kib"] / 1024, one["rss_after_kib"] / 1024)
        echo = [number(one["alone"]["server_us"]), number(one["server_us"])]
        trip = [number(round_trip(one["alone"])), number(round_trip(one))]
        rows.append([server["title"]] + memory + [change] + echo + trip)
    return table(head, rows)


def details(results, case):
    """Spread, rate and the load of both cores for one case."""
    rows = []
    for server in results.servers:
        good = results.good(case["name"], server["name"])
        if not good:
            continue
        times = sorted(one["server_us"] for one in good)
        spread = "%s to %s" % tuple(number(times[part * (len(times) - 1) // 4]) for part in (1, 3))

        def median(what):
            return results.median(case["name"], server["name"], what)

        busy = ["%.0f %%" % (100 * median(core)) for core in ("server_busy", "generator_busy")]
        rate = "{:,.0f}".format(median("per_second"))
        rows.append([server["title"], cell(results, case["name"], server["name"]), spread, rate] + busy)
    head = ["server", "µs a message", "quartiles", "messages a second", "server's core", "generator's core"]
    return "### %s\n\n%s" % (case["title"][0].upper() + case["title"][1:], table(head, rows))


def absent(results):
    """Names what is not installed and what has failed, with the reason."""
    lines = ["- %s: not installed (%s)" % (one["title"], one["missing"]) for one in results.servers if one["missing"]]
    for case in results.cases:
        for server in results.servers:
            error = results.error(case["name"], server["name"])
            if error:
                lines.append("- %s, %s: %s" % (server["title"], case["title"], error))
    lines += scaling.errors(results.found)
    return "## Not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def page(found):
    """Gives the whole page."""
    results = Results(found)
    facts = {name: found[name] for name in ("rounds", "seconds", "machine", "load")}
    facts.update(sample=SAMPLE_EVERY, versions=results.versions() + ".", alike=ALIKE)
    parts = [INTRODUCTION.format(**facts), summary(results)]
    for case in results.cases:
        if case["name"] in IDLE:
            parts.append("## %s\n\n%s" % (IDLE[case["name"]], idle(results, case["name"])))
    parts += [scaling.table(found), absent(results)]
    parts += [details(results, case) for case in results.cases]
    return "\n".join(part for part in parts if part)


def caption(found):
    """Tells machine, method and versions in some sentences."""
    words = "%s; load average before the run %.1f. Median of %d rounds of %g s in turn. %s."
    facts = (found["machine"], found["load"], found["rounds"], found["seconds"], Results(found).versions())
    return textwrap.fill(words % facts + " " + ALIKE.replace("\n", " "), 120) + "\n"


def save(path, text):
    with open(path, "w") as file:
        file.write(text)
    print("written: " + os.path.relpath(path))


def write(found, folder):
    """Writes results.json, RESULTS.md and chart.svg into a folder."""
    os.makedirs(folder, exist_ok=True)
    save(os.path.join(folder, "results.json"), to_json(found))
    save(os.path.join(folder, "RESULTS.md"), page(found))
    save(os.path.join(folder, "chart.svg"), chart.draw(Results(found), COLUMNS))


def write_overview(found):
    """Puts the overview between the marks of docs/performance.md."""
    path = os.path.join(ROOT, "docs", "performance.md")
    with open(path) as file:
        text = file.read()
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    parts = [CHART, overview(found), caption(found), FIGURES, scaling.table(found), MARKS[1]]
    parts = [part for part in parts if part]
    save(path, before + MARKS[0] + "\n" + "\n".join(parts) + after)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else BENCH
    with open(os.path.join(folder, "results.json")) as file:
        found = json.load(file)
    write(found, folder)
    if folder == BENCH:
        write_overview(found)


if __name__ == "__main__":
    main()
