"""The tables of the HTTP transport that need no socket: what is retryable, and in what words."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

import pytest
from urllib3 import exceptions

from adapters.http.address import ServiceAddress
from adapters.http.failures import network_failure, service_words, status_failure
from adapters.http.retry import retry_after_seconds
from adapters.proxy import Proxy

NOON = 1633435200.0  # Tue, 05 Oct 2021 12:00:00 GMT
POOL: Any = None
UNKNOWN: Any = OSError("unknown")


def alert(reason: str) -> ssl.SSLError:
    """What the peer said in TLS."""
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


def by_proxy(cause: Exception) -> exceptions.ProxyError:
    """What hindered the way to, or through, a proxy."""
    return exceptions.ProxyError("Unable to connect to proxy", cause)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("Tue, 05 Oct 2021 12:00:30 GMT", 30.0),
        ("Tue, 05 Oct 2021 12:00:30 -0000", 30.0),
        ("Tue, 05 Oct 2021 14:00:30 +0200", 30.0),
        ("Tue, 05 Oct 2021 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("Tue, 99 Oct 2021 12:00:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOON) == seconds


@pytest.mark.parametrize(
    ("error", "retryable", "arrived"),
    [
        (exceptions.NewConnectionError(POOL, "refused"), True, False),
        (exceptions.NameResolutionError("host", POOL, UNKNOWN), True, False),
        (exceptions.ConnectTimeoutError("late"), True, False),
        (exceptions.ReadTimeoutError(POOL, "/", "late"), True, True),
        (exceptions.SSLError(ssl.SSLCertVerificationError("self-signed")), False, False),
        (exceptions.SSLError(ssl.SSLEOFError("cut")), True, True),
        (exceptions.SSLError(ssl.SSLError("wrong version")), False, True),
        (exceptions.SSLError(), False, True),
        (exceptions.ProtocolError("aborted", ConnectionResetError("reset")), True, True),
        (exceptions.ProtocolError("aborted", http.client.RemoteDisconnected("bye")), True, True),
        (exceptions.ProtocolError("broken", http.client.IncompleteRead(b"")), True, True),
        (exceptions.ProtocolError("aborted", http.client.BadStatusLine("SSH-2.0")), False, True),
        (exceptions.SSLError(alert("TLSV13_ALERT_CERTIFICATE_REQUIRED")), False, False),
        (exceptions.SSLError(alert("TLSV1_ALERT_UNKNOWN_CA")), False, False),
        (exceptions.SSLError(alert("SSLV3_ALERT_HANDSHAKE_FAILURE")), False, False),
        (exceptions.SSLError(alert("SSLV3_ALERT_BAD_RECORD_MAC")), False, True),
        (by_proxy(exceptions.NewConnectionError(POOL, "refused")), True, False),
        (by_proxy(exceptions.NameResolutionError("host", POOL, UNKNOWN)), True, False),
        (by_proxy(exceptions.ConnectTimeoutError("late")), True, False),
        (by_proxy(exceptions.SSLError(ssl.SSLCertVerificationError("expired"))), False, False),
        (by_proxy(exceptions.SSLError(ssl.SSLError("wrong version"))), False, False),
        (by_proxy(OSError("Tunnel connection failed: 407 Who are you?")), False, False),
        (by_proxy(OSError("Tunnel connection failed: 403 No")), False, False),
        (by_proxy(OSError("Tunnel connection failed: 502 Bad Gateway")), True, False),
        (by_proxy(OSError("no route")), True, False),
        (by_proxy(ValueError("odd")), False, False),
        (exceptions.DecodeError("gzip"), False, True),
        (exceptions.InvalidHeader("two lengths"), False, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_table_of_network_failures(
    error: exceptions.HTTPError, retryable: bool, arrived: bool
) -> None:
    failure = network_failure(error)
    assert (failure.retryable, failure.arrived) == (retryable, arrived)


def test_how_long_the_proxy_may_take_is_the_connections_timeout() -> None:
    proxy = Proxy.parse("http://user:s3cret@proxy.example:3128")
    failure = network_failure(exceptions.ReadTimeoutError(POOL, proxy.url, "late"), proxy)
    assert failure.what == "no connection by the proxy within connect_timeout"
    assert (failure.retryable, failure.arrived) == (True, False)
    failure = network_failure(exceptions.ReadTimeoutError(POOL, "/jobs", "late"), proxy)
    assert (failure.retryable, failure.arrived) == (True, True)


def test_what_a_proxy_says_in_its_own_words_is_not_repeated() -> None:
    proxy = Proxy.parse("http://user:s3cret@proxy.example:3128")
    error = by_proxy(OSError("Tunnel connection failed: 407 not user:s3cret"))
    failure = network_failure(error, proxy)
    assert failure.what == "the proxy did not accept the user and password (407)"
    assert "wants a user and password" in network_failure(error).what


@pytest.mark.parametrize("status", [100, *range(300, 600), 999])
def test_the_table_of_status_codes(status: int) -> None:
    failure = status_failure(status, "", None, b"")
    assert failure.retryable == (status in {408, 425, 429, 500, 502, 503, 504})
    assert failure.arrived == (status == 408 or status < 400 or status >= 500)
    assert str(status) in failure.what


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "Job not found."}, "Job not found."),
        ({"error": {"message": "no", "code": 3}}, "no"),
        ({"errors": [{"message": "one"}, {"message": "two"}, {}]}, "one; two"),
        ({"errors": "odd"}, "odd"),
        ({"detail": "no"}, "no"),
        (["a", "b"], "a; b"),
        ({"other": 1}, ""),
        (3, ""),
        ("text", "text"),
    ],
)
def test_what_the_service_says_is_found(body: object, words: str) -> None:
    assert service_words("application/json", json.dumps(body).encode()) == words


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("text/plain", b"  two\nlines\x00\x1b[31m ", "two lines??[31m"),
        ("text/plain", b"\xff", "\N{REPLACEMENT CHARACTER}"),
        ("Text/HTML; charset=utf-8", b"<html>", "an HTML page"),
        ("", b"", ""),
        ("application/json", b"[" * 60_000, "[" * 295 + "[...]"),
        ("application/json", b'{"message": "' + b"x" * 1000 + b'"}', "x" * 295 + "[...]"),
        ("application/json", b'{"error":' * 7000 + b"1" + b"}" * 7000, None),
    ],
)
def test_what_is_no_message_is_shown_shortened(
    content_type: str, body: bytes, words: str | None
) -> None:
    said = service_words(content_type, body)
    assert len(said) <= 300
    assert words is None or said == words


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example/in?secret=1#x", "https://login.example/in"),
        ("https://user:secret@login.example/in", "https://login.example/in"),
        ("/in?secret=1", "/in"),
        (None, "nowhere"),
        ("https://[secret", "a place that is no URL"),
    ],
)
def test_a_redirect_says_where_to_without_secrets(location: str | None, shown: str) -> None:
    failure = status_failure(302, "", location, b"")
    assert failure.what == f"was redirected (302) to {shown}"
    assert "secret" not in failure.what


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://host", ("https", "host", 443, "")),
        ("http://HOST:81/base/", ("http", "host", 81, "/base")),
        ("http://[::1]:81/a/b", ("http", "::1", 81, "/a/b")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[str, str, int, str]) -> None:
    address = ServiceAddress.parse(url)
    assert (address.scheme, address.host, address.port, address.path) == parts
    assert str(address) == url.lower().rstrip("/")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must start with"),
        ("host", "must start with"),
        ("ftp://host", "must start with"),
        ("https://user:hidden#x@host", "no #"),
        ("https://user:hidden?x@host", "no [?]"),
        ("https://user:hidden/x@host", "port that is none"),
        ("https://user:hidden@[host", "no host"),
        ("https://user:hidden@h\u2100st", "no host"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://a b", "no host"),
        ("https://host:many", "port"),
        ("https://host:99999", "port"),
        ("https://host/?a=1", "no \\?"),
        ("https://host/#a", "no \\?"),
        ("https://user:hidden@host", "access_token"),
        ("ftp://hidden@host", "access_token"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        ServiceAddress.parse(url)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_this_machine_is_known_by_name(host: str, is_loopback: bool) -> None:
    assert ServiceAddress.parse(f"http://{host}").is_loopback is is_loopback


def test_a_secret_is_taken_out_before_the_words_are_shortened() -> None:
    def hide(text: str) -> str:
        return text.replace("s3cret-password", "<it>")

    for padding in range(270, 310):
        words = f"{'x' * padding}s3cret-password"
        for body, kind in ((json.dumps(words), "application/json"), (words, "text/plain")):
            told = status_failure(400, kind, None, body.encode(), hide).what
            assert "s3" not in told
        told = status_failure(302, "", f"https://host.example/{words}", b"", hide).what
        assert "s3" not in told
