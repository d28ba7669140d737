"""How a service is reached, by requests and by streams: address, token, TLS, proxy."""

from __future__ import annotations

import ssl
from typing import Self

import attrs

from adapters.defaults import ENVIRONMENT
from adapters.http.address import ServiceAddress
from adapters.http.credentials import Credentials, TokenProvider
from adapters.proxy import Proxy, proxy_for
from adapters.tls import ClientCert, FilePath, client_context


@attrs.frozen
class ServiceAccess:
    """The way to a service, for all that speaks with it."""

    address: ServiceAddress
    """Where it is."""
    credentials: Credentials
    """What it wants to see."""
    tls: ssl.SSLContext | None
    """How connections to it are secured; None for plain http."""
    proxy: Proxy | None
    """What leads to it; None for direct connections."""
    proxy_tls: ssl.SSLContext | None
    """How the way to the proxy itself is secured; None if it is not."""

    @classmethod
    def of(
        cls,
        url: str,
        access_token: str | None,
        token_provider: TokenProvider | None = None,
        *,
        ca_certs: FilePath | None = None,
        client_cert: ClientCert | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = ENVIRONMENT,
    ) -> Self:
        """Make it of what a client is given; see `RuntimeClient`.

        Raises:
            ValueError: if one of them cannot be.
            OSError: if a certificate cannot be read.
        """
        address = ServiceAddress.parse(url)
        credentials = Credentials(access_token, token_provider)
        if tls is not None and (ca_certs is not None or client_cert is not None):
            raise ValueError("tls is used as it is: load ca_certs and client_cert into it.")
        if address.is_tls and tls is None:
            tls = client_context(ca_certs, client_cert)
        way = proxy_for(address, proxy)
        # The service's client certificate is not for the proxy.
        proxy_tls = client_context(ca_certs) if way and way.scheme == "https" else None
        return cls(address, credentials, tls if address.is_tls else None, way, proxy_tls)

    @property
    def via(self) -> str:
        """What leads to it, to follow its name in a message."""
        return f" by the proxy {self.proxy.netloc}" if self.proxy else ""

    def hidden(self, text: str) -> str:
        """Give a text of the service's or of the proxy's, without the secrets that we sent them."""
        text = self.credentials.hidden(text)
        return self.proxy.hidden(text) if self.proxy else text
