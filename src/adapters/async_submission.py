"""What becomes of a submission whose caller has gone, in asyncio."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Submitted:
    """A submission that goes on when its caller is cancelled: somebody must learn the job's id."""

    def __init__(self) -> None:
        self._job_id: str | None = None
        self._is_forsaken = False

    def tell(self, job_id: str) -> None:
        """On a thread: the job is there."""
        self._job_id = job_id
        if self._is_forsaken:
            self._log()

    def forsake(self) -> None:
        """On the loop: the caller has gone."""
        self._is_forsaken = True
        if self._job_id is not None:
            self._log()

    def _log(self) -> None:
        logger.warning("job %s was submitted, though its caller was cancelled", self._job_id)
