"""`adapters.ibmq`: its names, its errors with and without Qiskit, its codec, its options."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fakes import FakeClient, FakeReactor

from adapters import ibmq, run_options
from adapters.ibmq import (
    JOB_FINAL_STATES,
    IBMQError,
    IBMQInputValueError,
    IBMQNotAuthorizedError,
    JobStatus,
    JobTimeoutError,
    ParameterNamespace,
    ProgramBackend,
    QiskitRuntimeError,
    RuntimeDecoder,
    RuntimeEncoder,
    RuntimeJob,
    RuntimeOptions,
    UserMessenger,
)
from adapters.ibmq.errors import as_original, translating
from runtime_core import errors
from runtime_core.errors import RuntimeCoreError
from runtime_core.states import JobState

NAMES = """
    RuntimeJob IBMRuntimeService RuntimeClient RuntimeWebsocketClient ResultDecoder RuntimeEncoder
    RuntimeDecoder JobStatus JOB_FINAL_STATES IBMQError QiskitRuntimeError RuntimeJobFailureError
    RuntimeInvalidStateError RuntimeJobNotFound RuntimeProgramNotFound RuntimeDuplicateProgramError
    JobTimeoutError UserMessenger ProgramBackend RuntimeOptions RuntimeProgram ParameterNamespace
    IBMQInputValueError IBMQNotAuthorizedError
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_the_names_of_the_original_are_there(name: str) -> None:
    assert name in ibmq.__all__
    assert hasattr(ibmq, name)


def test_qiskit_is_not_imported() -> None:
    code = "import sys, adapters.ibmq; assert 'qiskit' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- errors ------------------------------------------------------------------------------------

EXAMPLES: list[RuntimeCoreError] = [
    errors.RuntimeJobFailureError("j1", "boom"),
    errors.RuntimeJobCancelledError("j1"),
    errors.RuntimeInvalidStateError("cancel", "j1", JobState.DONE, "it has ended"),
    errors.JobTimeoutError("j1", "its end", 1.0, JobState.RUNNING),
    errors.RuntimeJobNotFoundError("no job", 404),
    errors.RuntimeProgramNotFoundError("no program", 404),
    errors.RuntimeDuplicateProgramError("two", 409),
    errors.NotAuthorizedError("not you", 403),
    errors.TransportError("no answer", 503, True, 2.0),
    errors.UnknownStatusError("j1", "Pondering"),
    errors.DecodeError("Too many", "$", "max_nodes"),
    errors.EncodeError("An object", "$.a"),
    errors.OptionsError("no backend_name"),
    errors.InputsError(["'n' is missing"]),
    errors.UsageError("closed"),
    errors.ServiceError("not there"),
]
IDS = [type(error).__name__ for error in EXAMPLES]


@pytest.fixture
def qiskit(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What of Qiskit is loaded: its errors, as they are made there."""

    class QiskitError(Exception):
        def __init__(self, *message: str) -> None:
            super().__init__(" ".join(message))
            self.message = " ".join(message)

        def __str__(self) -> str:
            return repr(self.message)

    class JobTimeoutError(QiskitError):
        pass

    for name, kind in (
        ("qiskit.exceptions", QiskitError),
        ("qiskit.providers.exceptions", JobTimeoutError),
    ):
        module = ModuleType(name)
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(sys.modules, name, module)
    return SimpleNamespace(QiskitError=QiskitError, JobTimeoutError=JobTimeoutError)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_each_of_our_errors_is_one_of_the_originals_and_stays_ours(error: RuntimeCoreError) -> None:
    twin = as_original(error)
    assert isinstance(twin, type(error))
    assert isinstance(twin, JobTimeoutError) is isinstance(error, errors.JobTimeoutError)
    assert isinstance(twin, IBMQError) is not isinstance(twin, JobTimeoutError)
    assert vars(twin) == vars(error)
    if not isinstance(error, errors.RuntimeJobFailureError):  # its text is the original's
        assert str(twin) == str(error)
    assert as_original(twin) is twin


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_where_qiskit_is_loaded_they_are_its_errors_too(
    error: RuntimeCoreError, qiskit: SimpleNamespace
) -> None:
    twin = as_original(error)
    assert isinstance(twin, (type(error), qiskit.QiskitError))
    assert isinstance(twin, type(as_original(error)))
    assert isinstance(twin, qiskit.JobTimeoutError) is isinstance(twin, JobTimeoutError)
    assert not str(twin).startswith("'")
    assert twin.message  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(twin))
    assert type(again) is type(twin)
    assert (str(again), vars(again)) == (str(twin), vars(twin))
    assert as_original(twin) is twin


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
def test_an_error_survives_the_way_to_another_process(error: RuntimeCoreError) -> None:
    twin = as_original(error)
    again = pickle.loads(pickle.dumps(twin))
    assert (type(again), str(again), vars(again)) == (type(twin), str(twin), vars(twin))


def test_which_errors_are_runtime_errors() -> None:
    found = {
        type(error).__name__
        for error in EXAMPLES
        if isinstance(as_original(error), QiskitRuntimeError)
    }
    assert found == {
        "RuntimeJobFailureError",
        "RuntimeJobCancelledError",
        "RuntimeInvalidStateError",
        "RuntimeJobNotFoundError",
        "RuntimeProgramNotFoundError",
        "RuntimeDuplicateProgramError",
        "NotAuthorizedError",
        "TransportError",
    }
    assert isinstance(as_original(errors.NotAuthorizedError("no", 403)), IBMQNotAuthorizedError)
    for error in (errors.UsageError("x"), errors.InputsError(["x"]), errors.OptionsError("x")):
        assert isinstance(as_original(error), IBMQInputValueError)


def test_except_qiskits_job_timeout_error_catches_ours(qiskit: SimpleNamespace) -> None:
    reactor = FakeReactor()
    job = RuntimeJob("b", FakeClient(reactor, "RUNNING"), None, "j1", "p", reactor=reactor)
    for call in (job.result, job.wait_for_final_state):
        with pytest.raises(qiskit.JobTimeoutError) as caught:
            call(timeout=1.0)
        assert isinstance(caught.value, JobTimeoutError)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.job_id == "j1"


def test_the_cause_and_the_place_stay_known() -> None:
    cause = OSError("broken")

    def call() -> None:
        raise errors.TransportError("no answer") from cause

    with pytest.raises(QiskitRuntimeError) as caught:
        translating(call)()
    assert caught.value.__cause__ is cause
    assert "call" in [entry.name for entry in caught.traceback]


def test_an_error_has_a_message_and_nothing_that_it_has_not() -> None:
    assert IBMQError("text").message == str(IBMQError("text")) == "text"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = IBMQError("text").nonsense


# ---- the state ---------------------------------------------------------------------------------


class Theirs(Enum):
    INITIALIZING = "job is being initialized"
    QUEUED = "job is queued"
    VALIDATING = "job is being validated"
    RUNNING = "job is actively running"
    CANCELLED = "job has been cancelled"
    DONE = "job has successfully run"
    ERROR = "job incurred error"


def test_the_status_equals_qiskits() -> None:
    Theirs.__name__ = "JobStatus"
    assert [status.name for status in JobStatus] == [status.name for status in Theirs]
    for ours, theirs in zip(JobStatus, Theirs, strict=True):
        assert ours == theirs
        assert theirs == ours
        assert hash(ours) == hash(theirs)
        assert ours in (Theirs.QUEUED, theirs)
    assert JobStatus.DONE != Theirs.ERROR
    assert JobStatus.DONE != JobStatus.ERROR
    assert JobStatus.DONE != "DONE"
    assert JOB_FINAL_STATES == (JobStatus.DONE, JobStatus.CANCELLED, JobStatus.ERROR)


# ---- the codec ---------------------------------------------------------------------------------

VALUE = {"z": 1 + 2j, "when": datetime(2021, 5, 6, tzinfo=UTC), "s": {1, 2}, "n": [None, 1.5]}


def test_the_encoder_and_the_decoder_are_those_of_json() -> None:
    text = json.dumps(VALUE, cls=RuntimeEncoder)
    assert json.loads(text)["z"] == {"__type__": "complex", "__value__": [1.0, 2.0]}
    assert json.loads(text, cls=RuntimeDecoder) == VALUE
    assert json.loads(json.dumps(VALUE, cls=RuntimeEncoder, indent=1), cls=RuntimeDecoder) == VALUE


def test_an_encoder_may_be_derived() -> None:
    class Mine(RuntimeEncoder):
        def default(self, o: Any) -> Any:
            return "mine" if isinstance(o, Enum) else super().default(o)

    assert json.dumps([Theirs.DONE, 1j], cls=Mine).startswith('["mine", {"__type__": "complex"')


def test_what_has_no_word_is_an_error() -> None:
    with pytest.raises(IBMQInputValueError, match="object"):
        json.dumps(object(), cls=RuntimeEncoder)


def test_a_text_that_is_no_json_is_json_s_own_error() -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads("{", cls=RuntimeDecoder)
    with pytest.raises(IBMQError):
        json.loads('{"__type__": "complex", "__value__": 3}', cls=RuntimeDecoder)


# ---- options, parameters, programs -------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, '"backend_name" is required field'),
        ({"backend_name": "b", "image": "no tag"}, "image_name:tag"),
        ({"backend_name": "b", "image": ":tag"}, "image_name:tag"),
        ({"backend_name": "b", "log_level": "LOUD"}, "LOUD is not a valid log level"),
    ],
)
def test_options_follow_the_originals_rules(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(IBMQInputValueError, match=problem):
        RuntimeOptions(**options).validate()
    with pytest.raises(IBMQInputValueError, match=problem):
        RuntimeOptions.of(options).validate()


def test_options_that_are_right() -> None:
    given: dict[str, Any] = {
        "backend_name": "b",
        "image": "my/image-1:tag_2",
        "log_level": "debug",
    }
    options = RuntimeOptions(**given)
    options.validate()
    for other in (options, given, run_options.RunOptions(**given), SimpleNamespace(**given)):
        assert RuntimeOptions.of(other) == options
    assert RuntimeOptions.of(options) is not options
    with pytest.raises(IBMQInputValueError, match="unknown options job_tags"):
        RuntimeOptions.of({"backend_name": "b", "job_tags": []})


def test_a_parameter_that_is_missing_is_an_input_value_error() -> None:
    parameters = ParameterNamespace({"properties": {"n": {}}, "required": ["n"]})
    with pytest.raises(IBMQInputValueError, match="'n' is a required property"):
        parameters.validate()
    parameters.n = 3
    parameters.validate()


def test_a_user_messenger_prints(capsys: pytest.CaptureFixture[str]) -> None:
    UserMessenger().publish({"z": 1j})
    UserMessenger().publish(2, final=True)
    UserMessenger().publish(3, json.JSONEncoder, True)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ['{"z": {"__type__": "complex", "__value__": [0.0, 1.0]}}', "2", "3"]


def test_a_program_backend_is_to_be_derived_from() -> None:
    class Mine(ProgramBackend):
        def run(self, circuits: Any, timeout: int | None = None, **run_config: Any) -> Any:
            return circuits, timeout, run_config

    assert Mine().run(1, 2, shots=3) == (1, 2, {"shots": 3})
    with pytest.raises(TypeError, match="abstract"):
        ProgramBackend()  # type: ignore[abstract]
