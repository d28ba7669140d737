"""Runs seeded schedules of faults over real sockets, hundreds at once, and checks each.

`make faults` runs 2,000; `SEED=... SCHEDULE=...` runs one of them again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import logging
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
from faults_async import AsyncBatch
from faults_checks import described, problems
from faults_client import Place, Record, ThreadClient
from faults_clock import SPEED, FastReactor
from faults_schedule import Kind, Schedule, schedule

AT_ONCE = 64
"""How many schedules run at the same time."""
ASYNC = 4
"""One of so many schedules runs on asyncio."""
WATCHDOG = 60.0
"""Seconds of real time after which a schedule is taken for hanging."""
READ_TIMEOUT = 60.0
"""The client's, on the fast clock."""
KILLS = 15
"""How often the service of the `KILLED` is killed at most."""
_HERE = Path(__file__).parent


# ---- services ----------------------------------------------------------------------------------


class Service:
    """A process that plays schedules; it can be killed and started again at the same port."""

    def __init__(self) -> None:
        # Not a port that a client's end may get: connecting to nobody, it would meet itself.
        self.port = free_port()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, _HERE / "faults_service.py", "--port", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the service does not start")
        return process

    def kill(self) -> None:
        """Have it die without a word."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def restart(self) -> None:
        """Start it again."""
        self._process = self._start()


def free_port() -> int:
    """Give a port below those that the kernel gives to clients, at which nobody listens."""
    for port in random.sample(range(15_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@contextlib.contextmanager
def services(count: int) -> Iterator[list[Service]]:
    """Run services, and end them."""
    running: list[Service] = []
    try:
        running += [Service() for _ in range(count)]
        yield running
    finally:
        for each in running:
            each.kill()


# ---- a batch -----------------------------------------------------------------------------------


@attrs.define(eq=False)
class Report:
    """What came of a batch."""

    complaints: list[str] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    lock: threading.Lock = attrs.field(factory=threading.Lock)


class Batch:
    """Runs schedules on some threads, each checked as soon as it is through."""

    def __init__(self, place: Place, reactor: FastReactor, nowhere: int, report: Report) -> None:
        self._place = place
        self._nowhere = nowhere
        self._client = ThreadClient(place, reactor, nowhere)
        self._report = report
        self._plans: queue.SimpleQueue[Schedule] = queue.SimpleQueue()
        self._running: dict[Schedule, tuple[float, Record]] = {}
        self._threads: list[threading.Thread] = []

    def start(self, plans: Iterable[Schedule], at_once: int) -> None:
        """Begin."""
        for plan in plans:
            self._plans.put(plan)
        for _ in range(at_once):
            thread = threading.Thread(target=self._work, name="schedule", daemon=True)
            self._threads.append(thread)
            thread.start()

    def start_async(self, plans: Iterable[Schedule], at_once: int) -> None:
        """Begin, with the asynchronous API."""

        def through(plan: Schedule, record: Record) -> None:
            judge(plan, record, self._place, self._report)

        batch = AsyncBatch(self._place, self._nowhere, self._running, through)
        self._threads.append(batch.start(plans, at_once))

    def join(self) -> None:
        """Wait for the end, or until something hangs."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.5)
                if self._is_hanging():
                    return

    @property
    def is_alive(self) -> bool:
        """Whether anything is left to be done."""
        return any(thread.is_alive() for thread in self._threads)

    def _is_hanging(self) -> bool:
        now = time.monotonic()
        hanging = [
            (plan, record)
            for plan, (begun, record) in list(self._running.items())
            if now - begun > WATCHDOG
        ]
        for plan, record in hanging:
            log = self._place.ask("log", record.job_id)
            self._report.complaints.append(
                described(plan, record, log, [f"it hangs in {record.doing}"])
            )
        if hanging:
            faulthandler.dump_traceback()
        return bool(hanging)

    def _work(self) -> None:
        while not self._report.complaints[20:]:
            try:
                plan = self._plans.get_nowait()
            except queue.Empty:
                return
            self._run(plan)

    def _run(self, plan: Schedule) -> None:
        record = Record()
        self._running[plan] = time.monotonic(), record
        try:
            self._client.run(plan, record)
        except Exception as error:  # whatever it is, it is what should not come
            logging.getLogger(__name__).exception("schedule %d", plan.number)
            record.wrongs.append(f"{record.doing} raised {error!r}")
        judge(plan, record, self._place, self._report)
        del self._running[plan]


def judge(plan: Schedule, record: Record, place: Place, report: Report) -> None:
    """Check one schedule, and count what there was in it."""
    log = place.ask("log", record.job_id)
    found = problems(plan, record, log)
    with report.lock:
        if found:
            report.complaints.append(described(plan, record, log, found))
        _count(report.counts, plan, record, log)


def _count(
    counts: Counter[str], plan: Schedule, record: Record, log: dict[str, list[dict[str, object]]]
) -> None:
    counts["schedules"] += 1
    counts[f"schedules, {plan.kind.value}"] += 1
    counts["timeouts that passed"] += record.timeouts
    counts["Ctrl-C"] += record.interrupts
    counts["waits that ended with an error"] += len(record.raised)
    counts["interim results"] += sum(len(each.items) for each in record.heard)
    for what in ("status", "result"):
        counts["faults of requests"] += sum(bool(each["fault"]) for each in log[what])
    counts["faults of streams"] += sum(
        not str(each["ended"]).startswith("closed at the end") for each in log["streams"]
    )


def run(seed: int, numbers: Iterable[int], at_once: int = AT_ONCE) -> Report:
    """Run these schedules of a seed."""
    plans = [schedule(seed, number) for number in numbers]
    in_child = [plan for plan in plans if plan.kind in (Kind.INTERRUPTED, Kind.FORKED)]
    killed = [plan for plan in plans if plan.kind is Kind.KILLED]
    plain = [plan for plan in plans if plan not in in_child and plan not in killed]
    report, reactor = Report(), FastReactor()
    files, threads = traces()
    with services(2) as (service, victim):
        nowhere = free_port()
        children = _children(service, in_child, nowhere)
        places = [Place(each.port, READ_TIMEOUT / SPEED) for each in (service, victim)]
        batches = [Batch(place, reactor, nowhere, report) for place in places]
        of_async = [plan for plan in plain if plan.number % ASYNC == 3]
        batches[0].start_async(of_async, at_once // ASYNC + 1)
        batches[0].start([plan for plan in plain if plan not in of_async], at_once)
        report.counts["schedules of them on asyncio"] += len(of_async)
        batches[1].start(killed, min(at_once // 4 + 1, len(killed)))
        chance = random.Random(seed)
        for _ in range(min(KILLS, 3 + len(killed) // 4)):
            if batches[1].is_alive:
                time.sleep(chance.uniform(0.1, 0.6))
                victim.kill()
                time.sleep(chance.uniform(0, 0.1))
                victim.restart()
                report.counts["kills of the service"] += 1
        for batch in batches:
            batch.join()
        for child in children:
            _join(child, report)
        for place in places:
            place.close()
    if not report.complaints:
        report.complaints += _left(files, threads)
    return report


# ---- children, for what happens to whole processes ----------------------------------------------


def _children(service: Service, plans: list[Schedule], nowhere: int) -> list[subprocess.Popen[str]]:
    found = []
    for kind in (Kind.INTERRUPTED, Kind.FORKED):
        numbers = [str(plan.number) for plan in plans if plan.kind is kind]
        if numbers:
            command = [
                sys.executable,
                str(_HERE / "faults_run.py"),
                *("--seed", str(plans[0].seed), "--port", str(service.port)),
                *("--nowhere", str(nowhere), "--here", *numbers),
            ]
            found.append(
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            )
    return found


def _join(child: subprocess.Popen[str], report: Report) -> None:
    try:
        output, _ = child.communicate(timeout=WATCHDOG * 5)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        report.complaints.append(f"a child hangs:\n{output}")
        return
    if child.returncode:
        report.complaints.append(f"a child failed:\n{output}")
        return
    for line in output.splitlines():
        count, _, what = line.strip().partition(" ")
        report.counts[what] += int(count)


def run_here(seed: int, numbers: Iterable[int], port: int, nowhere: int) -> Report:
    """In a child: run schedules one after the other in the main thread, with Ctrl-C and forks."""
    reactor = FastReactor()
    os.register_at_fork(
        before=reactor.before_fork,
        after_in_parent=reactor.after_fork_in_parent,
        after_in_child=reactor.after_fork_in_child,
    )
    report = Report()
    files, threads = traces()
    place = Place(port, READ_TIMEOUT / SPEED)
    faulthandler.dump_traceback_later(WATCHDOG * 4, exit=True)
    armed = [False]

    def on_signal(*_: object) -> None:
        if armed[0]:  # or it would hit the harness itself
            raise KeyboardInterrupt

    def arm(on: bool) -> None:
        armed[0] = on

    signal.signal(signal.SIGINT, on_signal)
    client = ThreadClient(place, reactor, nowhere, arm)
    for number in numbers:
        plan = schedule(seed, number)
        record = Record()
        timers = []
        if plan.kind is Kind.INTERRUPTED:
            timers = [threading.Timer(at / SPEED, _press_ctrl_c) for at in plan.moments]
        for timer in timers:
            timer.start()
        client.run(plan, record)
        for timer in timers:
            timer.join()
        judge(plan, record, place, report)
    place.close()
    faulthandler.cancel_dump_traceback_later()
    if not report.complaints:
        report.complaints += _left(files, threads)
    return report


def _press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# ---- what is left ------------------------------------------------------------------------------


def traces() -> tuple[int, int]:
    """Give how many files and threads there are."""
    gc.collect()
    folder = "/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"
    return len(os.listdir(folder)), threading.active_count()


def _open() -> list[str]:
    """Say what the open files are."""
    found = []
    for number in os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else ():
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


def _sockets() -> list[str]:
    """Say which sockets are open, and what holds them."""
    found = []
    for each in gc.get_objects():
        if isinstance(each, socket.socket) and each.fileno() >= 0:
            holders = [type(one).__name__ for one in gc.get_referrers(each)]
            found.append(f"{each}, held by {holders}")
    return found


def _left(files: int, threads: int) -> list[str]:
    """Say what is there that was not there before; threads may take a moment to end."""
    deadline = time.monotonic() + 10
    while True:
        now = traces()
        if now[0] <= files and now[1] <= threads:
            return []
        if time.monotonic() > deadline:
            names = Counter(thread.name for thread in threading.enumerate())
            names.update(_open())
            names.update(_sockets())
            return [f"left: {now[0]} files (of {files}), {now[1]} threads (of {threads}): {names}"]
        time.sleep(0.1)


def main() -> int:
    """Run what the command line says; 0 if all was right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED") or None)
    parser.add_argument("--schedule", type=int, default=os.environ.get("SCHEDULE") or None)
    parser.add_argument("--count", type=int, default=int(os.environ.get("COUNT") or 2000))
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--here", type=int, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--nowhere", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # Streams that are opened again are no news here.
    logging.getLogger("adapters").setLevel(logging.ERROR)
    logging.basicConfig(level=logging.ERROR)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.here:
        report = run_here(seed, options.here, options.port, options.nowhere)
        for each in report.complaints:
            _say(each)
        if not report.complaints:
            for what, count in report.counts.items():
                _say(f"{count} {what}")
        return 1 if report.complaints else 0
    one = options.schedule
    numbers = range(options.count) if one is None else [one]
    if one is not None:
        _say(str(schedule(seed, one)))
    _say(f"faults: {len(numbers)} schedules, SEED={seed}, {SPEED:g} times as fast")
    began = time.monotonic()
    report = run(seed, numbers, options.at_once)
    for each in report.complaints:
        _say(f"faults: {each}")
    for what, count in sorted(report.counts.items()):
        _say(f"faults: {count:7} {what}")
    ended = f"{len(report.complaints)} failed" if report.complaints else "all was right"
    _say(f"faults: {ended}, SEED={seed}, {time.monotonic() - began:.0f} s")
    return 1 if report.complaints else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
