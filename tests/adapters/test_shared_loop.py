"""The background loop with its real thread; the longest wait is two hundredths of a second."""

from __future__ import annotations

import logging
import math
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from adapters.drivers import shared_loop, workers
from adapters.drivers.callback_pool import CallbackPool
from adapters.drivers.reactor import JITTER, SharedReactor
from adapters.drivers.shared_loop import CROWD, FEW, REST, TIMERS_LIMIT, SharedLoop, Timer
from adapters.drivers.workers import WorkerPool

LONG = 10.0
"""How long a test waits for what must happen."""


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedLoop]:
    monkeypatch.setattr(shared_loop, "LINGER", LONG)
    made = SharedLoop("test-loop")
    yield made
    end(made, monkeypatch)
    assert not made.is_running


def end(loop: SharedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the thread end now, as it does when it has lingered."""
    threads: list[threading.Thread] = []
    monkeypatch.setattr(shared_loop, "LINGER", 0.0)
    on_loop(loop, lambda: threads.append(threading.current_thread()))
    threads[0].join(LONG)
    assert not threads[0].is_alive()


def on_loop(loop: SharedLoop, task: Callable[[], object]) -> None:
    """Run a task on the loop and wait for it."""
    done = threading.Event()

    def run() -> None:
        try:
            task()
        finally:
            done.set()

    loop.call_soon(run)
    assert done.wait(LONG)


def test_no_thread_runs_before_there_is_a_task(loop: SharedLoop) -> None:
    assert not loop.is_running


def test_tasks_run_on_one_daemon_thread_in_their_order(loop: SharedLoop) -> None:
    order: list[int] = []
    threads: set[threading.Thread] = set()
    for number in range(100):
        loop.call_soon(partial(order.append, number))
        loop.call_soon(lambda: threads.add(threading.current_thread()))
    on_loop(loop, lambda: None)
    assert order == list(range(100))
    (thread,) = threads
    assert thread.daemon
    assert thread.name == "test-loop"


def test_tasks_from_many_threads_all_run_each_thread_s_in_order(loop: SharedLoop) -> None:
    found: list[tuple[int, int]] = []
    start = threading.Barrier(8)

    def call(caller: int) -> None:
        start.wait(LONG)
        for number in range(200):
            loop.call_soon(partial(found.append, (caller, number)))

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(LONG)
    on_loop(loop, lambda: None)
    assert len(found) == 1600
    for caller in range(8):
        assert [number for who, number in found if who == caller] == list(range(200))


def test_a_task_may_give_another(loop: SharedLoop) -> None:
    done = threading.Event()
    loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(done.set)))
    assert done.wait(LONG)


def test_timers_fire_in_the_order_of_their_times(loop: SharedLoop) -> None:
    order: list[str] = []
    done = threading.Event()

    def arm() -> None:
        loop.call_later(0.02, done.set)
        loop.call_later(0.01, lambda: order.append("c"))
        loop.call_later(0.0, lambda: order.append("a"))
        loop.call_later(0.0, lambda: order.append("b"))

    loop.call_soon(arm)
    assert done.wait(LONG)
    assert order == ["a", "b", "c"]


def test_a_timer_does_not_fire_before_its_time(loop: SharedLoop) -> None:
    times: list[float] = []
    done = threading.Event()

    def fired() -> None:
        times.append(loop.now())
        done.set()

    def arm() -> None:
        times.append(loop.now())
        loop.call_later(0.02, fired)

    loop.call_soon(arm)
    assert done.wait(LONG)
    assert times[1] - times[0] >= 0.02


def test_a_timer_that_was_cancelled_does_not_fire_and_keeps_nothing_alive(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired: list[int] = []

    def arm() -> None:
        for delay in (0.0, 0.001, 3600.0):
            loop.call_later(delay, lambda: fired.append(1)).cancel()

    on_loop(loop, arm)
    end(loop, monkeypatch)
    assert not loop.is_running
    assert fired == []


def test_a_timer_may_cancel_another_that_is_due(
    loop: SharedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    fired: list[int] = []

    def arm() -> None:
        second: list[Timer] = []
        loop.call_later(0.0, lambda: second[0].cancel())
        second.append(loop.call_later(0.0, lambda: fired.append(2)))
        loop.call_later(0.0, done.set)

    done = threading.Event()
    loop.call_soon(arm)
    assert done.wait(LONG)
    assert fired == []
    assert caplog.records == []


def test_a_timer_keeps_the_thread(loop: SharedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_loop, "LINGER", 0.01)
    threads: list[threading.Thread] = []
    done = threading.Event()

    def fired() -> None:
        threads.append(threading.current_thread())
        done.set()

    def arm() -> None:
        threads.append(threading.current_thread())
        loop.call_later(0.05, fired)

    loop.call_soon(arm)
    assert done.wait(LONG)
    assert threads[0] is threads[1]


def test_the_thread_ends_and_comes_back(loop: SharedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_loop, "LINGER", 0.02)
    threads: list[threading.Thread] = []
    on_loop(loop, lambda: threads.append(threading.current_thread()))
    threads[0].join(LONG)
    assert not threads[0].is_alive()
    assert not loop.is_running
    on_loop(loop, lambda: threads.append(threading.current_thread()))
    assert threads[0] is not threads[1]


def test_no_task_is_lost_at_the_moment_at_which_the_thread_ends(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_loop, "LINGER", 0.0)
    for _ in range(300):
        on_loop(loop, lambda: None)


def test_a_task_that_comes_at_the_last_moment_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_loop, "LINGER", 0.01)
    done = threading.Event()

    class LastMoment(SharedLoop):
        def _stop(self, wake: socket.socket) -> bool:
            if not done.is_set():
                self.call_soon(done.set)
            return super()._stop(wake)

    late = LastMoment("test-loop")
    late.call_soon(lambda: None)
    assert done.wait(LONG / 2)
    end(late, monkeypatch)


def test_the_first_task_does_not_wait(loop: SharedLoop) -> None:
    done = threading.Event()
    loop.call_soon(done.set)
    assert done.wait(LONG / 2)


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
def test_a_task_that_fails_does_not_stop_the_others(
    loop: SharedLoop, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    def fail() -> None:
        raise kind("oops")

    def arm() -> None:
        loop.call_later(0.0, fail)

    with caplog.at_level(logging.ERROR):
        loop.call_soon(fail)
        loop.call_soon(arm)
        on_loop(loop, lambda: None)
        on_loop(loop, lambda: None)
    assert caplog.text.count(f"{kind.__name__}: oops") == 2


def test_a_socket_is_watched_until_it_is_not(loop: SharedLoop) -> None:
    ours, theirs = socket.socketpair()
    ready: list[int] = []
    seen = threading.Event()

    def read(mask: int) -> None:
        ready.append(mask)
        ours.recv(10)
        seen.set()

    with ours, theirs:
        on_loop(loop, lambda: loop.watch(ours, selectors.EVENT_READ, read))
        theirs.send(b"1")
        assert seen.wait(LONG)
        assert ready == [selectors.EVENT_READ]
        on_loop(loop, lambda: loop.watch(ours, 0, read))
        on_loop(loop, lambda: loop.watch(ours, 0, read))
        theirs.send(b"2")
        on_loop(loop, lambda: None)
        on_loop(loop, lambda: None)
        assert len(ready) == 1


def test_a_socket_that_an_earlier_handler_has_closed_is_not_called(loop: SharedLoop) -> None:
    pairs = [socket.socketpair(), socket.socketpair()]
    calls: list[int] = []

    def close_the_other(number: int, _: int) -> None:
        calls.append(number)
        for ours, _theirs in pairs:
            loop.watch(ours, 0, lambda _: None)
        done.set()

    done = threading.Event()

    def arm() -> None:
        for number, (ours, theirs) in enumerate(pairs):
            theirs.send(b"1")
            loop.watch(ours, selectors.EVENT_READ, partial(close_the_other, number))

    loop.call_soon(arm)
    assert done.wait(LONG)
    on_loop(loop, lambda: None)
    assert len(calls) == 1
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_a_thread_that_cannot_be_started_is_started_the_next_time(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Refused)
        with pytest.raises(RuntimeError):
            loop.call_soon(lambda: None)
    assert not loop.is_running
    on_loop(loop, lambda: None)


# ---- the reactor on it -------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1e10, math.inf])
def test_a_deadline_may_be_further_away_than_threads_can_wait(seconds: float) -> None:
    class Signal(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            assert 0 < timeout <= threading.TIMEOUT_MAX
            return True

    reactor = SharedReactor()
    assert reactor.wait(Signal(), reactor.now() + seconds)


def test_a_deadline_that_has_passed_is_not_waited_for() -> None:
    reactor = SharedReactor()
    assert not reactor.wait(threading.Event(), reactor.now() - 1)
    done = threading.Event()
    done.set()
    assert reactor.wait(done, reactor.now() - 1)
    assert reactor.wait(done, None)


def test_jitter_makes_a_delay_a_little_longer() -> None:
    delays = [SharedReactor().jittered(10.0) for _ in range(200)]
    assert 10.0 <= min(delays) < max(delays) <= 10.0 * (1 + JITTER)


def test_ctrl_c_while_the_thread_starts_leaves_one_loop(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt

    ran: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.call_soon(lambda: ran.append("first"))
    monkeypatch.undo()
    monkeypatch.setattr(shared_loop, "LINGER", LONG)
    started[0].join(LONG)
    assert not started[0].is_alive()
    on_loop(loop, lambda: ran.append("second"))
    assert ran == ["first", "second"]


def test_a_closed_socket_is_not_watched_and_that_is_no_error(loop: SharedLoop) -> None:
    one, other = socket.socketpair()
    one.close()
    other.close()
    on_loop(loop, lambda: loop.watch(one, 0, lambda _: None))


# ---- rests between looks at many sockets -------------------------------------------------------


class Clocked(SharedLoop):
    """A loop that is not run: what it would do about these sockets, at these times."""

    def __init__(self) -> None:
        super().__init__("test-loop")
        self._handlers = {-number: (0, lambda _: None) for number in range(FEW + 1)}
        self.time, self.until = 100.0, 0.0
        self.wake, self._other = socket.socketpair()

    def now(self) -> float:
        return self.time

    def look(self, *numbers: int, after: float) -> bool:
        """See these sockets so many seconds after the last; return whether it rests then."""
        self.time += after
        keys = [selectors.SelectorKey(n, 100 + n, selectors.EVENT_READ, None) for n in numbers]
        self._serve([(key, selectors.EVENT_READ) for key in keys], self.wake)
        assert self._rest_until in (self.time + REST, self.until)
        rests, self.until = self._rest_until > self.time, self._rest_until
        return rests

    def close(self) -> None:
        self.wake.close()
        self._other.close()


@pytest.fixture
def clocked() -> Iterator[Clocked]:
    made = Clocked()
    yield made
    made.close()


def test_what_comes_alone_does_not_wait(clocked: Clocked) -> None:
    for number in range(10):
        assert not clocked.look(number, after=1.1 * CROWD)


def test_a_crowd_is_looked_at_together_for_as_long_as_it_is_one(clocked: Clocked) -> None:
    assert not clocked.look(1, after=1.0)
    assert clocked.look(2, after=0.9 * CROWD)
    enough = int(REST / CROWD) + 1
    assert clocked.look(*range(10, 10 + enough), after=REST)
    assert clocked.look(*range(30, 30 + enough), after=REST)
    assert not clocked.look(10, 11, after=REST)


def test_a_few_sockets_are_no_crowd(clocked: Clocked) -> None:
    del clocked._handlers[0]
    for number in range(FEW):
        assert not clocked.look(number, after=0.0)


def test_a_busy_socket_is_not_made_to_wait(clocked: Clocked) -> None:
    clocked.look(1, after=1.0)
    for number in range(10, 15):
        assert not clocked.look(1, number, after=0.001)


def test_who_calls_during_a_rest_is_heard(loop: SharedLoop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    seen = [threading.Event(), threading.Event()]

    def read(number: int, _: int) -> None:
        pairs[number][0].recv(10)
        seen[number].set()

    def arm() -> None:
        for number, (ours, _theirs) in enumerate(pairs):
            loop.watch(ours, selectors.EVENT_READ, partial(read, number))
        loop._rest_until = loop.now() + 3600.0

    on_loop(loop, arm)
    pairs[0][1].send(b"1")
    on_loop(loop, lambda: None)  # a call is heard, a socket is not
    assert not seen[0].is_set()
    on_loop(loop, lambda: setattr(loop, "_rest_until", 0.0))
    assert seen[0].wait(LONG)

    def disarm() -> None:
        for ours, _theirs in pairs:
            loop.watch(ours, 0, lambda _: None)

    on_loop(loop, disarm)
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_timers_that_become_due_during_a_rest_come_at_its_end(loop: SharedLoop) -> None:
    times: list[float] = []
    done = threading.Event()

    def fired() -> None:
        times.append(loop.now())
        done.set()

    def arm() -> None:
        loop._rest_until = loop.now() + 0.02
        times.append(loop._rest_until)
        loop.call_later(0.001, fired)

    loop.call_soon(arm)
    assert done.wait(LONG)
    assert times[0] <= times[1]


# ---- what must not cost ------------------------------------------------------------------------


def test_a_call_from_the_loop_itself_wakes_nobody(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_loop(loop, lambda: None)
    wakes: list[int] = []
    wake = SharedLoop._wake

    def counted(it: SharedLoop) -> None:
        wakes.append(threading.get_ident())
        wake(it)

    monkeypatch.setattr(SharedLoop, "_wake", counted)
    done = threading.Event()

    def call(left: int) -> None:
        (partial(loop.call_soon, partial(call, left - 1)) if left else done.set)()

    loop.call_soon(partial(call, 50))
    assert done.wait(LONG)
    assert set(wakes) <= {threading.get_ident()}


def test_cancelled_timers_do_not_pile_up(loop: SharedLoop) -> None:
    fired: list[str] = []
    sizes: list[int] = []
    done = threading.Event()

    def arm() -> None:
        kept = [loop.call_later(3600.0, lambda: None) for _ in range(2 * TIMERS_LIMIT)]
        loop.call_later(0.02, lambda: fired.append("kept"))
        for _ in range(10 * TIMERS_LIMIT):
            loop.call_later(3600.0, lambda: None).cancel()
            sizes.append(len(loop._timers))
        for timer in kept:
            timer.cancel()
        loop.call_later(0.03, done.set)

    loop.call_soon(arm)
    assert done.wait(LONG)
    assert fired == ["kept"]
    assert max(sizes) <= 2 * (2 * TIMERS_LIMIT + 1)
    assert len(sizes) > 2 * max(sizes)


def test_to_watch_for_the_same_again_costs_no_call_of_the_system(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    calls: list[str] = []
    seen = threading.Event()

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            calls.append(name)
            return real(*args)

        return call

    def arm() -> None:
        selector = loop._selector
        assert selector is not None
        for name in ("register", "modify", "unregister"):
            monkeypatch.setattr(selector, name, counted(name, getattr(selector, name)))
        loop.watch(ours, selectors.EVENT_READ, lambda _: None)
        loop.watch(ours, selectors.EVENT_READ, lambda _: seen.set())
        loop.watch(ours, selectors.EVENT_READ | selectors.EVENT_WRITE, lambda _: seen.set())

    on_loop(loop, arm)
    assert calls == ["register", "modify"]
    theirs.send(b"1")
    assert seen.wait(LONG)
    on_loop(loop, lambda: loop.watch(ours, 0, lambda _: None))
    assert calls == ["register", "modify", "unregister"]
    ours.close()
    theirs.close()


def test_what_the_loop_gives_in_one_turn_is_handed_over_at_once(
    loop: SharedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    submit = WorkerPool.submit

    def counted(pool: WorkerPool, *tasks: Callable[[], None]) -> None:
        given.append(len(tasks))
        submit(pool, *tasks)

    monkeypatch.setattr(WorkerPool, "submit", counted)
    monkeypatch.setattr(workers, "LINGER", 0.0)
    pool = CallbackPool(loop, lambda _delay, _check: None)
    order: list[int] = []
    done = threading.Event()

    def give() -> None:
        for number in range(20):
            pool.submit(partial(order.append, number))
        pool.submit(done.set)

    on_loop(loop, give)
    assert done.wait(LONG)
    assert order == list(range(20))
    assert given == [21]
    done.clear()
    pool.submit(done.set)  # from another thread: at once
    assert done.wait(LONG)
    assert given == [21, 1]


def test_the_limit_of_callback_threads_holds_in_the_child_of_a_fork() -> None:
    reactor = SharedReactor()
    reactor.set_callback_threads(3)
    before = reactor._callbacks
    reactor.after_fork_in_child()
    assert reactor._callbacks is not before
    assert reactor._callbacks._workers._limit == before._workers._limit == 3
