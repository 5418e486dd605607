"""A peer that sends what OpenSSL passes over, without end: after 30 seconds it gives up.

`flood.py updates PORT`: a client that sends KeyUpdate (TLS 1.3). `flood.py hellos`: a server that sends HelloRequest in
place of its ServerHello; it writes its port first.
"""
import ctypes
import ctypes.util
import select
import socket
import sys
import time

LIMIT_SECONDS = 30
UPDATES_AT_ONCE = 20000
CHUNK_BYTES = 1 << 20
TLS_RECORD = b"\x16\x03\x03\x40\x00" + b"\0" * 16384


def library():
    ssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("TLS_client_method", pointer, []), ("SSL_CTX_new", pointer, [pointer]), ("SSL_new", pointer, [pointer]),
        ("SSL_set_fd", number, [pointer, number]), ("SSL_connect", number, [pointer]),
        ("SSL_key_update", number, [pointer, number]), ("SSL_do_handshake", number, [pointer]),
        ("BIO_s_mem", pointer, []), ("BIO_new", pointer, [pointer]), ("SSL_set0_wbio", None, [pointer, pointer]),
        ("BIO_read", number, [pointer, ctypes.c_char_p, number]),
    ):
        function = getattr(ssl, name)
        function.restype, function.argtypes = result, arguments
    return ssl


def send(connection, data, until):
    """Sends as long as the other side reads; False once it has ended."""
    while data and time.monotonic() < until:
        readable, writable, _ = select.select([connection], [connection], [], 0.1)
        if readable and not connection.recv(65536):
            return False
        if writable:
            data = data[connection.send(data, socket.MSG_DONTWAIT):]
    return True


def updates(port, until):
    ssl = library()
    connection = socket.create_connection(("127.0.0.1", port))
    secure = ssl.SSL_new(ssl.SSL_CTX_new(ssl.TLS_client_method()))
    ssl.SSL_set_fd(secure, connection.fileno())
    assert ssl.SSL_connect(secure) == 1
    print("flood", flush=True)
    # Made before they are sent: a reader that is faster than the sender would return to its caller.
    memory = ssl.BIO_new(ssl.BIO_s_mem())
    ssl.SSL_set0_wbio(secure, memory)
    chunk = ctypes.create_string_buffer(CHUNK_BYTES)
    while time.monotonic() < until:
        for _ in range(UPDATES_AT_ONCE):
            assert ssl.SSL_key_update(secure, 0) == 1 and ssl.SSL_do_handshake(secure) == 1
        size = ssl.BIO_read(memory, chunk, CHUNK_BYTES)
        while size > 0:
            if not send(connection, chunk.raw[:size], until):
                return
            size = ssl.BIO_read(memory, chunk, CHUNK_BYTES)


def hellos(until):
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    connection = listener.accept()[0]
    while time.monotonic() < until:
        connection.sendall(TLS_RECORD * 16)


end = time.monotonic() + LIMIT_SECONDS
try:
    if sys.argv[1] == "updates":
        updates(int(sys.argv[2]), end)
    else:
        hellos(end)
except OSError:
    pass
print("ended" if time.monotonic() < end else "gave up", flush=True)
