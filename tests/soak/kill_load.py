"""The load: clients of both kinds, each in a thread of its own, who note what they are told."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import kill_program
from kill_ledger import Ledger
from kill_wire import (
    DEADLINE,
    GoneError,
    HangingError,
    RawClient,
    Told,
    eventually,
    read_stream,
)

from adapters import RuntimeService
from adapters.job import RuntimeJob
from adapters.local.lock import find_service
from adapters.local.records import new_job_id, now
from adapters.local.service import LocalRuntimeService
from adapters.local.supervisor import LOST
from runtime_core.errors import (
    RuntimeInvalidStateError,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    TransportError,
)
from runtime_core.states import JobState

PROGRAM = "soak"
"""The program of all jobs."""

SIZE = 1_000_000
"""The letters of a large result."""

MESSAGES = 20
"""The interim results of a job that is streamed."""

WORKERS = 2

LONGEST_LOAD = 0.5
"""The seconds within which the kill comes, of a load that goes on at a service that is there."""


@attrs.define(eq=False)
class Place:
    """A data directory, and what is known of it."""

    directory: Path
    traces: Path
    """Where each job leaves a file."""
    ledger: Ledger = attrs.field(factory=Ledger)
    service: LocalRuntimeService = attrs.field(init=False)
    """What all threads share, from `open` to `close`."""

    def open(self) -> None:
        """Find or start its service."""
        self.service = self.another()

    def another(self) -> LocalRuntimeService:
        """Find or start its service, as another process would."""
        return RuntimeService.local(data=self.directory, workers=WORKERS)

    def await_service(self) -> None:
        """Wait until somebody has started the service again."""

        def is_there() -> bool:
            record = find_service(self.directory)
            return record is not None and record.url is not None

        if not eventually(is_there):
            raise HangingError("no service came any more")

    def new_job(self, **inputs: Any) -> dict[str, Any]:
        """Give the inputs of a job."""
        return self.ledger.new_job(traces=str(self.traces), **inputs)


Ask = Callable[[str, str, dict[str, Any]], Told]

Client = Callable[[Place, random.Random], None]
"""Does something with the service, and notes what it is told."""


# ---- clients of the library, which start the service again -------------------------------------


def streams_to_a_callback(place: Place, chance: random.Random) -> None:
    """A job whose interim results go to a callback, with a large result."""
    inputs = place.new_job(messages=MESSAGES, size=SIZE, seconds=chance.uniform(0, 0.4))
    reader = _Reader(place.ledger, inputs["number"])
    job = place.service.run(PROGRAM, inputs=inputs, callback=reader)
    place.ledger.acknowledged(job.job_id(), inputs["number"])
    if _ends(place, job, inputs):
        place.ledger.expect(
            eventually(lambda: reader.count == MESSAGES or job.stream_error() is not None),
            f"the stream of {job.job_id()} stopped at {reader.count}",
        )
    error = job.stream_error()
    if error is not None:
        _is_cut(place, job, error)
        _read_again(place, job, inputs)
    _let_go(place, job)


def iterates_over_a_stream(place: Place, chance: random.Random) -> None:
    """A job whose interim results are iterated over, by an object that finds it again."""
    inputs = place.new_job(messages=MESSAGES, size=SIZE, seconds=chance.uniform(0, 0.4))
    job_id = place.service.run(PROGRAM, inputs=inputs).job_id()
    place.ledger.acknowledged(job_id, inputs["number"])
    job = place.service.job(job_id)
    _read_again(place, job, inputs)
    _ends(place, job, inputs)
    _let_go(place, job)


def cancels(place: Place, chance: random.Random) -> None:
    """A job that would run for long is cancelled, queued or running."""
    inputs = place.new_job(seconds=600, children=1)
    job = place.service.run(PROGRAM, inputs=inputs)
    job_id = job.job_id()
    place.ledger.acknowledged(job_id, inputs["number"])
    time.sleep(chance.uniform(0, 0.3))
    place.ledger.cancelling.add(job_id)
    try:
        job.cancel()
    except RuntimeInvalidStateError as error:
        # Unless a service that was killed had run it.
        place.ledger.expect(
            error.state is JobState.ERROR,
            f"the cancel of {job_id} was refused, which is {error.state}",
        )
    else:
        place.ledger.cancelled[job_id] = now()
        place.ledger.count("cancels acknowledged")
    _ends(place, job, inputs)
    _let_go(place, job)


def has_children(place: Place, chance: random.Random) -> None:
    """A job that starts processes and leaves them behind."""
    inputs = place.new_job(seconds=chance.uniform(0.2, 1.0), children=2)
    job = place.service.run(PROGRAM, inputs=inputs)
    place.ledger.acknowledged(job.job_id(), inputs["number"])
    _ends(place, job, inputs)
    _let_go(place, job)


def comes_and_goes(place: Place, chance: random.Random) -> None:
    """Somebody else's process would do this: open, upload, run, close."""
    time.sleep(chance.uniform(0, 0.3))
    with place.another() as service:
        name = f"other-{chance.randrange(10**12)}"
        source = Path(kill_program.__file__).read_text() + "#" * chance.choice((1, 70_000))
        said = service.upload_program(source, {"name": name})
        place.ledger.expect(said == name, f"the program {name} became {said}")
        place.ledger.programs[name] = source.encode()
        place.ledger.count("programs acknowledged")
        inputs = place.new_job(messages=3, size=100)
        job = service.run(name, inputs=inputs)
        place.ledger.acknowledged(job.job_id(), inputs["number"])
        _ends(place, job, inputs)
        _let_go(place, job)


def _ends(place: Place, job: RuntimeJob, inputs: dict[str, Any]) -> bool:
    """Wait for the end and check it; say whether there was a result."""
    ledger, job_id = place.ledger, job.job_id()
    try:
        value = job.result(timeout=DEADLINE)
    except RuntimeJobFailureError as failure:
        ledger.ended(job_id, "Failed")
        ledger.expect(failure.reason == LOST, f"job {job_id} failed: {failure.reason}")
        ledger.count("waits that ended: lost")
    except RuntimeJobCancelledError:
        ledger.ended(job_id, "Cancelled")
        ledger.expect(job_id in ledger.cancelling, f"job {job_id} was cancelled by nobody")
        ledger.count("waits that ended: cancelled")
    else:
        ledger.ended(job_id, "Completed")
        expected = kill_program.result(inputs["number"], inputs.get("size", 0))
        ledger.expect(value == expected, f"job {job_id} has another's result")
        ledger.count("waits that ended: result")
        return True
    return False


def _read_again(place: Place, job: RuntimeJob, inputs: dict[str, Any]) -> None:
    """Read all interim results until they are complete."""
    ledger, job_id = place.ledger, job.job_id()
    while True:
        reader = _Reader(ledger, inputs["number"])
        try:
            for value in job.interim_results():
                reader(job_id, value)
        except TransportError as error:
            _is_cut(place, job, error)
            continue
        break
    is_whole = reader.count == MESSAGES or job.status() is JobState.ERROR
    ledger.expect(is_whole, f"the stream of {job_id} ended at {reader.count}")


def _is_cut(place: Place, job: RuntimeJob, error: BaseException) -> None:
    """A stream may end early if the service goes when the job has ended, if it says so."""
    place.ledger.count("streams that ended early, and said so")
    place.ledger.expect(
        isinstance(error, TransportError) and error.retryable and job.status().is_final,
        f"the stream of {job.job_id()} ended with {error!r}",
    )


def _let_go(place: Place, job: RuntimeJob) -> None:
    job.close()
    place.ledger.released.add(job.job_id())


class _Reader:
    """Gets interim results, which must come in order, whole and once."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self._ledger = ledger
        self._number = number
        self.count = 0

    def __call__(self, job_id: str, value: object) -> None:
        self._ledger.expect(
            value == kill_program.message(self._number, self.count),
            f"interim result {self.count} of {job_id} is {str(value)[:60]}",
        )
        self.count += 1
        self._ledger.saw(job_id, self.count)


# ---- clients that start nothing and know exactly what was answered -----------------------------


def submits(place: Place, chance: random.Random) -> None:
    """Submissions until the service is gone."""
    client = RawClient(place.directory)
    for _ in range(3):
        _submit(place, client.ask, chance, messages=chance.choice((0, 2, 6)), size=1000)
        time.sleep(chance.uniform(0, 0.1))
    client.close()


def follows(place: Place, chance: random.Random) -> None:
    """The stream of a job, read on from where it broke off, whichever service has it then."""
    ledger, client = place.ledger, _Insisting(place)
    job_id = _submit(
        place, client.ask, chance, messages=MESSAGES, size=SIZE, seconds=chance.uniform(0, 0.4)
    )
    reader = _Reader(ledger, ledger.jobs[job_id])
    is_complete = False
    while not is_complete:
        try:
            for text in read_stream(place.directory, job_id, reader.count):
                reader(job_id, json.loads(text))
            is_complete = True
        except GoneError:
            ledger.count("raw streams taken up again")
            place.await_service()
    status = client.ask("GET", f"/jobs/{job_id}").json()["status"]
    client.close()
    ledger.ended(job_id, status)
    ledger.expect(
        status == "Failed" or (status, reader.count) == ("Completed", MESSAGES),
        f"the stream of {job_id} ended at {reader.count}, it is {status}",
    )
    ledger.released.add(job_id)


def cancels_queued(place: Place, chance: random.Random) -> None:
    """Cancels, most of them of jobs that wait; done again until they are answered."""
    for _ in range(2):
        _cancelled_after(place, chance, chance.uniform(0, 0.05))


def runs_on(place: Place, chance: random.Random) -> None:
    """A job that runs when the kill comes, with processes of its own; cancelled if it has not."""
    _cancelled_after(place, chance, LONGEST_LOAD + chance.random())


def _cancelled_after(place: Place, chance: random.Random, delay: float) -> None:
    client, ledger = _Insisting(place), place.ledger
    job_id = _submit(place, client.ask, chance, seconds=600, children=2)
    time.sleep(delay)
    ledger.cancelling.add(job_id)
    told = client.ask("POST", f"/jobs/{job_id}/cancel")
    if told.status == 204:
        ledger.cancelled[job_id] = now()
        ledger.count("cancels acknowledged")
    else:
        status = client.ask("GET", f"/jobs/{job_id}").json()["status"]
        ledger.expect(
            told.status == 409 and status in ("Cancelled", "Failed"),
            f"the cancel of {job_id}, which is {status}: {told}",
        )
    ledger.released.add(job_id)
    client.close()


def removes(place: Place, chance: random.Random) -> None:
    """Jobs that have ended go."""
    client, ledger = RawClient(place.directory), place.ledger
    ended = sorted((ledger.verified & ledger.released) - ledger.deleting)
    for job_id in chance.sample(ended, min(2, len(ended))):
        time.sleep(chance.uniform(0, 0.1))
        ledger.deleting.add(job_id)
        told = client.ask("DELETE", f"/jobs/{job_id}")
        ledger.expect(told.status == 204, f"the removal of {job_id}: {told}")
        ledger.deleted.add(job_id)
        ledger.count("removals acknowledged")
    client.close()


def uploads(place: Place, chance: random.Random) -> None:
    """Programs come and go, small and large, some with the source of another one."""
    client, ledger = RawClient(place.directory), place.ledger
    for _ in range(4):
        time.sleep(chance.uniform(0, 0.08))
        kept = sorted(ledger.programs.keys() - ledger.removing)
        ours = [name for name in kept if name.startswith("raw-")]
        if ours and chance.random() < 0.3:
            name = chance.choice(ours)
            ledger.removing.add(name)
            told = client.ask("DELETE", f"/programs/{name}")
            ledger.expect(told.status == 204, f"the removal of {name}: {told}")
            ledger.removed.add(name)
            ledger.count("removals acknowledged")
            continue
        name = f"raw-{chance.randrange(10**12)}"
        source = chance.randbytes(chance.choice((500, 100_000, 1_000_000)))
        if kept and chance.random() < 0.5:
            source = ledger.programs[chance.choice(kept)]
        body = {"name": name, "data": base64.b64encode(source).decode()}
        told = client.ask("POST", "/programs", body)
        ledger.expect(told.status == 201, f"the upload of {name}: {told}")
        ledger.programs[name] = source
        ledger.count("programs acknowledged")
    client.close()


class _Insisting(RawClient):
    """Asks again until there is an answer: what it asks for may be repeated."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.directory)
        self._place = place

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Told:
        while True:
            try:
                return super().ask(method, path, body)
            except GoneError:
                self._place.await_service()


def _submit(place: Place, ask: Ask, chance: random.Random, **inputs: Any) -> str:
    """Submit a job under an id of ours, sometimes once more after the answer; give its id."""
    inputs = place.new_job(**inputs)
    job_id = new_job_id()
    for _ in range(chance.choice((1, 1, 2))):
        told = ask("POST", "/jobs", {"program_id": PROGRAM, "params": inputs, "id": job_id})
        place.ledger.expect(
            told.status == 201 and told.json()["id"] == job_id, f"a submission: {told}"
        )
        place.ledger.acknowledged(job_id, inputs["number"])
    return job_id


PUBLIC: tuple[Client, ...] = (
    streams_to_a_callback,
    iterates_over_a_stream,
    cancels,
    has_children,
    comes_and_goes,
)
"""The clients of the library."""

RAW: tuple[Client, ...] = (submits, follows, cancels_queued, removes, uploads)
"""The others."""
