"""TLS: how connections to a service are secured, and what it means when that fails."""

from __future__ import annotations

import os
import ssl
from typing import Final, TypeAlias

import attrs

FilePath: TypeAlias = str | os.PathLike[str]
"""Where a file is."""

ClientCert: TypeAlias = FilePath | tuple[FilePath, FilePath]
"""A PEM file with a certificate and its key, or one for each: the certificate's, the key's."""

_WANTED: Final = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED"})
_UNWANTED: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
    }
)
"""What OpenSSL calls the alerts about a certificate of ours (RFC 8446, section 6.2)."""

_NO_SHARED_TERMS: Final = "SSLV3_ALERT_HANDSHAKE_FAILURE"
"""The alert by which TLS 1.2 tells, among other things, that a certificate is missing."""


def client_context(
    ca_certs: FilePath | None = None, client_cert: ClientCert | None = None
) -> ssl.SSLContext:
    """Make a context that checks certificates and host names.

    `ca_certs` is a PEM file of the authorities to trust, None for the system's; `client_cert` is
    shown to services that ask for one.

    Raises:
        OSError: if a file cannot be read, or is not what it should be.
        ValueError: if the key is encrypted.
    """
    context = ssl.create_default_context(cafile=ca_certs)
    if client_cert is not None:
        cert, key = client_cert if isinstance(client_cert, tuple) else (client_cert, None)
        context.load_cert_chain(cert, key, _refuse_to_ask)
    return context


def _refuse_to_ask() -> str:
    # OpenSSL would ask on the terminal.
    raise ValueError(
        "The key of client_cert is encrypted: load it into a context of your own, given as tls."
    )


@attrs.frozen
class TlsFault:
    """One way in which TLS failed."""

    what: str
    """What happened, in words."""
    retryable: bool
    """Whether it may well go better a little later."""
    arrived: bool
    """Whether the service may have read what was sent."""
    advice: str = ""
    """What to do, as a sentence; empty if that is not known."""

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}. {self.advice}".rstrip(" .")


def tls_fault(error: object) -> TlsFault:
    """Say what a failure of TLS means."""
    if isinstance(error, ssl.SSLError) and (fault := certificate_fault(error)):
        return fault
    if isinstance(error, ssl.SSLEOFError):
        return TlsFault("the TLS connection was cut", True, True)
    if getattr(error, "reason", None) == _NO_SHARED_TERMS:
        advice = "Does the service demand a client certificate? Give it as client_cert."
        return TlsFault(f"TLS failed: {error}", False, False, advice)
    return TlsFault(f"TLS failed: {error}", False, True, "Does the service speak TLS on this port?")


def certificate_fault(error: ssl.SSLError) -> TlsFault | None:
    """Say what is wrong with a certificate, theirs or ours; None if it is something else.

    In TLS 1.3 a service tells only after the handshake that it misses ours, or does not accept it:
    then reading fails (RFC 8446, section 4.4.2.4). It has read nothing by then.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = "If the service has a certificate of its own, give its authority as ca_certs."
        why = getattr(error, "verify_message", "") or error
        return TlsFault(f"its TLS certificate was not accepted: {why}", False, False, advice)
    reason = getattr(error, "reason", None)
    if reason in _WANTED:
        advice = "Give it as client_cert."
        return TlsFault("it demands a client certificate", False, False, advice)
    if reason in _UNWANTED:
        what = f"it did not accept the client certificate: {reason}"
        return TlsFault(what, False, False, "Check client_cert.")
    return None
