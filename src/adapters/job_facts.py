"""What a service says of a job, beside its state and its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from adapters.http.transport import asked
from adapters.services import ibm_current
from adapters.services.dialect import DocumentReader, dialect_of
from adapters.services.ibm_legacy import created_at
from adapters.services.promises import as_promised
from runtime_core.documents import JobDocument
from runtime_core.errors import TransportError, UsageError
from runtime_core.events import JobQueued
from runtime_core.tagged_json import decode_tagged


class JobFacts:
    """The facts of one job: as they were given, else as the service tells when first asked.

    Any number of threads may use it.

    Args:
        api_client: who is asked; of what it has no call for nothing is known but what was given.
        job_id: the job.
        params: its inputs, if they are known.
        creation_date: when it was submitted, if that is known.
        document: what the service said of it as a whole, if it was asked already.

    Raises:
        UsageError: if `creation_date` is no time.
    """

    def __init__(
        self,
        api_client: object,
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
        """Give what the service said of the job when it was first asked.

        Raises:
            UsageError: if it was not given, and the transport has no call for it.
        """
        if self._document is None:
            self._document = self._asked()
        return self._document

    def inputs(self) -> dict[str, Any]:
        """Give the inputs of the job; a copy."""
        if self._inputs is None:
            # Where descriptions of jobs leave them out, the client has a call for them.
            params = self._optional_call("job_params", self._told_params)
            # They are sent as tagged JSON.
            self._inputs = decode_tagged(json.dumps(params))
        return dict(self._inputs)

    def _told_params(self) -> Any:
        if not self._tells:
            raise self._untold("no job_params nor a job_get", "params", "its inputs")
        return self.document().params

    def creation_date(self) -> datetime | None:
        """Give when the job was submitted, in local time; None if the service does not tell."""
        if self._creation_date is None and self._tells:
            self._creation_date = local_time(self.document().created)
        return self._creation_date

    @property
    def can_be_asked(self) -> bool:
        """Whether there is a call for what the service knows of the job."""
        return self._has("job_get")

    def queue_position(self) -> int | None:
        """Ask for the place in the queue; None if the job is not queued, or it is not told."""
        answer = self._optional_call("job_get", lambda: None)
        said = dialect_of(self._api_client).status_event(answer)
        if not isinstance(said, JobQueued) or said.position is not None:
            return said.position if isinstance(said, JobQueued) else None
        read = dialect_of(self._api_client).read_document
        told = None if read is None else as_promised(read, answer).position
        metrics = self.metrics() if told is None else None
        return told if metrics is None else ibm_current.queue_position(metrics)

    def metrics(self) -> dict[str, Any] | None:
        """Ask for what the service measured of the job; None if it does not tell."""
        metrics: dict[str, Any] | None = self._optional_call("job_metrics", lambda: None)
        return metrics

    def usage(self) -> float | None:
        """Ask for the seconds that the job is charged for; None if the service does not tell."""
        metrics = self.metrics()
        return None if metrics is None else ibm_current.usage_seconds(metrics)

    def tags(self) -> list[str] | None:
        """Give the tags of the job, as they were when it was first asked for; None if not told."""
        tags = self.document().tags if self._tells else None
        return None if tags is None else list(tags)

    def tag(self, tags: Iterable[str]) -> list[str]:
        """Give the job these tags instead of those it has; give them as the service has them then.

        Raises:
            UsageError: if the client cannot do that, or they are not several texts.
        """
        job_tag = getattr(self._api_client, "job_tag", None)
        if job_tag is None:
            raise UsageError(
                f"{type(self._api_client).__name__} has no job_tag: the service keeps no tags."
            )
        asked(job_tag, self._job_id, tags)
        self._document = self._asked()
        return self.tags() or []

    @property
    def _tells(self) -> bool:
        """Whether there is a document of the job, or it can be asked for."""
        return self._document is not None or self._reader is not None

    @property
    def _reader(self) -> DocumentReader | None:
        """What reads the answer of `job_get`; None if there is no such call, or no such reader."""
        return dialect_of(self._api_client).read_document if self._has("job_get") else None

    def _asked(self) -> JobDocument:
        if self._reader is None:
            what = "what its service says of it as a whole"
            raise self._untold("no job_get", "document", what)
        return as_promised(self._reader, self._optional_call("job_get", lambda: None))

    def _has(self, name: str) -> bool:
        return hasattr(self._api_client, name)

    def _untold(self, lack: str, argument: str, what: str) -> UsageError:
        if self._has("job_get"):
            lack = f"the dialect {dialect_of(self._api_client).name}, which has no read_document"
        return UsageError(
            f"{type(self._api_client).__name__} has {lack}, so it cannot be asked for job "
            f"{self._job_id}: give {argument}=, {what}, when the object of the job is made."
        )

    def _optional_call(self, name: str, otherwise: Callable[[], Any]) -> Any:
        """Make a call that not every client has."""
        call = getattr(self._api_client, name, None)
        return otherwise() if call is None else asked(call, self._job_id)


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
