"""The service that a command is for: opened, named, and what to do if it cannot be used."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import attrs

from adapters.cli.options import TOKEN_VARIABLE
from adapters.cli.outcome import CommandError
from adapters.cli.text import printable
from adapters.cli.transports import load_transport
from adapters.job import RuntimeJob
from adapters.service import RuntimeService
from adapters.services.dialect import LEGACY, Dialect
from adapters.transport_service import TransportService
from runtime_core.errors import RuntimeCoreError, TransportError
from runtime_core.observer import Observer

AnyService: TypeAlias = RuntimeService | TransportService
"""What finds jobs."""


@attrs.frozen
class Place:
    """A service, as the command line names it."""

    url: str | None
    """Where it is; None for the one on this machine, or one that is named otherwise."""
    token: str = attrs.field(repr=False)
    """The access token for `url` or `ray`; may be empty."""
    data: str | None
    """The data directory of the one on this machine; None for the usual one."""
    resume: str = "live"
    """How the streams at `url` are resumed."""
    transport: str | None = None
    """The transport that stands for a service, ``MODULE:NAME``; None for none."""
    ray: str | None = None
    """Where the head of a Ray cluster is; None for none."""
    journal: str | None = None
    """Where what happens to jobs is written down; None for nowhere."""

    @classmethod
    def given(cls, options: argparse.Namespace) -> Place:
        """Take it from the options."""
        token = options.token
        if token is None:
            token = os.environ.get(TOKEN_VARIABLE, "")
        resume = getattr(options, "resume", None)
        transport = getattr(options, "transport", None)
        if resume is not None and transport is not None:
            options.parser.error("--resume is for a service at --url; a transport says it itself")
        if resume is not None and options.ray is not None:
            options.parser.error("--resume is for a service at --url; Ray keeps what was published")
        return cls(
            options.url,
            token,
            options.data,
            resume or "live",
            transport,
            ray=options.ray,
            journal=getattr(options, "journal", None),
        )

    @property
    def name(self) -> str:
        """Where a job is, to stand behind "job X"."""
        if self.transport is not None:
            return f"by {self.transport}"
        if self.ray is not None:
            return f"on Ray at {self.ray}"
        return "on this machine" if self.url is None else f"at {self.url}"

    @property
    def dialect(self) -> Dialect:
        """What the service speaks."""
        if self.ray is None:
            return LEGACY
        from adapters.services.ray_jobs import RAY

        return RAY

    def command(self, *words: str) -> str:
        """Give a command line for this service; the token is never in it."""
        where = ["--url", self.url] if self.url is not None else []
        where += ["--ray", self.ray] if self.ray is not None else []
        where += ["--data", self.data] if self.data is not None else []
        where += ["--transport", self.transport] if self.transport is not None else []
        return shlex.join(["runtime-core", *words, *where])

    @contextmanager
    def open(self, *, may_be_new: bool = False) -> Iterator[RuntimeService]:
        """Find the service, or start it on this machine, and let go of it at the end.

        What goes wrong with the service inside of the `with` is told in the same way.

        Raises:
            CommandError: if it cannot be used.
        """
        if self.data is not None and not may_be_new and not Path(self.data).is_dir():
            raise CommandError(
                f"There is no directory {self.data!r}: --data names where the service on this "
                "machine keeps its jobs, and `run` makes it."
            )
        with (
            self._complaining(),
            self._observer() as observer,
            self._opened(observer) as service,
        ):
            yield service

    @contextmanager
    def reach(self, *, may_be_new: bool = False) -> Iterator[AnyService]:
        """Do the same, or make a service of the transport.

        Raises:
            CommandError: if it cannot be used.
        """
        if self.transport is None:
            with self.open(may_be_new=may_be_new) as service:
                yield service
            return
        transport = load_transport(self.transport)
        with (
            self._complaining(),
            self._observer() as observer,
            TransportService(transport, observer=observer) as jobs,
        ):
            yield jobs

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except RuntimeCoreError as error:
            raise CommandError(self.complaint(error)) from error

    @contextmanager
    def _observer(self) -> Iterator[Observer | None]:
        if self.journal is None:
            yield None
            return
        from adapters.journal_file import JournalFile

        try:
            journal = JournalFile(self.journal, secrets=[self.token])
        except OSError as error:
            raise CommandError(
                f"The journal {self.journal} cannot be written: {error.strerror}."
            ) from error
        with journal:
            yield journal

    def _opened(self, observer: Observer | None) -> RuntimeService:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if self.ray is not None:
                    return RuntimeService.ray(self.ray, self.token or None, observer=observer)
                if self.url is None:
                    return RuntimeService.local(data=self.data, observer=observer)
                return RuntimeService(self.url, self.token, resume=self.resume, observer=observer)
            except (ValueError, OSError) as error:
                raise CommandError(str(error)) from error
            finally:
                for warning in caught:
                    sys.stderr.write(f"runtime-core: {warning.message}\n")

    @property
    def advice(self) -> str:
        """Say how the jobs are listed, to stand at the end of a sentence; empty if they are not."""
        return "" if self.transport is not None else f": `{self.command('jobs')}` lists them"

    def find(self, service: AnyService, job_id: str) -> RuntimeJob:
        """Find a job.

        Raises:
            CommandError: if there is none.
            RuntimeCoreError: if the service cannot be asked.
        """
        try:
            job = service.job(job_id)
            # By a transport nobody has asked yet whether it is there; of a job on Ray that has
            # ended nobody has looked into its log for how.
            if isinstance(service, TransportService) or self.ray is not None:
                job.status()
        except TransportError as error:
            if error.status_code != 404:
                raise
            raise CommandError(f"There is no job {job_id!r} {self.name}{self.advice}.") from error
        return job

    def complaint(self, error: RuntimeCoreError) -> str:
        """Say what is wrong, and what to do about it if that depends on the command line."""
        said = printable(" ".join(str(error).split()))
        place = self.ray if self.url is None else self.url
        if not isinstance(error, TransportError) or place is None:
            return said
        if error.status_code == 401:
            return f"{said} It is read from {TOKEN_VARIABLE}, or from --token."
        if error.status_code is None and error.retryable:
            what = "a service" if self.ray is None else "the head of a Ray cluster"
            return f"{said} Does {what} run at {place}?"
        return said
