"""A service that plays schedules: HTTP and streams of any number of jobs, on one thread.

A process of its own, so that it can be killed. It keeps nothing that would have to survive that:
the id of a job says its schedule and when it was submitted, and all else follows from the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
from faults_clock import SPEED, monotonic
from faults_schedule import (
    EARLY,
    HONEST,
    TOKEN,
    Break,
    Broken,
    Closes,
    Connection,
    Garbage,
    Kind,
    Odd,
    Refused,
    Schedule,
    schedule,
)
from faults_wire import (
    CLOSE,
    PAGE,
    PING,
    PONG,
    TEXT,
    Incoming,
    accepted,
    answer,
    close_frame,
    frame,
    garbage,
    pieces,
)

from runtime_core.states import JobState
from runtime_core.traits import Resume

ACKNOWLEDGEMENT = '{"type": "acknowledgement"}'


class GoneError(OSError):
    """The client has left."""


@attrs.define(eq=False)
class Job:
    """One job: its schedule, and what was done to it so far."""

    plan: Schedule
    begun: float
    go: asyncio.Event = attrs.field(factory=asyncio.Event)
    log: dict[str, list[Any]] = attrs.field(
        factory=lambda: {"status": [], "result": [], "streams": []}
    )
    """What was done with each request and connection."""
    held: int = 0
    """How many requests and handshakes were held back."""

    @property
    def now(self) -> float:
        return monotonic() - self.begun

    @property
    def texts(self) -> list[str]:
        """Everything that its stream ever holds."""
        plan = self.plan
        found = [plan.message(i) for i in range(len(plan.published))]
        if plan.streams_result and plan.final is JobState.DONE:
            found.append(plan.result)
        return found

    def visible(self) -> int:
        """How many texts a stream has to give now."""
        now = self.now - self.plan.lag
        if now >= self.plan.ends:
            return len(self.texts)
        return sum(at <= now for at in self.plan.published)

    @property
    def is_over(self) -> bool:
        """Whether a stream has nothing more to come."""
        return self.now - self.plan.lag >= self.plan.ends


@lru_cache(maxsize=10_000)
def find(job_id: str) -> Job:
    """Give the job that an id stands for."""
    seed, number, begun = job_id.split("-")
    return Job(schedule(int(seed), int(number)), float(begun))


def job_id(plan: Schedule) -> str:
    """Submit a job: give an id for it that says that it begins now."""
    return f"{plan.seed}-{plan.number}-{monotonic():.3f}"


class Peer:
    """One connection of a client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self.writing = asyncio.Lock()
        self.gone = asyncio.Event()
        self.is_silent = False
        """Whether it answers nothing any more."""

    async def read(self) -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        if not data:
            raise GoneError
        return data

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def request(self) -> tuple[str, str, dict[str, str]]:
        """Read the head of a request; nobody sends a body that matters."""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += await self.read()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        pairs = (field.partition(":") for field in fields)
        return method, target, {name.lower(): value.strip() for name, _, value in pairs}

    async def end(self, how: Break) -> None:
        """End the connection, and with it whatever was under way."""
        if how is Break.RESET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise GoneError
        if how is Break.HALF_CLOSE:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        while True:
            await self.read()


# ---- HTTP --------------------------------------------------------------------------------------


async def serve(sock: socket.socket) -> None:
    """Serve one connection until it ends."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = Peer(sock)
    with sock, suppress(OSError):
        while True:
            _method, target, headers = await peer.request()
            path = urlsplit(target)
            parts = path.path.strip("/").split("/")
            match parts:
                case ["control", what, name]:
                    await peer.write(control(what, find(name)))
                case ["stream", "jobs", name]:
                    after = int(parse_qs(path.query).get("after", ["0"])[0])
                    await stream(peer, find(name), headers, after)
                    break
                case ["jobs", name]:
                    await reply(peer, find(name), headers, is_result=False)
                case ["jobs", name, "results"]:
                    await reply(peer, find(name), headers, is_result=True)
                case _:
                    await peer.write(answer(404, b'{"message": "There is no such thing."}'))


def control(what: str, job: Job) -> bytes:
    """What only the checks ask for."""
    if what == "go":
        job.go.set()
    return answer(200, json.dumps({**job.log, "held": job.held}).encode())


async def hold(job: Job) -> None:
    """Keep the client waiting, if that is what the schedule is about."""
    if job.plan.kind is Kind.HANGING and not job.go.is_set():
        job.held += 1
        await job.go.wait()


async def reply(peer: Peer, job: Job, headers: Mapping[str, str], *, is_result: bool) -> None:
    """Answer a request about a job, as its schedule says."""
    plan = job.plan
    faults, log = (
        (plan.result_faults, job.log["result"])
        if is_result
        else (plan.status_faults, job.log["status"])
    )
    fault = faults[len(log)] if len(log) < len(faults) else None
    # What the time is now, is what the answer says: a slow one may be stale when it arrives.
    good = result(job) if is_result else status(job, job.now)
    hard = fault is not None and plan.is_hard(fault)
    now = job.now
    entry = {"at": round(now, 3), "fault": str(fault or ""), "hard": hard, "said": ""}
    log.append(entry)
    await hold(job)
    if headers.get("x-access-token") != TOKEN:
        await peer.write(answer(401, b'{"message": "Who are you?"}'))
        return
    match fault:
        case None:
            entry["said"] = "" if is_result else plan.status_at(now)
            await peer.write(good)
        case Refused():
            await peer.write(refusal(fault))
        case Broken(how, part):
            await peer.write(good[: int(len(good) * part * 0.999)])
            await peer.end(how)
        case Odd.DRIP:
            for i in range(min(len(good), 400)):
                await peer.write(good[i : i + 1])
                await asyncio.sleep(0)
            await peer.write(good[400:])
        case Odd.CLOSES:
            await peer.write(good)
            await peer.end(Break.HALF_CLOSE)
        case _:
            await peer.write(odd(job, fault))


def status(job: Job, time: float, **more: object) -> bytes:
    plan = job.plan
    name = f"{plan.seed}-{plan.number}"
    document = {"id": name, "status": plan.status_at(time), "program": {"id": "p"}, **more}
    return answer(200, json.dumps(document).encode())


def result(job: Job) -> bytes:
    if job.now < job.plan.ends:
        return answer(404, b'{"message": "There is no result."}')
    return answer(200, job.plan.result.encode(), "text/plain; charset=utf-8")


def refusal(how: Refused) -> bytes:
    body, kind = (PAGE, "text/html") if how.html else (b'{"message": "No."}', "application/json")
    headers = {} if how.retry_after is None else {"Retry_After": f"{how.retry_after:g}"}
    if 300 <= how.status < 400:
        headers["Location"] = "http://127.0.0.1:9/elsewhere"
    return answer(how.status, body, kind, **headers)


def odd(job: Job, kind: Odd) -> bytes:
    match kind:
        case Odd.PAGE:
            return answer(200, PAGE, "text/html; charset=utf-8")
        case Odd.BROKEN_JSON:
            return answer(200, b'{"id": "j", "status": "Compl')
        case Odd.NO_OBJECT:
            return answer(200, b'["Completed"]')
        case Odd.NO_STATUS:
            return answer(200, b'{"id": "j"}')
        case Odd.NUMBER:
            return answer(200, b'{"id": "j", "status": 7}')
        case Odd.BAD_UTF8:
            return answer(200, b'{"id": "j", "status": "\xff"}')
        case Odd.UNKNOWN_WORD:
            return answer(200, b'{"id": "j", "status": "Pondering"}')
        case Odd.MORE_FIELDS:
            return status(job, job.now, mood="fine", nested={"status": "Completed"})
        case Odd.STALE:
            return status(job, job.now - 3)
    raise ValueError(kind)


# ---- streams -----------------------------------------------------------------------------------


async def stream(peer: Peer, job: Job, headers: Mapping[str, str], after: int) -> None:
    """Play one attempt to stream."""
    plan, log = job.plan, job.log["streams"]
    number = len(log)
    one = plan.connections[number] if number < len(plan.connections) else HONEST
    entry: dict[str, Any] = {"at": round(job.now, 3), "start": None, "sent": 0, "ended": ""}
    log.append(entry)
    await hold(job)
    if headers.get("x-access-token") != TOKEN:
        await peer.write(answer(401, b'{"message": "Who are you?"}'))
        return
    early = plan.refuses_early and plan.status_at(job.now).upper() == "QUEUED"
    if early or isinstance(one.refusal, Refused):
        how = one.refusal if isinstance(one.refusal, Refused) and not early else Refused(302)
        entry["ended"] = f"refused: {how}"
        await peer.write(refusal(how))
        return
    if one.refusal is not None:
        entry["ended"] = f"refused: {one.refusal}"
        data = accepted(headers)
        await peer.write(data[: int(len(data) * one.refusal.part * 0.999)])
        await peer.end(one.refusal.how)
    match plan.resume:
        case Resume.OFFSET:
            position = after
        case Resume.REPLAY:
            position = 0
        case _:
            position = job.visible()
    entry["start"] = position
    chance = random.Random(f"{plan.seed}/{plan.number}/{number}")
    await peer.write(accepted(headers))
    listening = asyncio.create_task(listen(peer, one))
    try:
        await send(peer, [ACKNOWLEDGEMENT], one, chance)
        await play(peer, job, one, position, entry, chance)
        await listening  # until the client has left
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await listening


async def listen(peer: Peer, one: Connection) -> None:
    """Read what the client sends, and answer pings and its close."""
    incoming = Incoming()
    data, peer.buffer = peer.buffer, b""
    try:
        while True:
            for opcode, payload in incoming.feed(data):
                if peer.is_silent:
                    continue
                if opcode == PING:
                    async with peer.writing:
                        await peer.write(frame(PONG, payload))
                elif opcode == CLOSE:
                    async with peer.writing:
                        await peer.write(frame(CLOSE, payload))
                    return
            data = await peer.read()
    except OSError:
        pass
    finally:
        peer.gone.set()


async def send(peer: Peer, texts: list[str], one: Connection, chance: random.Random) -> None:
    async with peer.writing:
        for piece in pieces(texts, one.cut, chance):
            await peer.write(piece)
            await asyncio.sleep(0)


async def play(
    peer: Peer,
    job: Job,
    one: Connection,
    position: int,
    entry: dict[str, Any],
    chance: random.Random,
) -> None:
    """Send what is published, until the stream ends as it is to end."""
    plan, texts = job.plan, job.texts
    left = len(texts) if one.ending is None else one.messages
    while not peer.gone.is_set():
        over = job.is_over  # before what is visible
        new = texts[position : job.visible()][:left]
        if new:
            await send(peer, new, one, chance)
            position, left = position + len(new), left - len(new)
            entry["sent"] += len(new)
        if left == 0 and one.ending is not None:
            await end(peer, job, one, texts[position : position + 1], entry)
            return
        if over and position >= len(texts):
            entry["ended"] = f"closed at the end with {plan.end_code}"
            async with peer.writing:
                await peer.write(close_frame(plan.end_code, "that is all"))
            return
        at = [*plan.published, plan.ends][position] if position < len(plan.published) else plan.ends
        pause = max(0.001, (at + plan.lag - job.now) / SPEED)
        with suppress(TimeoutError):
            await asyncio.wait_for(peer.gone.wait(), pause)


async def end(
    peer: Peer, job: Job, one: Connection, following: list[str], entry: dict[str, Any]
) -> None:
    """End a stream before its time."""
    async with peer.writing:
        if one.part > 0 and following and not isinstance(one.ending, Closes):
            data = frame(TEXT, following[0].encode())
            await peer.write(data[: max(1, int(len(data) * one.part * 0.999))])
        match one.ending:
            case Closes(code):
                if code == 1000 and job.now > job.plan.ends - EARLY:
                    code = 1001
                entry["ended"] = f"closed early with {code}"
                await peer.write(close_frame(code, "enough"))
            case Garbage() as kind:
                entry["ended"] = f"garbage: {kind}"
                await peer.write(garbage(kind))
            case Break.STALL:
                entry["ended"] = "stall"
                peer.is_silent = True
            case Break() as how:
                entry["ended"] = how.value
                if how is Break.RESET:
                    peer.sock.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    raise GoneError
                peer.sock.shutdown(socket.SHUT_WR)
            case None:
                raise AssertionError


# ---- the process -------------------------------------------------------------------------------


async def main() -> None:
    """Listen, say so, and serve until it is killed or its parent has gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
    listener.setblocking(False)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    loop.add_reader(sys.stdin.fileno(), lambda: _leave_with_parent(loop))
    tasks: set[asyncio.Task[None]] = set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        sock.setblocking(False)
        task = asyncio.create_task(serve(sock))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _leave_with_parent(loop: asyncio.AbstractEventLoop) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        loop.stop()


if __name__ == "__main__":
    with suppress(RuntimeError, KeyboardInterrupt):  # the loop was stopped
        asyncio.run(main())
