"""What a service says of a job, beside its state and its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from adapters.http.transport import ApiClient
from adapters.services.ibm_legacy import as_promised, created_at, status_event
from runtime_core.documents import JobDocument, read_job
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import JobQueued
from runtime_core.tagged_json import decode_tagged


class JobFacts:
    """The facts of one job: as they were given, else as the service tells when first asked.

    Any number of threads may use it.

    Args:
        api_client: who is asked.
        job_id: the job.
        params: its inputs, if they are known.
        creation_date: when it was submitted, if that is known.
        document: what the service said of it as a whole, if it was asked already.

    Raises:
        UsageError: if `creation_date` is no time.
    """

    def __init__(
        self,
        api_client: ApiClient,
        job_id: str,
        params: Mapping[str, Any] | None,
        creation_date: str | datetime | None,
        document: JobDocument | None,
    ) -> None:
        self._api_client = api_client
        self._job_id = job_id
        self._inputs = None if params is None else dict(params)
        self._creation_date = _given_time(creation_date)
        self._document = document

    def document(self) -> JobDocument:
        """Give what the service said of the job when it was first asked."""
        if self._document is None:
            self._document = self._asked()
        return self._document

    def inputs(self) -> dict[str, Any]:
        """Give the inputs of the job; a copy."""
        if self._inputs is None:
            # They are sent as tagged JSON.
            self._inputs = decode_tagged(json.dumps(self.document().params))
        return dict(self._inputs)

    def creation_date(self) -> datetime | None:
        """Give when the job was submitted, in local time; None if the service does not tell."""
        if self._creation_date is None:
            self._creation_date = local_time(self.document().created)
        return self._creation_date

    def queue_position(self) -> int | None:
        """Ask for the place in the queue; None if the job is not queued, or it is not told."""
        document = self._asked()
        is_queued = isinstance(status_event({"status": document.status}), JobQueued)
        return document.position if is_queued else None

    def _asked(self) -> JobDocument:
        return as_promised(read_job, self._api_client.job_get(self._job_id))


def local_time(moment: str | datetime | None) -> datetime | None:
    """Read a time in a service's format: local time, or None if there is none.

    Raises:
        TransportError: if it is no time.
    """
    if moment is None or moment == "":
        return None
    # A time that says no offset is the service's, in UTC.
    known = created_at(moment if isinstance(moment, str) else moment.isoformat())
    return known.astimezone()


def _given_time(moment: str | datetime | None) -> datetime | None:
    try:
        return local_time(moment)
    except TransportError as error:
        raise UsageError(f"creation_date is no ISO 8601 time: {moment!r}") from error
