"""What topics, back planes and workers cost: other programs of this folder measure it, and their lines become a table.

`bench/scaling.py` prints it alone, by few rounds.
"""

import os
import re
import subprocess
import sys

import cases
from results import Results

DEADLINE_S = 400
LUAS = [("Lua 5.4", "ours54"), ("LuaJIT", "oursjit")]
BACKPLANE_ROUNDS, MESSAGES, PAIRS = 3, 40000, 400
QUICK = {"rounds": 2, "backplane": 1, "messages": 4000, "pairs": 20}

# Title, the most that is aimed at, program, what its line says.
ROWS = [
    ("publishing to a topic of 400, times a broadcast", 1.05, "topics", r"real connections: .* ratio ([\d.]+)"),
    ("publishing to a topic of 1,000, times a broadcast", 1.05, "backplane", r"without a back plane: .* ratio ([\d.]+)"),
    ("the same with Redis as the back plane", 1.3, "backplane", r"with a back plane: .* ratio ([\d.]+)"),
    ("a message to two workers, times one", 1.1, "workers", r"; ratio ([\d.]+)"),
    ("messages of 100 B a second through Redis, between two processes", None, "backplane",
     r"100 bytes a second, from one process to another: ([\d.]+)"),
    ("the same, published by redis-benchmark", None, "backplane",
     r"100 bytes a second, from redis-benchmark: ([\d.]+)"),
    ("messages of 4 KiB a second through Redis, between two processes", None, "backplane",
     r"4096 bytes a second, from one process to another: ([\d.]+)"),
]

# Rows that come of the cases that are measured anyway, beside uWebSockets: title, goal, case.
OF_CASES = [
    ("fan-out 64 B to 1,000, times uWebSockets' publish", 1.1, "fan64"),
    ("the same, 4 in flight", 1.1, "fan64p4"),
    ("topic, 64 B to 1,000, times uWebSockets' publish", 1.1, "topic64"),
    ("the same, 4 in flight", 1.1, "topic64p4"),
]

WORDS = """Ratios of processor time, less is better: a row should not be above its goal. What a ratio compares was
measured in turn; it is the median. At the bottom rates, more is better."""


def commands(how):
    """What is run, by the name of the program."""
    return {
        "topics": ["topics.lua", "100", "10", "100", str(how["pairs"])],
        "backplane": ["backplane.lua", "Redis", str(how["backplane"]), str(how["messages"])],
        "workers": ["workers.lua", str(how["rounds"])],
    }


def run(server, command):
    """Runs a program under a Lua; gives what it wrote, or `error: ` and why it did not end well."""
    line = [server.command[0], os.path.join("bench", command[0])] + command[1:]
    try:
        done = subprocess.run(
            line, cwd=cases.ROOT, env=server.environment(), capture_output=True, text=True, timeout=DEADLINE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "error: %s" % error
    if done.returncode != 0:
        return "error: " + (done.stderr.strip().splitlines() or ["no word"])[0]
    return done.stdout


def measure(rounds=None):
    """Gives the rows for results.json: title, goal, and a figure or an error for each Lua. No rounds: a quick look."""
    how = QUICK
    if rounds:
        how = {"rounds": rounds, "backplane": BACKPLANE_ROUNDS, "messages": MESSAGES, "pairs": PAIRS}
    servers = {server.name: server for server in cases.all_servers()}
    rows = [{"title": title, "goal": goal} for title, goal, _, _ in ROWS]
    for _, name in LUAS:
        for program, command in commands(how).items():
            text = run(servers[name], command)
            print("%s, %s: %s" % (command[0], name, text.strip().replace("\n", "\n  ")), file=sys.stderr, flush=True)
            for row, (_, _, of, pattern) in zip(rows, ROWS):
                found = re.search(pattern, text)
                if of == program:
                    row[name] = float(found.group(1)) if found else text.strip()[:160]
    return rows


def of_cases(results):
    """The rows that other cases give: each is the ratio of what both are as a multiple of the limit."""
    rows = []
    for title, goal, case in OF_CASES:
        row = {"title": title, "goal": goal}
        for _, name in LUAS:
            own, other = results.ratio(case, name), results.ratio(case, "uws")
            row[name] = own / other if own and other else None
        rows.append(row)
    return rows


def shown(value):
    if not isinstance(value, float):
        return "–"
    return "{:,.0f}".format(value) if value >= 100 else "%.2f" % value


def errors(found):
    """Names the rows that could not be measured, with the reason."""
    lines = []
    for row in found.get("scaling", []):
        reasons = [(title, row[name]) for title, name in LUAS if isinstance(row.get(name), str)]
        lines += ["- %s, %s: %s" % (title, row["title"], reason) for title, reason in reasons]
    return lines


def table(found):
    """The section on scaling; empty where it was not measured."""
    if not found.get("scaling"):
        return ""
    ratios = [row for row in found["scaling"] if row["goal"]]
    rates = [row for row in found["scaling"] if not row["goal"]]
    lines = ["|  | goal | " + " | ".join(title for title, _ in LUAS) + " |", "|---|--:|--:|--:|"]
    for row in of_cases(Results(found)) + ratios + rates:
        if all(row.get(name) is None for _, name in LUAS):
            continue
        cells = [row["title"], shown(row["goal"])] + [shown(row.get(name)) for _, name in LUAS]
        lines.append("| " + " | ".join(cells) + " |")
    return "## Topics, back planes, workers\n\n%s\n\n%s\n" % (WORDS, "\n".join(lines))


if __name__ == "__main__":
    print(table({"scaling": measure(), "results": {}, "servers": [], "cases": []}))
