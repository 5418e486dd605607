"""What the benchmark needs beside itself: the peers, the programs that are compiled, a certificate."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

import cases


def install():
    """Brings the peers into bench/.deps, once for each state of the list."""
    wanted = {"apt": [], "crate": [], "npm": [], "pip": [], "system": []}
    with open(os.path.join(cases.BENCH, "packages")) as file:
        listed = file.read()
    stamp = os.path.join(cases.DEPS, "stamp")
    if os.path.exists(stamp) and open(stamp).read() == listed:
        return
    for line in listed.splitlines():
        if line and not line.startswith("#"):
            _, kind, name = line.split()
            wanted[kind].append(name)
    os.makedirs(cases.DEPS, exist_ok=True)
    done = [
        attempt(sys.executable, "-m", "venv", cases.DEPS + "/venv"),
        attempt(cases.PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted["pip"]),
        attempt("npm", "install", "--silent", "--no-audit", "--prefix", cases.DEPS + "/npm", *wanted["npm"]),
        attempt("apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted["system"]),
        unpack(wanted["apt"]),
        vendor(wanted["crate"]),
    ]
    if all(done):
        with open(stamp, "w") as file:
            file.write(listed)


def attempt(*command):
    """Runs a command that may fail: the table then says what is not installed."""
    print("bench: " + " ".join(command[:4]) + " ...", file=sys.stderr)
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
    except OSError as error:
        done = error
    if getattr(done, "returncode", 1) != 0:
        print("bench: that failed: %s" % (done,), file=sys.stderr)
        return False
    return True


def unpack(names):
    """Unpacks Debian packages, and those that they need and the system lacks."""
    simulate = ["apt-get", "install", "-s", "--no-install-recommends"] + names
    plan = subprocess.run(simulate, capture_output=True, text=True).stdout
    packages = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "-qq"] + sorted(packages), cwd=folder, stderr=subprocess.DEVNULL)
        found = glob.glob(folder + "/*.deb")
        for package in found:
            subprocess.run(["dpkg", "-x", package, cases.DEPS + "/apt"])
    return packages != set() and len(found) == len(packages)


def vendor(names):
    """Unpacks crates, for what they pack that is not Rust."""
    project = cases.DEPS + "/crates"
    shutil.rmtree(project, ignore_errors=True)
    os.makedirs(project + "/src")
    open(project + "/src/lib.rs", "w").close()
    # A workspace of its own: the benchmark's package lies above it.
    with open(project + "/Cargo.toml", "w") as file:
        file.write('[package]\nname = "peers"\nversion = "0.0.0"\nedition = "2021"\n\n[workspace]\n')
    there = ["--quiet", "--manifest-path", project + "/Cargo.toml"]
    exact = [name.replace("@", "@=") for name in names]
    return attempt("cargo", "add", *there, *exact) and attempt("cargo", "vendor", *there, project + "/vendor")


def build(servers):
    """Builds the generator and the raw server, and the peers in C and C++ where what they need is there."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=cases.BENCH, check=True)
    os.makedirs(cases.DEPS, exist_ok=True)
    if any(server.name == "uws" for server in servers):
        build_uws()
    if any(server.name.startswith("lws") for server in servers):
        build_lws()


def build_uws():
    """Builds the server on uWebSockets, without TLS and compression."""
    sources = cases.DEPS + "/crates/vendor/libuwebsockets-sys/uWebSockets"
    sockets = sources + "/uSockets/src"
    if not os.path.isdir(sockets) or os.path.exists(cases.DEPS + "/uws"):
        return
    files = [name for folder in ("", "/eventing", "/crypto") for name in glob.glob(sockets + folder + "/*.c")]
    flags = ["-O3", "-DLIBUS_NO_SSL", "-I" + sockets]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cc"] + flags + ["-c"] + files, cwd=folder, stderr=subprocess.DEVNULL)
        command = ["c++", "-std=c++20"] + flags + ["-DUWS_NO_ZLIB", "-I" + sources + "/src", "-o", cases.DEPS + "/uws"]
        command += [os.path.join(cases.BENCH, "servers", "uws.cpp")] + glob.glob(folder + "/*.o") + ["-lpthread"]
        subprocess.run(command, stderr=subprocess.DEVNULL)


def build_lws():
    """Builds the server on libwebsockets."""
    flags = ["-I" + cases.DEPS + "/apt/usr/include"]
    for folder in glob.glob(cases.DEPS + "/apt/usr/lib/*-linux-*"):
        flags += ["-L" + folder, "-Wl,-rpath," + folder]
    source = os.path.join(cases.BENCH, "servers", "lws.c")
    # By its file: where the system has the library itself, what was unpacked has but a link to where it is not.
    command = ["cc", "-O2", "-o", cases.DEPS + "/lws", source] + flags + ["-l:libwebsockets.so.17"]
    subprocess.run(command, stderr=subprocess.DEVNULL)


def make_certificate():
    """Makes the key and the certificate of the servers that speak TLS, anew for each run."""
    os.makedirs(cases.CERTIFICATES, exist_ok=True)
    certificate, key = (os.path.join(cases.CERTIFICATES, name) for name in ("cert.pem", "key.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", key, "-out", certificate, "-days", "9", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
