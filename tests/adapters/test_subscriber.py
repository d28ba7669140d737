"""The two kinds of subscribers by themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import pytest
from fakes import FakeReactor

from adapters.drivers.inbox import Batch, End, Gap, Inbox, Mark
from adapters.drivers.subscriber import CallbackSubscriber, InterimResults


@attrs.define(eq=False)
class Desk:
    """A subscriber with everything that it calls."""

    reactor: FakeReactor = attrs.field(factory=FakeReactor)
    heard: list[object] = attrs.field(factory=list)
    cancels: int = 0

    def cancel(self) -> None:
        self.cancels += 1

    def subscriber(self, receive: Callable[[str], object] | None = None) -> CallbackSubscriber:
        inbox = Inbox(lambda: None)
        heard = self.heard.append
        return CallbackSubscriber(self.reactor, inbox, receive or heard, heard, self.cancel)

    def results(self) -> InterimResults:
        return InterimResults(self.reactor, int, self.cancel, lambda: None)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_nothing_is_handled_on_the_loop(desk: Desk) -> None:
    subscriber = desk.subscriber()
    subscriber.put(Batch(("1",)))
    assert desk.heard == []
    desk.reactor.settle()
    assert desk.heard == ["1"]


def test_items_are_handled_in_order_and_one_at_a_time(desk: Desk) -> None:
    subscriber = desk.subscriber()
    for item in (Batch(("1", "2")), Gap(2), Batch(("3",)), Mark(lambda: desk.heard.append("m"))):
        subscriber.put(item)
    assert len(desk.reactor._callbacks) == 1
    desk.reactor.settle()
    assert desk.heard == ["1", "2", Gap(2), "3", "m"]


def test_the_cursor_of_what_was_delivered_counts_calls_that_returned(desk: Desk) -> None:
    def receive(text: str) -> None:
        if text == "3":
            raise ValueError(text)

    subscriber = desk.subscriber(receive)
    subscriber.put(Batch(("1", "2", "3", "4")))
    desk.reactor.settle()
    assert subscriber.delivered == 2


def test_a_mark_is_reached_though_the_subscriber_was_dropped(desk: Desk) -> None:
    subscriber = desk.subscriber()
    subscriber.put(Batch(("1",)))
    subscriber.put(Gap(1))
    subscriber.put(Mark(lambda: desk.heard.append("m")))
    subscriber.drop()
    desk.reactor.settle()
    assert desk.heard == ["m"]
    assert subscriber.delivered == 0


def test_the_error_of_the_end(desk: Desk) -> None:
    error = ValueError()
    subscriber = desk.subscriber()
    subscriber.put(End(error))
    assert subscriber.error is None
    desk.reactor.settle()
    assert subscriber.error is error


def test_an_end_that_nobody_waits_for_any_more_is_no_error(desk: Desk) -> None:
    subscriber = desk.subscriber()
    subscriber.put(End(ValueError()))
    subscriber.drop()
    desk.reactor.settle()
    assert subscriber.error is None


def test_the_callback_s_exception_stands_against_a_later_end(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("oops")

    def receive(text: str) -> None:
        raise error

    subscriber = desk.subscriber(receive)
    subscriber.put(Batch(("1", "2")))
    subscriber.put(End(KeyError()))
    with caplog.at_level(logging.ERROR):
        desk.reactor.settle()
    assert subscriber.error is error
    assert desk.cancels == 1
    assert len(caplog.records) == 1


def test_who_is_the_current_thread(desk: Desk) -> None:
    subscriber = desk.subscriber(lambda _: desk.heard.append(subscriber.is_caller))
    subscriber.put(Batch(("1",)))
    assert not subscriber.is_caller
    desk.reactor.settle()
    assert desk.heard == [True]
    assert not subscriber.is_caller


# ---- the iterator ------------------------------------------------------------------------------


def test_an_iterator_gives_what_was_put(desk: Desk) -> None:
    results = desk.results()
    for item in (Batch(("1", "2")), Gap(2), Batch(("3",)), End(None)):
        results.put(item)
    assert list(results) == [1, 2, Gap(2), 3]
    assert list(results) == []
    assert desk.cancels == 0


def test_an_iterator_raises_the_error_of_the_end_once(desk: Desk) -> None:
    results = desk.results()
    error = ValueError()
    results.put(Batch(("1",)))
    results.put(End(error))
    assert next(results) == 1
    with pytest.raises(ValueError) as caught:
        next(results)
    assert caught.value is error
    assert results.error is error
    assert list(results) == []


def test_an_iterator_decodes_when_it_is_asked(desk: Desk) -> None:
    results = desk.results()
    results.put(Batch(("1", "x")))
    assert next(results) == 1
    with pytest.raises(ValueError):
        next(results)
    assert desk.cancels == 1
    assert list(results) == []


def test_a_mark_does_not_wait_for_who_iterates(desk: Desk) -> None:
    results = desk.results()
    results.put(Batch(("1",)))
    results.put(Mark(lambda: desk.heard.append("m")))
    assert desk.heard == ["m"]
    assert not results.is_caller


def test_an_iterator_waits(desk: Desk) -> None:
    results = desk.results()
    desk.reactor.at(3.0, lambda: results.put(Batch(("1",))))
    desk.reactor.at(4.0, lambda: results.put(End(None)))
    assert list(results) == [1]
    assert desk.reactor.elapsed == 4.0


def test_dropping_wakes_who_waits(desk: Desk) -> None:
    results = desk.results()
    desk.reactor.at(3.0, results.drop)
    assert list(results) == []
    assert desk.cancels == 0


def test_closing_cancels_once(desk: Desk) -> None:
    with desk.results() as results:
        results.put(Batch(("1",)))
    results.close()
    assert desk.cancels == 1
    assert list(results) == []
