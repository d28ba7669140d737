"""By a proxy: requests and streams, with TLS and without, and every way in which it can refuse."""

from __future__ import annotations

import asyncio
import socket
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import pytest
from authorities import Authority
from conditions import PATIENCE, Recorder, eventually, open_fds, our_threads
from connect_proxy import Conduct, ConnectProxy, answers, hangs_up, resets, waits
from scripted_server import ScriptedServer, answer
from stream_service import Peer, StreamService, completed_after, silent

from adapters import (
    AsyncRuntimeService,
    CurrentRuntimeClient,
    Proxy,
    RuntimeClient,
    RuntimeJob,
    RuntimeService,
    RuntimeWebsocketClient,
    StreamEndpoint,
)
from adapters.drivers import channel
from runtime_core import polling
from runtime_core.commands import OpenStream
from runtime_core.errors import TransportError, UsageError

TOKEN = "s3cr3t-t0k3n"
HOST = "runtime.example"
"""A name that nobody finds but the proxy."""
USER = "user:pa%2Fss-w0rd"
PASSWORD = "pa/ss-w0rd"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.05)


@pytest.fixture(autouse=True)
def only_the_proxy_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = socket.getaddrinfo

    def only_here(host: object, *args: Any, **more: Any) -> object:
        if host not in ("localhost", "127.0.0.1"):
            raise socket.gaierror(socket.EAI_NONAME, f"{host} was looked up")
        return found(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def unwarned(url: str, **options: Any) -> RuntimeClient:
    """A client that may send its token without TLS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return RuntimeClient(url, TOKEN, **options)


def finishes(*texts: str) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.send(*texts[peer.after :])
        peer.service.status = "Completed"
        peer.close()

    return play


# ---- requests ------------------------------------------------------------------------------


def test_plain_http_goes_by_absolute_urls() -> None:
    with (
        ScriptedServer(answer(), answer(body='{"id": "j1"}'), answer(404, "no")) as server,
        ConnectProxy(users=(f"user:{PASSWORD}",)) as proxy,
        unwarned(f"http://{HOST}:{server.port}/base", proxy=proxy.url_for(USER)) as client,
    ):
        assert client.jobs_get(2, 4) == {}
        assert client.program_run("p") == {"id": "j1"}
        assert client.job_logs("j 1") == ""
        base = f"http://{HOST}:{server.port}/base"
        assert proxy.lines == [
            f"GET {base}/jobs?limit=2&offset=4 HTTP/1.1",
            f"POST {base}/jobs HTTP/1.1",
            f"GET {base}/jobs/j%201/logs HTTP/1.1",
        ]
        for request in proxy.asked:
            assert request.headers["host"] == f"{HOST}:{server.port}"
            assert request.headers["x-access-token"] == TOKEN
        assert server.lines[0] == "GET /base/jobs?limit=2&offset=4 HTTP/1.1"
        assert b'"program_id"' in server.received[1].body


def test_plain_http_by_a_proxy_gives_the_warning_too() -> None:
    with pytest.warns(UserWarning, match=r"to 10\.0\.0\.1 by the proxy p:3128 without TLS"):
        RuntimeClient("http://10.0.0.1", TOKEN, proxy="http://u:s3cret@p:3128").close()


@pytest.mark.parametrize("tls_proxy", [False, True], ids=["http proxy", "https proxy"])
def test_https_goes_through_a_tunnel(authority: Authority, tls_proxy: bool) -> None:
    seen: list[str | None] = []
    context = authority.server(HOST)
    context.sni_callback = lambda _, name, __: seen.append(name)
    with (
        ScriptedServer(answer(), tls=context) as server,
        ConnectProxy(
            users=(f"user:{PASSWORD}",), tls=authority.server("localhost") if tls_proxy else None
        ) as proxy,
        RuntimeClient(
            f"https://{HOST}:{server.port}",
            TOKEN,
            ca_certs=authority.file,
            proxy=proxy.url_for(USER),
        ) as client,
    ):
        assert client.job_get("j1") == {}
        assert client.job_get("j1") == {}
        (asked,) = proxy.asked
        assert asked.line.startswith(f"CONNECT {HOST}:{server.port} ")
        assert "x-access-token" not in asked.headers
        assert TOKEN.encode() not in proxy.heard
        assert server.connections == 1
        for request in server.received:
            assert request.headers["x-access-token"] == TOKEN
            assert "proxy-authorization" not in request.headers
            assert request.headers["host"] == f"{HOST}:{server.port}"
        assert seen == [HOST]


def test_plain_http_by_a_proxy_that_speaks_tls(authority: Authority) -> None:
    with (
        ScriptedServer(answer()) as server,
        ConnectProxy(tls=authority.server("localhost")) as proxy,
        unwarned(
            f"http://{HOST}:{server.port}", proxy=proxy.url, ca_certs=authority.file
        ) as client,
    ):
        assert client.job_get("j1") == {}
        assert proxy.lines == [f"GET http://{HOST}:{server.port}/jobs/j1 HTTP/1.1"]


def test_a_proxy_with_a_certificate_of_its_own_is_refused(authority: Authority) -> None:
    with (
        ConnectProxy(tls=authority.server("localhost")) as proxy,
        RuntimeClient(f"https://{HOST}", TOKEN, proxy=proxy.url_for(USER)) as client,
    ):
        error = failure(lambda: client.job_get("j1"))
        assert "of the proxy: its TLS certificate was not accepted" in str(error)
        assert not error.retryable
        assert proxy.asked == []


def test_the_service_in_the_tunnel_is_checked(authority: Authority) -> None:
    with (
        ScriptedServer(answer(), tls=authority.server("localhost")) as server,
        ConnectProxy() as proxy,
        RuntimeClient(
            f"https://{HOST}:{server.port}", TOKEN, ca_certs=authority.file, proxy=proxy.url
        ) as client,
    ):
        error = failure(lambda: client.program_run("p"))
        assert "its TLS certificate was not accepted" in str(error)
        assert str(error).endswith("It was not sent.")
        assert not error.retryable
        assert server.received == []


def test_the_current_service_is_reached_by_a_proxy_too(authority: Authority) -> None:
    with (
        ScriptedServer(answer(), tls=authority.server(HOST)) as server,
        ConnectProxy() as proxy,
        CurrentRuntimeClient(
            f"https://{HOST}:{server.port}/api/v1",
            TOKEN,
            ca_certs=authority.file,
            proxy=proxy.url,
        ) as client,
    ):
        assert client.job_get("j1") == {}
        assert server.received[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert TOKEN.encode() not in proxy.heard


# ---- streams -------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_job_is_streamed_and_polled_by_a_proxy(authority: Authority, secure: bool) -> None:
    published = [str(number) for number in range(40)]

    def play(peer: Peer) -> None:
        """Send ten messages, and break off."""
        peer.accept()
        end = peer.after + 10
        peer.send(*published[peer.after : end])
        if end >= len(published):
            service.status = "Completed"
            peer.close()

    with (
        StreamService(play, tls=authority.server(HOST) if secure else False) as service,
        ConnectProxy(users=(f"user:{PASSWORD}",)) as proxy,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)
        url = f"{'https' if secure else 'http'}://{HOST}:{service.port}"
        with (
            RuntimeService(
                url,
                TOKEN,
                resume="offset",
                ca_certs=authority.file if secure else None,
                proxy=proxy.url_for(USER),
            ) as client,
            service.watched(client.job("j1")) as job,
        ):
            recorder = Recorder()
            job.stream_results(recorder)
            assert job.result(timeout=30, wait=0.05) == "the result"
            assert recorder.values == list(range(40))
            assert job.stream_error() is None
        tunnels = [line for line in proxy.lines if line.startswith("CONNECT")]
        assert {line.split()[1] for line in tunnels} == {f"{HOST}:{service.port}"}
        assert len(tunnels) >= 4
        for request in service.requests:
            assert "proxy-authorization" not in request.headers
            assert request.headers["x-access-token"] == TOKEN
        assert (TOKEN.encode() in proxy.heard) is not secure
        for asked in proxy.asked:
            assert asked.line.startswith("CONNECT") <= ("x-access-token" not in asked.headers)


def test_a_slow_proxy_is_waited_for() -> None:
    with StreamService(finishes("1")) as service, ConnectProxy(drips=True) as proxy:
        streams = RuntimeWebsocketClient(
            f"ws://{HOST}:{service.port}", TOKEN, resume="offset", proxy=proxy.url
        )
        with (
            RuntimeClient(service.url, TOKEN) as client,
            service.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
        ):
            assert list(job.interim_results()) == [1]


def test_a_stream_that_is_given_up_leaves_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "CLOSE_TIMEOUT", 0.2)
    before = open_fds()
    with StreamService() as service, ConnectProxy(conduct=waits) as proxy:
        streams = RuntimeWebsocketClient(
            f"ws://{HOST}:{service.port}", TOKEN, resume="offset", proxy=proxy.url
        )
        with RuntimeClient(service.url, TOKEN) as client:
            job = RuntimeJob("b", client, streams, "j1", "p")
            job.stream_results(Recorder())
            assert eventually(lambda: len(proxy.asked) == 1)
            job.close()
    assert eventually(lambda: not our_threads())
    assert eventually(lambda: open_fds() <= before)


def test_a_proxy_that_speaks_tls_carries_no_streams() -> None:
    url, proxy = f"https://{HOST}", "https://u:s3cret@proxy.example"
    for make in (RuntimeWebsocketClient, RuntimeService):
        with pytest.raises(UsageError, match=r"https://proxy\.example:443, a proxy that"):
            make(url, TOKEN, proxy=proxy)
    with (
        RuntimeClient(url, TOKEN, proxy=proxy) as client,
        pytest.raises(UsageError, match="proxy that speaks TLS"),
    ):
        RuntimeWebsocketClient.of(client)
    RuntimeService(url, TOKEN, proxy=proxy, dialect="current").close()  # which has none


# ---- what can go wrong ---------------------------------------------------------------------


def failure(call: Callable[[], object]) -> TransportError:
    with pytest.raises(TransportError) as caught:
        call()
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in (TOKEN, PASSWORD, "pa%2Fss-w0rd", "s3cret"):
        assert secret not in told
    return caught.value


Fails: TypeAlias = Callable[..., TransportError]
"""Speaks with a service by this proxy, and gives the error."""


def requests_fail(proxy: str, patience: float = PATIENCE) -> TransportError:
    with RuntimeClient(f"https://{HOST}", TOKEN, proxy=proxy, connect_timeout=patience) as client:
        for call in (client.job_logs, client.job_cancel, client.job_results):
            # By no means what the service says with the same status.
            assert type(failure(lambda call=call: call("j1"))) is TransportError  # type: ignore[misc]
        return failure(lambda: client.job_get("j1"))


def streams_fail(proxy: str, patience: float = PATIENCE) -> TransportError:
    """The requests go another way, so that it is the stream that fails."""
    channel.OPEN_TIMEOUT = patience
    with StreamService(silent, status=completed_after(2)) as plain:
        streams = RuntimeWebsocketClient(f"wss://{HOST}", TOKEN, resume="offset", proxy=proxy)
        with (
            RuntimeClient(plain.url, TOKEN) as client,
            plain.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
        ):
            error = failure(lambda: list(job.interim_results()))
            assert job.result(timeout=10) == "the result"
            return error


@pytest.fixture(params=[requests_fail, streams_fail], ids=["requests", "streams"])
def fails(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Fails:
    monkeypatch.setattr(channel, "OPEN_TIMEOUT", PATIENCE)  # and back again
    kind: Fails = request.param
    return kind


@pytest.mark.parametrize("user", [None, "user:wr0ng"])
def test_a_proxy_that_wants_to_know_who_asks(fails: Fails, user: str | None) -> None:
    with ConnectProxy(users=(f"user:{PASSWORD}",)) as proxy:
        error = fails(proxy.url if user is None else proxy.url_for(user))
    words = "did not accept the" if user else "wants a"
    assert f"{words} user and password (407)" in str(error)
    assert "http://user:password@host:port" in str(error)
    assert "wr0ng" not in str(error)
    assert (error.status_code, error.retryable) == (None, False)


def test_a_407_to_plain_http() -> None:
    with (
        ConnectProxy(users=(f"user:{PASSWORD}",)) as proxy,
        unwarned(f"http://{HOST}", proxy=proxy.url_for("user:s3cret")) as client,
    ):
        error = failure(lambda: client.program_run("p"))
        assert "407" in str(error)
        assert "http://user:password@host:port" in str(error)
        assert str(error).endswith("It was not submitted.")
        # The proxy repeats what it was sent.
        assert "not Basic <proxy password>" in str(error)
        assert (error.status_code, error.retryable) == (407, False)


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (302, 400, 401, 403, 404, 409)),
        *((status, True) for status in (429, 500, 502, 503, 504)),
    ],
)
def test_a_proxy_that_refuses_to_connect(fails: Fails, status: int, retryable: bool) -> None:
    said = answer(status, f"{TOKEN} {PASSWORD}", Location=f"http://{TOKEN}.example/")
    with ConnectProxy(conduct=answers(said)) as proxy:
        error = fails(proxy.url_for(USER))
    assert "the proxy" in str(error)
    assert f"refused the connection: {status}" in str(error)
    # It is not the service's: a 404 does not say that there is no such job.
    assert (error.status_code, error.retryable) == (None, retryable)


ODD: dict[str, tuple[Conduct, bool, str]] = {
    "garbage": (answers(b"SSH-2.0-OpenSSH_9.6\r\n"), False, "HTTP"),
    "hangs up": (hangs_up, True, "clos"),
    "resets": (resets, True, "broke"),
    "silence": (waits, True, "proxy"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_proxy_that_is_none(fails: Fails, kind: str) -> None:
    conduct, retryable, words = ODD[kind]
    with ConnectProxy(conduct=conduct) as proxy:
        error = fails(proxy.url_for(USER), 0.3 if kind == "silence" else PATIENCE)
        assert f"proxy {proxy.netloc}" in str(error)
    assert words in str(error)
    assert (error.status_code, error.retryable) == (None, retryable)


def test_a_proxy_that_is_not_there(fails: Fails) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = fails(f"http://{USER}@127.0.0.1:{port}")
    assert "the proxy" in str(error)
    assert f"127.0.0.1:{port}" in str(error)
    assert (error.status_code, error.retryable) == (None, True)


def test_a_proxy_whose_name_is_not_found(fails: Fails) -> None:
    error = fails(f"http://{USER}@proxy.example:3128")
    assert "the proxy" in str(error)
    assert "proxy.example:3128" in str(error)
    assert (error.status_code, error.retryable) == (None, True)


class Altered:
    """Streams of somebody else's, which may say of their proxy what ours do not."""

    def __init__(self, streams: RuntimeWebsocketClient, **changes: Any) -> None:
        self.traits = streams.traits
        self._streams = streams
        self._changes = changes

    def stream(self, job_id: str, command: OpenStream) -> StreamEndpoint:
        return attrs.evolve(self._streams.stream(job_id, command), **self._changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"proxy": Proxy.parse("https://user:s3cret@localhost:1")}, "wants TLS"),
        ({"host": "a b"}, "cannot be asked"),
        ({"host": "x" * 64}, "cannot be asked"),
    ],
)
def test_what_no_proxy_can_be_asked_for(changes: dict[str, Any], words: str) -> None:
    with StreamService(status=completed_after(2)) as service, ConnectProxy() as proxy:
        if "proxy" in changes:
            changes = {"proxy": attrs.evolve(changes["proxy"], port=proxy.port)}
        streams = Altered(
            RuntimeWebsocketClient(service.url, TOKEN, resume="offset", proxy=proxy.url), **changes
        )
        with (
            RuntimeClient(service.url, TOKEN) as client,
            service.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
        ):
            assert words in str(failure(lambda: list(job.interim_results())))
        assert proxy.asked == []


@pytest.mark.parametrize("status", [502, 407, 404])
def test_what_a_proxy_refuses_was_not_submitted(status: int) -> None:
    with (
        ConnectProxy(conduct=answers(answer(status))) as proxy,
        RuntimeClient(f"https://{HOST}", TOKEN, proxy=proxy.url) as client,
    ):
        assert str(failure(lambda: client.program_run("p"))).endswith("It was not sent.")


def test_a_proxys_401_does_not_renew_the_services_token() -> None:
    def provider() -> str:
        raise AssertionError

    with (
        ConnectProxy(conduct=answers(answer(401))) as proxy,
        RuntimeClient(f"https://{HOST}", TOKEN, proxy=proxy.url, token_provider=provider) as client,
    ):
        assert "refused the connection: 401" in str(failure(lambda: client.job_get("j1")))
        assert len(proxy.asked) == 1


def test_a_redirect_of_the_proxy_is_not_followed() -> None:
    with ScriptedServer(answer()) as elsewhere:
        said = answer(302, "", Location=f"{elsewhere.url}/{TOKEN}")
        with (
            ScriptedServer(said) as server,
            ConnectProxy() as proxy,
            unwarned(f"http://{HOST}:{server.port}", proxy=proxy.url) as client,
        ):
            failure(lambda: client.job_get("j1"))
        assert elsewhere.connections == 0


# ---- the environment -----------------------------------------------------------------------


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> Callable[..., bool]:
    """Have a job of a service streamed, and say whether it went by the environment's proxy."""
    monkeypatch.setenv("no_proxy", "other.example")

    def run(host: str, variable: str, secure: bool, **more: str) -> bool:
        with ConnectProxy(users=(f"user:{PASSWORD}",)) as proxy:
            monkeypatch.setenv(variable, proxy.url_for(USER))
            for name, value in more.items():
                monkeypatch.setenv(name, value)
            tls = authority.server(HOST, "localhost") if secure else False
            with StreamService(finishes("1"), tls=tls) as service, warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                url = f"{'https' if secure else 'http'}://{host}:{service.port}"
                trusted = authority.file if secure else None
                with (
                    RuntimeService(url, TOKEN, resume="offset", ca_certs=trusted) as client,
                    service.watched(client.job("j1")) as job,
                ):
                    assert list(job.interim_results()) == [1]
                    assert job.result(timeout=10) == "the result"
            return bool(proxy.asked)

    return run


@pytest.mark.parametrize(
    ("variable", "secure"),
    [("http_proxy", False), ("HTTPS_PROXY", True), ("https_proxy", True), ("ALL_PROXY", True)],
)
def test_the_environments_proxy(reached: Callable[..., bool], variable: str, secure: bool) -> None:
    assert reached(HOST, variable, secure)


def test_this_machine_is_not_asked_by_the_environments_proxy(
    reached: Callable[..., bool],
) -> None:
    assert not reached("localhost", "http_proxy", False)
    assert not reached("localhost", "https_proxy", True)


def test_the_environments_exceptions(
    reached: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **more: found("127.0.0.1" if host == HOST else host, *args, **more),
    )
    assert not reached(HOST, "https_proxy", True, no_proxy=f"x.example,.{HOST.partition('.')[2]}")
    assert reached(HOST, "https_proxy", True, no_proxy="x.example")


def test_no_proxy_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        with RuntimeClient(f"https://{HOST}", TOKEN, proxy=None) as client:
            error = failure(lambda: client.job_get("j1"))
            assert "the name of the host was not found" in str(error)
            assert "proxy" not in str(error)
        assert proxy.asked == []


# ---- asyncio -------------------------------------------------------------------------------


def test_asyncio_goes_the_same_way(authority: Authority) -> None:
    """By the proxy, over TLS, with a token that runs out on the way."""
    valid = ["t0k3n-of-the-job-0"]

    def play(peer: Peer) -> None:
        peer.accept()
        end = min(30, peer.after + 10)
        peer.send(*map(str, range(peer.after, end)))
        if end == 30:
            service.status = "Completed"
            peer.close()
        else:
            valid.append(f"t0k3n-of-the-job-{len(valid)}")

    async def run() -> list[object]:
        async with AsyncRuntimeService(
            f"https://{HOST}:{service.port}",
            token_provider=lambda: valid[-1],
            resume="offset",
            streams_result=False,
            ca_certs=authority.file,
            proxy=proxy.url_for(USER),
        ) as remote:
            job = await remote.job("j1")
            values = [value async for value in job.interim_results()]
            assert await job.result(timeout=10) == "the result"
            return values

    with (
        StreamService(play, tls=authority.server(HOST)) as service,
        ConnectProxy(users=(f"user:{PASSWORD}",)) as proxy,
    ):
        service.admits = lambda request: request.headers.get("x-access-token") == valid[-1]
        assert asyncio.run(asyncio.wait_for(run(), 30)) == list(range(30))
        assert b"t0k3n-of-the-job" not in proxy.heard
        assert len(valid) == 3
        assert all(asked.line.startswith("CONNECT") for asked in proxy.asked)
