"""Certificates for tests, made when they are needed: an authority, and what it vouches for."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """An authority of our own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.file = self._write("authority", self._authority.cert_pem)
        """Its own certificate."""

    def server(self, *names: str, demands: Authority | None = None) -> ssl.SSLContext:
        """The context of a server of these names.

        `demands` is who must vouch for its clients; they need no certificate without it.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(*names).configure_cert(context)
        if demands is not None:
            context.load_verify_locations(demands.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, name: str = "client") -> Path:
        """A certificate for a client, with its key, in one file."""
        issued = self._authority.issue_cert(f"{name}@runtime.example")
        return self._write(name, issued.private_key_and_cert_chain_pem)

    def client_pair(self, name: str = "pair") -> tuple[Path, Path]:
        """A certificate for a client, and its key, in two files."""
        issued = self._authority.issue_cert(f"{name}@runtime.example")
        certificate = self._write(f"{name}-cert", issued.cert_chain_pems[0])
        return certificate, self._write(f"{name}-key", issued.private_key_pem)

    def _write(self, name: str, blob: trustme.Blob) -> Path:
        path = self._folder / f"{name}-{id(self):x}.pem"
        blob.write_to_path(path)
        return path
