"""The calls of a client that are about programs."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from adapters.http.session import Answer, Request
from adapters.services import ibm_legacy
from runtime_core.tagged_json import encode_tagged


class ProgramCalls(ABC):
    """What `RuntimeClient` can ask a service about programs. Thread-safe as that is."""

    def program_create(
        self,
        name: str,
        data: bytes | str,
        *,
        max_execution_time: int,
        description: str = "",
        is_public: bool = False,
        spec: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Upload a program and give what the service says of it; its id is at ``["id"]``.

        `data` is its source, `max_execution_time` is in seconds.

        Raises:
            EncodeError: if `spec` cannot be written as JSON.
            TransportError: if the service did not take it (409: it has one of that name).
        """
        body: dict[str, object] = {
            "name": name,
            "data": _base64(data).decode(),
            "cost": max_execution_time,
            "description": description,
            "is_public": is_public,
        }
        if spec is not None:
            body["spec"] = dict(spec)
        return self._object(Request("POST", "/programs", _json(body)))

    def programs_get(self, limit: int = 20, skip: int = 0) -> dict[str, Any]:
        """Give a page of the programs: ``{"programs": [...], "count": ...}``."""
        return self._object(Request("GET", ibm_legacy.programs_path(limit, skip)))

    def program_get(self, program_id: str) -> dict[str, Any]:
        """Give what the service knows of a program."""
        return self._object(Request("GET", ibm_legacy.program_path(program_id)))

    def program_delete(self, program_id: str) -> None:
        """Remove a program from the service."""
        self._send(Request("DELETE", ibm_legacy.program_path(program_id)))

    def program_update(
        self,
        program_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        max_execution_time: int | None = None,
        spec: Mapping[str, object] | None = None,
    ) -> None:
        """Change what a program says of itself; what is None stays. A `spec` is replaced whole.

        Raises:
            EncodeError: if `spec` cannot be written as JSON.
            TransportError: if the service did not take it (409: it has another one of that name).
        """
        given = {"name": name, "description": description, "cost": max_execution_time, "spec": spec}
        body = {key: value for key, value in given.items() if value is not None}
        self._send(Request("PATCH", ibm_legacy.program_path(program_id), _json(body)))

    def program_update_data(self, program_id: str, data: bytes | str) -> None:
        """Give a program another source; jobs that were submitted before run with the one before.

        Raises:
            TransportError: if the service did not take it.
        """
        path = ibm_legacy.program_path(program_id, "data")
        # In base64, though the type says otherwise: what the service's own client sends.
        self._send(Request("PUT", path, _base64(data), "application/octet-stream"))

    def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Say whether everybody may see and run a program, or its owner only."""
        part = "public" if public else "private"
        self._send(Request("PUT", ibm_legacy.program_path(program_id, part)))

    # ---- what they are made with ---------------------------------------------------------------

    @abstractmethod
    def _send(self, request: Request) -> Answer:
        """Do a request, whatever its answer is."""

    @abstractmethod
    def _object(self, request: Request) -> dict[str, Any]:
        """Do a request whose answer is a JSON object."""


def _json(body: dict[str, Any]) -> bytes:
    return encode_tagged(body).encode()


def _base64(data: bytes | str) -> bytes:
    return base64.b64encode(data.encode() if isinstance(data, str) else data)
