"""Turns the results of the benchmark into a Markdown page and a chart."""

import os
import platform
import statistics

import chart
from cases import CASES, IDLE

# As in src/reader.rs.
SAMPLE_EVERY = 16

INTRODUCTION = """# Results of the benchmark

Processor time of the server for each message in microseconds, median of {rounds} round(s) of {seconds:g} s; in
brackets how many times the limit measured just before it. A message of a fan-out is one delivered message. The limit
is a program of our own that makes one `recv` for a readable socket and one `send` for all answers due, and looks at
no byte.

Server and generator had one core each; all traffic stayed on 127.0.0.1. The generator checks the length of every
message and the content of one in {sample}, and polls without sleeping, so that no server pays for waking it.
Rates depend on the neighbours of a virtual machine, processor time much less: compare the numbers in brackets.

Machine: {machine}; load average before the run {load:.1f}. {versions}

Again: `bench/run.py --install`.
"""


def machine():
    """Describes the machine in one line."""
    model = platform.machine()
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return "%s, %d cores, Linux %s" % (model, os.cpu_count(), platform.release())


def versions(servers):
    """Names what was measured."""
    found = [server for server in servers if server.version and server.name != "raw"]
    return "; ".join("%s: %s" % (server.title, server.version) for server in found)


class Results:
    """The rounds of every case and server."""

    def __init__(self, rounds):
        self.rounds = rounds

    def good(self, case, server):
        return [one for one in self.rounds.get((case.name, server.name), []) if "error" not in one]

    def error(self, case, server):
        errors = [one["error"] for one in self.rounds.get((case.name, server.name), []) if "error" in one]
        return errors[0] if errors else None

    def median(self, case, server, what="server_us"):
        values = [one[what] for one in self.good(case, server)]
        return statistics.median(values) if values else None

    def ratio(self, case, server):
        """How many times the limit measured just before it a server takes; None where either is not known."""
        ratios = [one["server_us"] / one["limit_us"] for one in self.good(case, server) if one["limit_us"]]
        return statistics.median(ratios) if ratios else None


def number(value):
    """Writes a figure with three digits that count."""
    if value >= 100:
        return "{:,.0f}".format(value)
    return "%.1f" % value if value >= 10 else "%.2f" % value


def cell(results, case, server):
    if server.missing:
        return "not installed"
    value = results.median(case, server)
    if value is None:
        return "failed" if results.error(case, server) else ""
    ratio = results.ratio(case, server)
    return number(value) + (" (%s)" % number(ratio) if ratio else "")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def summary(results, servers, chosen):
    """One row a server, one column a case."""
    shown = [case for case in chosen if case.name != IDLE]
    rows = [[server.title] + [cell(results, case, server) for case in shown] for server in servers]
    return table(["server"] + [case.title for case in shown], rows)


def idle(results, servers, case):
    """Memory of idle connections, and what one busy connection costs alone and among them."""
    head = ["server", "bytes a connection (RSS)", "bytes a connection (PSS)", "RSS before, after, MiB"]
    rows = []
    for server in servers:
        good = results.good(case, server)
        if server.missing or not good:
            rows.append([server.title, "not installed" if server.missing else "failed", "", "", "", ""])
            continue
        one = good[0]
        before, after = one["rss_before_kib"] / 1024, one["rss_after_kib"] / 1024
        memory = ["{:,.0f}".format(one["rss_bytes"]), "{:,.0f}".format(one["pss_bytes"])]
        echo = [number(one["alone"]["server_us"]), number(one["server_us"])]
        rows.append([server.title] + memory + ["%.1f, %.1f" % (before, after)] + echo)
    return table(head + ["echo alone, us", "echo among them, us"], rows)


def details(results, servers, case):
    """Spread, rate and the load of both cores for one case."""
    rows = []
    for server in servers:
        good = results.good(case, server)
        if not good:
            continue
        times = [one["server_us"] for one in good]
        spread = "%s to %s" % (number(min(times)), number(max(times)))
        rate = "{:,.0f}".format(results.median(case, server, "per_second"))
        busy = ["%.0f %%" % (100 * results.median(case, server, who)) for who in ("server_busy", "generator_busy")]
        rows.append([server.title, cell(results, case, server), spread, rate] + busy)
    head = ["server", "us a message", "spread", "messages a second", "server's core", "generator's core"]
    return "### %s\n\n%s" % (case.title[0].upper() + case.title[1:], table(head, rows))


def absent(results, servers, chosen):
    """Names what is not installed and what has failed, with the reason."""
    lines = ["- %s: not installed (%s)" % (server.title, server.missing) for server in servers if server.missing]
    for case in chosen:
        for server in servers:
            error = results.error(case, server)
            if error:
                lines.append("- %s, %s: %s" % (server.title, case.title, error))
    return "## Not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def page(results, servers, chosen, options):
    """Gives the whole page."""
    parts = [
        INTRODUCTION.format(
            rounds=options.rounds,
            seconds=options.seconds,
            sample=SAMPLE_EVERY,
            machine=machine(),
            load=options.load,
            versions=versions(servers) + ".",
        ),
        summary(results, servers, chosen),
    ]
    last = next((case for case in chosen if case.name == IDLE), None)
    if last:
        parts.append("## 10,000 idle connections\n\n" + idle(results, servers, last))
    parts.append(absent(results, servers, chosen))
    parts += [details(results, servers, case) for case in chosen]
    return "\n".join(part for part in parts if part)


def write(rounds, servers, chosen, options):
    """Prints the page, or writes it and the chart where a full run belongs."""
    results = Results(rounds)
    text = page(results, servers, chosen, options)
    if not options.output:
        print(text)
        return
    os.makedirs(options.output, exist_ok=True)
    with open(os.path.join(options.output, "RESULTS.md"), "w") as file:
        file.write(text)
    shown = [case for case in CASES if case in chosen and case.name != IDLE]
    caption = "%s. Median of %d round(s) of %g s. A bar with a gap is longer than the panel. %s" % (
        machine(),
        options.rounds,
        options.seconds,
        versions(servers),
    )
    with open(os.path.join(options.output, "chart.svg"), "w") as file:
        file.write(chart.draw(results, servers, shown, caption))
    print("written: RESULTS.md and chart.svg in " + options.output)
