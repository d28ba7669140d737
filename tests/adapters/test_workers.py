"""The worker pool, with threads that wait for events and never for time."""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import attrs
import pytest

from adapters.drivers import workers
from adapters.drivers.workers import CHECK, PATIENCE, QUICK, WorkerPool

LONG = 10.0
"""How long a test waits for what must happen."""


@attrs.define(eq=False, slots=False)
class Shop:
    """A pool whose checks happen when the test says so."""

    checks: list[tuple[float, Callable[[], None]]] = attrs.field(factory=list)
    gates: list[threading.Event] = attrs.field(factory=list)
    limit: int = 4
    steady: int = 2

    def __attrs_post_init__(self) -> None:
        self.pool = WorkerPool("test-worker", self._check_later, self.steady, self.limit)

    def _check_later(self, delay: float, check: Callable[[], None]) -> None:
        self.checks.append((delay, check))

    def check(self) -> None:
        delay, check = self.checks.pop(0)
        assert delay == CHECK
        check()

    def hang(self) -> threading.Event:
        """Submit a task that runs until the test is over; return what tells that it runs."""
        running, gate = threading.Event(), threading.Event()
        self.gates.append(gate)

        def task() -> None:
            running.set()
            gate.wait(LONG)

        self.pool.submit(task)
        return running

    def quick(self) -> threading.Event:
        """Submit a task that returns at once; return what tells that it ran."""
        ran = threading.Event()
        self.pool.submit(ran.set)
        return ran


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    yield from open_shop(Shop(), monkeypatch)


@pytest.fixture
def small_shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop where one thread does while tasks return quickly."""
    yield from open_shop(Shop(steady=1), monkeypatch)


def open_shop(made: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(workers, "LINGER", LONG)
    before = set(threading.enumerate())
    yield made
    monkeypatch.setattr(workers, "LINGER", 0.0)
    for gate in made.gates:
        gate.set()
    with made.pool._changed:
        made.pool._changed.notify_all()
    for thread in set(threading.enumerate()) - before:
        thread.join(LONG)
    assert made.pool.size == 0


def test_no_thread_runs_before_there_is_a_task(shop: Shop) -> None:
    assert shop.pool.size == 0


def test_a_task_runs_on_a_daemon_thread(shop: Shop) -> None:
    threads: list[threading.Thread] = []
    ran = threading.Event()

    def task() -> None:
        threads.append(threading.current_thread())
        ran.set()

    shop.pool.submit(task)
    assert ran.wait(LONG)
    assert threads[0].daemon
    assert threads[0].name == "test-worker"
    assert threads[0] is not threading.current_thread()


def test_two_threads_are_all_while_nothing_hangs(shop: Shop) -> None:
    for _ in range(50):
        assert shop.quick().wait(LONG)
        assert shop.pool.size <= 2


def test_while_tasks_hang_one_more_thread_comes_for_each_check(shop: Shop) -> None:
    assert shop.hang().wait(LONG)
    assert shop.hang().wait(LONG)
    assert shop.checks == []
    third, fourth = shop.hang(), shop.hang()
    assert shop.pool.size == 2
    assert len(shop.checks) == 1
    shop.check()
    assert third.wait(LONG)
    assert shop.pool.size == 3
    shop.check()
    assert fourth.wait(LONG)
    assert shop.pool.size == 4


def test_there_is_a_limit(shop: Shop) -> None:
    for _ in range(4):
        running = shop.hang()
        while shop.checks:
            shop.check()
        assert running.wait(LONG)
    waiting = shop.quick()
    assert shop.checks == []
    assert shop.pool.size == 4
    shop.gates[0].set()
    assert waiting.wait(LONG)


def test_a_check_that_finds_nothing_to_do_starts_nothing(shop: Shop) -> None:
    assert shop.hang().wait(LONG)
    assert shop.hang().wait(LONG)
    third = shop.hang()
    for gate in shop.gates[:2]:
        gate.set()
    assert third.wait(LONG)
    shop.check()
    assert shop.checks == []
    assert shop.pool.size <= 2


def test_only_one_check_is_under_way(shop: Shop) -> None:
    for _ in range(2):
        assert shop.hang().wait(LONG)
    for _ in range(5):
        shop.quick()
    assert len(shop.checks) == 1


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(), KeyboardInterrupt()])
def test_a_task_that_raises_costs_no_thread(
    shop: Shop, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    threads: list[int] = []

    def task() -> None:
        threads.append(threading.get_ident())
        raise error

    shop.hang()
    with caplog.at_level(logging.ERROR):
        shop.pool.submit(task)
        ran = threading.Event()

        def after() -> None:
            threads.append(threading.get_ident())
            ran.set()

        shop.pool.submit(after)
        assert ran.wait(LONG)
    assert threads[0] == threads[1]
    assert "a task of test-worker failed" in caplog.text


def test_a_thread_is_kept_while_it_may_be_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LINGER", 0.01)
    threads: list[threading.Thread] = []
    is_asked_often, may_end = threading.Event(), threading.Event()
    asked = itertools.count()

    def is_needed() -> bool:
        if next(asked) == 3:
            is_asked_often.set()
        return not may_end.is_set()

    pool = WorkerPool("test-worker", lambda *_: None, steady=1, is_needed=is_needed)
    pool.submit(lambda: threads.append(threading.current_thread()))
    assert is_asked_often.wait(LONG)
    assert pool.size == 1
    ran = threading.Event()
    pool.submit(lambda: threads.append(threading.current_thread()), ran.set)
    assert ran.wait(LONG)
    may_end.set()
    for thread in threads:
        thread.join(LONG)
    assert threads[0] is threads[1]


def test_no_more_are_kept_than_are_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LINGER", 0.01)
    checks: list[Callable[[], None]] = []
    sizes: list[int] = []
    begun, asked, gate = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        begun.release()
        gate.wait(LONG)

    def is_needed() -> bool:
        sizes.append(pool.size)
        asked.release()
        return len(sizes) < 10

    pool = WorkerPool("test-worker", lambda _, check: checks.append(check), is_needed=is_needed)
    for _ in range(2):
        pool.submit(hang)
        assert begun.acquire(timeout=LONG)
    pool.submit(hang)
    checks.pop()()
    assert begun.acquire(timeout=LONG)
    gate.set()
    for _ in range(10):
        assert asked.acquire(timeout=LONG)
    for thread in threads:
        thread.join(LONG)
    assert len(threads) == 3
    assert set(sizes[:10]) == {2}
    assert pool.size == 0


def test_threads_end_when_there_is_nothing_to_do(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LINGER", 0.02)
    threads: list[threading.Thread] = []
    ran = threading.Event()

    def task() -> None:
        threads.append(threading.current_thread())
        ran.set()

    shop.pool.submit(task)
    assert ran.wait(LONG)
    threads[0].join(LONG)
    assert not threads[0].is_alive()
    assert shop.quick().wait(LONG)


def test_a_thread_keeps_nothing_of_the_last_task(shop: Shop) -> None:
    class Big:
        pass

    big = Big()
    gone = threading.Event()
    weakref.finalize(big, gone.set)
    shop.pool.submit(lambda it=big: None)  # type: ignore[misc]
    del big
    assert gone.wait(LONG / 2)


def test_a_thread_that_cannot_be_started_is_not_counted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Refused)
        with pytest.raises(RuntimeError):
            shop.quick()
    assert shop.pool.size == 0
    assert shop.quick().wait(LONG)


def test_a_task_that_is_abandoned_gives_its_place_to_another(shop: Shop) -> None:
    gate = threading.Event()
    shop.gates.append(gate)
    running = threading.Event()

    def hangs() -> None:
        running.set()
        gate.wait(LONG)

    shop.pool.submit(hangs)
    assert running.wait(LONG)
    assert shop.hang().wait(LONG)
    waiting = shop.quick()
    assert shop.pool.size == 2
    shop.pool.abandon(hangs)
    assert shop.pool.size == 1
    shop.check()
    assert waiting.wait(LONG)
    assert shop.pool.size == 2
    gate.set()  # what comes back at last finds its place taken


def test_a_task_that_waits_at_the_limit_runs_when_those_that_hang_are_abandoned(
    shop: Shop,
) -> None:
    gate = threading.Event()
    shop.gates.append(gate)
    started = threading.Semaphore(0)

    def hangs() -> None:
        started.release()
        gate.wait(LONG)

    hanging = [partial(hangs) for _ in range(shop.limit)]
    shop.pool.submit(*hanging)
    for _ in hanging:
        while shop.checks:
            shop.check()
        assert started.acquire(timeout=LONG)
    waiting = shop.quick()
    while shop.checks:
        shop.check()
    for task in hanging:
        shop.pool.abandon(task)
    shop.check()
    assert waiting.wait(LONG)


def test_a_task_that_is_abandoned_in_time_is_not_started(shop: Shop) -> None:
    for _ in range(2):
        assert shop.hang().wait(LONG)
    ran = threading.Event()
    shop.pool.submit(ran.set)
    shop.pool.abandon(ran.set)
    for gate in shop.gates:
        gate.set()
    assert shop.quick().wait(LONG)
    assert not ran.is_set()


# ---- when more threads come --------------------------------------------------------------------


def test_a_task_waits_for_two_looks_at_most() -> None:
    assert 2 * CHECK <= PATIENCE


def test_one_thread_does_a_heap_of_quick_tasks(small_shop: Shop) -> None:
    last = threading.Event()
    small_shop.pool.submit(*(lambda: None for _ in range(500)), last.set)
    assert last.wait(LONG)
    assert small_shop.pool.size == 1
    assert len(small_shop.checks) == 1


def hanging_after(shop: Shop, taken: int) -> tuple[threading.Event, threading.Event]:
    """Give the one thread a heap of tasks, of which it takes so many before it hangs."""
    gate, hangs, last = threading.Event(), threading.Event(), threading.Event()
    shop.gates.append(gate)

    def hang() -> None:
        hangs.set()
        gate.wait(LONG)

    quick = [lambda: None] * (taken - 1)
    shop.pool.submit(*quick, hang, *[lambda: None] * 100, last.set)
    assert hangs.wait(LONG)
    return gate, last


def test_a_thread_that_took_many_tasks_since_the_last_look_does_not_hang(small_shop: Shop) -> None:
    gate, last = hanging_after(small_shop, QUICK)
    small_shop.check()
    assert small_shop.pool.size == 1
    small_shop.check()  # since then it has taken none
    assert small_shop.pool.size == 2
    gate.set()
    assert last.wait(LONG)


def test_a_thread_that_took_few_tasks_is_slow_and_gets_help(small_shop: Shop) -> None:
    gate, last = hanging_after(small_shop, QUICK - 1)
    small_shop.check()
    assert small_shop.pool.size == 2
    gate.set()
    assert last.wait(LONG)


def test_tasks_that_have_just_come_are_no_reason_for_a_thread(small_shop: Shop) -> None:
    gate = threading.Event()
    small_shop.gates.append(gate)
    first, second = threading.Event(), threading.Event()

    def hangs() -> None:
        second.set()
        gate.wait(LONG)

    small_shop.pool.submit(lambda: None, first.set)  # more than threads: looked at later
    assert first.wait(LONG)
    small_shop.pool.submit(hangs)
    assert second.wait(LONG)
    quick = small_shop.quick()
    small_shop.check()  # those that waited at the last look are through
    assert small_shop.pool.size == 1
    small_shop.check()
    assert quick.wait(LONG)
    assert small_shop.pool.size == 2


# ---- another limit -----------------------------------------------------------------------------


def test_a_higher_limit_holds_for_what_waits_already(shop: Shop) -> None:
    for _ in range(4):
        running = shop.hang()
        while shop.checks:
            shop.check()
        assert running.wait(LONG)
    waiting = shop.quick()
    assert shop.checks == []
    shop.pool.set_limit(5)
    shop.check()
    assert waiting.wait(LONG)
    assert shop.pool.size == 5


def test_a_lower_limit_ends_threads_that_are_idle_or_become_it(shop: Shop) -> None:
    for _ in range(3):
        running = shop.hang()
        while shop.checks:
            shop.check()
        assert running.wait(LONG)
    threads = [t for t in threading.enumerate() if t.name == "test-worker"]
    shop.pool.set_limit(1)
    for gate in shop.gates:
        gate.set()
    assert shop.quick().wait(LONG)
    while sum(t.is_alive() for t in threads) > 1:
        next(t for t in threads if t.is_alive()).join(0.01)
    assert shop.pool.size == 1
    shop.pool.submit(lambda: None, lambda: None)
    assert shop.quick().wait(LONG)
    assert shop.pool.size == 1
