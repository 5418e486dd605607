"""The cases of the benchmark, and the servers that it runs."""

import glob
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
DEPS = os.path.join(BENCH, ".deps")
# Certificate and key of the servers that speak TLS.
CERTIFICATES = os.path.join(DEPS, "tls")
RELEASE = os.path.join(BENCH, "target", "release")
PYTHON = os.path.join(DEPS, "venv", "bin", "python")
# Where the accelerator for one Lua lies; BENCH_NATIVE names another place.
NATIVE = os.environ.get("BENCH_NATIVE", os.path.join(ROOT, "build", "native", "{lua}"))


@dataclass(frozen=True)
class Case:
    """One load: `raw` is what the raw server must know of it."""

    name: str
    title: str
    load: tuple
    connections: int
    raw: tuple = ()
    quick: bool = False
    rounds: int = 0
    # The servers speak TLS; the limit does not.
    tls: bool = False
    # The messages are those of a topic that all have subscribed to, where a server has topics.
    topic: bool = False


def echo(name, title, size, connections, in_flight, **more):
    """Makes a case in which every connection has its messages echoed; no two are the same."""
    frame = ("--bytes", str(size)) + (("--binary",) if size > 4096 else ())
    load = ("--load", "echo", "--connections", str(connections), "--in-flight", str(in_flight))
    return Case(name, title, load + frame, connections, frame, **more)


def alike(case):
    """The same with one message again and again: a Lua that has a string already does not make it anew."""
    name, title = case.name + "-alike", case.title + ", all alike"
    return replace(case, name=name, title=title, load=case.load + ("--alike",), quick=False)


def secure(case, **more):
    """The same over TLS; the limit goes on without."""
    return replace(case, name="tls-" + case.name, title="TLS, " + case.title, quick=False, tls=True, **more)


def fanout(name, title, size, in_flight, **more):
    """Makes a case in which one connection publishes to 1,000."""
    frame = ("--bytes", str(size))
    load = ("--load", "fanout", "--connections", "1000", "--in-flight", str(in_flight))
    return Case(name, title, load + frame, 1000, frame + ("--fanout",), **more)


def topic(case):
    """The same by a topic, in place of a broadcast."""
    name, title = case.name.replace("fan", "topic"), case.title.replace("fan-out", "topic,")
    return replace(case, name=name, title=title, quick=False, topic=True)


def handshakes(name, title, at_a_time, **more):
    """Makes a case in which connections are opened and dropped."""
    return Case(name, title, ("--load", "handshake", "--connections", str(at_a_time)), at_a_time, **more)


def idling(name, title, connections, **more):
    """Makes a case in which one connection is busy among many that are not."""
    return Case(name, title, ("--load", "idle", "--connections", str(connections)), connections, **more)


# The cases about memory, and what they hold.
IDLE = {"idle10000": "10,000 idle connections", "tls-idle2000": "2,000 idle TLS connections"}
# What fits below the 1,024 descriptors of `select`.
SELECT_CONNECTIONS = 1010
MANY = echo("echo64x100p16", "echo 64 B, 100 connections, 16 in flight", 64, 100, 16, quick=True)
LARGE = echo("echo16k", "echo 16 KiB, 16 connections, 4 in flight", 16384, 16, 4, quick=True)
HUGE = echo("echo1m", "echo 1 MiB, 4 connections", 1048576, 4, 1)
SMALL = echo("echo64x100", "echo 64 B, 100 connections", 64, 100, 1, quick=True)
FANOUT = fanout("fan64", "fan-out 64 B to 1,000", 64, 1)
FANOUT_4 = fanout("fan64p4", "fan-out 64 B to 1,000, 4 in flight", 64, 4, quick=True)
CASES = [
    echo("echo64x1", "echo 64 B, 1 connection", 64, 1, 1, quick=True),
    SMALL,
    echo("echo64x1000", "echo 64 B, 1,000 connections", 64, 1000, 1),
    MANY,
    alike(MANY),
    LARGE,
    alike(LARGE),
    HUGE,
    alike(HUGE),
    FANOUT,
    topic(FANOUT),
    FANOUT_4,
    topic(FANOUT_4),
    fanout("fan4kp4", "fan-out 4 KiB to 1,000, 4 in flight", 4096, 4),
    handshakes("handshake", "handshake, 64 at a time", 64, quick=True),
    idling("idle10000", "echo 64 B among 10,000 idle connections", 10000, rounds=1),
    secure(SMALL),
    secure(LARGE),
    secure(FANOUT),
    secure(idling("idle2000", "echo 64 B among 2,000 idle connections", 2000, rounds=1)),
]


@dataclass
class Server:
    """A program to measure; `probe` prints its version and fails where it is not installed.

    `most` is how many connections it can have, where that is bounded; `tls` tells whether its script speaks TLS,
    `topics` whether it has topics.
    """

    name: str
    title: str
    command: list
    probe: list
    env: dict = field(default_factory=dict)
    most: int = 0
    tls: bool = True
    topics: bool = False
    version: str = ""
    missing: str = ""

    def environment(self):
        """The variables of its process; those for one Lua version would win over ours."""
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("LUA_PATH", "LUA_CPATH"))}
        return {**outer, **self.env}

    def look(self):
        """Finds out the version, or what is missing."""
        try:
            done = subprocess.run(self.probe, env=self.environment(), capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired) as error:
            self.missing = str(error)
            return
        lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or ["no answer"]
        if done.returncode == 0:
            self.version = lines[0].rstrip("-")
        else:
            self.missing = next((line for line in lines if "rror" in line or "not found" in line), lines[0])[:160]


def own(name, title, lua, engine):
    """Our server under one Lua with one engine."""
    env = {
        "WEBSOCKETS_NATIVE": "on" if engine == "native" else "off",
        "LUA_PATH": "{0}/lua/?.lua;{0}/lua/?/init.lua;;".format(ROOT),
        "LUA_CPATH": NATIVE.format(lua=lua) + "/?.so;;",
    }
    check = (
        "local w = require('websockets'); assert(w.engine == '%s', 'error: engine ' .. tostring(w.engine));"
        "print(jit and jit.version or _VERSION)" % engine
    )
    script = os.path.join(BENCH, "servers", "ours.lua")
    most = SELECT_CONNECTIONS if engine == "pure" else 0
    return Server(name, title, [lua, script], [lua, "-e", check], env, most, topics=True)


def libraries():
    """The variable that lets the peers in C find what was unpacked for them."""
    return {"LD_LIBRARY_PATH": ":".join(glob.glob(DEPS + "/apt/usr/lib/*-linux-*"))}


def lws(name, loop):
    """libwebsockets with one of its loops."""
    program = [DEPS + "/lws"]
    return Server(name, "libwebsockets (C), " + loop, program, program, {"LWS_LOOP": loop, **libraries()})


def lua_http():
    """lua-http under Lua 5.4: its Lua files are packaged for 5.1 and 5.3, what it needs in C for 5.4 too."""
    shares = [base + "/usr/share/lua/" + v for base in (DEPS + "/apt", "") for v in ("5.4", "5.3", "5.1")]
    libs = glob.glob(DEPS + "/apt/usr/lib/*/lua/5.4")
    env = {
        "LUA_PATH": ";".join("{0}/?.lua;{0}/?/init.lua".format(share) for share in shares) + ";;",
        "LUA_CPATH": ";".join(lib + "/?.so" for lib in libs) + ";;",
        **libraries(),
    }
    probe = ["lua5.4", "-e", "require('http.websocket'); print(require('http.version').version)"]
    command = ["lua5.4", BENCH + "/servers/lua_http.lua"]
    return Server("lua-http", "lua-http, Lua 5.4", command, probe, env, tls=False)


def python(name, title, module):
    """A server in Python under uvloop."""
    check = (
        "import platform, uvloop, {0}; from importlib.metadata import version as v;"
        "print(v('{0}'), 'under Python', platform.python_version())"
    ).format(module)
    script = os.path.join(BENCH, "servers", module + "_server.py")
    return Server(name, title, [PYTHON, script], [PYTHON, "-c", check])


def node():
    """ws, from where the driver has installed it."""
    modules = os.path.join(DEPS, "npm", "node_modules")
    probe = ["node", "-p", "require('%s/ws/package.json').version + ' under Node ' + process.version" % modules]
    return Server("ws", "ws (Node)", ["node", BENCH + "/servers/ws.mjs"], probe, {"NODE_MODULES": modules})


def all_servers():
    """Gives every server that the benchmark knows, the limit first."""
    luajit = shutil.which("luajit") or "luajit"
    return [
        Server("raw", "raw epoll and send (the limit)", [RELEASE + "/raw"], ["uname", "-r"], topics=True),
        own("ours54", "websockets, Lua 5.4", "lua5.4", "native"),
        own("oursjit", "websockets, LuaJIT", os.path.basename(luajit), "native"),
        own("ours54-pure", "websockets, Lua 5.4, pure", "lua5.4", "pure"),
        own("oursjit-pure", "websockets, LuaJIT, pure", os.path.basename(luajit), "pure"),
        Server("uws", "uWebSockets (C++)", [DEPS + "/uws"], [DEPS + "/uws"], tls=False, topics=True),
        lws("lws", "poll"),
        lws("lws-uv", "libuv"),
        python("picows", "picows (Python and C)", "picows"),
        node(),
        python("websockets", "websockets (Python)", "websockets"),
        lua_http(),
    ]
