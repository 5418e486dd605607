"""What a run has found: one table, which results.json keeps."""

import json
import os
import platform
import statistics


def machine():
    """Describes the machine in one line."""
    model = platform.machine()
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return "%s, %d cores, Linux %s" % (model, os.cpu_count(), platform.release().split("-")[0])


def collect(rounds, servers, chosen, options, load):
    """Gives all that a run has found as one table for JSON."""
    return {
        "machine": machine(),
        "load": round(load, 1),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "servers": [
            {"name": one.name, "title": one.title, "version": one.version, "missing": one.missing} for one in servers
        ],
        "cases": [{"name": one.name, "title": one.title} for one in chosen],
        "results": rounds,
    }


class Results:
    """The rounds of every case and server, found by their names."""

    def __init__(self, found):
        self.found = found
        self.servers = found["servers"]
        self.cases = found["cases"]
        self.missing = {server["name"]: server["missing"] for server in self.servers}

    def rounds(self, case, server):
        return self.found["results"].get(case, {}).get(server, [])

    def good(self, case, server):
        return [one for one in self.rounds(case, server) if "error" not in one]

    def error(self, case, server):
        return next((one["error"] for one in self.rounds(case, server) if "error" in one), None)

    def median(self, case, server, what):
        values = [one[what] for one in self.good(case, server)]
        return statistics.median(values) if values else None

    def cost(self, case, server):
        return self.median(case, server, "server_us")

    def ratio(self, case, server):
        """How many times the limit a server takes; None where either is not known."""
        values = [one["server_us"] / one["limit_us"] for one in self.good(case, server) if "limit_us" in one]
        return statistics.median(values) if values else None

    def least(self, names, value):
        """The least of what `value` gives for these servers."""
        return min((found for found in map(value, names) if found is not None), default=None)

    def least_ratio(self, case, names):
        return self.least(names, lambda name: self.ratio(case, name))

    def versions(self):
        """Names what was measured, each thing once."""
        named = [one for one in self.servers if one["version"] and one["name"] != "raw"]
        # Our version is that of the Lua, which says it all.
        words = [(one["title"].split(",")[0] + " ") * (one["name"][:4] != "ours") + one["version"] for one in named]
        return ", ".join(dict.fromkeys(words))


def to_json(found):
    """Writes one line for each case and server, so that a new run can be compared with the old one."""
    lines = []
    for case, servers in found["results"].items():
        inner = ",\n".join("      %s: %s" % (json.dumps(name), json.dumps(one)) for name, one in servers.items())
        lines.append("    %s: {\n%s\n    }" % (json.dumps(case), inner))
    head = "".join("  %s: %s,\n" % (json.dumps(k), json.dumps(v)) for k, v in found.items() if k != "results")
    return '{\n%s  "results": {\n%s\n  }\n}\n' % (head, ",\n".join(lines))
