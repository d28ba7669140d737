"""Status words as data: what a service calls the states of a job, and where it says so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias, assert_never

from adapters.services.places import Place, Places, Where
from adapters.services.promises import NOT_PROMISED
from runtime_core.errors import TransportError
from runtime_core.events import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    UnknownStatusReported,
)

Word: TypeAlias = str | tuple[str, int | str]
"""A status word; or a word and the code beside it, where the word alone does not say it all."""

Meaning: TypeAlias = type[LifecycleEvent] | LifecycleEvent
"""What a word means: a kind of event, or an event with what the service leaves out: a reason."""


class StatusReader(Protocol):
    """Says what a service's description of a job means for its state."""

    def __call__(
        self, document: object, request: int | None = None, /
    ) -> LifecycleEvent | UnknownStatusReported:
        """Read the answer of `job_get`.

        Raises:
            TransportError: if there is no state in it.
        """
        ...


def status_words(
    words: Mapping[Word, Meaning],
    *,
    at: str,
    reason: Where = (),
    code: Where = (),
    position: Where = (),
) -> StatusReader:
    """Make the reader of a service's status words.

    Upper or lower case, and how much blank there is, make no difference. A pair of a word and a
    code goes before the word alone. A word that is not among them is `UnknownStatusReported`; a
    document that has none is a `TransportError` that says where it was looked for, and what there
    was.

    For instance ``status_words({"EXECUTING": JobStarted, ...}, at="state", reason="why.text")``.

    Args:
        words: what each word means.
        at: where the word stands in the document of a job, the steps joined by dots.
        reason: where it is said why a job failed; several places if they differ.
        code: where the code of that reason stands.
        position: where it is said which of the queued jobs this is; 1 is the next to run.

    Raises:
        ValueError: if a place cannot be one, or a word has two meanings.
        TypeError: if a meaning is none of the five lifecycle events.
    """
    meanings, paired = _meanings(words)
    place, reasons, codes = Place.of(at), Places.of(reason), Places.of(code)
    positions = Places.of(position)

    def status_event(
        document: object, request: int | None = None, /
    ) -> LifecycleEvent | UnknownStatusReported:
        if not isinstance(document, Mapping):
            what = f"expected a job, got {type(document).__name__}"
            raise TransportError(f"{NOT_PROMISED}: {what}.")
        word = place.find(document)
        if not isinstance(word, str):
            raise TransportError(f"{NOT_PROMISED}: {place.missing(document, 'a text')}.")
        said = _plain(word)
        meaning = meanings.get((said, None))
        if said in paired:
            told = codes.code(document)
            meaning = meanings.get((said, None if told is None else str(told)), meaning)
        match meaning:
            case None:
                return UnknownStatusReported(word, request)
            case JobFailed(_, usual, usual_code):
                why = reasons.text(document) or usual
                told = codes.code(document)
                return JobFailed(request, why, usual_code if told is None else told)
            case JobQueued():
                return JobQueued(request, positions.count(document))
            case JobStarted() | JobSucceeded() | JobCancelled():
                return type(meaning)(request)
        assert_never(meaning)

    return status_event


_Meanings: TypeAlias = dict[tuple[str, str | None], LifecycleEvent]


def _meanings(words: Mapping[Word, Meaning]) -> tuple[_Meanings, frozenset[str]]:
    """Give what each word means, and the words that a code beside them may change."""
    meanings: _Meanings = {}
    for key, meaning in words.items():
        word, code = (key, None) if isinstance(key, str) else (key[0], str(key[1]))
        event = meaning() if isinstance(meaning, type) else meaning
        if not isinstance(event, LifecycleEvent):
            raise TypeError(f"{key!r} means one of the lifecycle events, not {meaning!r}")
        if (_plain(word), code) in meanings:
            raise ValueError(f"{key!r} has two meanings")
        meanings[_plain(word), code] = event
    return meanings, frozenset(word for word, code in meanings if code is not None)


def _plain(word: str) -> str:
    return " ".join(word.upper().split())
