"""TLS, for requests and streams alike: whom they trust, what they show, how they are refused."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
from authorities import Authority
from scripted_server import ScriptedServer, answer
from stream_service import Peer, StreamService, completed_after, silent

from adapters import RuntimeClient, RuntimeJob, RuntimeService, RuntimeWebsocketClient
from adapters.tls import client_context
from runtime_core import polling
from runtime_core.errors import TransportError

TOKEN = "s3cr3t-t0k3n"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_RETRY", 0.05)


@attrs.frozen
class Authorities:
    """Ours, and one that a server trusts for its clients, and one that nobody knows."""

    ours: Authority
    clients: Authority
    strange: Authority


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("authorities")
    return Authorities(Authority(folder), Authority(folder), Authority(folder))


Fails: TypeAlias = Callable[..., TransportError]
"""Speaks with a server on this machine that has this context, and gives the error."""


def requests_fail(server: ssl.SSLContext, **options: Any) -> TransportError:
    with (
        ScriptedServer(answer(), tls=server) as service,
        RuntimeClient(service.url, TOKEN, **options) as client,
    ):
        with pytest.raises(TransportError) as submitted:
            client.program_run("p")
        assert str(submitted.value).endswith("It was not sent.")
        with pytest.raises(TransportError) as caught:
            client.job_get("j1")
        assert service.received == []  # the token has not left us
        return caught.value


def streams_fail(server: ssl.SSLContext, **options: Any) -> TransportError:
    """The requests go another way, so that it is the stream that fails."""
    with StreamService(silent, tls=server) as secure, StreamService() as plain:
        plain.status = completed_after(2)
        streams = RuntimeWebsocketClient(secure.url, TOKEN, resume="offset", **options)
        with (
            RuntimeClient(plain.url, TOKEN) as client,
            plain.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
        ):
            with pytest.raises(TransportError) as caught:
                list(job.interim_results())
            assert job.result(timeout=10) == "the result"
        assert secure.requests == []  # the token has not left us
        return caught.value


@pytest.fixture(params=[requests_fail, streams_fail], ids=["requests", "streams"])
def fails(request: pytest.FixtureRequest) -> Fails:
    kind: Fails = request.param
    return kind


def refused(error: TransportError, *words: str) -> None:
    """Hold an error to what it must say, and that it is no use to try again."""
    for each in words:
        assert each in str(error)
    assert not error.retryable
    assert error.status_code is None


# ---- whom we trust -------------------------------------------------------------------------


def test_an_authority_that_nobody_knows(fails: Fails, authorities: Authorities) -> None:
    server = authorities.strange.server("localhost")
    error = fails(server, ca_certs=authorities.ours.file)
    refused(error, "certificate was not accepted", "give its authority as ca_certs")


def test_the_systems_authorities_do_not_know_it_either(
    fails: Fails, authorities: Authorities
) -> None:
    error = fails(authorities.ours.server("localhost"))
    refused(error, "certificate was not accepted", "give its authority as ca_certs")


def test_a_certificate_for_another_name(fails: Fails, authorities: Authorities) -> None:
    server = authorities.ours.server("elsewhere.example", "127.0.0.1")
    error = fails(server, ca_certs=authorities.ours.file)
    refused(error, "certificate was not accepted", "localhost")


def test_a_context_that_is_given_is_used_as_it_is(fails: Fails, authorities: Authorities) -> None:
    context = client_context(authorities.strange.file)
    error = fails(authorities.ours.server("localhost"), tls=context)
    refused(error, "certificate was not accepted")


def test_tls_where_there_is_none() -> None:
    def answer_in_the_clear() -> None:
        while not through.is_set():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    through = threading.Event()

    with StreamService() as plain, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_in_the_clear)
        thread.start()
        url = f"wss://127.0.0.1:{listener.getsockname()[1]}"
        streams = RuntimeWebsocketClient(url, TOKEN, resume="offset")
        plain.status = completed_after(2)
        with (
            RuntimeClient(plain.url, TOKEN) as client,
            plain.watched(RuntimeJob("b", client, streams, "j1", "p")) as job,
        ):
            with pytest.raises(TransportError) as caught:
                list(job.interim_results())
            refused(caught.value, "TLS failed", "Does the service speak TLS on this port?")
        through.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()


# ---- who we are ----------------------------------------------------------------------------

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(params=VERSIONS)
def demanding(request: pytest.FixtureRequest, authorities: Authorities) -> ssl.SSLContext:
    """A server that wants to see a certificate, by one version of TLS."""
    context = authorities.ours.server("localhost", demands=authorities.clients)
    context.minimum_version = context.maximum_version = VERSIONS[request.param]
    return context


def test_a_server_that_demands_a_certificate_gets_none(
    fails: Fails, demanding: ssl.SSLContext, authorities: Authorities
) -> None:
    error = fails(demanding, ca_certs=authorities.ours.file)
    refused(error, "client certificate", "Give it as client_cert")


def test_a_server_that_demands_a_certificate_gets_another(
    fails: Fails, demanding: ssl.SSLContext, authorities: Authorities
) -> None:
    error = fails(
        demanding, ca_certs=authorities.ours.file, client_cert=authorities.strange.client()
    )
    refused(error, "did not accept the client certificate", "Check client_cert")


@pytest.mark.parametrize("how", ["one file", "two files", "context"])
def test_a_certificate_is_shown_to_who_demands_it(
    demanding: ssl.SSLContext, authorities: Authorities, how: str
) -> None:
    def play(peer: Peer) -> None:
        peer.accept()
        peer.send(*["1"][peer.after :])
        service.status = "Completed"
        peer.close()

    trusted = authorities.ours.file
    options: dict[str, Any] = {"ca_certs": trusted, "client_cert": authorities.clients.client()}
    if how == "two files":
        options["client_cert"] = authorities.clients.client_pair()
    elif how == "context":
        options = {"tls": client_context(**options)}
    with (
        StreamService(play, tls=demanding) as service,
        RuntimeService(service.url, TOKEN, resume="offset", **options) as client,
        service.watched(client.job("j1")) as job,
    ):
        assert list(job.interim_results()) == [1]
        assert job.result(timeout=10) == "the result"


# ---- arguments -----------------------------------------------------------------------------

URL = "https://host.example"


@pytest.mark.parametrize("make", [RuntimeClient, RuntimeWebsocketClient, RuntimeService])
def test_a_context_is_given_alone(make: Any, authorities: Authorities) -> None:
    context = ssl.create_default_context()
    for more in ({"ca_certs": authorities.ours.file}, {"client_cert": authorities.ours.client()}):
        with pytest.raises(ValueError, match="tls is used as it is"):
            make(URL, TOKEN, tls=context, **more)


@pytest.mark.parametrize("make", [RuntimeClient, RuntimeWebsocketClient, RuntimeService])
def test_a_certificate_that_cannot_be_read(
    make: Any, authorities: Authorities, tmp_path: Path
) -> None:
    nothing = tmp_path / "none.pem"
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    certificate, key = authorities.clients.client_pair("one")
    _, other_key = authorities.clients.client_pair("other")
    for given in (nothing, nonsense, certificate, (certificate, other_key), (nothing, key)):
        with pytest.raises(OSError):
            make(URL, TOKEN, client_cert=given)
    with pytest.raises(OSError):
        make(URL, TOKEN, ca_certs=nothing)
    make(URL, TOKEN, client_cert=(str(certificate), str(key)))


def test_an_encrypted_key_is_not_asked_for_on_the_terminal(
    authorities: Authorities, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    certificate, key = authorities.clients.client_pair("encrypted")
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(ValueError, match="encrypted"):
        RuntimeClient(URL, TOKEN, client_cert=(certificate, encrypted))


def test_plain_http_needs_no_certificates(tmp_path: Path) -> None:
    with RuntimeClient("http://localhost", TOKEN, ca_certs=tmp_path / "none.pem") as client:
        assert client.tls is None
    with RuntimeClient("http://localhost", TOKEN, tls=ssl.create_default_context()) as client:
        assert client.tls is None


def test_requests_and_streams_of_a_service_share_a_context(authorities: Authorities) -> None:
    with RuntimeClient(URL, TOKEN, ca_certs=authorities.ours.file) as client:
        assert client.tls is not None
        assert RuntimeWebsocketClient.of(client)._access is client.access
