"""Neither tokens nor proxy passwords show: whatever answers, and whatever it repeats of them."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from types import ModuleType
from typing import Any

import pytest
from conditions import Recorder, eventually
from connect_proxy import ConnectProxy, answers
from scripted_server import End, ScriptedServer, answer
from stream_service import Peer, StreamService, completed_after
from wsproto.events import CloseConnection

from adapters import RuntimeClient, RuntimeJob, RuntimeService, RuntimeWebsocketClient
from runtime_core import polling
from runtime_core.commands import OpenStream
from runtime_core.errors import RuntimeCoreError, TransportError

# Longer than any message shows: what is cut off must not leave the rest of it there.
OLD = "".join(f"0ld{number:05}" for number in range(50))
NEW = "".join(f"n3w{number:05}" for number in range(50))
PASSWORD = "pa/ssw0rd-of-the-proxy"
QUOTED = "pa%2Fssw0rd-of-the-proxy"
ENCODED = "cHJveHktdXNlcjpwYS9zc3cwcmQtb2YtdGhlLXByb3h5"
USER = f"proxy-user:{QUOTED}"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.05)
    monkeypatch.setattr(polling, "LONGEST_RETRY", 0.05)


class Shown:
    """All that a person may come to see: errors with their causes, logs, reprs."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        self._texts: list[str] = []
        self.errors: list[BaseException] = []

    def error(self, error: BaseException | None) -> None:
        assert error is not None
        self.errors.append(error)
        self._texts += [str(error), repr(error), *traceback.format_exception(error)]
        self._texts.append(repr(vars(error)))

    def of(self, call: Callable[[], object]) -> None:
        """Call what must fail."""
        with pytest.raises(RuntimeCoreError) as caught:
            call()
        self.error(caught.value)

    def reprs(self, *things: object) -> None:
        """The repr of these, and of all of ours that they hold."""
        self._texts += [repr(each) for each in ours(things)]

    def holds_no_secret(self) -> None:
        told = "\n".join([*self._texts, self._caplog.text])
        told += "".join(map(repr, self._caplog.records))
        for secret in (PASSWORD, QUOTED, ENCODED):
            assert secret not in told
        for token in (OLD, NEW):
            for start in range(0, len(token) - 12, 6):
                assert token[start : start + 12] not in told, token[start : start + 12]


def ours(things: object) -> Iterator[object]:
    """Walk over all objects of the library that hang on these."""
    seen: set[int] = set()
    waiting = [things]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, str | bytes | int | Enum | type | ModuleType):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += thing
        elif type(thing).__module__.partition(".")[0] in ("adapters", "runtime_core"):
            yield thing
            slots = itertools.chain.from_iterable(
                getattr(kind, "__slots__", ()) for kind in type(thing).__mro__
            )
            for name in (*slots, *getattr(thing, "__dict__", ())):
                with suppress(AttributeError):
                    waiting.append(getattr(thing, name))


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture) -> Shown:
    return Shown(caplog)


def rude(secret: str) -> list[Any]:
    """Answers that repeat a secret, in every place where an answer has words."""
    padded = "x" * 250 + secret
    return [
        answer(400, json.dumps({"message": f"bad {secret}"})),
        answer(403, json.dumps({"errors": [{"message": padded}]})),
        answer(404, padded, Content_Type="text/plain"),
        answer(500, json.dumps({"error": {"message": secret[: len(secret) // 2]}})),
        answer(503, secret, Content_Type=secret, Retry_After=secret),
        answer(302, "", Location=f"https://elsewhere.example/{secret}?{secret}"),
        answer(302, "", Location=f"https://{secret}@elsewhere.example/{'x' * 250}{secret}"),
        answer(200, "<html>", Content_Type="text/html", X=secret),
        answer(200, json.dumps(secret)),
        answer(200, json.dumps([{"a": [padded]}])),
        answer(200, secret),
        answer(200, "{}", Content_Encoding=secret),
        f"HTTP/1.1 500 {secret}\r\nContent-Length: 0\r\n\r\n".encode(),
        (f"{secret}\r\n\r\n".encode(), End.CLOSE),
        (f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n".encode(), End.CLOSE),
        (f"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{secret}".encode(), End.CLOSE),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {secret}\r\n\r\n".encode(), End.CLOSE),
        (f"HTTP/1.1 200 OK\r\n{secret}\r\n\r\n".encode(), End.CLOSE),
        f"HTTP/1.1 200 OK\r\n {secret}\r\nContent-Length: 0\r\n\r\n".encode(),
    ]


@pytest.mark.parametrize("call", ["job_get", "job_logs_part", "program_run"])
def test_what_a_service_repeats_of_a_request(shown: Shown, call: str) -> None:
    asked: Callable[[RuntimeClient], object] = {
        "job_get": lambda client: client.job_get("j1"),
        "job_logs_part": lambda client: client.job_logs_part("j1", 3),
        "program_run": lambda client: client.program_run("p"),
    }[call]
    scripts = [*rude(OLD), answer(401, OLD), *rude(OLD), *rude(NEW), answer(401, NEW)]
    if call == "job_logs_part":
        old, new = (answer(206, "", Content_Range=f"bytes {token}") for token in (OLD, NEW))
        scripts = [old, answer(401, OLD), old, new]
    with (
        ScriptedServer(*scripts) as server,
        RuntimeClient(server.url, OLD, token_provider=lambda: NEW, read_timeout=5.0) as client,
    ):
        while len(server.received) < len(scripts):
            shown.of(lambda: asked(client))
        shown.reprs(client)
    assert len(shown.errors) == len(scripts) - 1  # one request was done again
    shown.holds_no_secret()


def test_what_a_proxy_repeats_of_a_request(shown: Shown) -> None:
    for secret in (PASSWORD, f"proxy-user:{PASSWORD}", QUOTED, f"Basic {ENCODED}", OLD):
        for said in rude(secret):
            pieces = said if isinstance(said, tuple) else (said,)
            data = b"".join(piece for piece in pieces if isinstance(piece, bytes))

            def conduct(connection: socket.socket, data: bytes = data) -> None:
                connection.sendall(data)

            with (
                ConnectProxy(conduct=conduct) as proxy,
                RuntimeClient("https://host.example", OLD, proxy=proxy.url_for(USER)) as client,
            ):
                shown.of(lambda client=client: client.program_run("p"))  # type: ignore[misc]
                shown.reprs(client)
    shown.holds_no_secret()


def test_what_a_proxy_repeats_of_plain_http(shown: Shown) -> None:
    secrets = (PASSWORD, QUOTED, f"Basic {ENCODED}", OLD)
    scripts = [script for secret in secrets for script in rude(secret)]
    with ScriptedServer(*scripts) as proxy, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with RuntimeClient(
            "http://host.example", OLD, proxy=proxy.url.replace("://", f"://{USER}@")
        ) as client:
            while len(proxy.received) < len(scripts):
                shown.of(lambda: client.job_get("j1"))
            assert proxy.received[0].headers["proxy-authorization"] == f"Basic {ENCODED}"
            shown.reprs(client)
    shown.holds_no_secret()


def closes(reason: str) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.raw(peer.frame(CloseConnection(4000, reason)))

    return play


def refuses(status: int, secret: str) -> Callable[[Peer], None]:
    return lambda peer: peer.refuse(
        status, secret, Content_Type="text/plain", Retry_After=secret, Location=secret
    )


def says(data: str) -> Callable[[Peer], None]:
    return lambda peer: peer.raw(data.encode())


def breaks(data: str) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.raw(data.encode())

    return play


def test_what_a_service_repeats_on_a_stream(shown: Shown) -> None:
    plays: list[Callable[[Peer], None]] = []
    for secret in (OLD, NEW):
        accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
        plays += [
            *(refuses(status, secret) for status in (400, 401, 403, 500)),
            closes(secret[:110]),
            closes(f"bad {secret[:50]}"),
            says(f"{secret}\r\n\r\n"),
            says(f"HTTP/1.1 {secret}\r\n\r\n"),
            says(f"{accepted}\r\nSec-WebSocket-Accept: {secret}\r\n\r\n"),
            says(f"{accepted}\r\nSec-WebSocket-Extensions: {secret}\r\n\r\n"),
            breaks(f"\x7f\x7f{secret}"),
            breaks(f"\x01\x7e{secret}"),
        ]
    with StreamService(*plays, plays[0]) as service:

        def status() -> str:
            return "Running" if len(service.peers) < len(plays) else "Completed"

        service.status = status
        client = RuntimeClient(service.url, OLD, token_provider=lambda: NEW)
        streams = RuntimeWebsocketClient.of(client, resume="offset")
        endpoint = streams.stream("j1", OpenStream(1, 0))
        endpoint.protocol.start()
        shown.reprs(endpoint, streams)
        with client, service.watched(RuntimeJob("b", client, streams, "j1", "p")) as job:
            recorder = Recorder()
            job.stream_results(recorder)
            assert job.result(timeout=60, wait=0.05) == "the result"
            assert eventually(lambda: job.stream_error() is not None)
            shown.error(job.stream_error())
            shown.reprs(job, client, streams)
        assert len(service.peers) >= len(plays)
    shown.holds_no_secret()


def test_a_session_by_a_proxy_that_asks_for_more(shown: Shown) -> None:
    with (
        ConnectProxy(users=("somebody:else",)) as asking,
        ConnectProxy(conduct=answers(answer(502, PASSWORD))) as refusing,
        StreamService(status=completed_after(3)) as service,
    ):
        for proxy in (asking, refusing):
            url = "https://host.example"
            with RuntimeService(url, OLD, proxy=proxy.url_for(USER), resume="offset") as remote:
                shown.of(lambda remote=remote: remote.job("j1"))  # type: ignore[misc]
                shown.reprs(remote)
            streams = RuntimeWebsocketClient(url, OLD, proxy=proxy.url_for(USER), resume="offset")
            with (
                RuntimeClient(service.url, OLD) as client,
                service.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
            ):
                shown.of(lambda job=job: list(job.interim_results()))  # type: ignore[misc]
                shown.reprs(job, streams, streams.stream("j1", OpenStream(1, 0)))
            service.status = completed_after(3)
    shown.holds_no_secret()


def test_a_provider_that_fails(shown: Shown) -> None:
    failures = itertools.cycle([KeyError("no key"), OSError("no network")])

    def provider() -> str:
        raise next(failures)

    with (
        ScriptedServer(answer(401, OLD)) as server,
        RuntimeClient(server.url, OLD, token_provider=provider) as client,
    ):
        for _ in range(2):
            shown.of(lambda: client.job_get("j1"))
        shown.reprs(client)
    for given in (f"{NEW}\n", f"{NEW} {NEW}", NEW.encode(), f"{NEW}é"):
        odd: Any = given

        def gives(odd: Any = odd) -> str:
            return odd  # type: ignore[no-any-return]

        with RuntimeClient(server.url, token_provider=gives) as client:
            shown.of(lambda client=client: client.job_get("j1"))  # type: ignore[misc]
            shown.reprs(client)
        for make in (RuntimeClient, RuntimeWebsocketClient, RuntimeService):
            if isinstance(odd, str):
                with pytest.raises(ValueError) as refused:
                    make(server.url, odd)
                shown.error(refused.value)
    shown.holds_no_secret()


def test_the_walk_finds_what_it_looks_for(shown: Shown) -> None:
    """Or all of the above would say nothing."""
    with RuntimeClient("https://host.example", OLD, proxy=f"http://{USER}@p:1") as client:
        found = {type(each).__name__ for each in ours([client])}
        assert {"HttpSession", "ServiceAccess", "Credentials", "Proxy"} <= found
    shown.error(TransportError(f"bad {OLD[:40]}"))
    with pytest.raises(AssertionError):
        shown.holds_no_secret()
