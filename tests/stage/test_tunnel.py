"""TLS between a transport and a driver: what came in a handshake's place, half-closes, and orderly ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from farend import Failure, Script, TcpServer, WebSocketServer
from farend.core.findings import ProtocolViolation
from farend.core.transcript import Kind
from farend.stage import tls

hear = asyncio.to_thread
PING_PONG = Script().expect("ping").send("pong")
SHORT = 0.1


async def secure(server: TcpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(server.host, server.port, ssl=server.client_ssl_context)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


# -- a connection behind TLS -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_what_is_said_is_what_is_on_the_transcript() -> None:
    async with TcpServer(PING_PONG, tls=True) as server:
        reader, writer = await secure(server)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"pong"
        await leave(writer)
    assert server.transcripts[0].received == [b"ping"]


@pytest.mark.asyncio
async def test_megabytes_both_ways() -> None:
    big = bytes(range(256)) * (16 << 10)
    async with TcpServer(Script().expect(big).send(big).close(), tls=True) as server:
        reader, writer = await secure(server)
        writer.write(big)
        assert await reader.read(-1) == big
        await leave(writer)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [1, 7])
async def test_in_the_smallest_segments(size: int) -> None:
    """Segmentation never matters, not within TLS records either."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    async with TcpServer(PING_PONG, tls=True) as server:
        context = server.client_ssl_context
        client = context.wrap_bio(incoming, outgoing, server_hostname=server.host)
        reader, writer = await asyncio.open_connection(server.host, server.port)

        async def pump() -> None:
            raw = outgoing.read()
            for at in range(0, len(raw), size):
                writer.write(raw[at : at + size])
                await writer.drain()

        async def do(call: Any, *given: Any) -> Any:
            while True:
                try:
                    answer = call(*given)
                    await pump()
                    return answer
                except ssl.SSLWantReadError:
                    await pump()
                    incoming.write(await reader.read(size))

        await do(client.do_handshake)
        await do(client.write, b"ping")
        assert await do(client.read, 4) == b"pong"
        await leave(writer)


@pytest.mark.asyncio
async def test_the_far_end_ends_its_side_with_a_close_notify_and_still_listens() -> None:
    """A truncated stream (no close_notify) would be an error to a careful client."""
    async with TcpServer(Script().expect("a").send("b").close(), tls=True) as server:

        def talk() -> None:
            with (
                socket.create_connection((server.host, server.port), timeout=10) as raw,
                server.client_ssl_context.wrap_socket(
                    raw, server_hostname=server.host, suppress_ragged_eofs=False
                ) as client,
            ):
                client.sendall(b"a")
                assert client.recv(10) == b"b"
                assert client.recv(10) == b""
                client.sendall(b"late words")

        await hear(talk)
        peer = await server.connection()
        await peer.closed()
    assert server.transcripts[0].received == [b"a", b"late words"]


@pytest.mark.asyncio
async def test_the_end_of_a_test_is_orderly_too() -> None:
    server = TcpServer(tls=True).start()
    reader, writer = await secure(server)
    await server.connection()
    await server.aclose()
    assert await reader.read() == b""
    await leave(writer)


@pytest.mark.asyncio
async def test_a_near_end_that_half_closes_hears_what_the_script_has_left_to_say() -> None:
    async with TcpServer(Script().expect("ask").expect_close().pause(0.01).send("answer"), tls=True) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = server.client_ssl_context.wrap_bio(incoming, outgoing, server_hostname=server.host)
        reader, writer = await asyncio.open_connection(server.host, server.port)

        async def do(call: Any, *given: Any) -> Any:
            while True:
                try:
                    answer = call(*given)
                    writer.write(outgoing.read())
                    return answer
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await reader.read(65536))

        await do(client.do_handshake)
        await do(client.write, b"ask")
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
        writer.write(outgoing.read())
        assert await do(client.read, 10) == b"answer"
        await leave(writer)


@pytest.mark.asyncio
async def test_a_client_that_waits_for_the_answer_to_its_close_notify() -> None:
    """asyncio's own TLS waits for it in `wait_closed`, half a minute long."""
    async with TcpServer(tls=True) as server:
        reader, writer = await secure(server)
        peer = await server.connection()
        async with asyncio.timeout(5):
            await leave(writer)
        await peer.closed()
        assert reader.at_eof()


@pytest.mark.asyncio
async def test_a_near_end_that_vanishes_without_a_close_notify(dial: Any) -> None:
    async with TcpServer(Script().expect("a").expect_close(), tls=True) as server:
        raw = dial(server)

        def talk() -> None:
            client = server.client_ssl_context.wrap_socket(raw, server_hostname=server.host)
            client.sendall(b"a")
            client.close()  # of the socket alone

        await hear(talk)


@pytest.mark.asyncio
async def test_records_that_cannot_be_read(dial: Any, only: Any) -> None:
    with pytest.raises(Failure, match="its TLS cannot be read") as caught:
        async with TcpServer(Script().expect("a"), tls=True) as server:
            raw = dial(server)

            def talk() -> None:
                client = server.client_ssl_context.wrap_socket(raw, server_hostname=server.host)
                plain = socket.socket(fileno=client.detach())
                plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
                plain.close()

            await hear(talk)
            await server.played()
    finding = only(caught)
    assert isinstance(finding, ProtocolViolation)
    assert finding.about == "tls"


# -- a handshake that fails --------------------------------------------------------------------------


async def failing(server: TcpServer | WebSocketServer, talk: Any) -> ProtocolViolation:
    """The finding of a server to which one client talks, after which another is still served."""
    with pytest.raises(Failure) as caught:
        async with server:
            await hear(talk)
            peer = await server.connection()
            assert len(peer.transcript) > 0
            with pytest.raises(Failure) as told:
                await peer.receive()
            assert len(told.value.findings) == 1
            raise told.value
    [finding] = caught.value.findings
    assert isinstance(finding, ProtocolViolation)
    assert finding.about == "tls"
    return finding


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [TcpServer, WebSocketServer])
@pytest.mark.parametrize(
    ("said", "text"),
    [
        ([b"GET / HTTP/1.1\r\n\r\n"], "the client speaks plain HTTP where TLS was expected: use https:// or wss://"),
        ([b"EHLO example.org\r\n"], "the client does not speak TLS, and this far end does"),
        ([b"E", b"H", b"L", b"O example.org\r\n"], "the client does not speak TLS, and this far end does"),
        ([b"hi"], "the client does not speak TLS|the client left during the TLS handshake"),
    ],
)
async def test_plain_words_to_a_tls_port(dial: Any, kind: Any, said: list[bytes], text: str) -> None:
    """Bad input: plain text to a TLS port. Nothing that was received is missing from the transcript."""
    server = kind(tls=True)

    def talk() -> None:
        client = dial(server)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in said:
            client.sendall(part)
        client.shutdown(socket.SHUT_WR)
        client.read_all()

    finding = await failing(server, talk)
    assert finding.sentence.startswith("The near end broke the protocol: ")
    assert any(part in finding.sentence for part in text.split("|"))
    assert b"".join(server.transcripts[0].received) == b"".join(said)


@pytest.mark.asyncio
async def test_a_certificate_that_the_client_refuses(dial: Any) -> None:
    server = TcpServer(tls=True)

    def talk() -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(dial(server), server_hostname="localhost")

    finding = await failing(server, talk)
    assert "the client refused the certificate: give it the far end's client_ssl_context" in finding.sentence
    assert server.transcripts[0].received == []  # a handshake is nothing that was said


@pytest.mark.asyncio
async def test_a_name_that_the_certificate_is_not_for(dial: Any) -> None:
    server = TcpServer(tls=True)

    def talk() -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            server.client_ssl_context.wrap_socket(dial(server), server_hostname="example.org")

    assert "the client refused the certificate" in (await failing(server, talk)).sentence


@pytest.mark.asyncio
async def test_a_version_that_the_far_end_does_not_speak(dial: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.authority().issue_cert("localhost").configure_cert(context)
    server = TcpServer(tls=context)

    def talk() -> None:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(dial(server), server_hostname="localhost")

    assert "the TLS handshake failed: SSLError" in (await failing(server, talk)).sentence


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_client_that_leaves_in_the_handshake(dial: Any, said: bytes) -> None:
    server = TcpServer(tls=True)

    def talk() -> None:
        client = dial(server)
        client.sendall(said)
        client.close()

    assert "the client left during the TLS handshake" in (await failing(server, talk)).sentence


@pytest.mark.asyncio
async def test_a_client_that_says_nothing(dial: Any) -> None:
    """Bad input: a client that connects and says nothing."""
    server = TcpServer(tls=True, deadline=SHORT)
    finding = await failing(server, lambda: dial(server).read_all())
    assert finding.sentence.endswith("it connected, and finished no TLS handshake within 0.1 s")


@pytest.mark.asyncio
async def test_a_handshake_that_is_under_way_when_the_test_is_over(dial: Any) -> None:
    """It is ended at once, and is nobody's mistake."""
    server = TcpServer(tls=True, deadline=30).start()
    client = dial(server)
    async with asyncio.timeout(5):
        assert await server.aclose() == []
    assert client.recv(1) == b"" if not _was_reset(client) else True


def _was_reset(client: socket.socket) -> bool:
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


@pytest.mark.asyncio
async def test_others_are_served_meanwhile(dial: Any) -> None:
    """The server goes on serving the others."""
    with pytest.raises(Failure, match="the client does not speak TLS"):
        async with TcpServer([PING_PONG], tls=True) as server:
            silent, plain = dial(server), dial(server)
            plain.sendall(b"EHLO example.org\r\n")
            reader, writer = await secure(server)
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"pong"
            await leave(writer)
            silent.close()
    assert Kind.SENT in [entry.kind for transcript in server.transcripts for entry in transcript]
