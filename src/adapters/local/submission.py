"""A submission to the local runner, from what is said by who submits to what the store keeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from adapters.local.engine import Machinery
from adapters.local.records import DEFAULT_BACKEND, DEFAULT_COST, MAX_COST, Job, Program
from adapters.local.store import DuplicateError
from adapters.programs import program_name, read_source
from adapters.run_options import RunOptions
from runtime_core.errors import OptionsError, UsageError
from runtime_core.tagged_json import encode_tagged
from runtime_core.tags import AnyTag


@attrs.frozen
class Submission:
    """A program that was read, with its inputs, and how it is to be run."""

    program: Program
    """Named by its content, so that the same one is kept once."""
    source: bytes
    """Its source, or the archive of its folder."""
    params: str
    """The inputs, a JSON object."""
    options: RunOptions
    """How it is to be run."""

    @classmethod
    def of(
        cls,
        program_id: str,
        inputs: Mapping[str, Any],
        options: RunOptions | Mapping[str, Any],
        tags: Sequence[AnyTag],
    ) -> Self:
        """Read the program and check what is said; see `LocalRunner.submit`, which raises this.

        Raises:
            UsageError: if it is no program.
            OptionsError: if there is an unknown option, or one has a wrong value.
            EncodeError: if the inputs cannot be written as tagged JSON.
        """
        chosen = checked(options)
        params = encode_tagged(dict(inputs), tags)
        source = read_source(program_id)
        program = Program(program_name(program_id, source), DEFAULT_COST)
        return cls(program, source, params, chosen)

    def add_to(self, here: Machinery) -> str:
        """Have the job run, and give its id.

        Raises:
            UsageError: if the runner is closing.
        """
        if here.supervisor.closing:
            raise UsageError("This local runner is closing and takes no more jobs.")
        try:
            program = here.store.add_program(self.program, self.source)
        except DuplicateError:
            found = here.store.program(self.program.name)
            assert found is not None
            program = found
        job = here.store.add_job(self._job(program), self.params)
        here.supervisor.submitted()
        return job.id

    def _job(self, program: Program) -> Job:
        options = self.options
        return Job(
            program=program.id,
            source=program.source,
            cost=options.max_execution_time or DEFAULT_COST,
            backend=options.backend_name or DEFAULT_BACKEND,
            image=options.image or "",
            # If it waits until another process takes it up, it finds what is installed here.
            python=sys.executable or "",
            python_path=os.environ.get("PYTHONPATH", ""),
            log_level=options.log_level.upper() if options.log_level else None,
            tags=tuple(options.job_tags or ()),
        )


def checked(options: RunOptions | Mapping[str, Any]) -> RunOptions:
    """Check the options of a job.

    Raises:
        OptionsError: if there is an unknown one, or one has a wrong value.
    """
    chosen = RunOptions.of(options)
    if (chosen.max_execution_time or 0) > MAX_COST:
        raise OptionsError(f"The option max_execution_time is {MAX_COST} seconds at most.")
    texts = (chosen.backend_name, chosen.image, *(chosen.job_tags or ()))
    if any("\0" in text or not _is_text(text) for text in texts if text):
        raise OptionsError("An option holds a NUL or half a surrogate pair, which no text has.")
    return chosen


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
