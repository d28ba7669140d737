"""The names of qiskit-ibmq-provider's runtime, for programs that were written for it.

A program changes its imports only: `from adapters.ibmq import RuntimeJob, IBMRuntimeService`.
What is the same, what differs, and why: docs/ibmq.md. Qiskit is not imported; where the program
has it loaded, the errors are Qiskit's as well, so that its `except` clauses hold.
"""

from adapters.ibmq.client import RuntimeClient
from adapters.ibmq.codec import RuntimeDecoder, RuntimeEncoder
from adapters.ibmq.errors import (
    IBMQError,
    IBMQInputValueError,
    IBMQNotAuthorizedError,
    JobTimeoutError,
    QiskitRuntimeError,
    RequestsApiError,
    RuntimeDuplicateProgramError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobNotFound,
    RuntimeProgramNotFound,
)
from adapters.ibmq.job import RuntimeJob
from adapters.ibmq.options import RuntimeOptions
from adapters.ibmq.program import ParameterNamespace, RuntimeProgram
from adapters.ibmq.programming import ProgramBackend, UserMessenger
from adapters.ibmq.service import IBMRuntimeService
from adapters.ibmq.status import JOB_FINAL_STATES, JobStatus
from adapters.websocket.client import RuntimeWebsocketClient
from runtime_core.decoders import ResultDecoder

__all__ = [
    "JOB_FINAL_STATES",
    "IBMQError",
    "IBMQInputValueError",
    "IBMQNotAuthorizedError",
    "IBMRuntimeService",
    "JobStatus",
    "JobTimeoutError",
    "ParameterNamespace",
    "ProgramBackend",
    "QiskitRuntimeError",
    "RequestsApiError",
    "ResultDecoder",
    "RuntimeClient",
    "RuntimeDecoder",
    "RuntimeDuplicateProgramError",
    "RuntimeEncoder",
    "RuntimeInvalidStateError",
    "RuntimeJob",
    "RuntimeJobFailureError",
    "RuntimeJobNotFound",
    "RuntimeOptions",
    "RuntimeProgram",
    "RuntimeProgramNotFound",
    "RuntimeWebsocketClient",
    "UserMessenger",
]
