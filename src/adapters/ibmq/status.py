"""The original's words for the state of a job, which are Qiskit's."""

from __future__ import annotations

from enum import Enum
from typing import Final

from runtime_core.states import JobState


class JobStatus(Enum):
    """The state of a job: names and values are those of Qiskit's `JobStatus`, and equal to them."""

    INITIALIZING = "job is being initialized"
    QUEUED = "job is queued"
    VALIDATING = "job is being validated"
    RUNNING = "job is actively running"
    CANCELLED = "job has been cancelled"
    DONE = "job has successfully run"
    ERROR = "job incurred error"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JobStatus):
            return self is other
        if isinstance(other, Enum) and type(other).__name__ == "JobStatus":
            return (self.name, self.value) == (other.name, other.value)
        return NotImplemented

    # The same as that of Qiskit's members: what is equal hashes equally.
    def __hash__(self) -> int:
        return hash(self.name)


JOB_FINAL_STATES: Final = (JobStatus.DONE, JobStatus.CANCELLED, JobStatus.ERROR)
"""The states that a job does not leave."""


def status_of(state: JobState) -> JobStatus:
    """Give the original's word for a state; INITIALIZING and VALIDATING are for none."""
    return JobStatus[state.name]
