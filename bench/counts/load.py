"""A client of the server that is counted: WebSocket connections on 127.0.0.1, and the loads that they make."""

import socket

TIMEOUT_S = 120
PAYLOAD_BYTES = 64
# What the server writes for one message: two bytes of header and the payload.
ANSWER_BYTES = 2 + PAYLOAD_BYTES
MASK = b"\x5a\xc3\x11\x7e"
FANOUT = 200
REQUEST = (
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)


def message(number):
    return b"%0*d" % (PAYLOAD_BYTES, number)


def frame(payload):
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([0x81, 0x80 | len(payload)]) + MASK + masked


class Connection:
    """A connection that is open."""

    def __init__(self, port, subprotocol=None):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        more = "Sec-WebSocket-Protocol: %s\r\n" % subprotocol if subprotocol else ""
        self.socket.sendall((REQUEST % more).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.receive(1)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise OSError("no WebSocket: %r" % head)

    def send(self, *payloads):
        self.socket.sendall(b"".join(map(frame, payloads)))

    def receive(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise OSError("the server closed the connection")
            data += piece
        return data

    def ask(self, name):
        """Asks for a number, on a connection of the subprotocol `control`."""
        self.send(name.encode())
        return int(self.receive(self.receive(2)[1]))


def echo(port, in_flight=1):
    """Gives a function that has so many messages echoed, some at a time."""
    connection = Connection(port)

    def run(count):
        for first in range(0, count, in_flight):
            batch = [message(number) for number in range(first, min(first + in_flight, count))]
            connection.send(*batch)
            if connection.receive(len(batch) * ANSWER_BYTES) != b"".join(b"\x81\x40" + one for one in batch):
                raise OSError("wrong echo")

    return run


def fan_out(port, subprotocol="fanout"):
    """Gives a function that has so many messages delivered; each that is published goes to all connections."""
    connections = [Connection(port, subprotocol) for _ in range(FANOUT)]

    def run(count):
        for number in range(count // FANOUT):
            connections[0].send(message(number))
            for connection in connections:
                if connection.receive(ANSWER_BYTES) != b"\x81\x40" + message(number):
                    raise OSError("wrong message")

    return run
