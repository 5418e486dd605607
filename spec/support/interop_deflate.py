"""Python's `websockets` and compression: `interop_deflate.py client PORT` goes through the parameters against our echo
server, exit code 0 when all is well; `interop_deflate.py server` prints "NAME PORT" for each of its echo servers."""
import sys
import threading
import time

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.sync.client import connect
from websockets.sync.server import serve

LIMIT_SECONDS = 50
SIZES = (0, 1, 100, 5000, 70000)

FORMS = {"off": None, "plain": {}}
FORMS["server_forgets"] = {"server_no_context_takeover": True}
FORMS["client_forgets"] = {"client_no_context_takeover": True}
FORMS["both_forget"] = {"server_no_context_takeover": True, "client_no_context_takeover": True}
for bits in range(9, 16):
    FORMS[f"server_{bits}"] = {"server_max_window_bits": bits}
    FORMS[f"client_{bits}"] = {"client_max_window_bits": bits}


def missing_from(name, answer):
    """What a form asks for and the server's answer does not say; the largest window need not be named."""
    wanted = [] if name == "off" else ["permessage-deflate"]
    for side in ("server", "client"):
        if name in (f"{side}_forgets", "both_forget"):
            wanted.append(f"{side}_no_context_takeover")
        wanted += [f"{side}_max_window_bits={bits}" for bits in range(9, 15) if name == f"{side}_{bits}"]
    said = answer.replace(";", " ").split()
    return [one for one in wanted if one not in said]


def text_of(size):
    """Words that come again, so that a context is worth something."""
    return "".join(f'{{"word": {i * i % 97}}}, ' for i in range(size // 10 + 1))[:size]


def bytes_of(size):
    state, made = 1, bytearray()
    for _ in range(size):
        state = state * 16807 % 2147483647
        made.append(state % 251)
    return bytes(made)


def check(connection, data, sent):
    connection.send(sent)
    got = connection.recv(timeout=30)
    if type(got) is not type(data) or got != data:
        raise SystemExit(f"sent {len(data)} {type(data).__name__}, got {len(got)} {type(got).__name__}")


def try_form(port, name, form):
    extensions = None if form is None else [ClientPerMessageDeflateFactory(**form)]
    with connect(f"ws://127.0.0.1:{port}/", subprotocols=["echo"], compression=None, extensions=extensions) as connection:
        agreed = connection.protocol.extensions
        if bool(agreed) != (form is not None):
            raise SystemExit(f"{name}: {agreed}")
        answer = connection.response.headers.get("Sec-WebSocket-Extensions", "")
        if missing_from(name, answer):
            raise SystemExit(f"{name}: the answer is '{answer}'")
        for _ in range(2):
            for size in SIZES:
                text = text_of(size)
                check(connection, text, text)
                data = bytes_of(size)
                check(connection, data, data)
                check(connection, text, [text[: size // 2], text[size // 2 :]])


def echo(connection):
    connection.send("extensions " + connection.response.headers.get("Sec-WebSocket-Extensions", ""))
    for message in connection:
        connection.send(message)


def start_server(name, form):
    extensions = None if form is None else [ServerPerMessageDeflateFactory(**form)]
    made = serve(echo, "127.0.0.1", 0, compression=None, extensions=extensions)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    print(name, made.socket.getsockname()[1], flush=True)


def main():
    if sys.argv[1] == "server":
        for name, form in FORMS.items():
            start_server(name, form)
        time.sleep(LIMIT_SECONDS)
        return
    for name, form in FORMS.items():
        try_form(int(sys.argv[2]), name, form)


main()
