"""Jobs that end, jobs that are waited for, and jobs that are not waited for any longer."""

from __future__ import annotations

import attrs
from _runner import Scenario, Target

from scenarios.people import ORIGINAL, bare, by_hand, client, ibm_runtime, ibmq, ours

_LATENCY = Scenario(
    name="latency",
    title="How soon a result is there",
    unit="ms after the end of the job",
    about=(
        "Each contender runs 20 jobs of 0.2 to 3 s, one in each round, and waits for the result. "
        "The end is when the service knows of it, by the clock that both processes share; the "
        "service counts the requests, the submission among them, and the handshakes of websockets "
        "beside them. *Default* is with no argument but the program, its inputs and a backend."
    ),
    contenders=(
        ours(),
        attrs.evolve(ours("asyncio", "asyncio"), quick=False),
        ours("current", "of a service without streams"),
        ibm_runtime(words="default"),
        ibm_runtime("fastest", "poll_interval=0.1, its least"),
        attrs.evolve(ibmq(words="default"), quick=False),
        ibmq("fastest", "wait=0.01"),
        attrs.evolve(by_hand("fastest", "requests, asking each 10 ms"), quick=False),
        by_hand("stream", "requests and websocket-client"),
        attrs.evolve(client("aiohttp", "aiohttp, websocket and requests"), quick=False),
        bare(),
    ),
    targets=(
        Target(
            "result after the end, default arguments, to the best peer that has defaults",
            1 / 30,
            "qiskit-ibm-runtime, default",
        ),
        Target("the same, to the original", 1 / 30, f"{ORIGINAL}, default"),
        Target("HTTP requests of a job", 3, of="requests"),
    ),
    args={"shortest": 0.2, "longest": 3.0},
    quick_args={"shortest": 0.2, "longest": 0.6},
    details={"requests": "requests a job", "handshakes": "websockets a job"},
    plots={"requests": "HTTP requests a job"},
    rounds=20,
    quick_rounds=2,
    shares=True,
    limit=40.0,
    server=True,
)

_TOGETHER = Scenario(
    name="together",
    title="How soon the results of many jobs are there",
    unit="ms after the end of its job, the median of them",
    about=(
        "So many jobs are waited for, each in `result()` (in threads, in asyncio in tasks), or all "
        "by `as_completed()`; all of them end, one after the other, within one second. *The last* "
        "is the one that took longest, *requests* are those of a job, without its submission."
    ),
    contenders=(
        ours("default", "result()"),
        ours("wait", "as_completed()"),
        attrs.evolve(ours("asyncio", "asyncio"), quick=False),
        ibm_runtime(words="default"),
        ibmq("half", "wait=0.5"),
        attrs.evolve(by_hand("stream", "requests and websocket-client"), quick=False),
        attrs.evolve(client("aiohttp", "aiohttp, websocket and requests"), quick=False),
        bare("bare sockets, one loop"),
    ),
    sizes=(10, 100, 1000),
    quick_sizes=(100,),
    size_name="jobs",
    args={"seconds": 30.0},
    details={"worst": "ms, the last", "requests": "requests a job"},
    plots={"worst": "ms after the end of its job, the last of them"},
    quick_rounds=1,
    fresh=True,
    warm_up=False,  # in a new process nothing is warm
    limit=60.0,
    server=True,
)

_WAITS = Scenario(
    name="waits",
    title="What it costs to wait for many jobs",
    unit="% of a core",
    about=(
        "So many jobs that go on are waited for: in `result()`, each in a thread of its own (in "
        "asyncio a task), and by `wait()` in one call; 10,000 only by those that need no thread "
        "for each. CPU is the client's, user and system, from the second second on. `wait=0.5` has "
        "the original ask as often as its successor; its default is each 5 s, so it hears of an "
        "end the later."
    ),
    contenders=(
        attrs.evolve(ours("default", "result() by polling"), sizes=(100, 1000)),
        attrs.evolve(ours("streams", "result() with streams"), sizes=(100, 1000)),
        ours("wait", "wait()"),
        attrs.evolve(ours("asyncio", "asyncio"), quick=False),
        attrs.evolve(ibmq("half", "wait=0.5"), sizes=(100, 1000)),
        # A window that has each thread's next question in it.
        attrs.evolve(ibmq(words="default"), sizes=(100,), quick=False, args={"seconds": 5.0}),
        attrs.evolve(ibm_runtime(words="default"), sizes=(100, 1000)),
        attrs.evolve(
            by_hand("half", "requests, asking each 0.5 s"), sizes=(100, 1000), quick=False
        ),
        attrs.evolve(client("aiohttp", "aiohttp, asking each 0.5 s"), quick=False),
        bare("bare sockets, on which nothing comes"),
    ),
    targets=(
        Target("CPU of 100 waits, to the original's", 0.25, f"{ORIGINAL}, wait=0.5", size=100),
        Target("CPU of 1,000 waits, to the original's", 0.25, f"{ORIGINAL}, wait=0.5", size=1000),
    ),
    sizes=(100, 1000, 10_000),
    quick_sizes=(100,),
    size_name="waits",
    args={"settle": 1.0, "seconds": 1.5},
    details={"requests": "requests/s", "threads": "threads"},
    plots={"requests": "status requests a second", "threads": "threads"},
    quick_rounds=1,
    fresh=True,
    warm_up=False,  # in a new process nothing is warm
    limit=40.0,
    server=True,
)


def _late(name: str, title: str, about: str) -> Scenario:
    # Of the successor the login comes first, which does not get by a service that refuses.
    successors = (
        ibm_runtime(words="default"),
        attrs.evolve(ibm_runtime("fastest", "poll_interval=0.1, its least"), quick=False),
    )
    return Scenario(
        name=f"late-{name}",
        title=title,
        unit="ms too late",
        about=about,
        contenders=(
            ours(),
            ours("streams", "with streams"),
            attrs.evolve(ours("final", "wait_for_final_state()"), quick=False),
            attrs.evolve(ours("wait", "wait()"), quick=False),
            ours("asyncio", "asyncio"),
            *(() if name == "refuses" else successors),
            attrs.evolve(ibmq(words="default"), quick=False),
            ibmq("fastest", "wait=0.01"),
            by_hand("default", "requests, with timeouts"),
            client("aiohttp", "aiohttp in asyncio.timeout"),
            bare("threading.Event().wait"),
        ),
        args={"timeout": 0.25, "calls": 2},
        quick_args={"calls": 1},
        details={"worst": "latest of its calls", "early": "too early"},
        quick_rounds=2,
        limit=6.0,
        quick=name == "answers",  # in the others there are stalls, which take long
        server=True,
    )


_LATE = (
    _late(
        "answers",
        "How late a timeout is",
        "`result(timeout=0.25)` of a job that goes on, at a service that answers at once.",
    ),
    _late(
        "hangs",
        "How late a timeout is at a service that hangs",
        "The same at a service that takes the request and says nothing.",
    ),
    _late(
        "drips",
        "How late a timeout is at a service that drips",
        "The same at a service that answers a byte each 0.1 s: no read of a socket takes long.",
    ),
    _late(
        "refuses",
        "How late a timeout is at a service that is away",
        "The same where nobody listens: it may come back, so it is asked again.",
    ),
)

LATENCY = (_LATENCY, _TOGETHER)
WAITS = (_WAITS, *_LATE)
