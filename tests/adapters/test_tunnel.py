"""CONNECT: what a proxy is asked, and what its answers mean, however they are cut."""

from __future__ import annotations

from http import HTTPStatus
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.http.retry import RETRYABLE_STATUS
from adapters.http.tunnel import Tunnel, TunnelOpen, TunnelOutcome, TunnelRefused

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


def told(*pieces: bytes, authorization: str = "") -> TunnelOutcome | None:
    """The outcome of these bytes, and at the end of them."""
    tunnel = Tunnel("host.example", 443, authorization)
    for piece in pieces:
        outcome = tunnel.receive(piece)
        if outcome is not None:
            return outcome
    return None


def whole_and_in_bytes(answer: bytes, authorization: str = "") -> TunnelOutcome | None:
    whole = told(answer, authorization=authorization)
    in_bytes = told(*(answer[i : i + 1] for i in range(len(answer))), authorization=authorization)
    assert whole == in_bytes
    return whole


@pytest.mark.parametrize(
    ("host", "port", "target"),
    [
        ("host.example", 443, "host.example:443"),
        ("10.0.0.1", 8080, "10.0.0.1:8080"),
        ("2001:db8::1", 443, "[2001:db8::1]:443"),
        ("bücher.example", 443, "xn--bcher-kva.example:443"),
    ],
)
def test_what_is_asked(host: str, port: int, target: str) -> None:
    assert Tunnel(host, port).request == (
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
    )


def test_user_and_password_are_told() -> None:
    lines = Tunnel("host.example", 443, "Basic dTpw").request.split(b"\r\n")
    assert lines[2:] == [b"Proxy-Authorization: Basic dTpw", b"", b""]


@pytest.mark.parametrize(
    ("host", "authorization"),
    [
        ("", ""),
        ("a b", ""),
        ("a\r\nEvil: 1", ""),
        ("a/b", ""),
        ("x" * 64, ""),
        ("host.example", "Basic s3cret\r\nEvil: 1"),
        ("host.example", "Basic s3crét"),
    ],
)
def test_what_cannot_be_asked_is_refused(host: str, authorization: str) -> None:
    with pytest.raises(ValueError) as caught:
        Tunnel(host, 443, authorization)
    assert "s3c" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        OPEN,
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 204 No Content\r\nVia: 1.1 p\r\n\r\n",
        # RFC 9110, section 9.3.6: these two say nothing in such an answer.
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OPEN,
        b"HTTP/1.1 200 OK\r\n caf\xe9 \xff\r\n\r\n",
    ],
)
def test_the_way_is_open(answer: bytes) -> None:
    assert whole_and_in_bytes(answer) == TunnelOpen()


@pytest.mark.parametrize("length", range(1, len(OPEN)))
def test_what_is_not_complete_is_no_outcome(length: int) -> None:
    assert whole_and_in_bytes(OPEN[:length]) is None


@pytest.mark.parametrize("length", range(len(OPEN)))
def test_the_end_before_the_answer(length: int) -> None:
    tunnel = Tunnel("host.example", 443)
    if length:
        assert tunnel.receive(OPEN[:length]) is None
    outcome = tunnel.receive(b"")
    assert outcome == TunnelRefused("closed the connection instead of answering", True)


@pytest.mark.parametrize("status", [*range(300, 600), 599])
def test_the_table_of_refusals(status: int) -> None:
    answer = f"HTTP/1.1 {status} s3cret words\r\nContent-Length: 5\r\n\r\nmore s3cret".encode()
    outcome = whole_and_in_bytes(answer)
    assert isinstance(outcome, TunnelRefused)
    assert outcome.retryable == (status in RETRYABLE_STATUS)
    assert str(status) in outcome.what
    assert "s3cret" not in f"{outcome}"


def test_a_407_says_what_to_do() -> None:
    answer = b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n"
    advice = "Give them in the proxy's URL: http://user:password@host:port."
    assert whole_and_in_bytes(answer) == TunnelRefused(
        "wants a user and password (407)", False, advice
    )
    assert whole_and_in_bytes(answer, "Basic dTpw") == TunnelRefused(
        "did not accept the user and password (407)", False, advice
    )


def test_a_refusal_says_in_our_words_what_it_is() -> None:
    outcome = told(b"HTTP/1.1 502 Oh dear\r\n\r\n")
    assert isinstance(outcome, TunnelRefused)
    assert outcome.what == f"refused the connection: 502 {HTTPStatus(502).phrase}"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (b"Retry-After: 7\r\n", 7.0),
        (
            b"date: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
            b"RETRY-AFTER: Sun, 22 Nov 2026 10:00:30 GMT\r\n",
            30.0,
        ),
        (b"Retry-After: soon\r\n", None),
        (b"no header at all\r\n", None),
        (b"", None),
    ],
)
def test_a_refusal_may_say_when_to_come_back(headers: bytes, seconds: float | None) -> None:
    outcome = whole_and_in_bytes(b"HTTP/1.1 503 Busy\r\n" + headers + b"\r\n")
    assert isinstance(outcome, TunnelRefused)
    assert outcome.retry_after == seconds


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x05\xff",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nSSH",
    ],
)
def test_what_is_no_http(answer: bytes) -> None:
    outcome = whole_and_in_bytes(answer)
    assert isinstance(outcome, TunnelRefused)
    assert "does not speak HTTP" in outcome.what
    assert not outcome.retryable


LIMIT = 64 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nX: "


@pytest.mark.parametrize(("size", "fits"), [(LIMIT, True), (LIMIT + 1, False)])
def test_the_limit_of_the_headers(size: int, fits: bool) -> None:
    answer = HEAD + b"x" * (size - len(HEAD) - 4) + b"\r\n\r\n"
    assert len(answer) == size
    for outcome in (told(answer), told(answer[: LIMIT - 1], answer[LIMIT - 1 :])):
        if fits:
            assert outcome == TunnelOpen()
        else:
            assert isinstance(outcome, TunnelRefused)
            assert "more than 65536 bytes" in outcome.what
            assert not outcome.retryable


def test_the_limit_is_for_all_heads_together() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * 1000 + b"\r\n\r\n"
    outcome = told(*[hint] * 100)
    assert isinstance(outcome, TunnelRefused)
    assert "more than 65536 bytes" in outcome.what


def test_endless_headers_are_not_collected() -> None:
    tunnel = Tunnel("host.example", 443)
    pieces = 0
    while tunnel.receive(HEAD if pieces == 0 else b"x" * 1024) is None:
        pieces += 1
    assert pieces <= LIMIT // 1024


def test_who_speaks_before_it_was_spoken_to_is_not_the_service() -> None:
    outcome = told(OPEN + b"x")
    assert isinstance(outcome, TunnelRefused)
    assert "more than its answer" in outcome.what
    assert not outcome.retryable


@given(
    st.one_of(
        st.sampled_from(
            [
                OPEN,
                b"HTTP/1.1 100 Continue\r\n\r\n" + OPEN,
                b"HTTP/1.1 407 Who?\r\nContent-Length: 3\r\n\r\nyou",
                b"HTTP/1.1 503 Busy\nRetry-After: 3\n\n",
            ]
        ),
        st.binary(min_size=1, max_size=60).map(lambda tail: b"HTTP/1.1 " + tail),
        st.binary(min_size=1, max_size=40),
        st.text("HTP/1.\r\n 2034:x", min_size=1, max_size=60).map(str.encode),
    ),
    st.data(),
)
def test_how_an_answer_is_cut_makes_no_difference(answer: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(answer)), max_size=8)))
    edges = [0, *cuts, len(answer)]
    pieces = [answer[a:b] for a, b in pairwise(edges) if a < b]
    whole, cut = told(answer), told(*pieces)
    if isinstance(whole, TunnelRefused) and "more than its answer" in whole.what:
        assert cut in (whole, TunnelOpen())
    else:
        assert cut == whole
