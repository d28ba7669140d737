"""Lists that a service gives in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from runtime_core.errors import UsageError

PAGE = 20
"""How many entries are asked for where no limit is given; services cap what they give at once."""

Page = Callable[[int, int], tuple[Sequence[object], int]]
"""Asks for so many entries after so many others; gives them, and how many there are in all."""


def entries(page: Page, limit: int | None, skip: int) -> Iterator[object]:
    """Give entries, a page at a time, until there are as many as wanted or no more.

    Args:
        page: asks for a page.
        limit: how many at most; None for all.
        skip: how many to leave out at the beginning.

    Raises:
        UsageError: if a number is negative; at the first entry, as with everything `page` raises.
    """
    if skip < 0 or (limit is not None and limit < 0):
        raise UsageError(f"limit and skip are numbers from 0 on, not {limit} and {skip}")
    got = 0
    while limit is None or got < limit:
        found, count = page(PAGE if limit is None else limit - got, skip + got)
        yield from found
        got += len(found)
        # A service that counts wrongly, or jobs that go meanwhile, must not make this endless.
        if not found or skip + got >= count:
            return
