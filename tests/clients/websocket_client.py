"""A client to be checked by `farend check-client`: websocket-client. It sends back what it gets."""

import contextlib
import sys

import websocket


def main(url: str) -> None:
    with contextlib.closing(websocket.create_connection(url)) as client:
        while client.connected:
            opcode, data = client.recv_data()
            if opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
                client.send(data.decode() if opcode == websocket.ABNF.OPCODE_TEXT else data, opcode)


if __name__ == "__main__":
    main(sys.argv[1])
