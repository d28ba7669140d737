"""Contenders take turns, and who fails is kept with what was seen: real processes, real pipes."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import _runner
import pytest
from _runner import Contender, Measured, Runner, Scenario, Worker, WorkerFailed
from _serving import serving
from attrs import evolve

WORKER = f"""
import os, sys, threading
sys.path.insert(0, {str(_runner.HERE / "workers")!r})
from _protocol import failed, progress, serve, value

def measure(**args):
    print("what is printed is no answer")
    match sys.argv[1]:
        case "stalls":
            progress("got 3 of 50")
            threading.Event().wait()
        case "dies":
            print("the last word", file=sys.stderr, flush=True)
            sys.exit(7)
        case "raises":
            raise ValueError("no good")
        case "fails":
            return failed("the sum was wrong")
    return value(1.5, "ms", pid=os.getpid(), **args)

serve(sys.argv[1], {{"it": measure}}, ["attrs", "no-such-package"])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "scripted.py").write_text(WORKER, encoding="utf-8")
    monkeypatch.setattr(_runner, "HERE", tmp_path)
    return tmp_path


@contextlib.contextmanager
def no_server() -> Iterator[str]:
    yield "http://nowhere"


def scenario(*ways: str, limit: float = 20.0, **more: object) -> Scenario:
    contenders = [Contender(way, "scripted", way=way) for way in ways]
    return Scenario("it", "It", "ms", contenders, limit=limit, **more)  # type: ignore[arg-type]


def run(what: Scenario, *, quick: bool = False, rounds: int | None = 2) -> list[Measured]:
    runner = Runner(quick, no_server, rounds, say=lambda _: None)
    runner.run(what)
    return runner.measured


@pytest.mark.usefixtures("folder")
def test_contenders_take_turns_in_an_order_that_rotates() -> None:
    found = run(scenario("a", "b", "c"))
    names = ["".join(one.contender for one in found if one.round == n) for n in range(3)]
    assert names == ["abc", "bca", "cab"]
    assert {one.value for one in found} == {1.5}


@pytest.mark.usefixtures("folder")
def test_a_contender_that_stalls_says_how_far_it_came_and_is_asked_twice() -> None:
    found = run(scenario("stalls", "a", limit=0.3), rounds=3)
    stalled = [one for one in found if one.contender == "stalls"]
    assert [one.failed for one in stalled] == ["stalled: got 3 of 50 in 0.3 s"] * 2
    assert sum(one.contender == "a" for one in found) == 4


@pytest.mark.usefixtures("folder")
def test_a_contender_that_stalls_does_not_go_on_beside_the_others() -> None:
    with Worker(Contender("stalls", "scripted", way="stalls")) as worker:
        with pytest.raises(WorkerFailed, match="got 3 of 50"):
            worker.measure("it", {}, 0.3)
        assert worker._process.wait(20) < 0


@pytest.mark.usefixtures("folder")
def test_what_a_contender_said_before_it_died_is_quoted() -> None:
    [first, _] = run(scenario("dies"), rounds=1)
    assert first.failed == "died with 7: the last word"


@pytest.mark.usefixtures("folder")
def test_an_error_of_a_measurement_is_a_row() -> None:
    found = run(scenario("raises", "fails"), rounds=1)
    assert {one.failed for one in found} == {"ValueError: no good", "the sum was wrong"}
    assert {one.value for one in found} == {None}


def test_a_contender_whose_environment_is_not_there_is_a_row() -> None:
    absent = Contender("absent", "scripted", environment=".venv-no-such")
    [one] = run(Scenario("it", "It", "ms", [absent]), rounds=0)
    assert one.failed == "not installed: make .venv-no-such/.stamp"


@pytest.mark.usefixtures("folder")
def test_versions_are_told() -> None:
    with Worker(Contender("a", "scripted", way="a")) as worker:
        assert worker.versions["no-such-package"] == "not installed"
        assert worker.versions["attrs"][0].isdigit()


@pytest.mark.usefixtures("folder")
def test_sizes_shares_and_what_is_quick_reach_the_worker() -> None:
    what = scenario(
        "a", args={"x": 1, "y": 1}, quick_args={"y": 2}, sizes=(5, 9), quick_sizes=(5,), shares=True
    )
    found = run(what, quick=True, rounds=3)
    given = [{key: one.details[key] for key in ("x", "y", "size", "share")} for one in found]
    assert given == [{"x": 1, "y": 2, "size": 5, "share": share} for share in (0, 0, 0.5, 1)]


@pytest.mark.usefixtures("folder")
def test_a_contender_is_measured_at_its_sizes_only() -> None:
    few = evolve(scenario("a", "b"), sizes=(5, 9))
    few = evolve(few, contenders=[few.contenders[0], evolve(few.contenders[1], sizes=(9,))])
    assert {(one.contender, one.size) for one in run(few)} == {("a", 5), ("a", 9), ("b", 9)}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("fresh", "processes"), [(False, 1), (True, 3)])
def test_a_measurement_has_a_process_of_its_own_where_that_is_wanted(
    fresh: bool, processes: int
) -> None:
    found = run(scenario("a", fresh=fresh))
    assert len({one.details["pid"] for one in found}) == processes


@pytest.mark.usefixtures("folder")
def test_there_may_be_no_warm_up() -> None:
    assert [one.round for one in run(scenario("a", warm_up=False))] == [1, 2]


def test_the_server_counts_what_a_job_takes() -> None:
    with serving() as url, Worker(Contender("bare", "bare_socket", way="default")) as worker:
        args = {"url": url, "share": 0, "shortest": 0.05, "longest": 1}
        answer = worker.measure("latency", args, 20)
        assert answer["details"] == {"requests": 2, "handshakes": 1}
        assert answer["value"] >= 0


@pytest.mark.parametrize("way", ["default", "decoded"])
def test_a_flood_is_checked(way: str) -> None:
    with serving() as url, Worker(Contender("bare", "bare_socket", way=way)) as worker:
        args = {"url": url, "messages": 5_000, "cycle": 5_000}
        more = {} if way == "decoded" else {"cycle_bytes": 1}
        answer = worker.measure("rate-small", args | more, 20)
        if way == "decoded":
            assert answer["value"] > 0
            wrong = worker.measure("rate-small", args | {"cycle": 4_999}, 20)
            assert "in sum" in wrong["failed"]
        else:
            assert answer["failed"] == "got 1,020,004 bytes of 5"


def test_many_jobs_end_and_are_listed() -> None:
    with serving() as url, Worker(Contender("bare", "bare_socket", way="default")) as worker:
        args = {"url": url, "size": 3, "seconds": 20.0}
        answer = worker.measure("together", args, 30)
        assert answer["details"]["requests"] == 1
        assert answer["value"] >= 0
        with urllib.request.urlopen(f"{url}/jobs?limit=2&offset=1") as response:
            page = json.load(response)
        assert page["count"] == 3
        assert [job["status"] for job in page["jobs"]] == ["Completed"] * 2


def test_streams_are_served_and_their_order_is_checked() -> None:
    with serving() as url, Worker(Contender("bare", "bare_socket", way="default")) as worker:
        args = {"url": url, "size": 3, "messages": 10, "seconds": 5.0}
        answer = worker.measure("streams", args, 20)
        assert (answer["value"], answer["details"]["open"]) == (3, 3)
