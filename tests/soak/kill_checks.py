"""The invariants: asked of a service that has just come up after a kill, and at the end."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import kill_program
from kill_ledger import Ledger
from kill_load import WORKERS, Place
from kill_traces import of_jobs, services, strange_work
from kill_wire import RawClient, eventually, read_stream

from adapters.local.daemon import find_or_start
from adapters.local.supervisor import LOST

_SAMPLE = 4


def check(place: Place, chance: random.Random, *, whole: bool) -> None:
    """Check everything; with `whole`, read again what was found right before as well."""
    service = find_or_start(place.directory, workers=WORKERS)
    client = RawClient(place.directory)
    _check_jobs(place, client, chance, whole)
    _check_programs(place.ledger, client, chance, whole)
    _check_machine(place, client)
    client.close()
    found = find_or_start(place.directory, workers=WORKERS)
    place.ledger.expect(found.process == service.process, "the service ended by itself")
    place.ledger.count("services checked")


def is_drained(place: Place) -> bool:
    """Whether every job has ended."""
    client = RawClient(place.directory)
    told = client.ask("GET", "/jobs?pending=true&limit=1").json()
    client.close()
    return bool(told["count"] == 0)


# ---- jobs --------------------------------------------------------------------------------------


def _check_jobs(place: Place, client: RawClient, chance: random.Random, whole: bool) -> None:
    ledger = place.ledger
    # What comes while the list is read need not be in it; what goes may.
    acknowledged, deleted = dict(ledger.jobs), ledger.deleted.copy()
    cancelled, finals = dict(ledger.cancelled), dict(ledger.finals)
    jobs = _all_jobs(client)
    documents = {job["id"]: job for job in jobs}
    ledger.expect(len(documents) == len(jobs), "an id is there twice")
    numbers = [job["params"]["number"] for job in jobs]
    ledger.expect(len(set(numbers)) == len(numbers), "a submission is there twice")
    for job_id, number in acknowledged.items():
        if job_id not in ledger.deleting:
            there = documents.get(job_id, {"params": {}})["params"].get("number")
            ledger.expect(there == number, f"job {job_id} is lost: {there} is not {number}")
    for job_id in deleted:
        ledger.expect(job_id not in documents, f"job {job_id} is there again")
    for job_id in chance.sample(sorted(deleted), min(_SAMPLE, len(deleted))):
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/results"):
            ledger.expect(client.ask("GET", path).status == 404, f"{path} is there again")
    for job in jobs:
        _check_document(ledger, job, cancelled, finals)
    ended = [job for job in jobs if job["ended"]]
    before = [job for job in ended if job["id"] in ledger.verified]
    again = before if whole else chance.sample(before, min(_SAMPLE, len(before)))
    for job in [*(job for job in ended if job["id"] not in ledger.verified), *again]:
        if job["id"] not in ledger.deleting:
            _read_whole(place, client, job, chance)


def _check_document(
    ledger: Ledger, job: dict[str, Any], cancelled: dict[str, str], finals: dict[str, str]
) -> None:
    job_id, status, started = job["id"], job["status"], job["started"]
    number = job["params"]["number"]
    ledger.expect(
        job["params"] == ledger.inputs.get(number), f"job {job_id} has the inputs of another"
    )
    ledger.expect((job["ended"] is None) == (status in ("Queued", "Running")), f"{job}")
    if job_id in cancelled:
        # Not Failed either: an acknowledged cancel holds, even if the service is killed then.
        is_right = status not in ("Queued", "Failed") and (
            started is None or started <= cancelled[job_id]
        )
        ledger.expect(is_right, f"job {job_id} was cancelled: {status}, started {started}")
    if job_id in finals:
        ledger.expect(
            status == finals[job_id], f"job {job_id} was {finals[job_id]} and is {status}"
        )
    if status == "Cancelled":
        ledger.expect(job_id in ledger.cancelling, f"job {job_id} was cancelled by nobody")
    elif status not in ("Queued", "Running", "Completed", "Failed"):
        ledger.wrong(f"job {job_id} is {status}")


def _read_whole(
    place: Place, client: RawClient, job: dict[str, Any], chance: random.Random
) -> None:
    """Read a job that has ended: its result, its stream, its trace."""
    ledger, job_id, status = place.ledger, job["id"], job["status"]
    inputs = job["params"]
    number, messages = inputs["number"], inputs.get("messages", 0)
    told = client.ask("GET", f"/jobs/{job_id}/results")
    if status == "Completed":
        expected = kill_program.result(number, inputs.get("size", 0))
        is_right = told.status == 200 and told.json() == expected
    elif status == "Failed":
        is_right = told.status == 200 and told.body.decode() == LOST
    else:
        is_right = told.status == 404
    ledger.expect(is_right, f"the result of {job_id}, {status}: {told.status} {told.body[:300]!r}")
    seen = ledger.seen.get(job_id, 0)
    texts = list(read_stream(place.directory, job_id, 0))
    for index, text in enumerate(texts):
        is_right = json.loads(text) == kill_program.message(number, index)
        ledger.expect(is_right, f"interim result {index} of {job_id} is {text[:60]}")
    is_right = len(texts) == messages if status == "Completed" else seen <= len(texts) <= messages
    ledger.expect(
        is_right, f"job {job_id}, {status}, has {len(texts)} interim results, seen {seen}"
    )
    after = chance.randint(0, messages)
    rest = list(read_stream(place.directory, job_id, after))
    ledger.expect(rest == texts[after:], f"after={after} gives {len(rest)} of {len(texts)}")
    ran = (place.traces / str(number)).exists()
    if status == "Completed" or job["started"] is None:
        ledger.expect(
            ran == (status == "Completed"), f"job {job_id}, {status}: its program ran is {ran}"
        )
    ledger.ended(job_id, status)
    if job_id not in ledger.verified:
        ledger.verified.add(job_id)
        ledger.count(f"jobs {status}")
        ledger.count("jobs read whole")


def _all_jobs(client: RawClient) -> list[dict[str, Any]]:
    while True:
        jobs: list[dict[str, Any]] = []
        page = client.ask("GET", "/jobs?limit=1000").json()
        count = page["count"]
        while page["jobs"]:
            jobs += page["jobs"]
            page = client.ask("GET", f"/jobs?limit=1000&offset={len(jobs)}").json()
        # Who comes between two pages moves the second one.
        if page["count"] == count:
            return jobs


# ---- programs ----------------------------------------------------------------------------------


def _check_programs(ledger: Ledger, client: RawClient, chance: random.Random, whole: bool) -> None:
    kept = sorted(ledger.programs.keys() - ledger.removing)
    # All that are new are read by the next check at the latest.
    for name in (
        kept if whole else [*kept[-_SAMPLE:], *chance.sample(kept, min(_SAMPLE, len(kept)))]
    ):
        told = client.ask("GET", f"/programs/{name}")
        is_right = told.status == 200 and (
            base64.b64decode(told.json()["data"]) == ledger.programs[name]
        )
        ledger.expect(is_right, f"the program {name}: {told.status} {told.body[:300]!r}")
    for name in ledger.removed.copy():
        told = client.ask("GET", f"/programs/{name}")
        ledger.expect(told.status == 404, f"the program {name} is there again")


# ---- processes and files -----------------------------------------------------------------------


def _check_machine(place: Place, client: RawClient) -> None:
    """Check that processes and working directories are those of running jobs, and no others."""
    strange: list[object] = []

    def is_tidy() -> bool:
        # Twice the same, or something has ended in between.
        before = _running(client)
        mine = services(place.directory)
        found = of_jobs(place.directory)
        work = strange_work(place.directory, before)
        if _running(client) != before:
            return False
        leaders = {each.pid for each in found if each.parent in mine}
        strange[:] = [each for each in found if each.group not in leaders or each.job not in before]
        strange.extend(before - {each.job for each in found})
        strange.extend(work)
        return not strange and len(before) <= WORKERS and len(mine) == 1

    place.ledger.expect(eventually(is_tidy, 10), f"these should not be: {strange}")


def _running(client: RawClient) -> set[str]:
    jobs = client.ask("GET", "/jobs?pending=true&limit=1000").json()["jobs"]
    return {job["id"] for job in jobs if job["status"] == "Running"}
