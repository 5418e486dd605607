// The benchmark's server on uWebSockets: `uws --port N`. Connections have their messages echoed; a message of a `fanout`
// connection is published to all of these, the sender included.
#include "App.h"

#include <cstdlib>
#include <string_view>

struct Session {
    bool is_fanout;
};

int main(int count, char **arguments) {
    if (count < 3) {
        puts("of libuwebsockets-sys 0.0.10");
        return 0;
    }
    uWS::App app;
    uWS::App *all = &app;
    uWS::App::WebSocketBehavior<Session> behavior;
    behavior.compression = uWS::DISABLED;
    behavior.maxPayloadLength = 16 * 1024 * 1024;
    behavior.maxBackpressure = 64 * 1024 * 1024;
    behavior.upgrade = [](auto *response, auto *request, auto *context) {
        std::string_view protocol = request->getHeader("sec-websocket-protocol");
        response->template upgrade<Session>({protocol == "fanout"}, request->getHeader("sec-websocket-key"), protocol,
                                            request->getHeader("sec-websocket-extensions"), context);
    };
    behavior.open = [](auto *ws) {
        if (ws->getUserData()->is_fanout) ws->subscribe("topic");
    };
    behavior.message = [all](auto *ws, std::string_view message, uWS::OpCode opcode) {
        if (ws->getUserData()->is_fanout) {
            all->publish("topic", message, opcode);
        } else {
            ws->send(message, opcode);
        }
    };
    app.ws<Session>("/*", std::move(behavior)).listen("127.0.0.1", atoi(arguments[2]), [](auto *) {}).run();
}
