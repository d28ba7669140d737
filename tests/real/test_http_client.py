"""The client against a server on a real socket that answers with scripted bytes."""

from __future__ import annotations

import gzip
import json
import logging
import os
import signal
import socket
import ssl
import threading
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from scripted_server import CERTIFICATE, End, Script, ScriptedServer, answer

from adapters.http.client import RuntimeClient
from adapters.http.retry import RETRYABLE_STATUS
from adapters.job_logs import LogPart
from runtime_core.errors import EncodeError, TransportError, UsageError

TOKEN = "s3cr3t-t0k3n"


@pytest.fixture
def served() -> Iterator[Callable[..., tuple[ScriptedServer, RuntimeClient]]]:
    """Start a server with these scripts, and a client for it; both are closed afterwards."""
    opened: list[Any] = []

    def start(*scripts: Script | bytes, **options: Any) -> tuple[ScriptedServer, RuntimeClient]:
        server = ScriptedServer(*scripts, tls=options.pop("tls", False))
        opened.append(server)
        client = RuntimeClient(server.url, TOKEN, **{"read_timeout": 2.0, **options})
        opened.append(client)
        return server, client

    yield start
    for each in reversed(opened):
        each.__exit__(None, None, None)


Served = Callable[..., tuple[ScriptedServer, RuntimeClient]]


def failure_of(call: Callable[[], object]) -> TransportError:
    with pytest.raises(TransportError) as caught:
        call()
    told = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in told + repr(caught.value)
    return caught.value


# ---- the calls -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "line", "body"),
    [
        (lambda c: c.job_get("j 1"), "GET /jobs/j%201", None),
        (lambda c: c.jobs_get(), "GET /jobs?limit=10&offset=0", None),
        (
            lambda c: c.jobs_get(2, 4, pending=True, program_id="p"),
            "GET /jobs?limit=2&offset=4&pending=true&program=p",
            None,
        ),
        (lambda c: c.job_results("j1"), "GET /jobs/j1/results", None),
        (lambda c: c.job_logs("j1"), "GET /jobs/j1/logs", None),
        (lambda c: c.job_cancel("j1"), "POST /jobs/j1/cancel", None),
        (lambda c: c.job_delete("j1"), "DELETE /jobs/j1", None),
        (lambda c: c.programs_get(), "GET /programs?limit=20&offset=0", None),
        (lambda c: c.program_get("p1"), "GET /programs/p1", None),
        (lambda c: c.program_delete("p1"), "DELETE /programs/p1", None),
        (lambda c: c.logout(), "POST /logout", None),
        (
            lambda c: c.program_run("p1", "b1", {"z": 1 + 2j}, image="i", log_level="INFO"),
            "POST /jobs",
            {
                "program_id": "p1",
                "hub": "",
                "group": "",
                "project": "",
                "backend": "b1",
                "params": {"z": {"__type__": "complex", "__value__": [1.0, 2.0]}},
                "runtime": "i",
                "log_level": "INFO",
            },
        ),
        (
            lambda c: c.program_create("n", "code", max_execution_time=60, spec={"a": 1}),
            "POST /programs",
            {
                "name": "n",
                "data": "Y29kZQ==",
                "cost": 60,
                "description": "",
                "is_public": False,
                "spec": {"a": 1},
            },
        ),
    ],
)
def test_each_call_is_one_request(
    served: Served, call: Callable[[RuntimeClient], object], line: str, body: object
) -> None:
    server, client = served(answer(body='{"id": "x1"}'))
    call(client)
    (request,) = server.received
    assert request.line == f"{line} HTTP/1.1"
    assert request.headers["x-access-token"] == TOKEN
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("runtime-core/")
    if body is None:
        assert request.body == b""
    else:
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.body) == body


def test_answers_are_given_as_they_are(served: Served) -> None:
    _, client = served(
        answer(body='{"id": "j1", "status": "QUEUED"}'),
        answer(body='{"é": [1,', Content_Type="text/plain"),
        answer(204, b"", Content_Length="", Content_Type="text/html"),
        answer(404, "no logs", Content_Type="text/plain"),
    )
    assert client.job_get("j1") == {"id": "j1", "status": "QUEUED"}
    assert client.job_results("j1") == '{"é": [1,'
    client.job_cancel("j1")
    assert client.job_logs("j1") == ""


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (answer(206, "lo", Content_Range="bytes 3-4/*"), LogPart(3, b"lo")),
        (answer(206, "lo", Content_Range="bytes 7-8/9"), LogPart(7, b"lo")),
        (answer(200, "hello"), LogPart(0, b"hello")),
        (answer(404, "no logs"), LogPart(3, b"")),
        (answer(416, "nothing yet", Content_Range="bytes */3"), LogPart(3, b"")),
    ],
    ids=["part", "later part", "all of it", "no log", "nothing new"],
)
def test_a_part_of_a_log(served: Served, said: bytes, part: LogPart) -> None:
    server, client = served(said)
    assert client.job_logs_part("j1", 3) == part
    (request,) = server.received
    assert request.line == "GET /jobs/j1/logs HTTP/1.1"
    assert request.headers["range"] == "bytes=3-"


@pytest.mark.parametrize("said", ["", "bytes */3", "lines 3-4/*", "bytes 3"])
def test_a_part_of_a_log_that_is_not_said_to_be_which(served: Served, said: str) -> None:
    _, client = served(answer(206, "lo", Content_Range=said))
    with pytest.raises(TransportError, match="Content-Range"):
        client.job_logs_part("j1", 3)


def test_a_path_of_the_url_comes_first(served: Served) -> None:
    server, _ = served(answer())
    with RuntimeClient(f"{server.url}/base/", TOKEN) as client:
        client.job_get("j1")
        assert client.url == f"{server.url}/base"
    assert server.lines == ["GET /base/jobs/j1 HTTP/1.1"]


def test_without_a_token_none_is_sent(served: Served) -> None:
    server, _ = served(answer())
    with RuntimeClient(server.url, "") as client:
        client.job_get("j1")
    assert "x-access-token" not in server.received[0].headers


def test_without_a_token_errors_are_the_same(served: Served) -> None:
    server, _ = served(answer(404))
    with RuntimeClient(server.url, "") as client:
        assert "404 Not Found" in str(failure_of(lambda: client.job_get("j1")))


def test_a_program_may_come_as_bytes_and_without_a_spec(served: Served) -> None:
    server, client = served(answer(body='{"id": "p1"}'))
    assert client.program_create("n", b"code", max_execution_time=60) == {"id": "p1"}
    body = json.loads(server.received[0].body)
    assert body["data"] == "Y29kZQ=="
    assert "spec" not in body


def test_the_version_is_not_needed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("adapters.http.session.version", unknown)
    server, client = served(answer())
    client.job_get("j1")
    assert server.received[0].headers["user-agent"] == "runtime-core"


def test_over_ipv6() -> None:
    try:
        server = ScriptedServer(answer(), host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, RuntimeClient(server.url, TOKEN) as client:
        assert client.job_get("j1") == {}


def test_what_cannot_be_written_is_not_sent(served: Served) -> None:
    server, client = served(answer())
    with pytest.raises(EncodeError):
        client.program_run("p1", params={"odd": object()})
    with pytest.raises(UsageError):
        client.job_get("../programs")
    assert server.received == []


# ---- connections ---------------------------------------------------------------------------


def test_a_connection_is_kept_alive_after_answers_of_every_kind(served: Served) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\n\r\n"
    server, client = served(
        answer(),
        answer(404, '{"message": "no such job"}'),
        answer(204, b"", Content_Length=""),
        chunked,
        answer(302, "moved", Location="https://elsewhere"),
        answer(body="[]"),
        answer(body=gzip.compress(b"{}"), Content_Encoding="gzip"),
        answer(),
    )
    client.job_get("j1")
    failure_of(lambda: client.job_get("j1"))
    client.job_cancel("j1")
    assert client.job_results("j1") == "text"
    failure_of(lambda: client.job_get("j1"))
    failure_of(lambda: client.job_get("j1"))
    client.job_get("j1")
    client.job_get("j1")
    assert len(server.received) == 8
    assert server.connections == 1


def test_many_threads_share_the_connections(served: Served) -> None:
    together = threading.Barrier(4, timeout=2)
    server, client = served((together.wait, answer(body='{"id": "j1"}')), pool_size=4)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(10):
            answers = list(threads.map(lambda _: client.job_get("j1"), range(4)))
            assert answers == [{"id": "j1"}] * 4
    assert server.connections == 4


def test_a_full_pool_does_not_block(served: Served) -> None:
    both = threading.Barrier(2, timeout=2)
    server, client = served((both.wait, answer()), pool_size=1)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda _: client.job_get("j1"), range(2))) == [{}, {}]
    assert server.connections == 2


def test_a_connection_that_the_service_has_closed_is_replaced(served: Served) -> None:
    server, client = served((answer(), End.CLOSE), answer())
    client.job_get("j1")
    threading.Event().wait(0.05)  # until the end of the connection is here
    client.job_get("j1")
    assert server.connections == 2


def test_a_closed_client_says_so(served: Served) -> None:
    server, client = served(answer())
    client.job_get("j1")
    client.close()
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.job_get("j1")
    assert len(server.received) == 1


def test_a_forked_child_has_connections_of_its_own(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = served(answer())
    client.job_get("j1")
    monkeypatch.setattr(os, "getpid", lambda: 0)
    client.job_get("j1")
    client.job_get("j1")
    assert [request.connection for request in server.received] == [1, 2, 2]


@pytest.mark.parametrize("sent", [b"", answer(Content_Length="100")])
def test_an_interrupt_leaves_no_half_read_connection(served: Served, sent: bytes) -> None:
    done = threading.Event()

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        done.wait(2)

    server, client = served((sent, 0.05, interrupt, End.CLOSE), answer())
    with pytest.raises(KeyboardInterrupt):
        client.job_get("j1")
    assert client.job_get("j1") == {}
    done.set()
    assert [request.connection for request in server.received] == [1, 2]


# ---- answers that are none -----------------------------------------------------------------


def test_every_status_code_is_an_error_by_the_table(served: Served) -> None:
    statuses = range(300, 600)
    server, client = served(*(answer(status, '{"message": "why"}') for status in statuses))
    for status in statuses:
        error = failure_of(lambda: client.job_get("j1"))
        assert error.status_code == status
        assert error.retryable == (status in RETRYABLE_STATUS)
        assert error.retry_after is None
    assert server.connections == 1


def test_an_error_says_who_what_and_why(served: Served) -> None:
    server, client = served(answer(404, '{"error": {"message": "No job j1."}}'))
    assert str(failure_of(lambda: client.job_get("j1"))) == (
        f"GET /jobs/j1 at 127.0.0.1:{server.port}: was answered 404 Not Found: No job j1. "
        "There is no such thing here, or this access token may not see it."
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "-7"}, 0.0),
        ({"Retry_After": "Tue, 05 Oct 2021 12:00:30 GMT"}, 0.0),
        (
            {
                "Retry_After": "Tue, 05 Oct 2021 12:00:30 GMT",
                "Date": "Tue, 05 Oct 2021 12:00:00 GMT",
            },
            30.0,
        ),
        ({"Retry_After": "later"}, None),
    ],
)
def test_retry_after_is_passed_on(
    served: Served, headers: dict[str, str], seconds: float | None
) -> None:
    _, client = served(answer(429, **headers))
    error = failure_of(lambda: client.job_get("j1"))
    assert (error.retryable, error.retry_after) == (True, seconds)


@pytest.mark.parametrize(
    "call", ["job_get", "job_results", "job_logs", "job_cancel", "job_delete", "program_run"]
)
def test_an_html_page_is_no_answer(served: Served, call: str) -> None:
    page = answer(200, "<html>log in</html>", Content_Type="text/html; charset=utf-8")
    _, client = served(page)
    error = failure_of(lambda: getattr(client, call)("j1"))
    assert "HTML page" in str(error)
    assert (error.status_code, error.retryable) == (200, False)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"[]", "expected a JSON object"),
        (b"<html>", "not JSON"),
        (b'{"id": ', "not JSON"),
        (b'{"id": "\xff"}', "not JSON"),
        (b"[" * 100_000, "max_depth"),
        (b'{"n": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
def test_what_is_no_json_object_is_no_document(served: Served, body: bytes, problem: str) -> None:
    _, client = served(answer(body=body))
    error = failure_of(lambda: client.job_get("j1"))
    assert problem in str(error)
    assert (error.status_code, error.retryable) == (200, False)
    assert len(str(error)) < 500


def test_a_result_that_is_not_utf_8(served: Served) -> None:
    _, client = served(answer(body=b"caf\xe9"))
    error = failure_of(lambda: client.job_results("j1"))
    assert "UTF-8" in str(error)
    assert not error.retryable


def test_a_redirect_is_not_followed_and_the_token_stays_here(served: Served) -> None:
    with ScriptedServer(answer()) as elsewhere:
        target = f"{elsewhere.url}/jobs/j1?state={TOKEN}"
        for status in (301, 302, 303, 307, 308):
            _, client = served(answer(status, "", Location=target))
            error = failure_of(lambda client=client: client.job_get("j1"))  # type: ignore[misc]
            assert f"to {elsewhere.url}/jobs/j1. " in str(error)
            assert (error.status_code, error.retryable) == (status, False)
        assert elsewhere.connections == 0


# ---- sizes ---------------------------------------------------------------------------------


def test_an_answer_that_announces_too_much_is_not_read(served: Served) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    _, client = served((head, 5.0), max_answer_bytes=1000, read_timeout=0.1)
    assert "larger than 1000 bytes" in str(failure_of(lambda: client.job_results("j1")))


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
def test_the_limit_is_the_largest_answer(served: Served, size: int, fits: bool) -> None:
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * size
    _, client = served((endless, End.CLOSE), max_answer_bytes=1000)
    if fits:
        assert client.job_results("j1") == "x" * size
    else:
        error = failure_of(lambda: client.job_results("j1"))
        assert "larger than 1000 bytes" in str(error)
        assert not error.retryable


def test_after_too_large_an_answer_the_connection_is_not_used_again(served: Served) -> None:
    server, client = served(answer(body="x" * 2000), answer(), max_answer_bytes=1000)
    failure_of(lambda: client.job_results("j1"))
    client.job_get("j1")
    assert [request.connection for request in server.received] == [1, 2]


@pytest.mark.parametrize("packed_twice", [False, True])
def test_a_gzip_bomb_is_stopped_while_it_inflates(served: Served, packed_twice: bool) -> None:
    bomb = gzip.compress(bytes(64 << 20), compresslevel=9)
    _, client = served(
        answer(body=bomb, Content_Encoding="gzip, gzip" if packed_twice else "gzip"),
        max_answer_bytes=1 << 20,
    )
    tracemalloc.start()
    error = failure_of(lambda: client.job_results("j1"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ("as gzip, gzip" if packed_twice else "larger than") in str(error)
    assert peak < 8 << 20


def test_compressed_answers_are_read_though_nobody_asked(served: Served) -> None:
    _, client = served(
        answer(body=gzip.compress(b"text"), Content_Encoding="GZIP"),
        answer(body=b"no gzip at all", Content_Encoding="gzip"),
        answer(body=b"odd", Content_Encoding="br"),
    )
    assert client.job_results("j1") == "text"
    assert not failure_of(lambda: client.job_results("j1")).retryable
    assert "compressed as br" in str(failure_of(lambda: client.job_results("j1")))


def test_the_body_of_an_error_is_read_only_so_far(served: Served) -> None:
    endless = answer(500, b"x" * (64 << 10), Content_Type="text/plain", Content_Length="999999")
    _, client = served((endless, 5.0), read_timeout=0.1)
    error = failure_of(lambda: client.job_get("j1"))
    assert error.status_code == 500
    assert "xxx[...]" in str(error)
    assert len(str(error)) < 500


def test_an_error_whose_body_breaks_off_is_that_error(served: Served) -> None:
    _, client = served((answer(503, "{", Retry_After="3", Content_Length="9"), End.CLOSE))
    error = failure_of(lambda: client.job_get("j1"))
    assert (error.status_code, error.retryable, error.retry_after) == (503, True, 3.0)


# ---- networks ------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN: list[tuple[Script, bool, str]] = [
    ((End.CLOSE,), True, "the connection broke"),
    ((End.RESET,), True, "the connection broke"),
    ((5.0,), True, "read_timeout"),
    ((b"HTTP/1.1 2", End.CLOSE), True, "broke off"),
    ((HEAD + b"half", End.CLOSE), True, "broke off"),
    ((HEAD + b"half", End.RESET), True, "broke"),
    ((HEAD + b"half", 5.0), True, "read_timeout"),
    ((CHUNKED + b"5\r\nha", End.CLOSE), True, "broke off"),
    ((CHUNKED + b"5\r\nwhole\r\n", End.CLOSE), True, "broke off"),
    ((CHUNKED + b"odd\r\n", End.CLOSE), True, "broke off"),
    ((b"SSH-2.0-OpenSSH_9.6\r\n", End.CLOSE), False, "not HTTP"),
    ((b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",), False, "not HTTP"),
]


@pytest.mark.parametrize("call", ["job_results", "program_run"])
@pytest.mark.parametrize(("script", "retryable", "problem"), BROKEN)
def test_the_table_of_broken_connections(
    served: Served, script: Script, retryable: bool, problem: str, call: str
) -> None:
    server, client = served(script, answer(body="whole"), read_timeout=0.1)
    error = failure_of(lambda: getattr(client, call)("x1"))
    assert error.status_code is None
    assert problem in str(error)
    if call == "program_run":
        assert "may have been submitted; look for it" in str(error)
        assert not error.retryable
    else:
        assert error.retryable is retryable
    assert len(server.received) == 1
    assert client.job_results("j1") == "whole"


WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nX-A: b\r\n\r\n0123456789"
)
UNTIL_EOF = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
def test_an_answer_that_is_cut_at_any_byte_is_no_answer(served: Served, end: End) -> None:
    scripts = [(WHOLE[:place], end) for place in range(len(WHOLE))]
    _, client = served(*scripts, WHOLE)
    for place in range(len(WHOLE)):
        error = failure_of(lambda: client.job_results("j1"))
        assert error.retryable, (place, error)
    assert client.job_results("j1") == "0123456789"


def test_an_answer_without_a_length_ends_with_the_connection(served: Served) -> None:
    _, client = served((UNTIL_EOF + b"all", End.CLOSE), (UNTIL_EOF, End.CLOSE))
    assert client.job_results("j1") == "all"
    # If that is nothing, the answer may as well have been cut among its headers.
    assert failure_of(lambda: client.job_results("j1")).retryable


def test_an_old_server_may_give_nothing_without_a_length(served: Served) -> None:
    _, client = served((UNTIL_EOF.replace(b"1.1", b"1.0"), End.CLOSE))
    assert client.job_results("j1") == ""


def test_a_slow_answer_is_read_to_its_end(served: Served) -> None:
    drops = [step for byte in HEAD + b"0123456789" for step in (0.002, bytes([byte]))]
    _, client = served(tuple(drops), read_timeout=0.1)
    assert client.job_results("j1") == "0123456789"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_refused_connection() -> None:
    with RuntimeClient(f"http://127.0.0.1:{free_port()}", TOKEN) as client:
        assert_not_sent(client, "no connection: ", retryable=True)


def test_a_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with RuntimeClient("http://runtime.localhost", TOKEN) as client:
        monkeypatch.setattr(socket, "getaddrinfo", not_found)
        assert_not_sent(client, "name of the host was not found", retryable=True)


def test_a_connection_that_does_not_come_about(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise TimeoutError("timed out")

    with RuntimeClient(f"http://127.0.0.1:{free_port()}", TOKEN) as client:
        monkeypatch.setattr(socket.socket, "connect", never)
        assert_not_sent(client, "connect_timeout", retryable=True)


def assert_not_sent(client: RuntimeClient, problem: str, *, retryable: bool) -> None:
    asked = failure_of(lambda: client.job_get("j1"))
    submitted = failure_of(lambda: client.program_run("p1"))
    assert str(submitted).endswith("It was not sent.")
    for error in (asked, submitted):
        assert problem in str(error)
        assert (error.status_code, error.retryable) == (None, retryable)


# ---- submissions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "retryable", "ending"),
    [
        (400, False, "It was not submitted."),
        (401, False, "It was not submitted."),
        (429, True, "It was not submitted."),
        (408, False, "look for it before you submit again."),
        (303, False, "look for it before you submit again."),
        (500, False, "look for it before you submit again."),
        (503, False, "look for it before you submit again."),
    ],
)
def test_a_submission_is_never_repeated_and_says_if_it_may_have_arrived(
    served: Served, status: int, retryable: bool, ending: str
) -> None:
    server, client = served(answer(status))
    error = failure_of(lambda: client.program_run("p1"))
    assert str(error).endswith(ending)
    assert (error.status_code, error.retryable) == (status, retryable)
    assert len(server.received) == 1


@pytest.mark.parametrize("body", ["{}", '{"id": 3}', '{"id": ""}', "[]", "odd"])
def test_a_submission_without_an_id_may_have_arrived(served: Served, body: str) -> None:
    server, client = served(answer(body=body))
    error = failure_of(lambda: client.program_run("p1"))
    assert "may have been submitted" in str(error)
    assert not error.retryable
    assert len(server.received) == 1


# ---- TLS -----------------------------------------------------------------------------------


def test_tls_with_an_authority_of_its_own(served: Served) -> None:
    server, client = served(answer(), tls=True, ca_certs=CERTIFICATE)
    assert client.job_get("j1") == {}
    assert client.job_get("j1") == {}
    assert server.connections == 1
    assert isinstance(client.tls, ssl.SSLContext)
    assert client.tls is client.tls
    with RuntimeClient("http://localhost", TOKEN) as plain:
        assert plain.tls is None


def test_a_certificate_that_nobody_vouches_for(served: Served) -> None:
    server, client = served(answer(), tls=True)
    assert_not_sent(client, "certificate was not accepted", retryable=False)
    assert server.received == []


def test_a_certificate_of_another_host(served: Served) -> None:
    server, _ = served(answer(), tls=True)
    url = f"https://127.0.0.1:{server.port}"
    with RuntimeClient(url, TOKEN, ca_certs=CERTIFICATE) as client:
        assert_not_sent(client, "certificate was not accepted", retryable=False)
    assert server.received == []


def test_tls_where_there_is_none() -> None:
    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with RuntimeClient(url, TOKEN) as client:
            error = failure_of(lambda: client.job_get("j1"))
        thread.join()
    assert "Does the service speak TLS on this port?" in str(error)
    assert not error.retryable


def test_an_authority_that_cannot_be_read() -> None:
    with pytest.raises(OSError):
        RuntimeClient("https://localhost", TOKEN, ca_certs="/no/such/file")


# ---- the token -----------------------------------------------------------------------------


def test_the_token_is_nowhere(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"message": f"The token {TOKEN} is not known."})
    _, client = served(
        answer(401, echo),
        answer(403, f"Go away, {TOKEN}", Content_Type="text/plain"),
        answer(body=f'"{TOKEN}"'),
        (TOKEN.encode() + b"\r\n", End.CLOSE),
    )
    for _ in range(4):
        assert "<access token>" in str(failure_of(lambda: client.job_get("j1")))
    assert TOKEN not in repr(client) + str(client) + caplog.text


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN}\r\nX: y", f" {TOKEN}", f"{TOKEN}\x00é"])
def test_a_token_that_cannot_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="access token") as caught:
        RuntimeClient("https://localhost", token)
    assert TOKEN not in str(caught.value)


def test_a_token_without_tls_to_another_machine_gives_a_warning() -> None:
    with pytest.warns(UserWarning, match="without TLS"):
        RuntimeClient("http://10.0.0.1", TOKEN).close()
    RuntimeClient("http://10.0.0.1", "").close()
    RuntimeClient("https://10.0.0.1", TOKEN).close()
