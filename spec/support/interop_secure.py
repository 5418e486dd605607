"""Python's `websockets` as an echo server over TLS: `interop_secure.py CERTIFICATE KEY` prints "port N"."""
import ssl
import sys

from websockets.sync.server import serve


def echo(connection):
    for message in connection:
        if message == "close me":
            return connection.close(4001, "bye")
        connection.send(message)
    return None


def main(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(echo, "127.0.0.1", 0, ssl=context, subprotocols=["echo"], max_size=None) as server:
        print("port", server.socket.getsockname()[1], flush=True)
        server.serve_forever()


main(*sys.argv[1:])
