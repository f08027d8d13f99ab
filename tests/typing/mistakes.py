"""A user's mistakes: every line with `# error` has to be one for `mypy --strict`, and no other. Never run."""

import farend
from farend import Script, TcpServer, WebSocketServer, assert_communication, respond_with

Script().send(5)  # error
Script().send({"a": 1})  # error
Script().expect(5)  # error
Script().expect({"a": 1})  # error
Script().expect(["a"])  # error
Script().expect(None)  # error
farend.Skript()  # error
TcpServer(prot=1)  # error
WebSocketServer(prot=1)  # error
WebSocketServer(port="1")  # error
assert_communication(prot=1)  # error
respond_with(responses=["a"], tsl=True)  # error
farend.reroute({"wss://api.exchange.com": Script()})  # error
farend.reroute({("db", 5432): ("127.0.0.1", "80")})  # error
farend.reroute(["wss://api.exchange.com"])  # error
farend.reroute({}, strikt=True)  # error
with TcpServer() as server:
    server.broadcast(5)  # error
    server.accept().send({"a": 1})  # error
    server.accept().expect(5)  # error
    print(server.accept().handshak)  # error
    print(server.accept().number + "a")  # error
farend.sync_websocket_mock.new_session(url="ws://far-end/")  # error
farend.sync_websocket_mock.assert_send("x")  # error
farend.sync_websocket_mock.new_session().expect("send", "x")  # error
farend.StrictVerifier().sandbox(alow=[])  # error
farend.Plan().refuse("2")  # error
farend.Plan().stall("later")  # error
farend.Plan().expect("hello")  # error
farend.Plan().play([Script()])  # error
farend.then_abort("3")  # error
farend.Latency("soon")  # error
farend.Latency(0.1, to="client")  # error
farend.Script().fault(0.05)  # error
farend.proxy("ws://x", fault=[])  # error
