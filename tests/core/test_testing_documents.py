"""The strategies for documents, values and sequences keep their word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import find as find_smallest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from runtime_core.documents import read_job
from runtime_core.errors import DecodeError, RuntimeInvalidStateError
from runtime_core.events import Event
from runtime_core.machine import JobMachine
from runtime_core.tagged_json import decode_tagged
from runtime_core.testing import (
    broken_job_documents,
    encoded_results,
    event_sequences,
    job_documents,
    result_values,
    service_traits,
)
from runtime_core.traits import ServiceTraits

T = TypeVar("T")
FEW = settings(max_examples=40)


def find(strategy: SearchStrategy[T], fits: Callable[[T], bool]) -> T:
    """Any example will do: no time is spent on a smaller one."""
    anyone = settings(max_examples=1000, phases=[Phase.generate], database=None)
    return find_smallest(strategy, fits, settings=anyone)


@FEW
@given(job_documents())
def test_a_job_document_is_read(document: dict[str, Any]) -> None:
    job = read_job(document)
    assert job.id == document["id"]
    assert job.status == document.get("status", document.get("state", {}).get("status"))


@FEW
@given(broken_job_documents())
def test_a_broken_one_is_refused(document: object) -> None:
    with pytest.raises(DecodeError):
        read_job(document)


@pytest.mark.parametrize("key", ["status", "state"])
def test_the_status_stands_in_either_place(key: str) -> None:
    assert find(job_documents(), lambda document: key in document)


@pytest.mark.parametrize("kind", [dict, str, list])
def test_what_is_broken_is_broken_in_many_ways(kind: type) -> None:
    found = find(broken_job_documents(), lambda document: isinstance(document, kind))
    assert isinstance(found, kind)


@FEW
@given(encoded_results())
def test_a_value_comes_back(pair: tuple[Any, str]) -> None:
    value, text = pair
    assert decode_tagged(text) == value


def test_falsy_values_and_such_that_look_like_tags_are_among_them() -> None:
    assert find(result_values(), lambda value: value == 0) == 0
    assert find(result_values(), lambda value: isinstance(value, dict) and "__type__" in value)


def refusals(traits: ServiceTraits, events: list[Event]) -> int:
    machine, count = JobMachine("j1", traits), 0
    for event in events:
        try:
            machine.receive(event)
        except RuntimeInvalidStateError:
            count += 1
    return count


@FEW
@given(service_traits(), st.data())
def test_sequences_are_legal_or_not(traits: ServiceTraits, data: st.DataObject) -> None:
    assert refusals(traits, data.draw(event_sequences(traits))) == 0
    assert refusals(traits, data.draw(event_sequences(traits, legal=False, most=4))) >= 1


@pytest.mark.parametrize("word", ["CancelRequested", "SubscriptionRequested", "WaitStarted"])
def test_every_kind_of_wish_is_refused_in_some_sequence(word: str) -> None:
    traits = ServiceTraits(pushes=True)
    sequences = event_sequences(traits, legal=False, most=4)
    found = find(sequences, lambda told: type(told[-1]).__name__ == word)
    assert refusals(traits, found) >= 1
