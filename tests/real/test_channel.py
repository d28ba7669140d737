"""Streams over real sockets: whatever a service does with them, jobs end rightly."""

from __future__ import annotations

import itertools
import json
import logging
import ssl
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
from blocking_face import make_job
from conditions import PATIENCE, Recorder, eventually, open_fds, our_threads
from scripted_server import CERTIFICATE, Script, ScriptedServer, answer
from stream_service import TOKEN, Peer, Play, StreamService, completed_after, silent
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, TextMessage

from adapters import Gap, RuntimeClient, RuntimeJob, RuntimeWebsocketClient
from adapters.drivers import channel, inbox, job_driver
from runtime_core import polling
from runtime_core.errors import JobTimeoutError, RuntimeJobFailureError, TransportError
from runtime_core.events import JobQueued, JobStarted
from runtime_core.states import JobState


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs, and waiting for silent streams, as always, but five times as fast."""
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.1)
    monkeypatch.setattr(job_driver, "SILENCE", 0.2)


def numbers(start: int, end: int) -> list[str]:
    return [str(number) for number in range(start, end)]


def finishes(*texts: str) -> Play:
    """Send what the client has not seen, and end the job."""

    def play(peer: Peer) -> None:
        peer.accept()
        peer.send(*texts[peer.after :])
        peer.service.status = "Completed"
        peer.close()

    return play


# ---- every way in which a stream ends ------------------------------------------------------


def refuses(status: int, **headers: str) -> Play:
    return lambda peer: peer.refuse(status, **headers)


def closes(code: int) -> Play:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.close(code)

    return play


def drops(peer: Peer) -> None:
    peer.accept()


def resets(peer: Peer) -> None:
    peer.accept()
    peer.reset()


def drops_in_the_middle_of_a_frame(peer: Peer) -> None:
    peer.accept()
    peer.raw(b"\x81\x7e\x01\x00abc")


def hangs_up(peer: Peer) -> None:
    """End the connection instead of answering the handshake."""


def speaks_no_http(peer: Peer) -> None:
    peer.raw(b"SSH-2.0-OpenSSH_9.6\r\n")
    peer.until_gone()


def sends_nonsense(peer: Peer) -> None:
    peer.accept()
    peer.raw(b"\xff" * 64)
    peer.until_gone()


def sends_no_utf8(peer: Peer) -> None:
    peer.accept()
    peer.raw(b"\x81\x02\xff\xff")
    peer.until_gone()


def sends_binary(peer: Peer) -> None:
    peer.accept()
    peer.raw(b"\x82\x03abc")
    peer.until_gone()


def never_answers(peer: Peer) -> None:
    peer.until_gone()


def accepts_without_acknowledgement(peer: Peer) -> None:
    peer.accept(acknowledged=False)
    peer.until_gone()


ENDINGS: dict[str, Play] = {
    "302": refuses(302, Location="/elsewhere"),
    "401": refuses(401),
    "403": refuses(403),
    "404": refuses(404),
    "426": refuses(426),
    "503": refuses(503, Retry_After="1"),
    "200": refuses(200),
    "1000 early": closes(1000),
    "1011": closes(1011),
    "1001": closes(1001),
    "4001": closes(4001),
    "drop": drops,
    "reset": resets,
    "cut frame": drops_in_the_middle_of_a_frame,
    "hang-up": hangs_up,
    "no HTTP": speaks_no_http,
    "nonsense": sends_nonsense,
    "no UTF-8": sends_no_utf8,
    "binary": sends_binary,
    "silence": silent,
    "no acknowledgement": accepts_without_acknowledgement,
    "no handshake": never_answers,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_the_stream_does_the_result_comes(ending: str) -> None:
    with (
        StreamService(ENDINGS[ending], status=completed_after(2)) as service,
        service.job() as job,
    ):
        recorder = Recorder()
        job.stream_results(recorder)
        assert job.result(timeout=20, wait=0.1) == "the result"
        assert job.status() is JobState.DONE
        assert recorder.values == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_the_stream_does_the_final_state_comes(ending: str) -> None:
    with (
        StreamService(ENDINGS[ending], status=completed_after(2)) as service,
        service.job("live") as job,
    ):
        job.wait_for_final_state(timeout=20, wait=0.1)
        assert job.status() is JobState.DONE


def test_an_html_page_at_the_handshake_is_no_stream_and_no_result() -> None:
    page = "<html><body>Log in, please</body></html>"
    with (
        StreamService(
            lambda peer: peer.refuse(200, page, Content_Type="text/html"),
            status=completed_after(2),
        ) as service,
        service.job() as job,
    ):
        service.answers["GET /jobs/j1/results"] = answer(body=page, Content_Type="text/html")
        with pytest.raises(TransportError, match="HTML page"):
            job.result(timeout=10)
        del service.answers["GET /jobs/j1/results"]
        assert job.result(timeout=10) == "the result"


def test_the_reason_of_a_failure_is_not_lost_if_the_request_for_it_fails_once() -> None:
    def results() -> bytes:
        if service.asked("GET /jobs/j1/results") == 1:
            return answer(503)
        return answer(body="Traceback: bad luck", Content_Type="text/plain")

    with StreamService(finishes("1"), status="Failed") as service, service.job() as job:
        service.answers["GET /jobs/j1/results"] = results
        with pytest.raises(RuntimeJobFailureError, match="Traceback: bad luck"):
            job.result(timeout=10)


def test_retry_after_is_obeyed() -> None:
    times: list[float] = []

    def status() -> bytes:
        times.append(time.monotonic())
        if len(times) == 1:
            return answer(429, Retry_After="1")
        return answer(body='{"id": "j1", "status": "Completed"}')

    with StreamService(refuses(503)) as service, service.job() as job:
        service.answers["GET /jobs/j1 "] = status
        assert job.result(timeout=10, wait=0.02) == "the result"
        assert times[1] - times[0] >= 0.99


def test_what_cannot_be_streamed_to_its_end_says_so() -> None:
    with StreamService(refuses(403), status=completed_after(2)) as service, service.job() as job:
        with pytest.raises(TransportError, match="refused the stream with status 403") as caught:
            list(job.interim_results())
        assert caught.value.status_code == 403
        assert job.result(timeout=10) == "the result"


def test_the_error_of_a_stream_is_kept_for_who_has_a_callback() -> None:
    with StreamService(refuses(403), status=completed_after(2)) as service, service.job() as job:
        recorder = Recorder()
        job.stream_results(recorder)
        assert job.result(timeout=10) == "the result"
        assert eventually(lambda: job.stream_error() is not None)
        assert isinstance(job.stream_error(), TransportError)
        assert recorder.values == []


def test_close_code_1000_is_not_the_end_while_the_service_says_running() -> None:
    def first(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        peer.close(1000)

    with StreamService(first, finishes("0", "1")) as service, service.job() as job:
        results = job.interim_results()
        assert next(results) == 0
        assert next(results) == 1
        assert list(results) == []
        # Once more, to be sure: the job was found to have ended after its stream.
        assert [peer.after for peer in service.peers] == [0, 1, 2]
        assert job.result(timeout=10) == "the result"


def test_a_stream_refused_with_302_opens_when_the_job_starts() -> None:
    started = threading.Event()

    def play(peer: Peer) -> None:
        if not started.is_set():
            peer.refuse(302, Location="/login")
            return
        finishes("1")(peer)

    with (
        StreamService(play, status="Queued") as service,
        service.job(initial=JobQueued()) as job,
    ):
        recorder = Recorder()
        job.stream_results(recorder)
        assert eventually(lambda: len(service.peers) == 1 and service.asked("GET /jobs/j1 ") >= 3)
        assert len(service.peers) == 1  # and not again and again while the job is queued
        started.set()
        service.status = "Running"
        assert job.result(timeout=10) == "the result"
        assert recorder.values == [1]
        assert not any(request.line.startswith("GET /login") for request in service.requests)


# ---- no message twice, none lost -----------------------------------------------------------

ALL = 30


def in_pieces(resume: str) -> Play:
    """Send the messages of a job in pieces, and drop the connection after each in another way."""
    published = 0

    def play(peer: Peer) -> None:
        nonlocal published
        peer.accept()
        start = {"offset": peer.after, "replay": 0, "live": published}[resume]
        published = min(ALL, published + 10)
        peer.send(*numbers(start, published))
        if published == ALL:
            peer.service.status = "Completed"
            peer.close(1000)
        elif published == 10:
            peer.close(1011)

    return play


@pytest.mark.parametrize("resume", ["offset", "replay"])
def test_no_message_is_lost_or_repeated_across_dropped_connections(resume: str) -> None:
    with StreamService(in_pieces(resume)) as service, service.job(resume) as job:
        recorder = Recorder()
        job.stream_results(recorder, on_gap=lambda _, gap: recorder.gaps.append(gap.after))
        assert job.result(timeout=20) == "the result"
        assert recorder.values == list(range(ALL))
        assert recorder.gaps == []
        assert job.stream_error() is None
        afters = [0, 10, 20] if resume == "offset" else [0, 0, 0]
        assert [peer.after for peer in service.peers][:3] == afters


def test_a_live_stream_tells_of_its_gaps() -> None:
    with StreamService(in_pieces("live")) as service, service.job("live") as job:
        recorder = Recorder()
        job.stream_results(recorder, on_gap=lambda _, gap: recorder.gaps.append(gap.after))
        assert job.result(timeout=20) == "the result"
        assert recorder.values == list(range(ALL))
        assert recorder.gaps == [10, 20]


def test_gaps_stand_between_the_interim_results() -> None:
    with StreamService(in_pieces("live")) as service, service.job("live") as job:
        expected: list[object] = [*range(10), Gap(10), *range(10, 20), Gap(20), *range(20, 30)]
        assert list(job.interim_results()) == expected


def test_a_replayed_message_does_not_reset_the_backoff() -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        times.append(time.monotonic())

    times: list[float] = []
    with StreamService(play) as service, service.job("replay") as job:
        recorder = Recorder()
        job.stream_results(recorder)
        assert eventually(lambda: len(times) == 4)
        job.cancel_result_streaming()
        assert recorder.values == [0]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert waits[0] >= 0.09
        assert waits[1] >= 0.19
        assert waits[2] >= 0.39


def test_a_message_like_an_end_marker_or_the_acknowledgement_is_a_message() -> None:
    texts = ['{"type": "acknowledgement"}', '"EOF"', '""', "null", '"the result"']

    with StreamService(finishes(*texts)) as service, service.job() as job:
        assert list(job.interim_results()) == [json.loads(text) for text in texts]


def test_a_final_result_that_is_streamed_too_is_not_interim() -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.send("1", "2", peer.service.result)
        peer.service.status = "Completed"
        peer.close()

    with StreamService(play) as service:
        streams = RuntimeWebsocketClient(service.url, TOKEN, resume="live")
        with RuntimeClient(service.url, TOKEN) as client:
            job = make_job("b", client, streams, "j1", "p")
            recorder = Recorder()
            job.stream_results(recorder)
            assert job.result(timeout=10) == "the result"
            assert eventually(lambda: len(recorder.values) == 2)
            assert recorder.values == [1, 2]


@pytest.mark.parametrize("pieces", ["one byte at a time", "all at once"])
def test_how_the_bytes_arrive_makes_no_difference(pieces: str) -> None:
    texts = [*numbers(0, 20), '"caf\u00e9 \U0001f600"']

    def play(peer: Peer) -> None:
        events = [TextMessage(text) for text in ["ack", *texts[peer.after :]]]
        data = peer.handshake() + b"".join(map(peer.frame, events))
        data += peer.frame(CloseConnection(1000, "done"))
        peer.service.status = "Completed"
        peer.drip(data) if pieces == "one byte at a time" else peer.raw(data)
        peer.until_gone()

    with StreamService(play) as service, service.job() as job:
        assert list(job.interim_results()) == [*range(20), "caf\u00e9 \U0001f600"]


@pytest.mark.parametrize("tls", [False, True])
def test_large_and_many_messages_arrive_whole_and_in_order(tls: bool) -> None:
    large = json.dumps("x" * (1 << 20))
    small = [json.dumps(f"{number:0198}") for number in range(5000)]

    sent = [large, large, large, *small, large]

    def play(peer: Peer) -> None:
        peer.accept()
        peer.raw(b"".join(peer.frame(TextMessage(text)) for text in sent[peer.after :]))
        peer.service.status = "Completed"
        peer.close()

    with StreamService(play, tls=tls) as service, service.job() as job:
        recorder = Recorder()
        job.stream_results(recorder)
        assert job.result(timeout=30) == "the result"
        texts = [json.dumps(value) for value in recorder.values]
        assert texts == sent


# ---- back-pressure -------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_a_slow_callback_stops_the_reading_and_loses_nothing(tls: bool) -> None:
    text = json.dumps("x" * 2000)
    count = 25_000  # 50 MB: more than all buffers on the way hold

    def play(peer: Peer) -> None:
        peer.accept()
        frame = peer.frame(TextMessage(text))
        for _ in range(peer.after // 50, count // 50):
            peer.raw(frame * 50)
            peer.sent += 50
        peer.service.status = "Completed"
        peer.close()

    go_on = threading.Event()
    with StreamService(play, tls=tls) as service, service.job() as job:
        recorder = Recorder()

        def callback(job_id: str, value: object) -> None:
            recorder(job_id, len(str(value)))
            go_on.wait(30)

        job.stream_results(callback)
        assert recorder.reached(1)
        assert eventually(lambda: stalled(service.peers[0]))
        assert service.peers[0].sent < count
        assert job.status() is JobState.RUNNING  # a full inbox blocks nothing else
        go_on.set()
        assert job.result(timeout=60) == "the result"
        assert recorder.values == [2000] * count
        assert [peer.after for peer in service.peers[1:]] in ([], [count])


def stalled(peer: Peer) -> bool:
    before = peer.sent
    time.sleep(0.2)  # that nothing happens can only be seen by waiting
    return peer.sent == before


def test_a_paused_stream_is_not_taken_for_dead(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(inbox, "MESSAGE_LIMIT", 10)
    go_on = threading.Event()

    def play(peer: Peer) -> None:
        peer.accept()
        for text in numbers(peer.after, 20):
            peer.send(text)
        peer.service.status = "Completed"
        peer.close()

    with StreamService(play) as service, service.job() as job:
        recorder = Recorder()

        def callback(job_id: str, value: object) -> None:
            go_on.wait(30)
            recorder(job_id, value)

        job.stream_results(callback)
        assert eventually(lambda: len(service.peers) == 1 and service.peers[0].sent >= 20)
        assert not eventually(lambda: "no sign of life" in caplog.text, 0.6)
        go_on.set()
        assert job.result(timeout=20) == "the result"
        assert recorder.values == list(range(20))


# ---- keep-alive ----------------------------------------------------------------------------


def test_a_peer_that_stopped_answering_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "PING_INTERVAL", 0.15)

    with StreamService(silent, finishes("1")) as service, service.job() as job:
        assert list(job.interim_results()) == [1]
        assert service.peers[0].heard  # it was asked for a sign of life


def test_an_idle_stream_is_kept_alive_with_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "PING_INTERVAL", 0.15)

    def play(peer: Peer) -> None:
        peer.accept()
        frames = Connection(ConnectionType.SERVER)
        pings = 0
        while pings < 6:
            frames.receive_data(peer.read())
            for event in frames.events():
                if isinstance(event, Ping):
                    pings += 1
                    peer.raw(frames.send(event.response()))
        peer.send("1")
        peer.until_gone()

    with StreamService(play, status="Queued") as service, service.job() as job:
        assert next(job.interim_results()) == 1
        assert len(service.peers) == 1


def test_a_handshake_that_is_never_answered_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel, "OPEN_TIMEOUT", 0.3)

    with StreamService(never_answers, finishes("1")) as service, service.job() as job:
        assert list(job.interim_results()) == [1]
        assert "failed: it did not open within 0.3 s" in caplog.text


def test_a_refusal_that_stops_in_its_body_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "OPEN_TIMEOUT", 0.3)

    def play(peer: Peer) -> None:
        peer.raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nbecause")
        peer.until_gone()

    with (
        StreamService(play, status="Completed") as service,
        service.job() as job,
        pytest.raises(TransportError, match="refused the stream with status 403"),
    ):
        list(job.interim_results())


def test_a_flood_of_pings_is_answered() -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        frame = peer.frame(Ping(b"p" * 125))
        reader = threading.Thread(target=peer.until_gone)
        reader.start()
        for _ in range(500):
            peer.raw(frame * 20)
        peer.send("1")
        reader.join()

    with StreamService(play) as service, service.job() as job:
        with job.interim_results() as results:
            assert next(results) == 1
        assert eventually(lambda: sum(map(len, service.peers[0].heard)) > 500 * 20 * 131)


def test_who_sends_pings_and_takes_no_answers_is_left() -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        frame = peer.frame(Ping(b"p" * 125)) * 1000
        with suppress(OSError):  # when the client leaves
            while not peer.service.stopping.is_set():
                peer.raw(frame)
        left.set()

    left = threading.Event()
    with StreamService(play, finishes("1")) as service, service.job() as job:
        assert list(job.interim_results()) == [1]
        assert left.wait(PATIENCE)


# ---- TLS -----------------------------------------------------------------------------------


def test_streams_go_over_tls() -> None:
    with StreamService(in_pieces("offset"), tls=True) as service, service.job() as job:
        assert list(job.interim_results()) == list(range(ALL))
        assert job.result(timeout=10) == "the result"


@pytest.mark.parametrize(
    ("host", "trusted", "words"),
    [
        ("localhost", False, "self.signed certificate"),
        ("127.0.0.1", True, "IP address mismatch"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused(host: str, trusted: bool, words: str) -> None:
    """The calls go another way, so that it is the stream that fails."""
    with StreamService(silent, tls=True) as secure, StreamService() as plain:
        plain.status = completed_after(2)
        streams = RuntimeWebsocketClient(
            f"wss://{host}:{secure.port}",
            TOKEN,
            resume="offset",
            ca_certs=CERTIFICATE if trusted else None,
        )
        with (
            RuntimeClient(plain.url, TOKEN) as client,
            make_job("b", client, streams, "j1", "p") as job,
        ):
            with pytest.raises(TransportError, match=words) as caught:
                list(job.interim_results())
            assert "certificate was not accepted" in str(caught.value)
            assert not caught.value.retryable
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            assert job.result(timeout=10) == "the result"
        assert secure.requests == []  # the token has not left us


# ---- timeouts ------------------------------------------------------------------------------

Wait = Callable[[RuntimeJob, float], object]

WAITS: dict[str, Wait] = {
    "result": lambda job, timeout: job.result(timeout=timeout, wait=60),
    "final state": lambda job, timeout: job.wait_for_final_state(timeout=timeout, wait=0),
}

SERVICES: dict[str, Script] = {
    "never answers": (60.0,),
    "sends one byte every 50 ms": tuple(
        step for byte in answer(body="{}" + " " * 2000) for step in (bytes([byte]), 0.05)
    ),
    "breaks off": (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc", 60.0),
    "asks to wait an hour": (answer(503, "{}", Retry_After="3600"),),
}


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("kind", SERVICES)
def test_a_timeout_holds_whatever_the_service_does(kind: str, wait: str) -> None:
    with ScriptedServer(SERVICES[kind]) as server, RuntimeClient(server.url, TOKEN) as client:
        streams = RuntimeWebsocketClient(server.url, TOKEN, resume="offset")
        with make_job("b", client, streams, "j1", "p") as job:
            began = time.monotonic()
            with pytest.raises(JobTimeoutError):
                WAITS[wait](job, 0.2)
            assert 0.19 < time.monotonic() - began < 2


@pytest.mark.parametrize("wait", WAITS)
def test_a_timeout_holds_while_a_stream_is_silent(wait: str) -> None:
    with StreamService(silent) as service, service.job() as job:
        job.stream_results(Recorder())
        began = time.monotonic()
        with pytest.raises(JobTimeoutError):
            WAITS[wait](job, 0.2)
        assert 0.19 < time.monotonic() - began < 2


def test_a_timeout_of_zero_asks_nothing() -> None:
    with StreamService() as service, service.job() as job:
        with pytest.raises(JobTimeoutError):
            job.result(timeout=0)
        with pytest.raises(JobTimeoutError):
            job.wait_for_final_state(timeout=0)
        assert service.requests == []


def test_a_callback_that_hangs_does_not_hold_the_result_beyond_the_timeout() -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        peer.service.status = "Completed"
        peer.close()

    go_on = threading.Event()
    with StreamService(play) as service, service.job() as job:
        job.stream_results(lambda *_: go_on.wait(30))
        began = time.monotonic()
        assert job.result(timeout=0.5) == "the result"
        assert time.monotonic() - began < 2.5
        go_on.set()


def test_two_threads_wait_for_one_job_each_with_its_own_timeout() -> None:
    release = threading.Event()

    def play(peer: Peer) -> None:
        peer.accept()
        release.wait(30)
        peer.service.status = "Completed"
        peer.close()

    with StreamService(play) as service, service.job() as job, ThreadPoolExecutor(3) as threads:
        patient = [threads.submit(job.result, 20) for _ in range(2)]
        with pytest.raises(JobTimeoutError):
            threads.submit(job.result, 0.3).result()
        assert not any(each.done() for each in patient)
        release.set()
        assert [each.result() for each in patient] == ["the result"] * 2
        assert service.asked("GET /jobs/j1/results") == 1


# ---- threads -------------------------------------------------------------------------------


def test_the_fourth_concurrent_stream_starves_not() -> None:
    together = threading.Barrier(8)

    def play(peer: Peer) -> None:
        peer.accept()
        peer.send("0")
        peer.until_gone()

    with StreamService(play) as service:
        jobs = [service.job(job_id=f"j{number}") for number in range(8)]
        passed = Recorder()

        def callback(job_id: str, value: object) -> None:
            together.wait(PATIENCE)  # until the callbacks of all eight are here
            passed(job_id, value)

        for job in jobs:
            job.stream_results(callback)
        assert passed.reached(8)
        for job in jobs:
            job.close()


def test_twenty_streams_share_a_few_threads() -> None:
    go_on = threading.Event()

    def play(peer: Peer) -> None:
        peer.accept()
        go_on.wait(PATIENCE)
        for number in range(50):
            peer.send(str(number))
        peer.until_gone()

    with StreamService(play) as service, ExitStack() as opened:
        recorders = [Recorder() for _ in range(20)]
        for number, recorder in enumerate(recorders):
            job = opened.enter_context(service.job(job_id=f"j{number}", initial=JobStarted()))
            job.stream_results(recorder)
        assert eventually(lambda: len(service.peers) == 20)
        # What the opening has taken, name look-ups on request threads, is over soon; two stay.
        assert eventually(lambda: len(our_threads()) <= 4)
        go_on.set()
        most = 0
        while not all(len(recorder.values) == 50 for recorder in recorders):
            most = max(most, len(our_threads()))
            time.sleep(0.002)
        assert [recorder.values for recorder in recorders] == [list(range(50))] * 20
        assert most <= 4


def test_threads_and_sockets_end_soon_after_the_last_interest() -> None:
    assert eventually(lambda: not our_threads())
    before = open_fds()
    with StreamService(in_pieces("offset")) as service:
        job = service.job()
        recorder = Recorder()
        job.stream_results(recorder)
        assert job.result(timeout=20) == "the result"
        assert our_threads()
        ended = time.monotonic()
        assert eventually(lambda: not our_threads(), 6)
        assert time.monotonic() - ended < 4
    assert eventually(lambda: open_fds() <= before), open_fds() - before
    assert recorder.values == list(range(ALL))


def test_a_wait_that_timed_out_asks_no_more() -> None:
    with StreamService(silent) as service, service.job() as job:
        with pytest.raises(JobTimeoutError):
            job.result(timeout=0.3, wait=0.05)
        assert eventually(lambda: not our_threads(), 6)
        assert service.asked("GET /jobs/j1 ") < 10
        assert eventually(lambda: service.peers[0].gone)


def test_cancelling_a_stream_ends_its_threads_and_its_socket() -> None:
    assert eventually(lambda: not our_threads())
    before = open_fds()
    with StreamService(silent) as service:
        job = service.job(initial=JobStarted())
        job.stream_results(Recorder())
        assert eventually(lambda: len(service.peers) == 1)
        job.cancel_result_streaming()
        assert eventually(lambda: not our_threads(), 6)
        assert any(b"\x88" in data for data in service.peers[0].heard)  # in good order
    assert eventually(lambda: open_fds() <= before), open_fds() - before


@pytest.mark.parametrize("moment", ["right after its start", "during a back-off"])
def test_a_cancelled_stream_connects_no_more(moment: str) -> None:
    with StreamService(hangs_up) as service, service.job(initial=JobStarted()) as job:
        recorder = Recorder()
        job.stream_results(recorder)
        if moment == "during a back-off":
            assert eventually(lambda: len(service.peers) == 2)
        job.cancel_result_streaming()
        assert eventually(lambda: not our_threads(), 4)  # so it waits for no back-off either
        assert len(service.peers) <= 2
        job.stream_results(recorder)  # and it may begin again


# ---- the token -----------------------------------------------------------------------------


def echoes_the_token(peer: Peer) -> None:
    peer.accept()
    peer.close(1011, f"you said {TOKEN}")


def refuses_with_the_token(peer: Peer) -> None:
    peer.refuse(403, f"no {TOKEN}", X_Echo=TOKEN)


TELL_TALES = {
    **ENDINGS,
    "echo": echoes_the_token,
    "echo at the handshake": refuses_with_the_token,
    "redirect": refuses(302, Location=f"http://elsewhere.example/?token={TOKEN}"),
}


def test_what_a_service_repeats_of_the_token_is_taken_out() -> None:
    with (
        StreamService(echoes_the_token, status="Completed") as service,
        service.job() as job,
        pytest.raises(TransportError, match="1011 you said <access token>") as caught,
    ):
        list(job.interim_results())
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("ending", TELL_TALES)
def test_the_token_is_told_nowhere(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with (
        StreamService(TELL_TALES[ending], status=completed_after(1)) as service,
        service.job() as job,
    ):
        told.append(repr(job))
        service.answers["GET /jobs/j1/results"] = answer(401, f"not with {TOKEN}")
        job.stream_results(Recorder())
        with pytest.raises(TransportError) as caught:
            job.result(timeout=10, wait=0.1)
        told += traceback.format_exception(caught.value)
        service.answers["POST /jobs/j1/cancel"] = answer(500, f"not with {TOKEN}")
        job.cancel_result_streaming()
        for part in (
            job,
            job._driver,
            job._driver.runner,
            job._driver.runner._channel,
            job._machine,
            job._driver.runner._transport,
        ):
            told.append(repr(part))
        error = job.stream_error()
        told += [] if error is None else [*traceback.format_exception(error), repr(error)]
    assert TOKEN not in "".join(told)
    assert TOKEN not in caplog.text
    assert all(TOKEN not in str(vars(record)) for record in caplog.records)
