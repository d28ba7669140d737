"""The original's `IBMRuntimeService`: ours, with the original's rules and errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from adapters.http.client import RuntimeClient
from adapters.ibmq.client import account_of
from adapters.ibmq.errors import IBMQInputValueError, VisibilityProgramNotFound, translating
from adapters.ibmq.job import RuntimeJob
from adapters.ibmq.options import RuntimeOptions
from adapters.ibmq.program import RuntimeProgram
from adapters.job import InterimCallback
from adapters.job_base import JobArguments
from adapters.parameters import ParameterNamespace
from adapters.run_options import RunOptions
from adapters.service import RuntimeService
from adapters.service_programs import read_metadata
from adapters.transport import Transport
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.decoders import Decoder, DecoderRegistry
from runtime_core.errors import RuntimeProgramNotFoundError
from runtime_core.states import JobState

_REQUIRED = ("name", "description", "max_execution_time")
_KNOWN = (*_REQUIRED, "spec", "is_public")


class IBMRuntimeService(RuntimeService):
    """The runtime service, as qiskit-ibmq-provider has it; see `adapters.RuntimeService`.

    Args:
        provider: an account provider of the original, whose `credentials` have `runtime_url`,
            `access_token`, `hub`, `group` and `project`, and whose `get_backend` gives backends;
            or a `RuntimeService`, which then is not closed by this one; None for the service on
            this machine.
        decoders: the decoders of programs.
        on_unknown_status: what an unknown status word is taken for.

    Raises:
        ValueError: if the URL is not one of a service, or the token cannot be sent.
        IBMQError: if the service on this machine does not come up.
    """

    program_class = RuntimeProgram

    @translating
    def __init__(
        self,
        provider: Any = None,
        *,
        decoders: DecoderRegistry | None = None,
        on_unknown_status: JobState | None = None,
    ) -> None:
        self._provider = provider
        self._owned = True
        if provider is None:
            self._share(RuntimeService.local(), decoders, on_unknown_status)
        elif isinstance(provider, RuntimeService):
            self._owned = False
            theirs = provider._jobs  # noqa: SLF001 - of the class that this one is based on
            self._share(
                provider,
                theirs.decoders if decoders is None else decoders,
                theirs.on_unknown_status if on_unknown_status is None else on_unknown_status,
            )
        else:
            account = provider.credentials
            client = RuntimeClient(account.runtime_url, account.access_token or "")
            streams = RuntimeWebsocketClient(
                account.runtime_url, account.access_token or "", tls=client.tls
            )
            self._connect(client, streams, decoders, on_unknown_status, account=account_of(account))

    def _share(
        self,
        service: RuntimeService,
        decoders: DecoderRegistry | None,
        on_unknown_status: JobState | None,
    ) -> None:
        """Speak with the same service as another object."""
        transport = service._jobs.transport  # noqa: SLF001 - of the class that this one is based on
        assert isinstance(transport, Transport)
        keeper = service._program_calls  # noqa: SLF001
        self._set_up(transport, service._calls, keeper, decoders, on_unknown_status)  # noqa: SLF001

    def close(self) -> None:
        """Close the connections, if they are its own."""
        if self._owned:
            super().close()

    def __repr__(self) -> str:
        return f"<IBMRuntimeService {self.url}>"

    # ---- programs ------------------------------------------------------------------------------

    @translating
    def programs(  # type: ignore[override] # programs are of this class
        self, refresh: bool = False, limit: int | None = 20, skip: int | None = 0
    ) -> list[RuntimeProgram]:
        """Give the programs that may be run; see `adapters.RuntimeService`.

        Args:
            refresh: ask the service again.
            limit: how many at most; None for all.
            skip: how many to leave out at the beginning.
        """
        return super().programs(refresh, limit, skip or 0)  # type: ignore[return-value]

    @translating
    def program(self, program_id: str, refresh: bool = False) -> RuntimeProgram:
        """Give a program.

        Args:
            program_id: which.
            refresh: ask the service again.

        Raises:
            RuntimeProgramNotFound: if the service does not know it.
            QiskitRuntimeError: if the request failed.
        """
        return super().program(program_id, refresh)  # type: ignore[return-value]

    @translating
    def upload_program(
        self,
        data: str | bytes | os.PathLike[str],
        metadata: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> str:
        """Upload a program and give its id.

        Args:
            data: the source, if it has a ``def main(`` in it, or the path of a file; a folder or
                the name of a module will do as well.
            metadata: a dict, or the path of a JSON file; `name`, `description` and
                `max_execution_time` are required, `is_public` and `spec` may be there.

        Raises:
            IBMQInputValueError: if one that is required is missing, or a file cannot be read.
            RuntimeDuplicateProgramError: if the service has a program of that name.
            IBMQNotAuthorizedError: if this user may not upload programs.
            QiskitRuntimeError: if the upload failed.
        """
        facts = {key: value for key, value in read_metadata(metadata).items() if key in _KNOWN}
        for key in _REQUIRED:
            if not facts.get(key):
                raise IBMQInputValueError(f"{key} is a required metadata field.")
        return super().upload_program(_source(data), facts)

    @translating
    def update_program(
        self,
        program_id: str,
        data: str | bytes | os.PathLike[str] | None = None,
        metadata: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        name: str | None = None,
        description: str | None = None,
        max_execution_time: int | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a program; what is not given stays. See `adapters.RuntimeService`.

        Args:
            program_id: which.
            data: the new source, or the path of a file.
            metadata: what else is new: a dict, or the path of a JSON file.
            name: the new name.
            description: the new description.
            max_execution_time: the new longest execution time, in seconds.
            spec: the new `spec`.

        Raises:
            RuntimeProgramNotFound: if the service does not know the program.
            QiskitRuntimeError: if the request failed.
        """
        source = _source(data) if data else None
        super().update_program(
            program_id, source, metadata, name, description, max_execution_time, spec
        )

    @translating
    def delete_program(self, program_id: str) -> None:
        """Remove a program.

        Raises:
            RuntimeProgramNotFound: if the service does not know it.
            QiskitRuntimeError: if the request failed.
        """
        super().delete_program(program_id)

    @translating
    def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Say who may see and run a program: everybody, or only its owner.

        Raises:
            RuntimeJobNotFound: if the service does not know it; it is a RuntimeProgramNotFound too.
            QiskitRuntimeError: if the request failed.
        """
        try:
            super().set_program_visibility(program_id, public)
        except RuntimeProgramNotFoundError as error:
            raise VisibilityProgramNotFound(error.message, error.status_code) from error

    # ---- jobs ----------------------------------------------------------------------------------

    @translating
    def run(
        self,
        program_id: str,
        options: RuntimeOptions | RunOptions | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | ParameterNamespace | None = None,
        callback: InterimCallback | None = None,
        result_decoder: Decoder[Any] | None = None,
        image: str = "",
    ) -> RuntimeJob:
        """Submit a job.

        Args:
            program_id: the program to run.
            options: `backend_name`, which is required, `image` and `log_level`.
            inputs: what the program's `main` gets as keyword arguments.
            callback: gets the interim results: job id and decoded interim result.
            result_decoder: decodes the job's results.
            image: deprecated: the same as in `options`, and instead of it.

        Raises:
            IBMQInputValueError: if an input or an option is not as it must be.
            RuntimeProgramNotFound: if the service has no such program.
            QiskitRuntimeError: if the request failed.
        """
        chosen = RuntimeOptions.of(options)
        if image:
            warnings.warn(
                "Passing the 'image' keyword to IBMRuntimeService.run is deprecated. "
                "Please pass it in as part of 'options'.",
                DeprecationWarning,
                stacklevel=3,  # past what translates errors
            )
            chosen.image = image
        chosen.validate()
        ours = RunOptions(chosen.backend_name, chosen.image, chosen.log_level)
        return super().run(program_id, ours, inputs, callback, result_decoder)  # type: ignore[return-value]

    @translating
    def job(self, job_id: str) -> RuntimeJob:
        """Find a job again.

        Raises:
            RuntimeJobNotFound: if the service does not know it.
            QiskitRuntimeError: if the request failed.
        """
        return super().job(job_id)  # type: ignore[return-value]

    @translating
    def jobs(  # type: ignore[override] # jobs are of this class
        self,
        limit: int | None = 10,
        skip: int = 0,
        pending: bool | None = None,
        program_id: str | None = None,
    ) -> list[RuntimeJob]:
        """Find jobs, the newest first.

        Args:
            limit: how many at most; None for all.
            skip: how many of the newest to leave out.
            pending: only those that have not ended (True), only those that have (False), or both.
            program_id: only jobs of this program.
        """
        return super().jobs(limit or None, skip or 0, pending, program_id)  # type: ignore[return-value]

    @translating
    def delete_job(self, job_id: str) -> None:
        """Remove a job and its result.

        Raises:
            RuntimeJobNotFound: if the service does not know it.
            QiskitRuntimeError: if the request failed.
        """
        super().delete_job(job_id)

    @translating
    def logout(self) -> None:
        """Have the service forget what it has cached of the account's rights."""
        super().logout()

    def _make_job(self, given: JobArguments, callback: InterimCallback | None = None) -> RuntimeJob:
        return RuntimeJob(**given.keywords, user_callback=callback)

    def _backend(self, name: str | None) -> Any:
        """Give the provider's backend of that name; ours if it has none."""
        get_backend = getattr(self._provider, "get_backend", None)
        if get_backend is None or not name:
            return super()._backend(name)
        try:
            return get_backend(name)
        except Exception:  # of a job that is there already: it must not get lost
            return super()._backend(name)


def _source(data: str | bytes | os.PathLike[str]) -> str | bytes | os.PathLike[str]:
    """Give the source as ours takes it: the original knows it by its ``def main(``."""
    return data.encode() if isinstance(data, str) and "def main(" in data else data
