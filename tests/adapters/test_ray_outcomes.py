"""How jobs on a Ray cluster ended is kept, within a limit, by threads and after a fork."""

from __future__ import annotations

import os
import threading

import pytest

from adapters.ray.log_events import Raised, Returned
from adapters.ray.outcomes import Outcomes


def test_what_was_put_is_there() -> None:
    outcomes = Outcomes()
    assert outcomes.get("a") is None
    outcomes.put("a", Returned("1"))
    outcomes.put("b", Raised("why"))
    assert outcomes.get("a") == Returned("1")
    assert outcomes.get("b") == Raised("why")
    outcomes.put("a", Returned("2"))
    assert outcomes.get("a") == Returned("2")


def fill(outcomes: Outcomes, *names: str) -> None:
    for name in names:
        outcomes.put(name, Returned("x" * 1000))


def kept(outcomes: Outcomes) -> set[str]:
    return {name for name in "abcdef" if outcomes.get(name) is not None}


def test_past_the_limit_goes_what_was_used_the_longest_time_ago() -> None:
    outcomes = Outcomes(3 * 1300)
    fill(outcomes, "a", "b", "c")
    outcomes.get("a")
    fill(outcomes, "d")
    assert kept(outcomes) == {"a", "c", "d"}
    assert outcomes.size <= 3 * 1300


def test_what_was_given_out_goes_first() -> None:
    outcomes = Outcomes(3 * 1300)
    fill(outcomes, "a", "b", "c")
    outcomes.spend("c")
    outcomes.spend("nobody")
    fill(outcomes, "d")
    assert kept(outcomes) == {"a", "b", "d"}


def test_the_last_one_is_kept_however_long_it_is() -> None:
    outcomes = Outcomes(100)
    fill(outcomes, "a")
    assert kept(outcomes) == {"a"}
    fill(outcomes, "b")
    assert kept(outcomes) == {"b"}


def test_one_that_is_put_again_counts_once() -> None:
    outcomes = Outcomes(3 * 1300)
    for _ in range(100):
        fill(outcomes, "a", "b", "c")
    assert kept(outcomes) == {"a", "b", "c"}
    assert outcomes.size == 3 * 1200


def test_threads_may_use_it_at_once() -> None:
    outcomes = Outcomes(50 * 1300)

    def use(name: str) -> None:
        for number in range(300):
            outcomes.put(f"{name}{number}", Returned("x" * 1000))
            outcomes.get(f"{name}{number // 2}")
            outcomes.spend(f"{name}{number}")

    threads = [threading.Thread(target=use, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.size == 1200 * sum(
        outcomes.get(f"{name}{number}") is not None for name in "abcd" for number in range(300)
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_of_a_fork_is_not_held_up_by_a_lock_of_its_parent() -> None:
    outcomes = Outcomes()
    fill(outcomes, "a")
    with outcomes._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if kept(outcomes) == {"a"} else 1)
        deadline = threading.Timer(20, lambda: os.kill(child, 9))
        deadline.start()
        _, status = os.waitpid(child, 0)
        deadline.cancel()
    assert status == 0
