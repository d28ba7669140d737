"""The programs of a Ray cluster, which keeps none: they are in this process, sent by content."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from adapters.ray.client import RayClient
from adapters.ray.package import Package, pack_program
from runtime_core.errors import (
    RuntimeDuplicateProgramError,
    RuntimeProgramNotFoundError,
    UsageError,
)
from runtime_core.value_path import shown


@attrs.frozen
class RayProgram:
    """A program that was given to this service."""

    name: str
    """What it is called."""
    source: bytes = attrs.field(repr=False)
    """Its source, or the archive of its folder."""
    package: Package
    """The same, packed with what runs it."""
    max_execution_time: int
    """The longest time that a run may take, in seconds."""
    description: str = ""
    """What it does."""
    is_public: bool = False
    """What was said about who may see it; here it is this process alone."""
    spec: Mapping[str, object] = attrs.field(factory=dict)
    """Its parameters and results, as JSON schemas."""
    created: str = attrs.field(factory=lambda: _now())
    """When it was uploaded, ISO 8601 in UTC."""
    updated: str = attrs.field(factory=lambda: _now())
    """When it was changed the last time."""

    def __attrs_post_init__(self) -> None:
        seconds: object = self.max_execution_time
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
            raise UsageError(
                f"max_execution_time is a whole number of seconds, not {shown(seconds)}."
            )

    def document(self, program_id: str) -> dict[str, Any]:
        """Give it as `read_program` wants it."""
        return {
            "id": program_id,
            "name": self.name,
            "description": self.description,
            "cost": self.max_execution_time,
            "is_public": self.is_public,
            "creation_date": self.created,
            "update_date": self.updated,
            "spec": dict(self.spec),
            "data": base64.b64encode(self.source).decode(),
        }


class RayPrograms:
    """The programs that were uploaded by one service object; a `ProgramKeeper`. Thread-safe.

    A program is known by the name that it is given first. It is packed and sent to the cluster when
    it is uploaded, where it stays for ten minutes after its last use; `RayTransport.submit` sends
    it again. So another process knows the jobs, and not the programs.

    Args:
        client: speaks with the head.
    """

    def __init__(self, client: RayClient) -> None:
        self._client = client
        # No lock, which a fork could copy locked: each change is one operation on the dict.
        self._programs: dict[str, RayProgram] = {}

    def find(self, program_id: str) -> RayProgram:
        """Give a program.

        Raises:
            RuntimeProgramNotFoundError: if it was not uploaded by this object.
        """
        found = self._programs.get(program_id)
        if found is None:
            raise _unknown(program_id)
        return found

    def send(self, package: Package) -> None:
        """See to it that the cluster has a package, for ten minutes at least.

        Raises:
            TransportError: if the head cannot be asked, or does not take it.
        """
        if not self._client.package_exists(package.name):
            self._client.package_put(package.name, package.data)

    def program_create(
        self,
        name: str,
        data: bytes | str,
        *,
        max_execution_time: int,
        description: str = "",
        is_public: bool = False,
        spec: Mapping[str, object] | None = None,
    ) -> Mapping[str, Any]:
        """Pack a program and send it; its id is its name.

        Raises:
            RuntimeDuplicateProgramError: if there is one of that name.
            UsageError: if it is too large, see `pack_program`.
            TransportError: if the head cannot be asked, or does not take it.
        """
        self._refuse_duplicate(name, None)
        source = data.encode() if isinstance(data, str) else data
        program = RayProgram(
            name,
            source,
            pack_program(source),
            max_execution_time,
            description,
            is_public,
            spec or {},
        )
        self.send(program.package)
        if self._programs.setdefault(name, program) is not program:
            raise _duplicate(name)
        return program.document(name)

    def programs_get(self, limit: int, skip: int) -> Mapping[str, Any]:
        """Give a page of the programs, in the order in which they were uploaded."""
        found = list(self._programs.items())
        page = [each.document(program_id) for program_id, each in found[skip : skip + limit]]
        return {"programs": page, "count": len(found)}

    def program_get(self, program_id: str) -> Mapping[str, Any]:
        """Give a program."""
        return self.find(program_id).document(program_id)

    def program_delete(self, program_id: str) -> None:
        """Forget a program; jobs that were submitted go on."""
        if self._programs.pop(program_id, None) is None:
            raise _unknown(program_id)

    def program_update(
        self,
        program_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        max_execution_time: int | None = None,
        spec: Mapping[str, object] | None = None,
    ) -> None:
        """Change what a program says of itself; what is None stays. Its id stays."""
        if name is not None:
            self._refuse_duplicate(name, program_id)
        given = {
            "name": name,
            "description": description,
            "max_execution_time": max_execution_time,
            "spec": spec,
        }
        self._change(program_id, **{key: told for key, told in given.items() if told is not None})

    def program_update_data(self, program_id: str, data: bytes | str) -> None:
        """Give a program another source, and send it."""
        self.find(program_id)
        source = data.encode() if isinstance(data, str) else data
        package = pack_program(source)
        self.send(package)
        self._change(program_id, source=source, package=package)

    def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Write down what is said; nobody else sees a program that is in this process."""
        self._change(program_id, is_public=public)

    def _change(self, program_id: str, **changes: Any) -> None:
        changed = attrs.evolve(self.find(program_id), updated=_now(), **changes)
        self._programs[program_id] = changed

    def _refuse_duplicate(self, name: str, program_id: str | None) -> None:
        for known_id, program in list(self._programs.items()):
            if known_id != program_id and name in (known_id, program.name):
                raise _duplicate(name)


def _unknown(program_id: str) -> RuntimeProgramNotFoundError:
    return RuntimeProgramNotFoundError(
        f"There is no program {shown(program_id)}: a Ray cluster keeps no programs, so upload it "
        "with this service object first, by upload_program.",
        404,
    )


def _duplicate(name: str) -> RuntimeDuplicateProgramError:
    return RuntimeDuplicateProgramError(f"There is a program {shown(name)} already.", 409)


def _now() -> str:
    return datetime.now(UTC).isoformat()
