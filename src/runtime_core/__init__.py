"""The lifecycle of a remote job as a pure, typed state machine: events go in, commands come out.

    machine = JobMachine("job-7")
    commands = machine.receive(WaitStarted(1, Need.RESULT))

Carry out what comes back, in order, and tell the machine what came of it:

- a request (`FetchStatus`, `FetchResult`, `FetchFailure`, `SendCancel`): ask your service, and
  `receive` the one event with its number that answers it, `RequestFailed` if nothing else;
- `StartTimer`: wait, then `receive` a `TimerFired` with its name and number;
- `OpenStream`: connect, and `receive` what the connection tells;
- `Deliver`: hand interim results to whoever subscribed;
- `EndWait`: what was waited for is there: see `machine.state`, `machine.result_text`.

The machine does no I/O and knows no clock. Results are text; `decode_result` makes values of them.
"""

from typing import TYPE_CHECKING

from runtime_core.cancel import CancelOutcome
from runtime_core.commands import (
    CloseStream,
    Command,
    Deliver,
    DeliverGap,
    DeliveryCommand,
    EndSubscription,
    EndWait,
    FetchFailure,
    FetchResult,
    FetchStatus,
    Notice,
    OpenStream,
    Report,
    RequestCommand,
    SendCancel,
    StartTimer,
    StopTimer,
    StreamCommand,
    TimerCommand,
)
from runtime_core.decoders import (
    Decoder,
    DecoderRegistry,
    ResultDecoder,
    choose_decoder,
    decode_result,
    decoder_name,
)
from runtime_core.documents import (
    BackendDocument,
    JobDocument,
    JobPage,
    ProgramDocument,
    ProgramPage,
    ProgramReference,
    read_backend,
    read_job,
    read_job_page,
    read_program,
    read_program_page,
)
from runtime_core.errors import (
    DecodeError,
    EncodeError,
    InputsError,
    JobError,
    JobTimeoutError,
    JournalError,
    NotAuthorizedError,
    OptionsError,
    RuntimeCoreError,
    RuntimeDuplicateProgramError,
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    RuntimeJobNotFoundError,
    RuntimeProgramNotFoundError,
    ServiceError,
    TransportError,
    UnknownStatusError,
    UsageError,
    WaitTimeoutError,
)
from runtime_core.events import (
    CallerEvent,
    CancelAccepted,
    CancelRefused,
    CancelRequested,
    Event,
    FailureReceived,
    InterimReceived,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
    Need,
    ReleaseRequested,
    ReplayRequested,
    ReplyEvent,
    RequestFailed,
    ResultReceived,
    StreamClosed,
    StreamEvent,
    StreamFailed,
    StreamNotReady,
    StreamOpened,
    SubscriptionCancelled,
    SubscriptionRequested,
    TimerFired,
    TimerName,
    UnknownStatusReported,
    WaitEnded,
    WaitStarted,
)
from runtime_core.job_handle import JobHandle
from runtime_core.json_limits import DecodeLimits
from runtime_core.lifecycle import LIFECYCLE, TRANSITIONS, may_become
from runtime_core.machine import JobMachine
from runtime_core.observer import ObservedMachine, Observer, Step
from runtime_core.polling import poll_delay, retry_delay
from runtime_core.result import Failure
from runtime_core.settings import Settings
from runtime_core.states import JobState
from runtime_core.structured import StructuredDecoder, structure
from runtime_core.tagged_json import decode_tagged
from runtime_core.tagged_json_encoder import encode_tagged
from runtime_core.tags import AnyTag, Packing, SettingsTag, Tag
from runtime_core.traits import Resume, ServiceTraits

if TYPE_CHECKING:
    from runtime_core.journal import Journal
    from runtime_core.journal_replay import Difference, Replay, ReplayedJob, ReplayedStep, replay

__all__ = [
    "LIFECYCLE",
    "TRANSITIONS",
    "AnyTag",
    "BackendDocument",
    "CallerEvent",
    "CancelAccepted",
    "CancelOutcome",
    "CancelRefused",
    "CancelRequested",
    "CloseStream",
    "Command",
    "DecodeError",
    "DecodeLimits",
    "Decoder",
    "DecoderRegistry",
    "Deliver",
    "DeliverGap",
    "DeliveryCommand",
    "Difference",
    "EncodeError",
    "EndSubscription",
    "EndWait",
    "Event",
    "Failure",
    "FailureReceived",
    "FetchFailure",
    "FetchResult",
    "FetchStatus",
    "InputsError",
    "InterimReceived",
    "JobCancelled",
    "JobDocument",
    "JobError",
    "JobFailed",
    "JobHandle",
    "JobMachine",
    "JobPage",
    "JobQueued",
    "JobStarted",
    "JobState",
    "JobSucceeded",
    "JobTimeoutError",
    "Journal",
    "JournalError",
    "LifecycleEvent",
    "Need",
    "NotAuthorizedError",
    "Notice",
    "ObservedMachine",
    "Observer",
    "OpenStream",
    "OptionsError",
    "Packing",
    "ProgramDocument",
    "ProgramPage",
    "ProgramReference",
    "ReleaseRequested",
    "Replay",
    "ReplayRequested",
    "ReplayedJob",
    "ReplayedStep",
    "ReplyEvent",
    "Report",
    "RequestCommand",
    "RequestFailed",
    "ResultDecoder",
    "ResultReceived",
    "Resume",
    "RuntimeCoreError",
    "RuntimeDuplicateProgramError",
    "RuntimeInvalidStateError",
    "RuntimeJobCancelledError",
    "RuntimeJobFailureError",
    "RuntimeJobNotFoundError",
    "RuntimeProgramNotFoundError",
    "SendCancel",
    "ServiceError",
    "ServiceTraits",
    "Settings",
    "SettingsTag",
    "StartTimer",
    "Step",
    "StopTimer",
    "StreamClosed",
    "StreamCommand",
    "StreamEvent",
    "StreamFailed",
    "StreamNotReady",
    "StreamOpened",
    "StructuredDecoder",
    "SubscriptionCancelled",
    "SubscriptionRequested",
    "Tag",
    "TimerCommand",
    "TimerFired",
    "TimerName",
    "TransportError",
    "UnknownStatusError",
    "UnknownStatusReported",
    "UsageError",
    "WaitEnded",
    "WaitStarted",
    "WaitTimeoutError",
    "choose_decoder",
    "decode_result",
    "decode_tagged",
    "decoder_name",
    "encode_tagged",
    "may_become",
    "poll_delay",
    "read_backend",
    "read_job",
    "read_job_page",
    "read_program",
    "read_program_page",
    "replay",
    "retry_delay",
    "structure",
]


def __getattr__(name: str) -> object:
    # Most programs never write a journal, and should not pay for the import of what does it.
    if name in ("Difference", "Replay", "ReplayedJob", "ReplayedStep", "replay"):
        from runtime_core import journal_replay

        return getattr(journal_replay, name)
    if name == "Journal":
        from runtime_core.journal import Journal

        return Journal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
