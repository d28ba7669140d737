"""The original's `RuntimeJob`: ours, with the original's signature, words and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from adapters.drivers.inbox import Gap
from adapters.drivers.reactor import ThreadReactor
from adapters.http.transport import ApiClient, StreamClient
from adapters.ibmq.errors import failure_text, translating
from adapters.ibmq.status import JobStatus, status_of
from adapters.job import InterimCallback
from adapters.job import RuntimeJob as OurJob
from adapters.status_updates import StatusUpdate
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder
from runtime_core.documents import JobDocument
from runtime_core.events import LifecycleEvent
from runtime_core.observer import Observer
from runtime_core.states import JobState


class RuntimeJob(OurJob):
    """A job of a runtime service, as qiskit-ibmq-provider has it; see `adapters.RuntimeJob`.

    Args:
        backend: where the job runs; given back by `backend()` as it is.
        api_client: does the requests: anything with the original's `job_get`, `job_results` and
            `job_cancel`, and `job_logs` if logs are wanted.
        credentials: with `runtime_url` and `access_token`, they say where the streams are; a
            client of streams may stand here too. None if there are no streams.
        job_id: the job, as its service names it.
        program_id: what the job runs.
        params: the inputs of the job.
        creation_date: when it was submitted, UTC if it says no offset.
        user_callback: gets the interim results: job id and decoded interim result.
        result_decoder: decodes results and interim results.
        image: the image that the program runs in.
        ws_client: knows the streams, in place of `credentials`.
        decoders: the decoders of programs, where `result_decoder` is `ResultDecoder`.
        on_unknown_status: what an unknown status word is taken for.
        initial: what the service said of the job's state a moment ago.
        document: what the service said of the job as a whole.
        observer: see `adapters.RuntimeJob`.
        after: how many interim results were delivered before, see `from_handle`.
        reactor: where the job lives.

    Raises:
        TypeError: if `job_id` or `program_id` is missing.
        RuntimeInvalidStateError: if a `user_callback` is given and there are no streams.
    """

    @translating
    def __init__(
        self,
        backend: Any,
        api_client: ApiClient,
        credentials: Any = None,
        job_id: str | None = None,
        program_id: str | None = None,
        params: Mapping[str, Any] | None = None,
        creation_date: str | datetime | None = None,
        user_callback: InterimCallback | None = None,
        result_decoder: Decoder[Any] = ResultDecoder,
        image: str = "",
        *,
        ws_client: StreamClient | None = None,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
        initial: LifecycleEvent | None = None,
        document: JobDocument | None = None,
        observer: Observer | None = None,
        after: int = 0,
        reactor: ThreadReactor | None = None,
    ) -> None:
        if job_id is None or program_id is None:
            raise TypeError("RuntimeJob needs a job_id and a program_id")
        super().__init__(
            backend,
            api_client,
            _streams(credentials) if ws_client is None else ws_client,
            job_id,
            program_id,
            params,
            creation_date,
            user_callback,
            result_decoder,
            image or "",
            decoders=decoders,
            on_unknown_status=on_unknown_status,
            initial=initial,
            document=document,
            observer=observer,
            after=after,
            reactor=reactor,
        )

    @translating
    def result(  # pyright: ignore[reportIncompatibleMethodOverride] - without the overloads
        self,
        timeout: float | None = None,
        wait: float = 5,
        decoder: Decoder[Any] | None = None,
    ) -> Any:
        """Wait for the result and decode it.

        Args:
            timeout: seconds, for everything that this does; None waits without end.
            wait: the longest time in seconds between two polls.
            decoder: decodes the result.

        Raises:
            RuntimeJobFailureError: if the job failed.
            JobTimeoutError: if the result is not here when the timeout passes.
            QiskitRuntimeError: if the job was cancelled, or the service refuses to tell.
        """
        return super().result(timeout, wait, decoder)

    @translating
    def cancel(self) -> None:
        """Ask the service to cancel the job; returns when it has said that it will.

        Raises:
            RuntimeInvalidStateError: if the job has ended.
            QiskitRuntimeError: if it is not known whether the wish has arrived.
        """
        super().cancel()

    @translating
    def status(self) -> JobStatus:  # type: ignore[override] # the original's words
        """Ask the service for the state; a final one is known and not asked for again.

        Raises:
            IBMQError: if the service cannot be asked, or says a word that nobody knows.
        """
        return status_of(super().status())

    @translating
    def in_final_state(self) -> bool:
        """Ask the service whether the job has ended. Raises what `status` does."""
        return super().in_final_state()

    @translating
    def error_message(self) -> str | None:
        """Ask why the job failed, in the original's words; None if it has not failed.

        Raises:
            IBMQError: if the service cannot be asked, or says a word that nobody knows.
        """
        if self._asked_state() is not JobState.ERROR:
            return None
        return failure_text(self._job_id, super().error_message(), self.reason_code)

    @property
    def reason(self) -> str | None:
        """Why the job failed, in its service's words; see `error_message` for the original's."""
        return translating(super().error_message)()

    @translating
    def wait_for_final_state(
        self,
        timeout: float | None = None,
        wait: float = 5,
        *,
        on_status: Callable[[StatusUpdate], object] | None = None,
    ) -> None:
        """Wait until the job has ended, in whatever way.

        Args:
            timeout: seconds; None waits without end.
            wait: the longest time in seconds between two polls.
            on_status: see `adapters.RuntimeJob.wait_for_final_state`; the original has none.

        Raises:
            JobTimeoutError: if the job has not ended when the timeout passes.
            IBMQError: if the service refuses to tell.
        """
        super().wait_for_final_state(timeout, wait, on_status=on_status)

    @translating
    def stream_results(
        self,
        callback: InterimCallback,
        decoder: Decoder[Any] | None = None,
        *,
        on_gap: Callable[[str, Gap], object] | None = None,
    ) -> None:
        """Have a callback called with each interim result; see `adapters.RuntimeJob`.

        Args:
            callback: gets the job's id and the decoded interim result.
            decoder: decodes interim results.
            on_gap: gets the job's id and a `Gap` where interim results may be missing.

        Raises:
            RuntimeInvalidStateError: if the job has ended, is streamed already, or its service has
                no streams.
        """
        super().stream_results(callback, decoder, on_gap=on_gap)

    @translating
    def logs(self) -> str:
        """Ask the service for what the job wrote to its log; empty if there is none.

        Raises:
            QiskitRuntimeError: if the service cannot be asked.
            IBMQInputValueError: if the `api_client` has no `job_logs`.
        """
        return super().logs()

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs of the job; a copy. Asks the service once if they were not given."""
        return translating(lambda: super(RuntimeJob, self).inputs)()

    @property
    def creation_date(self) -> datetime | None:
        """When the job was submitted, in local time; None if the service does not tell."""
        return translating(lambda: super(RuntimeJob, self).creation_date)()


def _streams(credentials: Any) -> StreamClient | None:
    if credentials is None or (hasattr(credentials, "stream") and hasattr(credentials, "traits")):
        client: StreamClient | None = credentials
        return client
    url = getattr(credentials, "runtime_url", None)
    return None if url is None else RuntimeWebsocketClient(url, credentials.access_token or "")
