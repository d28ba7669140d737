"""The threads of callbacks: what blocks holds up nobody else, up to the limit of the user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from conditions import PATIENCE, our_threads
from stream_service import Peer, StreamService

from adapters import set_callback_threads
from adapters.drivers import workers
from adapters.drivers.callback_pool import CALLBACK_THREADS


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    yield
    set_callback_threads(CALLBACK_THREADS)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What the callbacks wait for that block; opened at the end."""
    made = threading.Event()
    yield made
    made.set()


def says_one(peer: Peer) -> None:
    peer.accept()
    peer.send('"one"')
    peer.until_gone()


def blocks(gate: threading.Event) -> tuple[Callable[[str, Any], None], threading.Event]:
    running = threading.Event()

    def callback(_job_id: str, _value: object) -> None:
        running.set()
        gate.wait(PATIENCE)

    return callback, running


def test_callbacks_that_block_hold_up_no_other_job(gate: threading.Event) -> None:
    with ExitStack() as stack, StreamService(says_one) as service:
        stack.callback(gate.set)
        for number in range(6):
            job = stack.enter_context(service.job(job_id=f"j{number}"))
            callback, running = blocks(gate)
            job.stream_results(callback)
            assert running.wait(PATIENCE)
        assert our_threads().count("runtime-callback") >= 6


def test_at_the_limit_callbacks_wait_until_it_is_raised(gate: threading.Event) -> None:
    set_callback_threads(1)
    with ExitStack() as stack, StreamService(says_one) as service:
        stack.callback(gate.set)
        first, second = (stack.enter_context(service.job(job_id=name)) for name in ("j1", "j2"))
        callback, running = blocks(gate)
        first.stream_results(callback)
        assert running.wait(PATIENCE)
        came = threading.Event()
        second.stream_results(lambda *_: came.set())
        # That nothing comes can only be waited for: long enough for another thread to be started.
        assert not came.wait(3 * workers.PATIENCE)
        set_callback_threads(2)
        assert came.wait(PATIENCE)


@pytest.mark.parametrize("limit", [0, -1])
def test_less_than_one_thread_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=str(limit)):
        set_callback_threads(limit)


@pytest.mark.parametrize("limit", [1.5, "2", None, True])
def test_what_is_no_number_of_threads_is_refused(limit: Any) -> None:
    with pytest.raises(TypeError, match="whole number"):
        set_callback_threads(limit)
