"""`LocalRuntimeService`: this machine as the service, shared by every process of the user."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from adapters.local.client import LocalClient, LocalStreams, Pruned, Storage
from adapters.local.daemon import require_extra
from adapters.local.directory import data_directory
from adapters.service import RuntimeService
from runtime_core.decoders import DecoderRegistry
from runtime_core.observer import Observer
from runtime_core.tags import AnyTag


class LocalRuntimeService(RuntimeService):
    """The service on this machine; `RuntimeService.local()` makes one and says how it behaves."""

    _client: LocalClient

    def __init__(
        self,
        *,
        data: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        decoders: DecoderRegistry | None = None,
        tags: Sequence[AnyTag] = (),
        observer: Observer | None = None,
    ) -> None:
        require_extra()
        directory = data_directory(data)
        client = LocalClient(directory, workers)
        if tags:
            client.tags = tags
        self._connect(client, LocalStreams(client), decoders, observer=observer)
        self._data = directory

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._data

    @property
    def pid(self) -> int:
        """The number of the process that serves, as far as was found last."""
        return self._client.pid

    def storage(self) -> Storage:
        """Say what the service keeps, and for how long.

        Raises:
            TransportError: if the service cannot be asked.
        """
        return self._client.storage_get()

    def prune(
        self,
        older_than: float | None = None,
        keep_bytes: int | None = None,
        *,
        dry_run: bool = False,
    ) -> Pruned:
        """Remove jobs that have ended, with their results: the ones that ended first go first.

        Args:
            older_than: the seconds since its end from which on a job goes.
            keep_bytes: the size of everything above which the oldest go. With neither, the
                service's own rule is applied, as it does by itself every hour.
            dry_run: only say what would go.

        Raises:
            TransportError: if the service cannot be asked, or refuses a negative number.
        """
        return self._client.storage_prune(older_than, keep_bytes, dry_run=dry_run)
