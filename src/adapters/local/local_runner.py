"""`LocalRunner`: runs programs on this machine, in child processes, without any network."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from adapters.backend import RuntimeBackend
from adapters.job import InterimCallback, RuntimeJob
from adapters.local.engine_owner import as_transport_error
from adapters.local.machine import describe_backend, usable_cores
from adapters.local.pipe_stream import PipeStream
from adapters.local.records import DEFAULT_BACKEND, JobStatus
from adapters.local.replies import cancel, ending, status_event
from adapters.local.runner_calls import RunnerCalls
from adapters.local.submission import Submission
from adapters.run_options import RunOptions
from adapters.services.ibm_legacy import RAN_TOO_LONG
from adapters.services.promises import as_promised
from adapters.transport import StreamFile
from adapters.value_type import Value
from runtime_core.commands import (
    FetchFailure,
    FetchResult,
    FetchStatus,
    OpenStream,
    RequestCommand,
    SendCancel,
)
from runtime_core.decoders import Decoder, DecoderRegistry, ResultDecoder, choose_decoder
from runtime_core.documents import read_backend, read_job
from runtime_core.errors import TransportError
from runtime_core.events import (
    FailureReceived,
    JobQueued,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
)
from runtime_core.tags import AnyTag
from runtime_core.traits import Resume, ServiceTraits

TRAITS = ServiceTraits(pushes=True, resume=Resume.OFFSET)
"""What the machine must know of this transport."""


class LocalRunner(RunnerCalls):
    """Runs programs in child processes of this one; a `Transport` that can submit.

    ::

        with LocalRunner() as runner:
            job = runner.run("examples/pi.py", inputs={"samples": 1_000_000})
            print(job.result())

    No network is used and no other process serves: a daemon thread of this process runs the jobs,
    as many at a time as there are workers, the rest in order. It needs nothing but this library.
    Where jobs are to outlive this process, or several processes share them, use
    `RuntimeService.local()`.

    Constructing one does nothing; it starts when it is first used. `close()` it, or use it in a
    `with`: that ends the programs that run. So do the end of the interpreter and, however it comes,
    the end of the process; Ctrl-C does not. Thread-safe. In the child of a fork it refuses
    everything: make one there.

    Args:
        workers: how many jobs run at a time; None for one for each core.
        data: a directory for its jobs, which stay there, for the next runner in it or for the local
            service; what waits in the queue is run by that. At most one of them uses it at a time.
            None for one that is removed with it.
        tags: what inputs may hold beside the values that tagged JSON knows, for instance
            `adapters.qiskit.qiskit_tags()`.

    Raises:
        UsageError: if there are no workers.
    """

    def __init__(
        self,
        workers: int | None = None,
        data: str | os.PathLike[str] | None = None,
        *,
        tags: Sequence[AnyTag] = (),
    ) -> None:
        super().__init__(workers, data)
        self._tags = tags

    # ---- a transport ---------------------------------------------------------------------------

    @property
    def traits(self) -> ServiceTraits:
        """What the machine must know of this transport: it pushes, and resumes at an offset."""
        return TRAITS

    @property
    def service(self) -> object:
        """This object: see `ServiceTransport`."""
        return self

    @property
    def service_name(self) -> str:
        """What it is called in handles: its directory, from which another runner takes jobs up.

        Empty without one: its jobs end with it.
        """
        return "" if self._data is None else f"local:{self._data}"

    @property
    def ends_jobs(self) -> bool:
        """True: the programs that run end when this is closed. See `TransportService.ends_jobs`."""
        return True

    @property
    def status_requests_per_second(self) -> float:
        """As many as there are: nobody is burdened with them."""
        return math.inf

    @property
    def listing(self) -> None:
        """None: each job is asked about alone, which costs nothing here."""
        return

    def perform(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        """Do one request and return its one reply; see `Transport`."""
        try:
            return self._reply(job_id, command)
        except Exception as error:
            failure = as_transport_error(error)
        return RequestFailed(command.request, failure, failure.retryable)

    def stream(self, job_id: str, command: OpenStream) -> StreamFile:
        """Give the pipe on which the interim results come, and how it is read; does not block.

        Raises:
            UsageError: if this is closed, or was made before a fork.
        """
        pipe = self._running().open_stream(job_id, command.after)
        return StreamFile(pipe, PipeStream(command.connection))

    def submit(
        self,
        program_id: str,
        inputs: Mapping[str, Any],
        options: RunOptions | Mapping[str, Any],
    ) -> str:
        """Submit a job and give its id; it starts as soon as a worker is free.

        Args:
            program_id: the path of a Python file, or of a folder with a `main` module; or the name
                of a module. It is read now: what becomes of it later does not matter.
            inputs: what its `main` gets as keyword arguments.
            options: see `RunOptions`.

        Raises:
            UsageError: if it is no program, or this is closed.
            OptionsError: if there is an unknown option, or one has a wrong value.
            EncodeError: if the inputs cannot be written as tagged JSON.
            ServiceError: if the directory cannot be used.
        """
        self._running()  # who is closed reads no program
        return self._asked(Submission.of(program_id, inputs, options, self._tags).add_to)

    # ---- jobs ----------------------------------------------------------------------------------

    def run(
        self,
        program_id: str,
        options: RunOptions | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Value] | None = None,
    ) -> RuntimeJob[Value]:
        """Submit a job.

        Args:
            program_id: see `submit`.
            options: see `RunOptions`; a dict of its fields, or one of it.
            inputs: what the program's `main` gets as keyword arguments.
            callback: gets the interim results: job id and decoded interim result.
            result_decoder: decodes the job's results; None for `ResultDecoder`.

        Raises:
            UsageError: if it is no program, `result_decoder` is no decoder, or this is closed.
            OptionsError: if there is an unknown option, or one has a wrong value.
            EncodeError: if the inputs cannot be written as tagged JSON.
            ServiceError: if the directory cannot be used.
        """
        decoder = ResultDecoder if result_decoder is None else result_decoder
        # Before the job is there: nobody would learn its id from a refusal.
        choose_decoder(program_id, DecoderRegistry(), None, decoder)
        chosen, given = RunOptions.of(options), dict(inputs or {})
        return RuntimeJob(
            self._backend(chosen.backend_name or DEFAULT_BACKEND),
            self,
            None,
            self.submit(program_id, given, chosen),
            program_id,
            given,
            user_callback=callback,
            result_decoder=decoder,
            image=chosen.image or "",
            initial=JobQueued(),
        )

    def job(self, job_id: str) -> RuntimeJob:
        """Find a job again.

        Raises:
            RuntimeJobNotFoundError: if there is no such job.
            UsageError: if this is closed.
            ServiceError: if the directory cannot be used.
        """
        document = as_promised(read_job, self.job_get(job_id))
        return RuntimeJob(
            self._backend(document.backend),
            self,
            None,
            job_id,
            document.program_id,
            image=document.image,
            document=document,
        )

    def _backend(self, name: str) -> RuntimeBackend:
        workers = self._workers or usable_cores()
        return RuntimeBackend(name, lambda: read_backend(describe_backend(name, workers)))

    # ---- replies -------------------------------------------------------------------------------

    def _reply(self, job_id: str, command: RequestCommand) -> ReplyEvent:
        request = command.request
        match command:
            case FetchStatus():
                return self._asked_of(job_id, partial(status_event, request=request))
            case FetchResult():
                status, text = self._ending(job_id)
                if status is not JobStatus.COMPLETED or text is None:
                    raise TransportError(f"Job {job_id} is {status.value} and has no result.")
                return ResultReceived(request, text)
            case FetchFailure():
                status, text = self._ending(job_id)
                code = RAN_TOO_LONG if status is JobStatus.RAN_TOO_LONG else None
                reason = None if status is JobStatus.COMPLETED else text
                return FailureReceived(request, reason or None, code)
            case SendCancel():
                return self._asked_of(job_id, partial(cancel, request=request))
        assert_never(command)

    def _ending(self, job_id: str) -> tuple[JobStatus, str | None]:
        """Give how a job stands, and the text of its result, or why there is none."""
        status, found = self._asked_of(job_id, ending)
        # A large one is read here, so that it holds up nobody else.
        data = found.read_bytes() if isinstance(found, Path) else found
        return status, None if data is None else data.decode()
