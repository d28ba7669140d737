"""`RuntimeProgram`: what a service says of a program."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from adapters.parameters import ParameterNamespace
from runtime_core.errors import NotAuthorizedError, TransportError

if TYPE_CHECKING:
    from runtime_core.documents import ProgramDocument


class RuntimeProgram:
    """A program of a runtime service. What it says is as it was when the service was last asked.

    Args:
        document: what the service said.
        ask: asks it again.
    """

    parameter_namespace: ClassVar[type[ParameterNamespace]] = ParameterNamespace
    """What `parameters` makes."""

    def __init__(self, document: ProgramDocument, ask: Callable[[], ProgramDocument]) -> None:
        self._document = document
        self._ask = ask

    @property
    def document(self) -> ProgramDocument:
        """All that the service said."""
        return self._document

    @property
    def program_id(self) -> str:
        """What the program is called by."""
        return self._document.id

    @property
    def name(self) -> str:
        """The name for people."""
        return self._document.name

    @property
    def description(self) -> str:
        """What it does."""
        return self._document.description

    @property
    def max_execution_time(self) -> int:
        """The longest time that one run may take, in seconds."""
        return self._document.cost

    @property
    def is_public(self) -> bool:
        """Whether everybody may see and run it."""
        return self._document.is_public

    @property
    def creation_date(self) -> str:
        """When it was uploaded, in the service's format."""
        return self._document.creation_date

    @property
    def update_date(self) -> str:
        """When it was last changed, in the service's format."""
        return self._document.update_date

    @property
    def backend_requirements(self) -> dict[str, Any]:
        """What it needs of a backend."""
        return self._part("backend_requirements")

    @property
    def return_values(self) -> dict[str, Any]:
        """The JSON schema of its result."""
        return self._part("return_values")

    @property
    def interim_results(self) -> dict[str, Any]:
        """The JSON schema of its interim results."""
        return self._part("interim_results")

    def parameters(self) -> ParameterNamespace:
        """Give a new namespace for the inputs: set them there, and pass it to `run`."""
        return self.parameter_namespace(self._part("parameters"))

    @property
    def data(self) -> str:
        """The source as the service sends it: in base64. Asks the service, if it was not sent yet.

        Raises:
            NotAuthorizedError: if the service does not show it to this user.
            TransportError: if the service cannot be asked.
        """
        if not self._document.data:
            self.refresh()
        if not self._document.data:
            raise NotAuthorizedError("Only its author may see the source of a program.")
        return self._document.data

    @property
    def source(self) -> bytes:
        """The source itself. Raises what `data` does."""
        try:
            return base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise TransportError(f"The program's source is not base64: {error}.") from error

    def refresh(self) -> None:
        """Ask the service again.

        Raises:
            RuntimeProgramNotFoundError: if the program is gone.
            TransportError: if the service cannot be asked.
        """
        self._document = self._ask()

    def to_dict(self) -> dict[str, Any]:
        """Give what it says of itself as a dict; its `parameters` are a namespace."""
        return {
            "program_id": self.program_id,
            "name": self.name,
            "description": self.description,
            "max_execution_time": self.max_execution_time,
            "backend_requirements": self.backend_requirements,
            "parameters": self.parameters(),
            "return_values": self.return_values,
            "interim_results": self.interim_results,
            "is_public": self.is_public,
        }

    def _part(self, key: str) -> dict[str, Any]:
        part = self._document.spec.get(key)
        return dict(part) if isinstance(part, Mapping) else {}

    def __repr__(self) -> str:
        return f"<RuntimeProgram {self.program_id!r}>"

    def __str__(self) -> str:
        lines = [
            f"{self.program_id}:",
            f"  Name: {self.name}",
            f"  Description: {self.description}",
            f"  Creation date: {self.creation_date}",
            f"  Update date: {self.update_date}",
            f"  Max execution time: {self.max_execution_time}",
        ]
        parts = ("Input parameters", "parameters"), ("Interim results", "interim_results")
        for title, key in (*parts, ("Returns", "return_values")):
            lines.append(f"  {title}:")
            lines += _described(self._part(key)) if self._part(key) else ["    none"]
        return "\n".join(lines)


def _described(schema: Mapping[str, Any]) -> Iterator[str]:
    for key in ("description", "type"):
        if key in schema:
            yield f"    {key.capitalize()}: {schema[key]}"
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    yield "    Properties:"
    for name, facts in properties.items():
        yield f"        - {name}:"
        for key, value in facts.items() if isinstance(facts, Mapping) else ():
            yield f"            {_sentence_case(key)}: {value}"
        yield f"            Required: {name in schema.get('required', [])}"


def _sentence_case(camel_case: str) -> str:
    words = re.sub("([A-Z])", r" \1", camel_case)
    return words[:1].upper() + words[1:].lower()
