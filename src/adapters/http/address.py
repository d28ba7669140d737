"""Where a service is: its URL taken apart, and refused early if it cannot be one."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs


@attrs.frozen
class ServiceAddress:
    """The address of a service."""

    scheme: str
    """`http` or `https`."""
    host: str
    """A name or an address, without brackets."""
    port: int
    """The TCP port."""
    path: str
    """What comes before every path of the service, without a slash at its end."""

    @classmethod
    def parse(cls, url: str) -> ServiceAddress:
        """Take the URL of a service apart.

        Raises:
            ValueError: if it is no http or https URL with a host, or holds more than host, port
                and path.
        """
        # Of a URL with an @, which part is a password is only known if it can be taken apart.
        shown = "one with an @" if "@" in url else repr(url)
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(f"The service's URL has no host that could be one: {shown}") from None
        if "@" in parts.netloc:
            raise ValueError(
                "The service's URL holds a user or a password: leave them out, and give the "
                "token as access_token."
            )
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"The service's URL must start with http:// or https://: {shown}")
        if not parts.hostname or not parts.hostname.isprintable() or " " in parts.hostname:
            raise ValueError(f"The service's URL has no host that could be one: {shown}")
        if parts.query or parts.fragment:
            raise ValueError(f"The service's URL must end with its path, no ? and no #: {shown}")
        try:
            port = parts.port
        except ValueError:
            raise ValueError(f"The service's URL has a port that is none: {shown}") from None
        default = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, port or default, parts.path.rstrip("/"))

    @property
    def is_tls(self) -> bool:
        """Whether connections to it are secured by TLS."""
        return self.scheme == "https"

    @property
    def netloc(self) -> str:
        """Host and port as they stand in a URL; the port is left out if it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.is_tls else 80
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, as far as the name alone tells."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"
