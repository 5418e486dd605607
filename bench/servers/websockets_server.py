"""The benchmark's server on websockets (Python): `websockets_server.py --port N`."""

import logging
import sys

import secure
import uvloop
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

recipients = set()


async def handle(connection):
    fanout = connection.subprotocol == "fanout"
    if fanout:
        recipients.add(connection)
    try:
        async for message in connection:
            if fanout:
                broadcast(recipients, message)
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass
    finally:
        recipients.discard(connection)


async def main():
    # A connection that the generator drops inside its handshake is no news.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    options = {
        "compression": None,
        "ping_interval": None,
        "ssl": secure.context(),
        "max_size": 4 * 1024 * 1024,
        "select_subprotocol": lambda _, offered: "fanout" if "fanout" in offered else None,
    }
    async with serve(handle, "127.0.0.1", int(sys.argv[2]), backlog=4096, **options) as server:
        await server.serve_forever()


uvloop.run(main())
