"""Python's `websockets` as a client of the echo server of clients_spec: `interop.py PORT`, exit code 0 for success."""
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

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


def main(port):
    with connect(f"ws://127.0.0.1:{port}/", subprotocols=["nobody", "echo"], max_size=None) as connection:
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


main(int(sys.argv[1]))
