"""The queue between the loop and a subscriber: its order and its limits."""

from __future__ import annotations

import pytest

from adapters.drivers import inbox as limits
from adapters.drivers.inbox import Batch, End, Gap, Inbox, Item, Mark


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MESSAGE_LIMIT", 4)
    monkeypatch.setattr(limits, "BYTE_LIMIT", 100)


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def inbox(changes: list[bool]) -> Inbox:
    made = Inbox(lambda: changes.append(made.is_full))
    return made


def test_items_come_out_in_order(inbox: Inbox) -> None:
    items: list[Item] = [Batch(("1",)), Gap(1), Mark(print), End(None)]
    was_empty = [inbox.put(item) for item in items]
    assert was_empty == [True, False, False, False]
    taken = [(inbox.peek(), inbox.take()) for _ in items]
    assert taken == list(zip(items, [True, True, True, False], strict=True))
    assert inbox.peek() is None


def test_an_item_stays_until_it_is_taken(inbox: Inbox) -> None:
    inbox.put(Gap(1))
    assert inbox.peek() == inbox.peek() == Gap(1)
    assert not inbox.put(Gap(2))  # whoever handles the first one goes on with it


def test_it_is_full_beyond_the_limit_and_not_before(inbox: Inbox, changes: list[bool]) -> None:
    inbox.put(Batch(("1", "2", "3", "4")))
    assert changes == []
    inbox.put(Batch(("5",)))
    assert changes == [True]


def test_it_has_room_once_half_is_taken(inbox: Inbox, changes: list[bool]) -> None:
    for text in "12345":
        inbox.put(Batch((text,)))
    for _ in range(2):
        inbox.take()
    assert changes == [True]
    inbox.take()
    assert changes == [True, False]
    inbox.take()
    inbox.take()
    assert changes == [True, False]


def test_it_tells_once_however_much_more_comes(inbox: Inbox, changes: list[bool]) -> None:
    for _ in range(5):
        inbox.put(Batch(("1", "2", "3")))
    assert changes == [True]


def test_it_may_be_full_again(inbox: Inbox, changes: list[bool]) -> None:
    for _ in range(2):
        inbox.put(Batch(tuple("12345")))
        inbox.take()
    assert changes == [True, False, True, False]


def test_the_size_of_messages_counts_too(inbox: Inbox, changes: list[bool]) -> None:
    inbox.put(Batch(("x" * 60,)))
    inbox.put(Batch(("x" * 41,)))
    assert changes == [True]
    inbox.take()
    assert changes == [True, False]


def test_what_is_no_message_does_not_count(inbox: Inbox, changes: list[bool]) -> None:
    for number in range(10):
        inbox.put(Gap(number))
        inbox.put(Mark(print))
    assert changes == []


def test_it_tells_outside_its_lock(changes: list[bool]) -> None:
    def look() -> None:
        assert made.peek() is not None or made.peek() is None  # would block for ever
        changes.append(made.is_full)

    made = Inbox(look)
    made.put(Batch(tuple("12345")))
    made.take()
    assert changes == [True, False]
