"""Which proxy leads to a service: the one that is given, or the one of the environment."""

from __future__ import annotations

import base64
import os
import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import attrs

from adapters.defaults import ENVIRONMENT
from adapters.http.address import ServiceAddress

_FORM: Final = "write it as http://host:port or http://user:password@host:port"
_HOST: Final = re.compile(r"[A-Za-z0-9._~:%-]+")


@attrs.frozen
class Proxy:
    """An HTTP proxy."""

    scheme: str
    """`http`, or `https` if the way to the proxy itself is secured by TLS."""
    host: str
    """A name or an address, without brackets."""
    port: int
    """The TCP port."""
    authorization: str = attrs.field(default="", repr=False)
    """The `Proxy-Authorization` that it gets; empty for none."""
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    """What no message may hold."""

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Take the URL of a proxy apart. Without a scheme it is ``http``.

        User and password are percent-encoded in it, and are sent as `Basic` (RFC 7617).

        Raises:
            ValueError: if it is no http or https URL of a host. It is not quoted.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            # Not chained: it quotes what may be a password.
            raise ValueError(f"The proxy's URL is none: {_FORM}.") from None
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"The proxy is none for HTTP: {_FORM}.")
        if not _HOST.fullmatch(host) or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"The proxy's URL is more, or less, than host and port: {_FORM}.")
        if parts.fragment:
            raise ValueError(f"The proxy's URL holds a #: percent-encode it, and {_FORM}.")
        default = 443 if parts.scheme == "https" else 80
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        authorization, secrets = _basic(user, password) if parts.username is not None else ("", ())
        return cls(parts.scheme, host, port or default, authorization, secrets)

    @property
    def netloc(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its URL, without user and password."""
        return f"{self.scheme}://{self.netloc}"

    def hidden(self, text: str) -> str:
        """Give a text of somebody else's, without the password in it."""
        for secret in self.secrets:
            text = text.replace(secret, "<proxy password>")
        return text


def proxy_for(address: ServiceAddress, proxy: str | None) -> Proxy | None:
    """Give the proxy that leads to a service; None if connections are made directly.

    `proxy` is the URL of a proxy, None for no proxy, or `ENVIRONMENT`.

    Raises:
        ValueError: if the proxy's URL is none; it is not quoted.
    """
    if proxy is None:
        return None
    if proxy != ENVIRONMENT:
        return Proxy.parse(proxy)
    url = _of_environment(address)
    if not url:
        return None
    try:
        return Proxy.parse(url)
    except ValueError as error:
        raise ValueError(
            f"The environment's proxy for {address.scheme} cannot be used. {error} "
            "Or say by proxy= which one to use; proxy=None uses none."
        ) from None


def _of_environment(address: ServiceAddress) -> str | None:
    """Read `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, as most programs do.

    All but the first may be in capitals: a web server makes `HTTP_PROXY` of a header that anybody
    may send. Nothing on this machine is asked by a proxy, which could not reach it.
    """
    if address.is_loopback:
        return None
    # Only when it is needed: it loads much.
    import urllib.request as environment

    proxies: dict[str, str] = environment.getproxies_environment()
    if not os.environ.get("http_proxy"):
        proxies.pop("http", None)
    # Both forms: in the list of exceptions an IPv6 address stands without its brackets.
    host = f"[{address.host}]" if ":" in address.host else address.host
    names = (f"{host}:{address.port}", address.host)
    is_excepted = environment.proxy_bypass_environment  # type: ignore[attr-defined] # in no stub
    if any(is_excepted(name, proxies) for name in names):
        return None
    return proxies.get(address.scheme) or proxies.get("all")


def _basic(user: str, password: str) -> tuple[str, tuple[str, ...]]:
    if ":" in user:
        raise ValueError("The user of a proxy cannot hold a colon.")
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    forms = {encoded, password, quote(password, safe=""), quote(password)}
    # The longest first: one may be a part of another.
    return f"Basic {encoded}", tuple(sorted(filter(None, forms), key=len, reverse=True))
