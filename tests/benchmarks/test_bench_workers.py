"""What the workers measure is what the report says: the same lifecycle, the same values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "workers"))

import _machine_measures
import _texts
import decoders
import machine_ours
import machine_peers
import packages
from _machine_measures import Follower

from runtime_core import JobState
from runtime_core.lifecycle import LIFECYCLE

WORDS = {
    "was_queued": "JobQueued",
    "was_started": "JobStarted",
    "has_succeeded": "JobSucceeded",
    "has_failed": "JobFailed",
    "was_cancelled": "JobCancelled",
}
IN_THIS_ENVIRONMENT = ["dict", "transitions", "transitions-shared"]


def test_the_peers_have_our_lifecycle() -> None:
    ours = {(state.value, kind.__name__): after.value for (state, kind), after in LIFECYCLE.items()}
    theirs = {
        (state, WORDS[trigger]): after
        for (state, trigger), after in machine_peers.TABLE.items()
        if trigger in WORDS
    }
    assert theirs == ours
    others = {
        (state, trigger): after
        for (state, trigger), after in machine_peers.TABLE.items()
        if trigger not in WORDS
    }
    states = [state.value for state in JobState]
    assert others == {(s, word): s for s in states for word in ("interim", "fetched")}


@pytest.mark.parametrize("name", IN_THIS_ENVIRONMENT)
def test_a_peer_goes_through_all_of_the_lifecycle(name: str) -> None:
    follower = machine_peers.CONTENDERS[name][0]()
    make = follower.new_maker()
    job, other = make(), make()
    seen = [job.state]
    follower.prepare(job)
    follower.start(job)
    seen.append(job.state)
    follower.live(job)
    assert [*seen, job.state, other.state] == ["queued", "running", "done", "queued"]


def test_ours_orders_what_the_report_says() -> None:
    machine_ours.check()


@pytest.mark.parametrize("name", machine_ours.CONTENDERS)
def test_ours_goes_through_all_of_the_lifecycle(name: str) -> None:
    follower = machine_ours.CONTENDERS[name]
    job = follower.new_maker()()
    follower.start(job)
    assert job.state is JobState.RUNNING
    job = follower.new_maker()()
    follower.prepare(job)
    follower.live(job)
    assert job.state is JobState.DONE


class Block:
    """A job of a kilobyte."""

    def __init__(self) -> None:
        self.lived = 0
        self.block = b""


def blocks(lived: list[Block], size: int) -> Follower:
    def start(job: Block) -> None:
        job.block = bytes(size)

    def live(job: Block) -> None:
        job.lived += 1
        lived.append(job)

    return Follower(lambda: Block, lambda _: None, live, start)


def test_memory_is_that_of_the_running_jobs() -> None:
    small = _machine_measures.traced_bytes(blocks([], 1_000), 100)
    large = _machine_measures.traced_bytes(blocks([], 5_000), 100)
    assert large - small == pytest.approx(4_000, abs=200)


def test_every_job_lives_once() -> None:
    lived: list[Block] = []
    assert _machine_measures.whole(blocks(lived, 1), 100) > 0
    assert len(lived) == len({id(job) for job in lived}) == 200  # 100 at once, twice
    assert {job.lived for job in lived} == {1}
    lived.clear()
    assert _machine_measures.lifecycle(blocks(lived, 1), 0.001) > 0
    assert {job.lived for job in lived} == {1}


@pytest.mark.parametrize("text_name", _texts.NAMES)
@pytest.mark.parametrize("decoder", ["ours-fast", "json", "orjson"])
def test_a_text_is_decoded_alike(text_name: str, decoder: str) -> None:
    text = _texts.make_text(text_name, 500)
    _texts.check(text_name, 500, decoders.CONTENDERS[decoder][0]()(text))


@pytest.mark.parametrize(
    ("text_name", "wrong"),
    [
        ("interim", {}),
        ("numbers", {"result": [0.0]}),
        ("tagged", {"result": [_texts.tagged("complex", [0, 0])] * 500}),
        ("array-noise", {"result": bytearray()}),
    ],
)
def test_what_was_decoded_otherwise_is_not_measured(text_name: str, wrong: Any) -> None:
    with pytest.raises((ValueError, AttributeError)):
        _texts.check(text_name, 500, wrong)


def test_modules_are_those_that_an_import_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.IMPORTS, "nothing", "import sys")
    monkeypatch.setitem(packages.IMPORTS, "two", "import uuid, colorsys")
    assert packages.modules("nothing") == 0
    assert packages.modules("two") >= 2


class Distribution:
    """Files on the disk, one of them named twice, and one that is not there."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.metadata = {"Name": name}
        self.files = [Path("a"), Path("b/../a"), Path("missing")]
        self._folder = folder / name
        (self._folder / "b").mkdir(parents=True)
        (self._folder / "a").write_bytes(bytes(size))

    def locate_file(self, path: Path) -> Path:
        return self._folder / path


def test_a_file_counts_once_and_the_installer_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Distribution(tmp_path, name, 10) for name in ("pip", "setuptools", "it", "Needed")]
    monkeypatch.setattr(packages, "distributions", lambda: found)
    assert packages.installed_bytes("ours") == 20
    assert packages.installed_bytes("ibmq") == 30  # setuptools is one of those that it needs
