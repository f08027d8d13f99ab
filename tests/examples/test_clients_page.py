"""The examples of docs/clients.md. What stands between `# [name]` and `# [/name]` is shown there."""

# [client]
import sys

from websockets.sync.client import connect


def echo(url):
    """The client to be checked: it sends back what it gets, until the connection is over."""
    with connect(url) as client:
        for message in client:
            client.send(message)


if __name__ == "__main__":
    echo(sys.argv[1])
# [/client]

import pytest
from websockets.exceptions import ConnectionClosedError

from farend import Failure


# [fixture]
@pytest.mark.malformed("utf8-*", "5.1")  # without the mark: every case
def test_rfc_6455(malformed_frame):
    with malformed_frame as url:
        echo(url)


# [/fixture]


# [async]
@pytest.mark.malformed("5.1", strict=True)
@pytest.mark.asyncio
async def test_on_the_tests_own_loop(malformed_frame):
    from websockets.asyncio.client import connect

    async with malformed_frame as url, connect(url) as client:
        async for message in client:
            await client.send(message)


# [/async]


# [check]
from farend import ClientCheck


def test_one_case():
    check = ClientCheck("ping-between-fragments")
    with check as url:
        echo(url)
    assert check.result.seen == "gave everything back and the pong"


# [/check]


# [step]
from farend import Script, WebSocketServer, malformed


def test_a_bad_frame_in_the_middle_of_a_conversation():
    script = Script().expect("hello").send("there").malformed("masked-frame").expect_close(1002)
    with WebSocketServer(script) as server, connect(server.url) as client:
        client.send("hello")
        assert client.recv() == "there"
        with pytest.raises(ConnectionClosedError, match="incorrect masking"):
            client.recv()
    assert malformed.MASKED_FRAME.asked == "MUST fail the connection (1002)"


# [/step]


# [raw]
from farend import Frame, Raw


def test_frames_of_your_own():
    script = Script().send(Frame(0x1, b"half a ", fin=False)).send(Frame(0x0, b"message"))
    script.send(Raw(b"\xff\xff")).expect_close(1002)
    with WebSocketServer(script) as server, connect(server.url) as client:
        assert client.recv() == "half a message"
        with pytest.raises(ConnectionClosedError):
            client.recv()


# [/raw]


def test_the_screen_that_the_page_shows():
    import websocket

    with pytest.raises(Failure) as caught:
        with ClientCheck("masked-frame") as url:
            client = websocket.create_connection(url)
            client.send(client.recv())
            client.shutdown()
    shown = " ".join(str(caught.value).split())
    assert shown.startswith(
        "The client handed 'masked' to the application, where a text frame is masked, as only a client's may be "
        "(RFC 6455, 5.1)"
    )
    assert "a client must close the connection if it sees a masked frame" in shown
    assert "So it MUST fail the connection (1002)." in shown
