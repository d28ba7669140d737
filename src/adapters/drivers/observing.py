"""How drivers show their machines to an observer: what it raises is logged, once for each job."""

from __future__ import annotations

import logging
from collections.abc import Callable

from runtime_core.machine import JobMachine
from runtime_core.observer import ObservedMachine, Observer

logger = logging.getLogger(__name__)


def observed(machine: JobMachine, observer: Observer, now: Callable[[], float]) -> ObservedMachine:
    """Give a machine's steps to an observer; `now` is the driver's clock."""

    def log(error: Exception) -> None:
        logger.error(
            "the observer of job %s failed; the job goes on", machine.job_id, exc_info=error
        )

    return ObservedMachine(machine, observer, now, log)
