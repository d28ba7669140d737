"""`RuntimeWebsocketClient`: where streams are, how a service resumes, and no token anywhere."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from adapters.http.client import RuntimeClient
from adapters.http.transport import StreamClient
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.commands import OpenStream
from runtime_core.errors import UsageError
from runtime_core.events import StreamFailed
from runtime_core.traits import Resume

TOKEN = "s3cret-token"


def client(url: str = "http://host.example", resume: str = "live") -> RuntimeWebsocketClient:
    return RuntimeWebsocketClient(url, TOKEN, resume=resume)


def request(source: StreamClient, after: int = 0, job_id: str = "j1") -> list[str]:
    """The lines of the handshake."""
    protocol = source.stream(job_id, OpenStream(1, after)).protocol
    protocol.start()
    return protocol.data_to_send().decode().split("\r\n")


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://host.example", "host.example", 80, False),
        ("ws://host.example", "host.example", 80, False),
        ("http://host.example:8080/base/", "host.example", 8080, False),
        ("https://host.example", "host.example", 443, True),
        ("wss://host.example:8443", "host.example", 8443, True),
        ("http://[::1]:9", "::1", 9, False),
    ],
)
def test_where_the_streams_are(url: str, host: str, port: int, tls: bool) -> None:
    endpoint = client(url).stream("j1", OpenStream(1, 0))
    assert (endpoint.host, endpoint.port) == (host, port)
    assert (endpoint.tls is not None) is tls


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("http://host.example", "/stream/jobs/j1", "host.example"),
        ("wss://host.example/base/", "/base/stream/jobs/j1", "host.example"),
        ("ws://[::1]:9/a", "/a/stream/jobs/j1", "[::1]:9"),
    ],
)
def test_what_is_asked_for(url: str, target: str, host: str) -> None:
    lines = request(client(url))
    assert lines[0] == f"GET {target} HTTP/1.1"
    assert f"Host: {host}" in lines
    assert f"X-Access-Token: {TOKEN}" in lines


def test_without_a_token_no_header_is_sent() -> None:
    lines = request(RuntimeWebsocketClient("http://host.example", ""))
    assert not any("token" in line.lower() for line in lines)


@pytest.mark.parametrize(
    ("resume", "after", "query"),
    [
        ("offset", 0, ""),
        ("offset", 3, "?after=3"),
        ("replay", 3, ""),
        ("live", 3, ""),
    ],
)
def test_how_a_stream_is_resumed(resume: str, after: int, query: str) -> None:
    lines = request(client(resume=resume), after)
    assert lines[0] == f"GET /stream/jobs/j1{query} HTTP/1.1"


@pytest.mark.parametrize(
    ("resume", "kind", "held"),
    [
        ("offset", Resume.OFFSET, False),
        ("replay", Resume.REPLAY, False),
        ("live", Resume.LIVE, True),
    ],
)
@pytest.mark.parametrize("said", [None, True, False])
def test_its_traits(resume: str, kind: Resume, held: bool, said: bool | None) -> None:
    source = RuntimeWebsocketClient("http://h", TOKEN, resume=resume, streams_result=said)
    traits = source.traits
    assert traits.pushes
    assert traits.resume is kind
    assert traits.streams_result is (held if said is None else said)
    assert traits.on_unknown_status is None


@pytest.mark.parametrize("resume", ["", "OFFSET", "later"])
def test_an_unknown_way_to_resume_is_refused(resume: str) -> None:
    with pytest.raises(ValueError, match=r"'offset', 'replay', 'live'"):
        client(resume=resume)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host.example",
        "ftp://host.example",
        "wsss://host.example",
        "ws:/host.example",
        "ws://",
        "ws://host.example?x=1",
        "ws://host.example#x",
        "ws://host.example:port",
    ],
)
def test_what_is_no_url_of_a_service_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        client(url)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="password") as caught:
        client("ws://user:pa55word@host.example")
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize("job_id", ["", "../x", "a/b", "a\nb", ".."])
def test_what_cannot_be_the_id_of_a_job_is_refused(job_id: str) -> None:
    with pytest.raises(UsageError):
        client().stream(job_id, OpenStream(1, 0))


def test_an_id_is_quoted() -> None:
    assert request(client(), job_id="a b?c")[0] == "GET /stream/jobs/a%20b%3Fc HTTP/1.1"


def test_nothing_shows_the_token() -> None:
    source = client("wss://host.example/base")
    endpoint = source.stream("j1", OpenStream(1, 0))
    assert repr(source) == "RuntimeWebsocketClient('https://host.example/base', resume='live')"
    for shown in (repr(source), str(source), repr(endpoint), repr(source.traits)):
        assert TOKEN not in shown


def test_a_token_that_cannot_be_sent_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError) as caught:
        RuntimeWebsocketClient("http://host.example", f"{TOKEN}\r\nEvil: 1")
    error: BaseException | None = caught.value
    while error is not None:
        assert TOKEN not in str(error)
        error = error.__cause__


def test_a_given_context_is_used_as_it_is() -> None:
    context = ssl.create_default_context()
    source = RuntimeWebsocketClient("wss://host.example", TOKEN, tls=context)
    assert source.stream("j1", OpenStream(1, 0)).tls is context


def test_a_context_of_its_own_checks_certificates_and_names() -> None:
    tls = client("wss://host.example").stream("j1", OpenStream(1, 0)).tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        RuntimeWebsocketClient("wss://host.example", TOKEN, ca_certs=tmp_path / "none.pem")


def test_each_connection_has_a_protocol_of_its_own() -> None:
    source = client()
    first, second = (source.stream("j1", OpenStream(number, 0)) for number in (1, 2))
    assert first.protocol is not second.protocol


# ---- tokens that are renewed ---------------------------------------------------------------


def test_the_token_is_the_one_of_the_start() -> None:
    issued = iter(["t2", "t3"])
    with RuntimeClient(
        "https://host.example", "t1", token_provider=lambda: next(issued)
    ) as requests:
        source = RuntimeWebsocketClient.of(requests)
        protocol = source.stream("j1", OpenStream(1, 0)).protocol
        assert requests.access.credentials.renewed("t1") == "t2"
        protocol.start()
        assert b"X-Access-Token: t2\r\n" in protocol.data_to_send()


def test_only_where_tokens_are_renewed_there_is_something_to_prepare() -> None:
    assert client().stream("j1", OpenStream(1, 0)).prepare is None
    issued = iter(["t1", "t2"])
    source = RuntimeWebsocketClient("http://host.example", token_provider=lambda: next(issued))
    endpoint = source.stream("j1", OpenStream(1, 0))
    assert endpoint.prepare is not None
    endpoint.prepare()
    endpoint.protocol.start()
    assert b"X-Access-Token: t1\r\n" in endpoint.protocol.data_to_send()
    (failed,) = endpoint.protocol.receive(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(failed, StreamFailed)
    following = source.stream("j1", OpenStream(2, 0))
    assert following.prepare is not None
    following.prepare()
    following.protocol.start()
    assert b"X-Access-Token: t2\r\n" in following.protocol.data_to_send()


def test_of_a_client_its_resume_is_checked_too() -> None:
    with (
        RuntimeClient("https://host.example", TOKEN) as requests,
        pytest.raises(ValueError, match=r"'offset', 'replay', 'live'"),
    ):
        RuntimeWebsocketClient.of(requests, resume="later")
