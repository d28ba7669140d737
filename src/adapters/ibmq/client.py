"""The original's `RuntimeClient`: its methods, over ours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from adapters.closing import Closing
from adapters.http.client import RuntimeClient as OurClient
from adapters.ibmq.errors import IBMQInputValueError, translating


class RuntimeClient(Closing):
    """Speaks with a runtime service; an `api_client` for `RuntimeJob`. Thread-safe.

    Args:
        credentials: with `runtime_url` and `access_token`; or the URL of the service.
        access_token: the token, if the first is a URL.

    Raises:
        ValueError: if the URL is not one of a service, or the token cannot be sent.
    """

    def __init__(self, credentials: Any, access_token: str | None = None) -> None:
        is_url = isinstance(credentials, str)
        url = credentials if is_url else credentials.runtime_url
        token = access_token if is_url else credentials.access_token
        self._client = OurClient(url, token or "")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # ---- programs ------------------------------------------------------------------------------

    @translating
    def list_programs(self, limit: int | None = None, skip: int | None = None) -> dict[str, Any]:
        """Give a page of the programs."""
        return self._client.programs_get(limit or 20, skip or 0)

    @translating
    def program_create(
        self,
        program_data: str,
        name: str,
        description: str,
        max_execution_time: int,
        is_public: bool | None = False,
        spec: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Upload a program, given in base64; its id is at ``["id"]``."""
        return self._client.program_create(
            name,
            _decoded(program_data),
            max_execution_time=max_execution_time,
            description=description,
            is_public=bool(is_public),
            spec=spec,
        )

    @translating
    def program_get(self, program_id: str) -> dict[str, Any]:
        """Give what the service knows of a program."""
        return self._client.program_get(program_id)

    @translating
    def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Say whether everybody may see and run a program."""
        self._client.set_program_visibility(program_id, public)

    @translating
    def program_run(
        self,
        program_id: str,
        credentials: Any,
        backend_name: str,
        params: Mapping[str, Any],
        image: str,
        log_level: str | None = None,
    ) -> dict[str, Any]:
        """Submit a job for the account of `credentials`; its id is at ``["id"]``."""
        return self._client.program_run(
            program_id,
            backend_name,
            params,
            image=image or "",
            log_level=log_level,
            **account_of(credentials),
        )

    @translating
    def program_delete(self, program_id: str) -> None:
        """Remove a program."""
        self._client.program_delete(program_id)

    @translating
    def program_update(
        self,
        program_id: str,
        program_data: str | None = None,
        name: str | None = None,
        description: str | None = None,
        max_execution_time: int | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Change a program: its source, in base64, and what it says of itself."""
        if program_data:
            self._client.program_update_data(program_id, _decoded(program_data))
        if any([name, description, max_execution_time, spec]):
            self._client.program_update(
                program_id,
                name=name or None,
                description=description or None,
                max_execution_time=max_execution_time or None,
                spec=spec or None,
            )

    # ---- jobs ----------------------------------------------------------------------------------

    @translating
    def job_get(self, job_id: str) -> dict[str, Any]:
        """Give what the service knows of a job."""
        return self._client.job_get(job_id)

    @translating
    def jobs_get(
        self,
        limit: int | None = None,
        skip: int | None = None,
        pending: bool | None = None,
        program_id: str | None = None,
    ) -> dict[str, Any]:
        """Give a page of the jobs, the newest first."""
        return self._client.jobs_get(limit or 20, skip or 0, pending, program_id or None)

    @translating
    def job_results(self, job_id: str) -> str:
        """Give the text of the result; of a failed job, why it failed."""
        return self._client.job_results(job_id)

    @translating
    def job_cancel(self, job_id: str) -> None:
        """Ask for the end of a job."""
        self._client.job_cancel(job_id)

    @translating
    def job_delete(self, job_id: str) -> None:
        """Remove a job."""
        self._client.job_delete(job_id)

    @translating
    def job_logs(self, job_id: str) -> str:
        """Give what the job wrote to its log; empty if there is none."""
        return self._client.job_logs(job_id)

    @translating
    def logout(self) -> None:
        """Have the service forget what it has cached of the account's rights."""
        self._client.logout()


def account_of(credentials: Any) -> dict[str, str]:
    """Give hub, group and project of credentials, as far as they name them."""
    named = {key: getattr(credentials, key, None) for key in ("hub", "group", "project")}
    return {key: value for key, value in named.items() if isinstance(value, str) and value}


def _decoded(program_data: str) -> bytes:
    try:
        return base64.b64decode(program_data, validate=True)
    except binascii.Error as error:
        raise IBMQInputValueError(f"program_data is not base64: {error}") from error
