"""Tokens that run out: requests and streams go on with what the token_provider gives."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conditions import PATIENCE, Recorder
from scripted_server import Received, ScriptedServer, answer
from stream_service import Peer, StreamService, completed_after, silent

from adapters import (
    CurrentRuntimeClient,
    RuntimeClient,
    RuntimeJob,
    RuntimeService,
    RuntimeWebsocketClient,
)
from runtime_core import polling
from runtime_core.commands import OpenStream
from runtime_core.errors import NotAuthorizedError, TransportError


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.05)


class Issuer:
    """Makes a new token each time that it is asked, and knows the last one: a `token_provider`."""

    def __init__(self, first: int = 0) -> None:
        self.issued = first
        self.threads: set[str] = set()
        self.fails: Exception | None = None

    @property
    def last(self) -> str:
        return f"t0k3n-{self.issued}"

    def revoke(self) -> None:
        """Have a service take none of the tokens that there are."""
        self.issued += 1

    def __call__(self) -> str:
        self.threads.add(threading.current_thread().name)
        if self.fails is not None:
            raise self.fails
        return self.last

    def admits(self, request: Received) -> bool:
        return request.headers.get("x-access-token") == self.last


def tokens(server: ScriptedServer, header: str = "x-access-token") -> list[str | None]:
    return [request.headers.get(header) for request in server.received]


# ---- requests ------------------------------------------------------------------------------


def test_a_request_whose_token_was_refused_is_done_again() -> None:
    with (
        ScriptedServer(answer(401), answer(), answer()) as server,
        RuntimeClient(server.url, "old", token_provider=lambda: "new") as client,
    ):
        assert client.job_get("j1") == {}
        assert client.job_get("j1") == {}
        assert tokens(server) == ["old", "new", "new"]
        assert server.connections == 1


def test_a_submission_too_since_a_401_did_not_arrive() -> None:
    with (
        ScriptedServer(answer(401), answer(body='{"id": "j1"}')) as server,
        RuntimeClient(server.url, "old", token_provider=lambda: "new") as client,
    ):
        assert client.program_run("p1", params={"x": 1}) == {"id": "j1"}
        first, second = server.received
        assert first.line == second.line == "POST /jobs HTTP/1.1"
        assert first.body == second.body


@pytest.mark.parametrize("call", ["job_get", "program_run"])
def test_a_second_401_is_an_error(call: str) -> None:
    issued = itertools.count()
    with (
        ScriptedServer(answer(401)) as server,
        RuntimeClient(server.url, "old", token_provider=lambda: f"new-{next(issued)}") as client,
    ):
        for _ in range(2):
            with pytest.raises(NotAuthorizedError) as caught:
                getattr(client, call)("x")
            assert (caught.value.status_code, caught.value.retryable) == (401, False)
            assert str(caught.value).endswith("not submitted.") is (call == "program_run")
        assert tokens(server) == ["old", "new-0", "new-0", "new-1"]


def test_the_same_token_is_not_sent_again() -> None:
    with (
        ScriptedServer(answer(401)) as server,
        RuntimeClient(server.url, "old", token_provider=lambda: "old") as client,
    ):
        with pytest.raises(NotAuthorizedError):
            client.job_get("j1")
        assert tokens(server) == ["old"]


@pytest.mark.parametrize("status", [403, 407, 500])
def test_other_answers_do_not_renew_it(status: int) -> None:
    issuer = Issuer()
    with (
        ScriptedServer(answer(status)) as server,
        RuntimeClient(server.url, "old", token_provider=issuer) as client,
    ):
        with pytest.raises(TransportError):
            client.job_get("j1")
        assert tokens(server) == ["old"]
        assert not issuer.threads


def test_without_a_provider_a_401_is_an_error_at_once() -> None:
    with ScriptedServer(answer(401)) as server, RuntimeClient(server.url, "old") as client:
        with pytest.raises(NotAuthorizedError):
            client.job_get("j1")
        assert tokens(server) == ["old"]


def test_the_token_may_be_left_out() -> None:
    with (
        ScriptedServer(answer()) as server,
        RuntimeClient(server.url, token_provider=lambda: "first") as client,
    ):
        client.job_get("j1")
        assert tokens(server) == ["first"]
    with pytest.raises(ValueError, match="token_provider"):
        RuntimeClient("https://host.example")


def test_bearer_tokens_are_renewed() -> None:
    with (
        ScriptedServer(answer(401), answer()) as server,
        CurrentRuntimeClient(server.url, "old", "crn:1", token_provider=lambda: "new") as client,
    ):
        client.job_get("j1")
        assert tokens(server, "authorization") == ["Bearer old", "Bearer new"]
        assert tokens(server, "service-crn") == ["crn:1"] * 2


def test_many_threads_that_are_refused_have_the_provider_asked_once() -> None:
    together = threading.Barrier(8, timeout=PATIENCE)
    issued = itertools.count(1)

    def provider() -> str:
        return f"t{next(issued)}"

    # The eight first requests are all there before one of them is refused.
    refused = (together.wait, answer(401))
    with (
        ScriptedServer(*[refused] * 8, answer(body='{"id": "j1"}')) as server,
        RuntimeClient(server.url, "t0", token_provider=provider, pool_size=8) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(lambda _: client.job_get("j1"), range(8)))
        assert answers == [{"id": "j1"}] * 8
        assert sorted(map(str, tokens(server))) == ["t0"] * 8 + ["t1"] * 8
        assert next(issued) == 2


def test_what_the_provider_raises_is_a_clear_error() -> None:
    cause = OSError("no network to the issuer")

    def provider() -> str:
        raise cause

    with (
        ScriptedServer(answer(401)) as server,
        RuntimeClient(server.url, "old", token_provider=provider) as client,
    ):
        for call in (client.job_get, client.program_run):
            with pytest.raises(NotAuthorizedError, match="token_provider gave no token") as caught:
                call("x")
            assert caught.value.__cause__ is cause
            assert not caught.value.retryable
        assert tokens(server) == ["old", "old"]
    with (
        RuntimeClient(server.url, token_provider=provider) as client,
        pytest.raises(NotAuthorizedError, match="Nothing was sent"),
    ):
        client.job_get("j1")


# ---- jobs ----------------------------------------------------------------------------------


def service_of(service: StreamService, issuer: Issuer, resume: str = "offset") -> RuntimeService:
    service.admits = issuer.admits
    return RuntimeService(service.url, token_provider=issuer, resume=resume, streams_result=False)


@pytest.mark.parametrize("resume", ["offset", "replay"])
def test_tokens_run_out_while_a_job_streams_and_is_polled(resume: str) -> None:
    issuer = Issuer()

    def play(peer: Peer) -> None:
        """Send five messages, break off, and take no token that there was so far."""
        peer.accept()
        start = {"offset": peer.after, "replay": 0}[resume]
        end = min(30, 5 * len(service.peers))
        peer.send(*map(str, range(start, end)))
        if end == 30:
            service.status = "Completed"
            peer.close()
        else:
            issuer.revoke()

    with (
        StreamService(play) as service,
        service_of(service, issuer, resume) as client,
    ):
        recorder = Recorder()
        job = service.watched(client.job("j1"))
        job.stream_results(recorder)
        assert job.result(timeout=30, wait=0.05) == "the result"
        assert recorder.values == list(range(30))
        assert job.stream_error() is None
        # Whoever saw the 401 first, requests and streams have had no other one for each token.
        assert {peer.asked.headers["x-access-token"] for peer in service.peers} == {
            f"t0k3n-{number}" for number in range(6)
        }
        assert not any(name.startswith("runtime-loop") for name in issuer.threads)
        job.close()


def test_a_stream_that_is_refused_comes_again_with_another_token() -> None:
    issuer = Issuer()

    def play(peer: Peer) -> None:
        peer.accept()
        peer.send(*["1"][peer.after :])
        service.status = "Completed"
        peer.close()

    def only_streams(request: Received) -> bool:
        return "sec-websocket-key" not in request.headers or issuer.admits(request)

    with StreamService(play) as service, service_of(service, issuer) as client:
        job = service.watched(client.job("j1"))
        service.admits = only_streams
        issuer.revoke()
        assert list(job.interim_results()) == [1]
        handshakes = [r for r in service.requests if "sec-websocket-key" in r.headers]
        assert [r.headers["x-access-token"] for r in handshakes][:2] == ["t0k3n-0", "t0k3n-1"]
        # And the calls have it from the stream.
        assert service.requests[-1].headers["x-access-token"] == "t0k3n-1"
        job.close()


def test_a_stream_that_is_refused_again_and_again_asks_once_for_each_connection() -> None:
    asked = itertools.count()
    with StreamService(silent, status=completed_after(6)) as service:
        service.admits = lambda request: "sec-websocket-key" not in request.headers
        with (
            RuntimeService(
                service.url, token_provider=lambda: f"t{next(asked)}", resume="offset"
            ) as client,
            service.watched(client.job("j1")) as job,
        ):
            with pytest.raises(TransportError, match="status 401") as caught:
                list(job.interim_results())
            assert caught.value.status_code == 401
            handshakes = [r for r in service.requests if "sec-websocket-key" in r.headers]
            sent = [r.headers["x-access-token"] for r in handshakes]
            assert sent == [f"t{number}" for number in range(len(sent))]
            assert len(sent) >= 2
            assert next(asked) == len(sent)
            assert job.result(timeout=10) == "the result"


def test_a_provider_that_fails_ends_waits_but_not_the_job() -> None:
    issuer = Issuer()
    with StreamService(silent) as service, service_of(service, issuer) as client:
        job = service.watched(client.job("j1"))
        issuer.revoke()
        issuer.fails = OSError("no network to the issuer")
        with pytest.raises(NotAuthorizedError, match="token_provider gave no token: OSError"):
            job.result(timeout=20, wait=0.05)
        issuer.fails = None
        service.status = "Completed"
        assert job.result(timeout=20, wait=0.05) == "the result"
        job.close()


def test_a_provider_that_fails_before_a_stream_says_so_in_the_streams_error() -> None:
    def provider() -> str:
        raise cause

    cause = KeyError("s3cret-key")
    streams = RuntimeWebsocketClient("http://127.0.0.1:1", token_provider=provider)
    prepare = streams.stream("j1", OpenStream(1, 0)).prepare
    assert prepare is not None
    with pytest.raises(NotAuthorizedError) as told:
        prepare()
    with StreamService(silent, status=completed_after(3)) as service:
        streams = RuntimeWebsocketClient(service.url, token_provider=provider, resume="offset")
        with (
            RuntimeClient(service.url, "") as client,
            service.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
        ):
            with pytest.raises(NotAuthorizedError) as caught:
                list(job.interim_results())
            assert str(caught.value) == str(told.value)
            assert caught.value.__cause__ is cause
            assert not caught.value.retryable
            assert service.peers == []


def test_a_provider_that_hangs_does_not_hold_the_loop() -> None:
    through = threading.Event()
    here = threading.Event()

    def provider() -> str:
        here.set()
        assert through.wait(PATIENCE)
        return "t1"

    def finishes(peer: Peer) -> None:
        peer.accept()
        peer.send("1")
        peer.until_gone()

    with StreamService(finishes) as service, RuntimeClient(service.url, "") as client:
        slow = RuntimeWebsocketClient(service.url, token_provider=provider, resume="offset")
        quick = RuntimeWebsocketClient(service.url, "", resume="offset")
        jobs = [RuntimeJob("b", client, streams, "j1", "p") for streams in (slow, quick)]
        with jobs[0] as one, jobs[1] as other:
            recorders = [Recorder(), Recorder()]
            one.stream_results(recorders[0])
            assert here.wait(PATIENCE)
            other.stream_results(recorders[1])
            assert recorders[1].reached(1)
            assert recorders[0].values == []
            through.set()
            assert recorders[0].reached(1)
