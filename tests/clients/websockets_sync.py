"""A client to be checked by `farend check-client`: `websockets`, in threads. It sends back what it gets."""

import sys

from websockets.sync.client import connect


def main(url: str) -> None:
    with connect(url) as client:
        for message in client:
            client.send(message)


if __name__ == "__main__":
    main(sys.argv[1])
