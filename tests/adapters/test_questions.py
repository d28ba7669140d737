"""The queues of requests that wait for their turn."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest

from adapters.drivers.questions import Question, Queue


def _nothing(*_: object) -> None: ...


@pytest.mark.parametrize(
    "leave",
    [lambda queue, _: queue.pop(), Queue.discard, lambda _, question: Queue().add(question)],
    ids=["sent", "dropped", "moved"],
)
def test_a_queue_keeps_nothing_of_the_last_question_that_left(
    leave: Callable[[Queue, Question], object],
) -> None:
    queue = Queue()
    question = Question("j1", 1, _nothing, _nothing)
    queue.add(question)
    leave(queue, question)
    question.queue = None
    reference = weakref.ref(question)
    del question
    # It leads to its job, and to the client: as long as it is kept, the budget of the client is.
    assert reference() is None
    assert len(queue) == 0
