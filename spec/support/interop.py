"""Python's `websockets` as a client of the echo server of clients_spec: `interop.py PORT [CA-FILE]`, exit code 0 for
success, over TLS with a file of authorities; as an echo server for blocking_spec: `interop.py server` prints its port."""
import ssl
import sys
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

LIMIT_SECONDS = 50

SIZES = (0, 1, 125, 126, 65535, 65536, 1024 * 1024)


def text_of(size):
    """Text of exactly so many bytes of UTF-8, most characters of two or three bytes."""
    return "€é" * (size // 5) + "a" * (size % 5)


def fragments(data):
    """The data in pieces: an empty one, a small one, the rest in two halves."""
    half = max(1, len(data) // 2)
    return [data[:0], data[:1], data[1:half], data[half:] if half > 1 else data[1:]]


def check(connection, data, sent):
    connection.send(sent)
    got = connection.recv(timeout=30)
    if type(got) is not type(data) or got != data:
        raise SystemExit(f"sent {len(data)} {type(data).__name__}, got {len(got)} {type(got).__name__}")


def main(port, cafile=None):
    url = f"wss://localhost:{port}/" if cafile else f"ws://127.0.0.1:{port}/"
    context = ssl.create_default_context(cafile=cafile) if cafile else None
    with connect(url, subprotocols=["nobody", "echo"], max_size=None, ssl=context) as connection:
        if connection.subprotocol != "echo":
            raise SystemExit(f"subprotocol {connection.subprotocol}")
        for size in SIZES:
            for data in (text_of(size), bytes(i % 251 for i in range(size))):
                check(connection, data, data)
                check(connection, data, fragments(data))
        if not connection.ping(b"ping").wait(30):
            raise SystemExit("no pong")
        connection.send("close me")
        try:
            connection.recv(timeout=30)
            raise SystemExit("not closed")
        except ConnectionClosed as closed:
            if (closed.rcvd.code, closed.rcvd.reason) != (4001, "bye"):
                raise SystemExit(f"closed by {closed.rcvd}")


def answer(connection):
    for message in connection:
        if message == "close me":
            connection.close(4001, "bye")
        elif message == "ping me":
            connection.send("ponged" if connection.ping(b"ping").wait(30) else "no pong")
        elif message == "in fragments":
            connection.send(fragments(text_of(70000)))
        else:
            connection.send(message)


def start_server():
    server = serve(answer, "127.0.0.1", 0, max_size=None)
    threading.Timer(LIMIT_SECONDS, server.shutdown).start()
    print("port", server.socket.getsockname()[1], flush=True)
    server.serve_forever()


if sys.argv[1] == "server":
    start_server()
else:
    main(int(sys.argv[1]), *sys.argv[2:])
