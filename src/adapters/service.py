"""`RuntimeService`: where jobs are submitted and found again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.closing import Closing
from adapters.http.client import RuntimeClient
from adapters.http.transport import StreamClient
from adapters.job import InterimCallback, RuntimeJob
from adapters.programs import program_name, read_source
from adapters.services.ibm_legacy import as_promised, status_event
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder, choose_decoder
from runtime_core.documents import JobDocument, read_job, read_job_page
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import JobQueued, UnknownStatusReported
from runtime_core.states import JobState
from runtime_core.tagged_json import encode_tagged

if TYPE_CHECKING:
    from adapters.local.service import LocalRuntimeService

_OPTIONS = frozenset({"backend_name", "image", "log_level"})


class RuntimeService(Closing):
    """A runtime service: submits programs as jobs, and finds jobs again.

    Thread-safe. `close()` it, or use it in a `with`: that closes its connections; jobs made by it
    can then no longer ask, and go on at the service.

    Args:
        url: where the service is.
        access_token: the token that it wants to see.
        decoders: the decoders of programs, for all jobs of this service.
        resume: what its streams do on a reconnect, see `RuntimeWebsocketClient`.
        streams_result: whether its streams carry the final result too, see there.
        on_unknown_status: what a status word that nobody knows is taken for; None raises
            `UnknownStatusError` to whoever waits.
        ca_certs: a PEM file of the authorities to trust; None for the system's.

    Raises:
        ValueError: if `url` is not one of a service, or `access_token` cannot be sent.
        OSError: if `ca_certs` cannot be read.
    """

    def __init__(
        self,
        url: str,
        access_token: str,
        *,
        decoders: DecoderRegistry | None = None,
        resume: str = "live",
        streams_result: bool | None = None,
        on_unknown_status: JobState | None = None,
        ca_certs: str | os.PathLike[str] | None = None,
    ) -> None:
        client = RuntimeClient(url, access_token, ca_certs=ca_certs)
        streams = RuntimeWebsocketClient(
            url,
            access_token,
            resume=resume,
            streams_result=streams_result,
            tls=client.tls,
        )
        self._set_up(client, streams, decoders, on_unknown_status)

    def _set_up(
        self,
        client: RuntimeClient,
        streams: StreamClient,
        decoders: DecoderRegistry | None,
        on_unknown_status: JobState | None = None,
    ) -> None:
        self._client = client
        self._streams = streams
        self._decoders = DecoderRegistry() if decoders is None else decoders
        self._on_unknown_status = on_unknown_status

    @staticmethod
    def local(
        *,
        data: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        decoders: DecoderRegistry | None = None,
    ) -> LocalRuntimeService:
        """Find the service on this machine, or start it; every process of the user shares it.

        It keeps all that it acknowledged in its data directory. It goes on when this object is
        closed or this process ends, and ends by itself a minute after it had neither clients nor
        unfinished jobs; whoever needs it then starts it again.

        Args:
            data: its data directory; None for the one that the environment variable
                RUNTIME_CORE_DATA names, or else the usual place for the user's data.
            workers: how many jobs run at a time, if this starts it; None for one for each core.
            decoders: the decoders of programs.

        Raises:
            ServiceError: if it does not come up, or the extra `local` is not installed.
        """
        from adapters.local.service import LocalRuntimeService

        return LocalRuntimeService(data=data, workers=workers, decoders=decoders)

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._client.url

    def __repr__(self) -> str:
        return f"<RuntimeService {self.url}>"

    # ---- jobs ----------------------------------------------------------------------------------

    def run(
        self,
        program_id: str,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Any] = ResultDecoder,
    ) -> RuntimeJob:
        """Submit a job.

        Args:
            program_id: the program to run.
            options: `backend_name`, `image` and `log_level`, each if wanted.
            inputs: what the program's `main` gets as keyword arguments.
            callback: gets the interim results: job id and decoded interim result.
            result_decoder: decodes the job's results.

        Raises:
            UsageError: if there is an unknown option, or `result_decoder` is no decoder.
            EncodeError: if the inputs cannot be written as tagged JSON.
            TransportError: if the service did not take the job, or did not say so. The message
                says whether it may have arrived; it is never submitted again behind your back.
        """
        chosen = dict(options or {})
        unknown = sorted(map(str, chosen.keys() - _OPTIONS))
        if unknown:
            raise UsageError(
                f"unknown options {', '.join(unknown)}: there are {', '.join(sorted(_OPTIONS))}"
            )
        # Before the job is there: nobody would learn its id from a refusal.
        choose_decoder(program_id, self._decoders, None, result_decoder)
        given = dict(inputs or {})
        backend = chosen.get("backend_name")
        answer = self._client.program_run(
            program_id,
            backend,
            given,
            image=chosen.get("image") or "",
            log_level=chosen.get("log_level"),
        )
        return RuntimeJob(
            backend,
            self._client,
            self._streams,
            answer["id"],
            program_id,
            given,
            None,
            callback,
            result_decoder,
            decoders=self._decoders,
            on_unknown_status=self._on_unknown_status,
            initial=JobQueued(),
        )

    def job(self, job_id: str) -> RuntimeJob:
        """Find a job again.

        Raises:
            TransportError: if the service does not know it (status 404), or cannot be asked.
        """
        return self._found(as_promised(read_job, self._client.job_get(job_id)))

    def jobs(
        self,
        limit: int = 10,
        skip: int = 0,
        pending: bool | None = None,
        program_id: str | None = None,
    ) -> list[RuntimeJob]:
        """Find jobs, the newest first.

        Args:
            limit: how many at most.
            skip: how many of the newest to leave out.
            pending: only those that have not ended (True), only those that have (False), or both.
            program_id: only jobs of this program.

        Raises:
            TransportError: if the service cannot be asked.
        """
        page = self._client.jobs_get(limit, skip, pending, program_id)
        return [self._found(document) for document in as_promised(read_job_page, page).jobs]

    # ---- programs ------------------------------------------------------------------------------

    def upload_program(
        self,
        data: str | bytes | os.PathLike[str],
        metadata: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> str:
        """Upload a program and give its id.

        Args:
            data: the path of a Python file, or of a folder with a `main` module; the name of a
                module, which must be there for the Python that runs the job; or the source itself:
                bytes, or text with a line break.
            metadata: a dict, or the path of a JSON file, with `name`, `description`,
                `max_execution_time` (seconds), `is_public` and `spec`, each if wanted. Without a
                name one is made of the file's and the content: the same program uploaded again is
                the same program.

        Raises:
            UsageError: if a file cannot be read, there is no `main`, or the name is no text.
            TransportError: if the service did not take it (status 409: it has another one of that
                name).
        """
        facts = _facts(metadata)
        source = read_source(data)
        given = facts.pop("name", None)
        if given is not None and not (isinstance(given, str) and given):
            raise UsageError("the name of a program must be a text that is not empty")
        name = given or program_name(data, source, encode_tagged(facts))
        try:
            answer = self._client.program_create(
                name,
                source,
                max_execution_time=facts.get("max_execution_time", 3600),
                description=facts.get("description", ""),
                is_public=facts.get("is_public", False),
                spec=facts.get("spec"),
            )
        except TransportError as error:
            if given or error.status_code != 409:
                raise
            return name  # the name says what is in it
        return str(answer["id"])

    # ---- the object ----------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _found(self, document: JobDocument) -> RuntimeJob:
        said = status_event({"status": document.status})
        return RuntimeJob(
            document.backend,
            self._client,
            self._streams,
            document.id,
            document.program_id,
            decoders=self._decoders,
            on_unknown_status=self._on_unknown_status,
            initial=None if isinstance(said, UnknownStatusReported) else said,
            document=document,
        )


def _facts(metadata: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    if metadata is None:
        return {}
    return dict(metadata) if isinstance(metadata, Mapping) else _read_metadata(metadata)


def _read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"the metadata cannot be read from {os.fspath(path)}: {error}") from error
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the metadata in {os.fspath(path)} are not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise UsageError(f"the metadata in {os.fspath(path)} must be a JSON object")
    return facts
