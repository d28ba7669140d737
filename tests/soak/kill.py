"""Kills the service with SIGKILL at seeded moments under load, and checks what it promised.

`make soak` runs it with a hundred moments; `SEED=... make soak` repeats a schedule: who does what
in which order, and when the kills come. What the machine makes of it differs from run to run.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import attrs
import kill_program
from kill_checks import check, is_drained
from kill_ledger import Ledger
from kill_load import (
    LONGEST_LOAD,
    PROGRAM,
    PUBLIC,
    RAW,
    WORKERS,
    Client,
    Place,
    comes_and_goes,
    runs_on,
)
from kill_traces import mark, of_jobs, processes, services, strange_files
from kill_wire import DEADLINE, GoneError, eventually

from adapters.local.daemon import find_or_start
from adapters.local.lock import find_service, last_service
from adapters.local.processes import identity_of

KINDS = ("load", "start", "load", "recovery", "fresh", "load", "idle", "alone")
"""The kinds of eight rounds, in some order."""

LONGEST = {
    "load": LONGEST_LOAD,
    "start": 0.5,
    "recovery": 0.03,
    "fresh": 0.6,
    "idle": 1.6,
    "alone": LONGEST_LOAD,
}
"""The seconds within which the kill comes, for each kind of round: from the load's begin on, or
from when another service was started (`start`, `fresh`), or from when that one has the lock
(`recovery`)."""


@attrs.frozen
class Round:
    """One round of the schedule."""

    number: int
    kind: str
    """One of `KINDS`."""
    delay: float
    """The seconds until the kill, see `LONGEST`."""
    first: float
    """The seconds until the kill before that, in rounds in which the service is killed again while
    it comes up."""
    seed: str
    """What its clients do."""


def schedule(seed: int, moments: int) -> list[Round]:
    """Give the rounds that a seed stands for."""
    chance = random.Random(seed)
    kinds: list[str] = []
    while len(kinds) < moments:
        kinds += chance.sample(KINDS, len(KINDS))
    return [
        Round(
            number,
            kind,
            chance.uniform(0, LONGEST[kind]),
            chance.uniform(0, LONGEST["load"]),
            f"{seed}/{number}",
        )
        for number, kind in enumerate(kinds[:moments], 1)
    ]


class Threads:
    """The clients that are at work."""

    def __init__(self) -> None:
        self._running: list[tuple[int, threading.Thread]] = []

    def start(self, place: Place, this: Round, clients: Iterable[Client]) -> None:
        """Begin the load of a round."""
        for number, client in enumerate(clients):
            chance = random.Random(f"{this.seed}/{number}")
            thread = threading.Thread(
                target=_attended, args=(place, client, chance), name=client.__name__, daemon=True
            )
            self._running.append((this.number, thread))
            thread.start()

    def join(self, ledger: Ledger, last: int) -> None:
        """Wait for the clients of the rounds up to `last`."""
        deadline = time.monotonic() + DEADLINE + 10
        for number, thread in self._running:
            if number <= last:
                thread.join(max(0.0, deadline - time.monotonic()))
                ledger.expect(not thread.is_alive(), f"{thread.name} of round {number} hangs")
        self._running = [each for each in self._running if each[1].is_alive()]


def _attended(place: Place, client: Client, chance: random.Random) -> None:
    try:
        client(place, chance)
    except GoneError:
        place.ledger.count("raw clients whose service went")
    except Exception:  # whatever it is, it is what should not come
        place.ledger.wrong(f"{client.__name__} ended with {traceback.format_exc()}")


class Soak:
    """All rounds, most of them on one data directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places = 0
        self._threads = Threads()
        self.stages: Counter[str] = Counter()
        """In which state a service was killed how often."""
        self.main = self._new_place()
        self.ledgers = [self.main.ledger]

    def open(self) -> None:
        """Make the data directory that lives through all rounds."""
        self.main.open()
        source = Path(kill_program.__file__)
        self.main.service.upload_program(source, {"name": PROGRAM})
        self.main.ledger.programs[PROGRAM] = source.read_bytes()

    def run(self, this: Round) -> None:
        """Do one round."""
        match this.kind:
            case "fresh" | "idle":
                self._elsewhere(this)
            case "alone":
                self._alone(this)
            case _:
                self._under_load(this)

    def close(self) -> None:
        """Wait for all that goes on, check it all once more, end the service in order."""
        self._threads.join(self.main.ledger, sys.maxsize)
        find_or_start(self.main.directory, workers=WORKERS)
        self.main.ledger.expect(
            eventually(lambda: is_drained(self.main)), "a job that does not end"
        )
        check(self.main, random.Random(0), whole=True)
        self.main.service.close()
        self._end_in_order(self.main)

    @property
    def wrongs(self) -> list[str]:
        """What should never be."""
        return [wrong for ledger in self.ledgers for wrong in ledger.wrongs]

    # ---- rounds --------------------------------------------------------------------------------

    def _under_load(self, this: Round) -> None:
        place = self.main
        public = random.Random(this.seed).sample(PUBLIC, len(PUBLIC) - 1)
        self._threads.start(place, this, (*RAW, *public))
        time.sleep(this.delay if this.kind == "load" else this.first)
        killed = self._kill(place)
        if this.kind == "start":
            eventually(lambda: bool(set(services(place.directory)) - killed))
            time.sleep(this.delay)
            self._kill(place)
        elif this.kind == "recovery":
            eventually(lambda: _holder(place.directory) not in (None, *killed))
            time.sleep(this.delay)
            self._kill(place)
        check(place, random.Random(this.seed), whole=False)
        # Those of the last round may go on: so they live through more than one kill.
        self._threads.join(place.ledger, this.number - 1)

    def _alone(self, this: Round) -> None:
        """Nobody starts the service again: what it had started ends all the same."""
        place = self.main
        self._threads.join(place.ledger, this.number)
        find_or_start(place.directory, workers=WORKERS)
        self._threads.start(place, this, (runs_on, *RAW))
        time.sleep(this.delay)
        self._kill(place)
        place.ledger.expect(
            eventually(lambda: not of_jobs(place.directory), 5),
            f"children survive: {of_jobs(place.directory)}",
        )
        place.ledger.expect(find_service(place.directory) is None, "a service came by itself")
        check(place, random.Random(this.seed), whole=False)

    def _elsewhere(self, this: Round) -> None:
        """A store that is just being made, or a service that is about to end by itself."""
        place = self._new_place()
        self.ledgers.append(place.ledger)
        clients: tuple[Client, ...] = (comes_and_goes, comes_and_goes)
        if this.kind == "idle":
            comes_and_goes(place, random.Random(this.seed))
            self._end_in_order(place)
            find_or_start(place.directory, workers=WORKERS, idle=0.1)
            self._threads.start(place, this, (_late(LONGEST["idle"]),))
        else:
            self._threads.start(place, this, clients)
            eventually(lambda: bool(services(place.directory)))
        time.sleep(this.delay)
        self._kill(place)
        self._threads.join(place.ledger, this.number)
        check(place, random.Random(this.seed), whole=True)
        self._end_in_order(place)

    # ---- the service ---------------------------------------------------------------------------

    def _kill(self, place: Place) -> set[int]:
        """Kill the service, or what is about to become it; give the processes."""
        there = services(place.directory)
        holder = _holder(place.directory)
        doomed = {holder} if holder is not None else set(there)
        record = last_service(place.directory)
        has_url = record is not None and record.url is not None
        busy = len({each.job for each in of_jobs(place.directory)})
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # It takes the kernel a moment, in which they look alive.
        eventually(lambda: not any(map(identity_of, doomed)))
        if not doomed:
            stage = "nobody was there"
        elif holder is None:
            stage = "starting, before it had the lock"
        elif has_url:
            stage = f"serving, {min(busy, WORKERS)} jobs running"
        else:
            stage = "with the lock, not listening yet or no more"
        self.stages[stage] += 1
        return doomed

    def _end_in_order(self, place: Place) -> None:
        for pid in services(place.directory):
            os.kill(pid, signal.SIGTERM)
        ledger = place.ledger
        ledger.expect(eventually(lambda: not services(place.directory)), "it does not end")
        ledger.expect(not of_jobs(place.directory), f"children survive the end in {place}")
        for wrong in strange_files(place.directory):
            ledger.wrong(wrong)

    def _new_place(self) -> Place:
        self._places += 1
        folder = self._folder / f"place-{self._places}"
        (folder / "traces").mkdir(parents=True)
        return Place(folder / "data", folder / "traces")


def _holder(directory: Path) -> int | None:
    """Give the process that has the lock; None if nobody has it."""
    record = find_service(directory)
    return None if record is None else record.pid


def _late(longest: float) -> Client:
    def comes_late(place: Place, chance: random.Random) -> None:
        time.sleep(chance.uniform(0, longest))
        comes_and_goes(place, chance)

    return comes_late


# ---- what the clients leave in this process ----------------------------------------------------


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _check_leaks(ledger: Ledger, files: int, threads: int) -> None:
    def is_clean() -> bool:
        gc.collect()
        return _open_files() <= files and threading.active_count() <= threads

    names = [thread.name for thread in threading.enumerate()]
    ledger.expect(
        eventually(is_clean, 10),
        f"left in the clients' process: {_open_files()} files (of {files}), threads {names}",
    )
    ledger.expect(not processes(), f"processes that are left: {processes()}")


def main() -> int:
    """Do all rounds, say what was found; 0 if all was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=100, help="how many rounds")
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED") or None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    if not Path("/proc/self/environ").exists():
        _say("soak: needs Linux's /proc to see which processes are left; nothing was done")
        return 0
    _say(f"soak: {options.moments} moments, SEED={seed}")
    mark()
    logging.basicConfig(level=logging.ERROR)  # streams that are opened again are no news here
    began = time.monotonic()
    files, threads = _open_files(), threading.active_count()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        soak = Soak(Path(folder))
        try:
            soak.open()
            for this in schedule(seed, options.moments):
                soak.run(this)
                if this.number % 10 == 0 or soak.wrongs:
                    passed = time.monotonic() - began
                    _say(f"soak: round {this.number} ({this.kind}), {passed:.0f} s")
                if soak.wrongs:
                    break
            soak.close()
        except Exception:  # said with everything else
            soak.main.ledger.wrong(traceback.format_exc())
        else:
            _check_leaks(soak.main.ledger, files, threads)
        finally:
            for each in processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
    wrongs, counts = soak.wrongs, sum((each.counts for each in soak.ledgers), Counter[str]())
    for stage, count in sorted(soak.stages.items()):
        _say(f"soak: {count:6} kills: {stage}")
    for what, count in sorted(counts.items()):
        _say(f"soak: {count:6} {what}")
    for wrong in wrongs:
        _say(f"soak: WRONG: {wrong}")
    ended = "failed" if wrongs else "all was right"
    _say(f"soak: {ended}, SEED={seed}, {time.monotonic() - began:.0f} s")
    return 1 if wrongs else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
