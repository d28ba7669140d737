"""The calls of a service that are about programs."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from adapters.paging import entries
from adapters.runtime_program import RuntimeProgram
from adapters.services.promises import as_promised
from runtime_core.errors import TransportError, UsageError

if TYPE_CHECKING:
    from runtime_core.documents import ProgramDocument

_PLAIN_FACTS = ("name", "description", "max_execution_time", "spec")


class ProgramKeeper(Protocol):
    """What keeps programs, as `ProgramCalls` has it; several threads may call it at once."""

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
        """Add a program; its id is at ``["id"]``."""
        ...

    def programs_get(self, limit: int, skip: int) -> Mapping[str, Any]:
        """Give a page of the programs, for `read_program_page`."""
        ...

    def program_get(self, program_id: str) -> Mapping[str, Any]:
        """Give a program, for `read_program`."""
        ...

    def program_delete(self, program_id: str) -> None:
        """Remove a program."""
        ...

    def program_update(
        self,
        program_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        max_execution_time: int | None = None,
        spec: Mapping[str, object] | None = None,
    ) -> None:
        """Change what a program says of itself; what is None stays."""
        ...

    def program_update_data(self, program_id: str, data: bytes | str) -> None:
        """Give a program another source."""
        ...

    def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Say whether everybody may see and run a program."""
        ...


class ServicePrograms:
    """What `RuntimeService` can do with programs. Thread-safe.

    What a service said of a program is kept, and asked for again where `refresh` says so; what is
    changed through this object is asked for again by itself. The kept objects are given out, so a
    change is seen in all of them.
    """

    program_class: ClassVar[type[RuntimeProgram]] = RuntimeProgram
    """What programs are given as."""

    def __init__(self, keeper: ProgramKeeper) -> None:
        self._program_calls = keeper
        self._known: dict[str, RuntimeProgram] = {}
        self._listed: list[RuntimeProgram] | None = None

    # ---- looking -------------------------------------------------------------------------------

    def programs(
        self, refresh: bool = False, limit: int | None = 20, skip: int = 0
    ) -> list[RuntimeProgram]:
        """Give the programs that may be run, in the service's order.

        Args:
            refresh: ask the service again; else what it said the first time is given.
            limit: how many at most; None for all.
            skip: how many to leave out at the beginning.

        Raises:
            UsageError: if `limit` or `skip` is negative.
            TransportError: if the service cannot be asked.
        """
        if skip < 0 or (limit is not None and limit < 0):
            raise UsageError(f"limit and skip are numbers from 0 on, not {limit} and {skip}")
        listed = self._listed
        if refresh or listed is None:
            listed = self._list()
        return listed[skip : None if limit is None else skip + limit]

    def program(self, program_id: str, refresh: bool = False) -> RuntimeProgram:
        """Give a program.

        Args:
            program_id: which.
            refresh: ask the service again, if it said something of this program already.

        Raises:
            RuntimeProgramNotFoundError: if the service does not know it.
            TransportError: if the service cannot be asked.
        """
        known = self._known.get(program_id)
        if known is None:
            return self._known.setdefault(program_id, self._made(self._ask(program_id)))
        if refresh:
            known.refresh()
        return known

    def pprint_programs(
        self,
        refresh: bool = False,
        detailed: bool = False,
        limit: int | None = 20,
        skip: int = 0,
    ) -> None:
        """Print the programs that may be run; see `programs`.

        Args:
            refresh: ask the service again.
            detailed: print all that they say of themselves.
            limit: how many at most; None for all.
            skip: how many to leave out at the beginning.
        """
        for program in self.programs(refresh, limit, skip):
            print("=" * 50)  # noqa: T201 - what it is for
            if detailed:
                print(str(program))  # noqa: T201
            else:
                print(f"{program.program_id}:")  # noqa: T201
                print(f"  Name: {program.name}")  # noqa: T201
                print(f"  Description: {program.description}")  # noqa: T201

    # ---- changing ------------------------------------------------------------------------------

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
            RuntimeDuplicateProgramError: if the service has another program of that name.
            NotAuthorizedError: if this user may not upload programs.
            TransportError: if the service did not take it.
        """
        from adapters.programs import program_name, read_source
        from runtime_core.tagged_json_encoder import encode_tagged

        facts = read_metadata(metadata)
        source = read_source(data)
        given = facts.pop("name", None)
        if given is not None and not (isinstance(given, str) and given):
            raise UsageError("the name of a program must be a text that is not empty")
        name = given or program_name(data, source, encode_tagged(facts))
        self._listed = None
        try:
            answer = self._program_calls.program_create(
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
        """Change a program; what is not given stays, what is given singly goes before `metadata`.

        What it says of itself is changed first, its source then: if that fails, the first stays
        changed. Jobs that were submitted before run with the source of then.

        Args:
            program_id: which.
            data: the new source, see `upload_program`.
            metadata: what else is new: a dict, or the path of a JSON file, see there.
            name: the new name.
            description: the new description.
            max_execution_time: the new longest execution time, in seconds.
            spec: the new `spec`, in place of all of the old one.

        Raises:
            UsageError: if a file cannot be read, or there is no `main`.
            RuntimeProgramNotFoundError: if the service does not know the program.
            RuntimeDuplicateProgramError: if the service has another program of that name.
            TransportError: if the service did not take it.

        Warns:
            UserWarning: if nothing is to be changed.
        """
        from adapters.programs import read_source

        facts = {
            key: value for key, value in read_metadata(metadata).items() if key in _PLAIN_FACTS
        }
        single = (name, description, max_execution_time, spec)
        facts |= {k: v for k, v in zip(_PLAIN_FACTS, single, strict=True) if v is not None}
        if not facts and data is None:
            warnings.warn("Nothing was given to change in the program.", stacklevel=2)
            return
        source = None if data is None else read_source(data)
        if facts:
            self._program_calls.program_update(program_id, **facts)
        if source is not None:
            self._program_calls.program_update_data(program_id, source)
        self._changed(program_id)

    def delete_program(self, program_id: str) -> None:
        """Remove a program, not its jobs.

        Raises:
            RuntimeProgramNotFoundError: if the service does not know it.
            TransportError: if the service cannot be asked, or refuses.
        """
        self._program_calls.program_delete(program_id)
        self._known.pop(program_id, None)
        self._listed = None

    def set_program_visibility(self, program_id: str, public: bool) -> None:
        """Say who may see and run a program: everybody, or only its owner.

        Raises:
            RuntimeProgramNotFoundError: if the service does not know it.
            TransportError: if the service cannot be asked, or refuses.
        """
        self._program_calls.set_program_visibility(program_id, public)
        self._changed(program_id)

    # ---- what is kept --------------------------------------------------------------------------

    def _list(self) -> list[RuntimeProgram]:
        from runtime_core.documents import ProgramDocument, read_program_page

        def page(size: int, offset: int) -> tuple[Sequence[object], int]:
            answer = as_promised(read_program_page, self._program_calls.programs_get(size, offset))
            return answer.programs, answer.count

        documents: dict[str, ProgramDocument] = {}
        for document in entries(page, None, 0):
            assert isinstance(document, ProgramDocument)
            documents[document.id] = document
        self._known = {each: self._made(document) for each, document in documents.items()}
        self._listed = list(self._known.values())
        return self._listed

    def _changed(self, program_id: str) -> None:
        known = self._known.get(program_id)
        if known is not None:
            known.refresh()

    def _ask(self, program_id: str) -> ProgramDocument:
        from runtime_core.documents import read_program

        return as_promised(read_program, self._program_calls.program_get(program_id))

    def _made(self, document: ProgramDocument) -> RuntimeProgram:
        return self.program_class(document, lambda: self._ask(document.id))


def read_metadata(metadata: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    """Give what a program says of itself, from a dict or from a JSON file.

    Raises:
        UsageError: if the file cannot be read, or does not hold a JSON object.
    """
    if metadata is None:
        return {}
    if isinstance(metadata, Mapping):
        return dict(metadata)
    path = os.fspath(metadata)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        raise UsageError(f"the metadata cannot be read from {path}: {error}") from error
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the metadata in {path} are not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise UsageError(f"the metadata in {path} must be a JSON object")
    return facts
