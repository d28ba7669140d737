"""`RuntimeBackend`: where jobs run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime_core.documents import BackendDocument


class BackendName(str):
    """A name that can be called too: some programs say `backend.name`, some `backend.name()`."""

    __slots__ = ()

    def __call__(self) -> str:
        """Give the name."""
        return str(self)


class RuntimeBackend:
    """Where jobs run: its name, and what its service says of it.

    Two are equal if their names are. Thread-safe.

    Args:
        name: what it is called.
        ask: asks the service for what it says of it, the first time that is wanted.
    """

    def __init__(self, name: str, ask: Callable[[], BackendDocument]) -> None:
        self._name = BackendName(name)
        self._ask = ask
        self._document: BackendDocument | None = None

    @property
    def name(self) -> BackendName:
        """What it is called; ``backend.name()`` is the same."""
        return self._name

    @property
    def version(self) -> str:
        """The version of what runs there; see `document`."""
        return self.document.version

    @property
    def document(self) -> BackendDocument:
        """What the service says of it: its version, its Python, what it can run. Asked for once.

        Raises:
            TransportError: if the service cannot be asked, or does not tell (status 404).
        """
        if self._document is None:
            self._document = self._ask()
        return self._document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RuntimeBackend) and self._name == other._name

    def __hash__(self) -> int:
        return hash(self._name)

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<RuntimeBackend {self._name}>"
