"""The benchmark's server on picows: `picows_server.py --port N`."""

import sys

import secure
import uvloop
from picows import WSListener, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

recipients = set()


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class FanOut(WSListener):
    def on_ws_connected(self, transport):
        recipients.add(transport)

    def on_ws_disconnected(self, transport):
        recipients.discard(transport)

    def on_ws_frame(self, transport, frame):
        payload = frame.get_payload_as_bytes()
        for recipient in recipients:
            recipient.send(frame.msg_type, payload)


def choose(request):
    if request.headers.get("Sec-WebSocket-Protocol") != "fanout":
        return Echo()
    response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": "fanout"})
    return WSUpgradeResponseWithListener(response, FanOut())


async def main():
    server = await ws_create_server(choose, "127.0.0.1", int(sys.argv[2]), backlog=4096, ssl=secure.context())
    await server.serve_forever()


uvloop.run(main())
