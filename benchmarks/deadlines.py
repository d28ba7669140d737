"""How late a call with a `timeout=` returns, in real time, whatever its service does.

`result`, `wait_for_final_state` and `wait` with a timeout, against services that hang, that send a
byte a second, that refuse connections, and that answer at once that the job goes on; by polling and
with streams. Beside them `threading.Event().wait(timeout)`, which is all that they can rest on: it
tells what the machine adds. The services are a process of their own. Milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import attrs
from _stub import TOKEN, answer, job_document
from _tables import Summary, machine_line, print_table, summarize

from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient, wait
from runtime_core.errors import JobTimeoutError

TIMEOUT = 0.25
"""Seconds that each call may take."""

SERVICES = ("hangs", "drips", "refuses", "answers")


@attrs.frozen
class Measured:
    """How late one kind of call was."""

    service: str
    """What the service does."""
    call: str
    """What was called."""
    late: Summary
    """Milliseconds beyond the timeout."""
    latest: float
    """The most of them."""
    early: int
    """How many returned before their timeout: there must be none."""


# ---- the services ------------------------------------------------------------------------------


def serve() -> None:
    """Listen on a port for each kind, print the ports, answer until the end."""
    answers = {"hangs": _hang, "drips": _drip, "answers": _answer}
    ports = {}
    with ExitStack() as stack:
        for kind, handle in answers.items():
            listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            ports[kind] = listener.getsockname()[1]
            threading.Thread(target=_accept, args=(listener, handle), daemon=True).start()
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused
        ports["refuses"] = closed.getsockname()[1]
        print(json.dumps(ports), flush=True)
        threading.Event().wait()


def _accept(listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_handle, args=(connection, handle), daemon=True).start()


def _handle(connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with connection, contextlib.suppress(OSError):
        while connection.recv(65536):
            handle(connection)


def _hang(_: socket.socket) -> None:
    """Say nothing."""


def _drip(connection: socket.socket) -> None:
    for byte in answer(json.dumps(job_document("job-0")).encode()):
        connection.sendall(bytes([byte]))
        time.sleep(1)


def _answer(connection: socket.socket) -> None:
    """Answer whatever is asked; to a websocket's handshake that is no answer."""
    connection.sendall(answer(json.dumps(job_document("job-0")).encode()))


@contextlib.contextmanager
def services() -> Iterator[dict[str, str]]:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ports = json.loads(process.stdout.readline())
            yield {kind: f"http://127.0.0.1:{port}" for kind, port in ports.items()}
        finally:
            process.kill()


# ---- the calls ---------------------------------------------------------------------------------


def call_result(job: RuntimeJob) -> None:
    job.result(TIMEOUT)


def call_wait_for_final_state(job: RuntimeJob) -> None:
    job.wait_for_final_state(TIMEOUT)


def call_wait(job: RuntimeJob) -> None:
    assert wait([job], TIMEOUT).not_done == {job}


CALLS: dict[str, Callable[[RuntimeJob], None]] = {
    "result()": call_result,
    "wait_for_final_state()": call_wait_for_final_state,
    "wait()": call_wait,
}


def late(call: Callable[[], object]) -> float:
    """How many milliseconds longer than its timeout a call takes."""
    start = time.monotonic()
    with contextlib.suppress(JobTimeoutError):
        call()
    return (time.monotonic() - start - TIMEOUT) * 1000


def late_job(url: str, call: Callable[[RuntimeJob], None], *, streams: bool) -> float:
    sockets = RuntimeWebsocketClient(url, TOKEN) if streams else None
    with (
        RuntimeClient(url, TOKEN) as client,
        RuntimeJob("b", client, sockets, "job-0", "p") as job,
    ):
        return late(lambda: call(job))


def measure(rounds: int) -> list[Measured]:
    """Make all calls in turn, again and again, with one bare wait to each."""
    bare: list[float] = []
    times: dict[tuple[str, str], list[float]] = {}
    with services() as urls:
        for _ in range(rounds):
            for kind in SERVICES:
                for name, call in CALLS.items():
                    bare.append(late(lambda: threading.Event().wait(TIMEOUT)))
                    for streams in (False, True):
                        title = f"{name}, with streams" if streams else name
                        taken = late_job(urls[kind], call, streams=streams)
                        times.setdefault((kind, title), []).append(taken)
    rows = [_measured(kind, title, values) for (kind, title), values in times.items()]
    every = [value for values in times.values() for value in values]
    return [
        *rows,
        _measured("all of them", "", every),
        _measured("none", "threading.Event().wait()", bare),
    ]


def _measured(service: str, call: str, values: list[float]) -> Measured:
    return Measured(service, call, summarize(values), max(values), sum(v < 0 for v in values))


def print_report(measured: list[Measured], rounds: int) -> None:
    print(machine_line())
    print(f"Milliseconds after a timeout of {TIMEOUT:g} s; {rounds} rounds")
    header = ["the service", "call", "median", "10 % to 90 %", "latest", "too early"]
    rows = [
        [
            row.service,
            row.call,
            f"{row.late.median:.2f}",
            f"{row.late.low:.2f} to {row.late.high:.2f}",
            f"{row.latest:.2f}",
            str(row.early),
        ]
        for row in measured
    ]
    print_table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less: for a first look")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    logging.disable()  # that these services fail is known
    rounds = 3 if options.quick else 15
    measured = measure(rounds)
    if options.json:
        plain = [attrs.asdict(row) for row in measured]
        print(json.dumps({"machine": machine_line(), "deadlines": plain}, indent=2))
    else:
        print_report(measured, rounds)


if __name__ == "__main__":
    main()
