"""How many callbacks may block at the same time."""

from __future__ import annotations

from adapters.drivers.reactor import shared_reactor


def set_callback_threads(limit: int) -> None:
    """Set on how many threads of this process callbacks for interim results run at most.

    While callbacks return quickly one thread does, whatever the limit; each that blocks, for
    instance on a disk or a network of its own, holds one, and another is started within a tenth of
    a second. At the limit (32 by default) the callbacks of other jobs wait. Those of one job always
    run one after the other. Holds for all jobs of the process but those on asyncio, at once and for
    children that it forks.

    Raises:
        ValueError: if `limit` is less than 1.
        TypeError: if it is no whole number.
    """
    if type(limit) is not int:
        raise TypeError(f"limit is a whole number of threads, not {limit!r}")
    if limit < 1:
        raise ValueError(f"limit is a number of threads, 1 or more: not {limit}")
    shared_reactor().set_callback_threads(limit)
