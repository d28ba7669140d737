"""Makes the socket of one connection: name look-up, TCP, a proxy's way through, TLS."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from adapters.drivers.loop import Loop, TimerHandle
from adapters.drivers.workers import WorkerPool
from adapters.http.tunnel import Tunnel, TunnelOpen, TunnelRefused
from adapters.proxy import Proxy
from adapters.tls import certificate_fault, tls_fault
from adapters.transport import StreamEndpoint, StreamFile
from runtime_core.errors import TransportError

TUNNEL_BYTES = 4096
"""How much of a proxy's answer is read at a time."""

BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket raises that has nothing to read, or takes nothing, at the moment."""

_KEEP_ALIVE = (
    ("TCP_KEEPIDLE", 20),  # seconds
    ("TCP_KEEPALIVE", 20),  # the same on macOS
    ("TCP_KEEPINTVL", 20),  # seconds
    ("TCP_KEEPCNT", 3),
)

Address: TypeAlias = tuple[int, int, int, str, Any]


class Connector:
    """Connects to one endpoint. Lives on the loop's thread.

    Args:
        loop: where it lives.
        workers: do what blocks: what the endpoint prepares, and the name look-up.
        endpoint: where to, and how.
        timeout: the seconds that the owner gives it; an address that does not answer gets a part
            of them.
        connected: gets the socket, which does not block and is not watched, and is the owner's
            from then on.
        failed: hears why there is none; nothing follows.
    """

    def __init__(
        self,
        loop: Loop,
        workers: WorkerPool,
        endpoint: StreamEndpoint,
        timeout: float,
        connected: Callable[[socket.socket], None],
        failed: Callable[[TransportError], None],
    ) -> None:
        self._loop = loop
        self._endpoint = endpoint
        self._timeout = timeout
        self._connected = connected
        self._failed = failed
        self._socket: socket.socket | None = None
        self._addresses: list[Address] = []
        self._outgoing = bytearray()
        self._tunnel: Tunnel | None = None
        self._step = self._on_connected
        self._patience = timeout
        self._attempt: TimerHandle | None = None
        self._is_stopped = False
        # Name resolution blocks and cannot be interrupted: never on the loop.
        workers.submit(self._resolve)

    @property
    def missing(self) -> str:
        """What has not come yet, in words."""
        if self._tunnel is None or self._endpoint.proxy is None:
            return "it did not open"
        return f"the proxy {self._endpoint.proxy.netloc} did not answer"

    def stop(self) -> None:
        """Let go of everything; nothing is told any more. May be repeated."""
        self._is_stopped = True
        self._end_attempt()
        self._drop_socket()

    def after_fork(self) -> None:
        """In the child of a fork: let go of the parent's socket, without the parent's loop."""
        self._is_stopped = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def _first(self) -> tuple[str, int]:
        """Where to connect to: the proxy, or the service itself."""
        way = self._endpoint.proxy or self._endpoint
        return way.host, way.port

    @property
    def _whose(self) -> str:
        """How messages call what answers first, in the genitive."""
        proxy = self._endpoint.proxy
        return f"the proxy {proxy.netloc}'s" if proxy else "its"

    def _resolve(self) -> None:
        """On a worker: prepare what there is to prepare, look the host up."""
        try:
            if self._endpoint.prepare is not None:
                self._endpoint.prepare()
        except Exception as error:  # of whoever made the endpoint
            unready = error
            self._loop.call_soon(lambda: self._on_unready(unready))
            return
        host, port = self._first
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            what, failure = f"{self._whose} name was not found: {error}", error
            self._loop.call_soon(lambda: self._fail(what, failure))
            return
        self._loop.call_soon(lambda: self._connect(found))

    def _on_unready(self, error: Exception) -> None:
        if isinstance(error, TransportError):
            self._tell(error)
        else:
            self._fail(f"it could not be prepared: {error}", error)

    def _connect(self, addresses: Sequence[Address]) -> None:
        if self._is_stopped:
            return
        self._addresses = list(addresses)
        # One that does not answer must leave time for those after it.
        self._patience = self._timeout / (len(addresses) + 1)
        self._try_next(OSError(errno.EADDRNOTAVAIL, "it has no address"))

    def _try_next(self, last: OSError) -> None:
        """Connect to the next address; the last error tells why if there is none."""
        self._drop_socket()
        self._end_attempt()
        if not self._addresses:
            proxy = self._endpoint.proxy
            place = f" to the proxy {proxy.netloc}" if proxy else ""
            self._fail(f"no connection{place}: {last}", last)
            return
        family, kind, protocol, _, address = self._addresses.pop(0)
        try:
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(self._socket)
            code = self._socket.connect_ex(address)
        except OSError as error:
            self._try_next(error)
            return
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._try_next(OSError(code, errno.errorcode.get(code, "unknown error")))
            return
        self._step = self._on_connected
        self._attempt = self._loop.call_later(self._patience, self._on_no_answer)
        self._watch(selectors.EVENT_WRITE)

    def _on_no_answer(self) -> None:
        self._try_next(TimeoutError(errno.ETIMEDOUT, "it does not answer"))

    def _end_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    def _on_connected(self) -> None:
        assert self._socket is not None
        self._end_attempt()
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._try_next(OSError(code, errno.errorcode.get(code, "unknown error")))
            return
        if self._endpoint.proxy is None:
            self._secure(self._socket)
        else:
            self._ask_for_a_way(self._endpoint.proxy)

    def _ask_for_a_way(self, proxy: Proxy) -> None:
        """Have the proxy connect to the service."""
        endpoint = self._endpoint
        if proxy.scheme != "http":
            self._fail(f"the proxy {proxy.netloc} wants TLS, with which no stream goes by it", None)
            return
        try:
            self._tunnel = Tunnel(endpoint.host, endpoint.port, proxy.authorization)
        except ValueError as error:
            self._fail(f"the proxy {proxy.netloc} cannot be asked: {error}", error)
            return
        self._outgoing += self._tunnel.request
        self._step = self._on_tunnel
        self._on_tunnel()

    def _on_tunnel(self) -> None:
        """Write what is left of the question; read the answer, which comes after it."""
        assert self._socket is not None
        assert self._tunnel is not None
        try:
            if self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing)]
            else:
                self._take_answer(self._tunnel, self._socket, self._socket.recv(TUNNEL_BYTES))
                return
        except BLOCKED:
            pass
        except OSError as error:
            self._fail(f"{self._whose} connection broke: {error}", error)
            return
        self._watch(selectors.EVENT_WRITE if self._outgoing else selectors.EVENT_READ)

    def _take_answer(self, tunnel: Tunnel, sock: socket.socket, data: bytes) -> None:
        match tunnel.receive(data):
            case None:
                return
            case TunnelOpen():
                self._tunnel = None
                self._secure(sock)
            case TunnelRefused(what, retryable, advice, retry_after):
                assert self._endpoint.proxy is not None
                # Its status is not the service's, which has not been asked.
                where, proxy = place(self._endpoint), self._endpoint.proxy.netloc
                message = f"The stream from {where} failed: the proxy {proxy} {what}. {advice}"
                self._tell(TransportError(message.rstrip(), None, retryable, retry_after))

    def _secure(self, sock: socket.socket) -> None:
        if self._endpoint.tls is None:
            self._hand_over()
            return
        # The new socket takes the number of the old one over.
        self._watch(0)
        try:
            self._socket = self._endpoint.tls.wrap_socket(
                sock, server_hostname=self._endpoint.host, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            self._fail(f"TLS could not be started: {error}", error)
            return
        self._step = self._on_handshake
        self._on_handshake()

    def _on_handshake(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._watch(selectors.EVENT_WRITE)
        except ssl.SSLError as error:
            fault = tls_fault(error)
            self._fail(str(fault), error, retryable=fault.retryable)
        except OSError as error:
            self._fail(f"the connection broke in the TLS handshake: {error}", error)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        assert self._socket is not None
        self._watch(0)
        made, self._socket = self._socket, None
        self._is_stopped = True
        self._connected(made)

    # ---- the end -------------------------------------------------------------------------------

    def _fail(self, what: str, cause: Exception | None, *, retryable: bool = True) -> None:
        self._tell(stream_failure(place(self._endpoint), what, cause, retryable=retryable))

    def _tell(self, error: TransportError) -> None:
        if not self._is_stopped:
            self.stop()
            self._failed(error)

    def _watch(self, mask: int) -> None:
        if self._socket is not None:
            self._loop.watch(self._socket, mask, self._on_event)

    def _on_event(self, _mask: int) -> None:
        self._step()

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._watch(0)
            self._socket.close()
            self._socket = None


def keep_alive(sock: socket.socket) -> None:
    """Have the system find out when a peer is gone: a protocol without pings cannot.

    After 20 seconds without a word it asks, each 20 seconds, and gives up after the third time.
    Where a system has no such option, its own times hold.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            # It may be named and not be there, on an old Windows or in a sandbox: no reason not to
            # connect.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def place(stream: StreamEndpoint | StreamFile) -> str:
    """Where a stream comes from, for messages."""
    if isinstance(stream, StreamFile):
        return f"a file ({type(stream.file).__name__})"
    return f"{stream.host}:{stream.port}"


def stream_failure(
    where: str, what: str, cause: Exception | None, *, retryable: bool = True
) -> TransportError:
    """Build the error of a stream that failed."""
    # Reading may fail, too, since the service does not accept our certificate.
    fault = certificate_fault(cause) if isinstance(cause, ssl.SSLError) else None
    if fault is not None:
        what, retryable = str(fault), fault.retryable
    error = TransportError(f"The stream from {where} failed: {what}.", retryable=retryable)
    error.__cause__ = cause
    return error
