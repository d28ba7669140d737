"""Where the CPU of a message goes between the socket and the callback, stage by stage.

Not a profiler, which would make a small function look dearer than it is: the clock of the thread
around calls that do many messages at a time. So decoding and the user's callback, which take turns,
are one stage.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from _frames import CYCLE
from _serving import serving
from _work import TOKEN, Meter

from adapters import RuntimeClient, RuntimeJob, RuntimeWebsocketClient
from adapters.drivers.channel import ByteChannel
from adapters.drivers.job_runner import JobRunner
from adapters.drivers.subscriber import CallbackSubscriber
from adapters.websocket.stream import JobStream

MESSAGES = {"small": 100_000, "large": 200}
"""How many of each kind are received in a round."""
ROUNDS = 7
"""Of so many the one with the least CPU is shown, after one of which nothing is kept."""

STAGES: dict[str, tuple[type, str]] = {
    "loop: all of a read": (ByteChannel, "_on_ready"),
    "loop: its frames, UTF-8": (JobStream, "receive"),
    "loop: machine, inbox": (JobRunner, "_receive_stream"),
    "callback thread: JSON, callback": (CallbackSubscriber, "_run"),
}
"""What is timed, and by which method; the second and the third are parts of the first."""


def receiving(kind: str) -> None:
    """Print the CPU of each stage, in microseconds a message, of the round with the least."""
    spent: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    calls: Counter[str] = Counter()
    for stage, (owner, name) in STAGES.items():
        setattr(owner, name, _timed(getattr(owner, name), stage, spent, calls))
    with serving() as url:
        rounds = [_round(url, kind, spent, calls) for _ in range(ROUNDS + 1)]
    total, spent, calls = min(rounds[1:], key=lambda each: each[0])
    print(f"{'us of CPU a message':34}{'':10}calls for {MESSAGES[kind]:,}")
    for stage in STAGES:
        print(f"{stage:34}{spent[stage]:10.3f}{calls[stage]:10,}")
    rest = total - spent["loop: all of a read"] - spent["callback thread: JSON, callback"]
    print(f"{'all else: turns, threads, polls':34}{rest:10.3f}\n{'together':34}{total:10.3f}")


def _timed(
    call: Callable[..., Any], stage: str, spent: dict[str, float], calls: Counter[str]
) -> Callable[..., Any]:
    @functools.wraps(call)
    def timed(*args: Any) -> Any:
        begin = time.thread_time()
        try:
            return call(*args)
        finally:
            spent[stage] += time.thread_time() - begin
            calls[stage] += 1

    return timed


def _round(
    url: str, kind: str, spent: dict[str, float], calls: Counter[str]
) -> tuple[float, dict[str, float], Counter[str]]:
    spent.update(dict.fromkeys(STAGES, 0.0))
    calls.clear()
    messages = MESSAGES[kind]
    meter = Meter(kind, messages, CYCLE[kind])
    streams = RuntimeWebsocketClient(url, TOKEN)
    with (
        RuntimeClient(url, TOKEN) as client,
        RuntimeJob("b", client, streams, meter.job_id, "p") as job,
    ):
        begin = time.process_time()
        job.stream_results(meter.callback)
        job.result()
        took = time.process_time() - begin
    answer = meter.answer()
    if "failed" in answer:
        raise SystemExit(answer["failed"])
    each = {stage: spent[stage] / messages * 1e6 for stage in STAGES}
    return took / messages * 1e6, each, calls.copy()
