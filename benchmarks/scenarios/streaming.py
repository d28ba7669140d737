"""Interim results: how many a second, and how many streams at a time."""

from __future__ import annotations

import attrs
from _frames import CYCLE, frames
from _runner import Contender, Scenario, Target

from scenarios.people import FAST, ORIGINAL, bare, by_hand, client, ibmq, ours

HAND = "websocket-client, recv()"
WSPROTO = "wsproto, a bare loop"
DECODED = "bare socket, frames cut by hand"


def _bare(kind: str) -> Contender:
    size = sum(len(frame) for frame in frames(kind))
    return attrs.evolve(bare("bare socket, nothing decoded"), args={"cycle_bytes": size})


def _slower(contender: Contender, messages: int) -> Contender:
    """Fewer messages for who would need long: what is compared are rates."""
    is_by_hand = contender.worker == "job_by_hand"
    return attrs.evolve(contender, args={"messages": messages}, quick=not is_by_hand)


_ABOUT = (
    "One stream into a callback, as fast as the service sends it: how fast that is, says the row "
    "of the bare socket that decodes nothing. Each message is decoded, by `json.loads` or its own "
    "decoder, and given to a callback, which counts it and adds up the numbers that messages bear: "
    "a wrong sum is a failure. The clock runs from the first call to the last."
)

_SMALL = Scenario(
    name="rate-small",
    title="Messages of 200 bytes into a callback",
    unit="messages/s",
    about=_ABOUT,
    lower_is_better=False,
    contenders=(
        ours(),
        attrs.evolve(ours("asyncio", "asyncio"), quick=False),
        attrs.evolve(ours(words="with the extra fast"), environment=FAST, quick=False),
        _slower(ibmq(), 20_000),
        _slower(by_hand("default", HAND), 20_000),
        client("aiohttp"),
        client("websockets"),
        client("picows"),
        attrs.evolve(_slower(client("wsproto", WSPROTO), 50_000), quick=False),
        bare(DECODED, "decoded"),
        _bare("small"),
    ),
    targets=(
        Target("200-byte messages, to the original's", 10, ORIGINAL, at_least=True),
        Target("200-byte messages, to aiohttp's", 1, "aiohttp", at_least=True),
    ),
    args={"messages": 200_000, "cycle": CYCLE["small"]},
    quick_args={"messages": 50_000},
    details={"cpu": "us of CPU each"},
    quick_rounds=2,
    server=True,
)

_LARGE = Scenario(
    name="rate-large",
    title="Messages of 1 MB into a callback",
    unit="messages/s",
    about=_ABOUT + " At 1 MB each, a message a second is a megabyte a second.",
    lower_is_better=False,
    contenders=(
        ours(),
        attrs.evolve(ours("asyncio", "asyncio"), quick=False),
        _slower(ibmq(), 8),
        _slower(by_hand("default", HAND), 12),
        client("aiohttp"),
        client("websockets"),
        client("picows"),
        attrs.evolve(client("wsproto", WSPROTO), quick=False),
        bare(DECODED, "decoded"),
        _bare("large"),
    ),
    targets=(
        Target("1 MB messages, to the original's", 50, ORIGINAL, at_least=True),
        Target("1 MB messages, to aiohttp's", 0.9, "aiohttp", at_least=True),
        Target("1 MB messages, to websockets'", 0.9, "websockets", at_least=True),
    ),
    args={"messages": 400, "cycle": CYCLE["large"]},
    quick_args={"messages": 100},
    details={"cpu": "us of CPU each"},
    quick_rounds=2,
    server=True,
)

FEW = (3, 4, 10, 50, 1000)
"""So many streams all of them are measured with; with 10,000 ours, aiohttp and the limit."""
_STREAMS = Scenario(
    name="streams",
    title="Streams at the same time",
    unit="streams that got all their messages",
    about=(
        "So many jobs that go on, each with a stream and a callback. Once all streams are open, or "
        "5 s have passed (for 10,000 streams 50 s), the service sends ten messages to each of "
        "those that are, one stream after the other; the order of a stream's messages is checked. "
        "*All after* is from the service's first byte to the last message that came, looked for "
        "each 5 ms. Threads and resident memory are what the process has more than before the "
        "first stream. 10,000 are asked of a few only."
    ),
    lower_is_better=False,
    contenders=(
        ours(),
        attrs.evolve(ours("asyncio", "asyncio"), sizes=FEW, quick=False),
        attrs.evolve(ibmq(), sizes=FEW),
        attrs.evolve(by_hand("default", "websocket-client, WebSocketApp"), sizes=FEW),
        client("aiohttp"),
        attrs.evolve(client("websockets"), sizes=FEW),
        attrs.evolve(client("picows"), sizes=FEW),
        attrs.evolve(client("wsproto", WSPROTO), sizes=FEW, quick=False),
        bare("bare sockets, one loop"),
    ),
    targets=(
        Target("streams that are served", 1000, size=1000, at_least=True),
        Target("threads of all streams", 4, of="threads", size=1000),
    ),
    sizes=(*FEW, 10_000),
    quick_sizes=(50,),
    size_name="streams",
    args={"messages": 10, "seconds": 5.0},
    quick_args={"seconds": 3.0},
    details={
        "opened": "open after s",
        "when": "all after ms",
        "threads": "threads",
        "memory": "KiB each",
    },
    plots={
        "when": "ms until the last message was there",
        "threads": "threads",
        "memory": "KiB of resident memory a stream",
    },
    quick_rounds=1,
    fresh=True,
    warm_up=False,  # in a new process nothing is warm
    limit=110.0,
    server=True,
)

_STREAMS_CPU = Scenario(
    name="streams-cpu",
    title="What it costs to keep many streams",
    unit="% of a core",
    about=(
        "So many streams, each with a callback, bring a message of 200 bytes a second each, spread "
        "evenly over the second. CPU is the client's, user and system, once all are open; all "
        "messages must have come, in their order. Ours polls its jobs beside that, as the proof."
    ),
    contenders=(
        ours(),
        ours("asyncio", "asyncio"),
        ibmq(),
        by_hand("default", "websocket-client, WebSocketApp"),
        client("aiohttp"),
        client("websockets"),
        client("picows"),
        client("wsproto", WSPROTO),
        bare("bare sockets, one loop"),
    ),
    sizes=(1000,),
    size_name="streams",
    args={"seconds": 2},
    quick=False,
    details={"threads": "threads"},
    fresh=True,
    warm_up=False,  # in a new process nothing is warm
    limit=40.0,
    server=True,
)

_REQUESTS = Scenario(
    name="requests",
    title="What the server is able to",
    unit="status requests/s",
    about="Status requests over one connection, one after the other, by a bare socket.",
    lower_is_better=False,
    contenders=(bare(),),
    args={"count": 5_000},
    quick_args={"count": 1_000},
    server=True,
)

RATES = (_SMALL, _LARGE)
STREAMS = (_STREAMS, _STREAMS_CPU)
SERVER = (_REQUESTS,)
