"""`with` for everything that has a `close`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Something that a `with` closes at its end, however that comes."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held. May be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
