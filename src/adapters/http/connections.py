"""urllib3's pools of connections, by a proxy or not, and what ours do otherwise than its own."""

from __future__ import annotations

import http.client
import ssl
from contextlib import suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from adapters.http.access import ServiceAccess


class _Response(http.client.HTTPResponse):
    """An answer of which urllib3 logs nothing: what is no header may be a token, sent back."""

    def begin(self) -> None:
        super().begin()
        self.headers.defects.clear()
        self.headers.set_payload("")


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    """One that still reads what the service said before it closed, as urllib3's does without TLS.

    So a service tells that it wants a certificate of ours: its alert may be there while the request
    is being written.
    """

    response_class = _Response

    def request(self, *args: Any, **more: Any) -> None:
        with suppress(ssl.SSLEOFError):
            super().request(*args, **more)


def new_pool(access: ServiceAccess, size: int) -> urllib3.HTTPConnectionPool:
    """Make a pool that keeps `size` idle connections to a service; it opens none yet."""
    address, proxy = access.address, access.proxy
    pool: urllib3.HTTPConnectionPool
    if proxy is not None:
        manager = urllib3.ProxyManager(
            proxy.url,
            proxy_headers=(
                {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
            ),
            proxy_ssl_context=access.proxy_tls,
            maxsize=size,
            block=False,
            ssl_context=access.tls,
        )
        pool = manager.connection_from_host(address.host, address.port, address.scheme)
    elif access.tls is None:
        pool = urllib3.HTTPConnectionPool(address.host, address.port, maxsize=size, block=False)
    else:
        pool = urllib3.HTTPSConnectionPool(
            address.host, address.port, maxsize=size, block=False, ssl_context=access.tls
        )
    # urllib3's own classes do not fit its protocol for them either, to pyright.
    if isinstance(pool, urllib3.HTTPSConnectionPool):
        pool.ConnectionCls = _TlsConnection  # pyright: ignore[reportAttributeAccessIssue]
    else:
        pool.ConnectionCls = _Connection  # pyright: ignore[reportAttributeAccessIssue]
    return pool
