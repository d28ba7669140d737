"""Which proxy is taken: the one of the argument, the one of the environment, or none."""

from __future__ import annotations

import base64

import pytest

from adapters.defaults import ENVIRONMENT
from adapters.http.address import ServiceAddress
from adapters.proxy import Proxy, proxy_for

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def chosen(url: str, proxy: str | None = ENVIRONMENT) -> str | None:
    """The URL of the proxy that leads to a service."""
    found = proxy_for(ServiceAddress.parse(url), proxy)
    return found.url if found else None


# ---- the URL of a proxy --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("http://proxy.example:3128", "http", "proxy.example", 3128),
        ("http://proxy.example:3128/", "http", "proxy.example", 3128),
        ("HTTP://Proxy.Example", "http", "proxy.example", 80),
        ("https://proxy.example", "https", "proxy.example", 443),
        ("proxy.example:3128", "http", "proxy.example", 3128),
        ("10.0.0.1:3128", "http", "10.0.0.1", 3128),
        ("http://[2001:db8::1]:3128", "http", "2001:db8::1", 3128),
        ("user:password@proxy.example:3128", "http", "proxy.example", 3128),
    ],
)
def test_the_url_of_a_proxy(url: str, scheme: str, host: str, port: int) -> None:
    proxy = Proxy.parse(url)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert Proxy.parse(proxy.url) == Proxy(scheme, host, port)


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ("", None),
        ("u:p@", "u:p"),
        ("u@", "u:"),
        ("u:@", "u:"),
        (":p@", ":p"),
        ("u:p%40%3A%2F%20x@", "u:p@:/ x"),
        ("u%40home:p:q@", "u@home:p:q"),
        ("%C3%BC:%C3%A9@", "ü:é"),
    ],
)
def test_user_and_password(user: str, sent: str | None) -> None:
    proxy = Proxy.parse(f"http://{user}proxy.example:3128")
    if sent is None:
        assert proxy.authorization == ""
    else:
        kind, _, encoded = proxy.authorization.partition(" ")
        assert kind == "Basic"
        assert base64.b64decode(encoded).decode() == sent


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http://u:s3cret@",
        "socks5://u:s3cret@proxy.example:1080",
        "ftp://u:s3cret@proxy.example",
        "http://u:s3cret@proxy.example:port",
        "http://u:s3cret@proxy.example:99999",
        "http://u:s3#cret@proxy.example:3128",
        "http://u:s3/cret@proxy.example:3128",
        "http://u:s3?cret@proxy.example:3128",
        "http://u:s3cret@proxy.example:3128/path",
        "http://u:s3cret@proxy.example:3128?query",
        "http://u:s3cret@proxy.example:3128#fragment",
        "http://u:s3cret@[::1",
        "http://u:s3cret@pro xy.example",
        "http://u%3Aser:s3cret@proxy.example",
        "http://u:s3cret@pr\u2100xy.example",
    ],
)
def test_what_is_no_proxy_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        Proxy.parse(url)
    shown = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "s3" not in shown
    assert "cret" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_nothing_shows_the_password() -> None:
    proxy = Proxy.parse("http://user:pa%2Fss%20word@proxy.example:3128")
    encoded = proxy.authorization.removeprefix("Basic ")
    assert repr(proxy) == "Proxy(scheme='http', host='proxy.example', port=3128)"
    assert proxy.url == "http://proxy.example:3128"
    for secret in ("pa/ss word", "pa%2Fss%20word", "pa/ss%20word", encoded):
        assert proxy.hidden(f"a {secret} b") == "a <proxy password> b"


# ---- which one -----------------------------------------------------------------------------


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://environment.example:1")
    monkeypatch.setenv("no_proxy", "*")
    given = "http://argument.example:2"
    assert chosen("https://host.example", given) == given
    assert chosen("https://localhost", given) == given
    assert chosen("https://host.example", None) is None


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({}, None, None),
        ({"http_proxy": "h:1"}, "http://h:1", None),
        ({"HTTP_PROXY": "h:1"}, None, None),  # CVE-2016-5385
        ({"https_proxy": "s:1"}, None, "http://s:1"),
        ({"HTTPS_PROXY": "s:1"}, None, "http://s:1"),
        ({"HTTPS_PROXY": "S:1", "https_proxy": "s:1"}, None, "http://s:1"),
        ({"all_proxy": "a:1"}, "http://a:1", "http://a:1"),
        ({"ALL_PROXY": "a:1"}, "http://a:1", "http://a:1"),
        ({"all_proxy": "a:1", "https_proxy": "s:1"}, "http://a:1", "http://s:1"),
        ({"HTTPS_PROXY": "s:1", "https_proxy": ""}, None, None),
        ({"HTTP_PROXY": "h:1", "http_proxy": "", "all_proxy": "a:1"}, "http://a:1", "http://a:1"),
    ],
)
def test_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], http: str | None, https: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert chosen("http://host.example") == http
    assert chosen("https://host.example") == https


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        ("host.example", "https://host.example", True),
        ("host.example", "https://HOST.example:8443/base", True),
        ("host.example:8443", "https://host.example:8443", True),
        ("host.example:8443", "https://host.example", False),
        ("host.example:443", "https://host.example", True),
        ("example", "https://host.example", True),
        (".example", "https://host.example", True),
        (" other.org , .example ", "https://host.example", True),
        ("ost.example", "https://host.example", False),
        ("host.example", "https://host.example.org", False),
        ("*", "https://host.example", True),
        ("10.0.0.1", "https://10.0.0.1", True),
        ("2001:db8::1", "https://[2001:db8::1]:8443", True),
        ("[2001:db8::1]", "https://[2001:db8::1]:8443", True),
        ("2001:db8::2", "https://[2001:db8::1]", False),
        ("", "https://host.example", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_exceptions_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, no_proxy: str, url: str, excepted: bool
) -> None:
    monkeypatch.setenv("https_proxy", "http://p:1")
    monkeypatch.setenv(name, no_proxy)
    assert chosen(url) == (None if excepted else "http://p:1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "a.localhost"])
def test_this_machine_is_not_asked_by_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://p:1")
    monkeypatch.setenv("all_proxy", "http://p:1")
    assert chosen(f"http://{host}:8000") is None
    assert chosen(f"https://{host}") is None


def test_a_proxy_of_the_environment_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://u:s3cret@proxy.example:1080")
    with pytest.raises(ValueError, match=r"environment's proxy for https .* proxy=None") as caught:
        chosen("https://host.example")
    assert "s3cret" not in str(caught.value)
    assert chosen("https://host.example", None) is None
