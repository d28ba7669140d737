"""A journal on disk: who may read it, what it continues, how it ends."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters import JournalFile
from runtime_core import JobMachine, JobStarted, ObservedMachine, replay
from runtime_core.errors import UsageError
from runtime_core.observer import Observer


def machine(observer: Observer, failed: Callable[[Exception], object] = print) -> ObservedMachine:
    return ObservedMachine(JobMachine("j1"), observer, lambda: 1.0, failed)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


def test_it_is_the_user_s_alone_and_says_who_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:
        assert repr(journal) == f"<JournalFile {str(path)!r}>"
        machine(journal).receive(JobStarted())
    assert repr(journal) == f"<JournalFile {str(path)!r} (closed)>"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    about = json.loads(lines(path)[0])["about"]
    assert about.keys() == {"library", "python", "platform", "begun"}
    assert about["library"] != "unknown"
    assert replay(lines(path)).is_same


def test_a_step_is_there_at_once_and_none_after_the_end(tmp_path: Path) -> None:
    failures: list[Exception] = []
    journal = JournalFile(tmp_path / "journal")
    observed = machine(journal, failures.append)
    observed.receive(JobStarted())
    assert len(lines(tmp_path / "journal")) == 3
    journal.close()
    journal.close()
    observed.receive(JobStarted())
    assert len(lines(tmp_path / "journal")) == 3
    assert failures == []


def test_one_that_is_there_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for _ in range(2):
        with JournalFile(path) as journal:
            machine(journal).receive(JobStarted())
        path.chmod(0o644)
    assert [job.number for job in replay(lines(path)).jobs] == [1, 2]
    with JournalFile(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_that_was_cut_is_continued_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:
        machine(journal).receive(JobStarted())
    os.truncate(path, path.stat().st_size - 5)
    with JournalFile(path) as journal:
        machine(journal).receive(JobStarted())
    found = replay(lines(path))
    assert (found.is_cut, found.is_same, len(found.steps)) == (True, True, 1)


@pytest.mark.parametrize("length", [40, 60, 130])
def test_one_that_was_cut_in_its_first_line_is_begun_anew(tmp_path: Path, length: int) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:
        machine(journal).receive(JobStarted())
    os.truncate(path, length)
    with JournalFile(path) as journal:
        machine(journal).receive(JobStarted())
    found = replay(lines(path))
    assert (found.is_cut, found.is_same, len(found.steps)) == (False, True, 1)


def test_its_size_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path, max_bytes=2500) as journal:
        machine(journal).receive(JobStarted())
    with JournalFile(path, max_bytes=2500) as journal:
        observed = machine(journal)
        for _ in range(100):
            observed.receive(JobStarted())
    assert 2300 < path.stat().st_size <= 2500
    found = replay(lines(path))
    assert (found.is_full, found.is_same) == (True, True)
    with pytest.raises(UsageError, match="bytes: move it away"):
        JournalFile(path, max_bytes=2500)
    with pytest.raises(ValueError, match="max_bytes is 1000 or more"):
        JournalFile(path, max_bytes=999)


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text("def main(): ...\n", encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="something else than a journal in"):
        JournalFile(path)
    assert path.read_text(encoding="utf-8") == "def main(): ...\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="something else than a journal in"):
        JournalFile(path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="fifo is no file"):
        JournalFile(tmp_path / "fifo")
    with pytest.raises(FileNotFoundError):
        JournalFile(tmp_path / "nowhere" / "journal")


def test_two_do_not_write_into_one_file(tmp_path: Path) -> None:
    refused = pytest.raises(UsageError, match="journal is being written already: take another")
    with JournalFile(tmp_path / "journal"), refused:
        JournalFile(tmp_path / "journal")
    JournalFile(tmp_path / "journal").close()


def test_a_child_that_lives_on_does_not_keep_it_from_being_continued(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "journal")
    # What a fork leaves in the child: the same file, as it was opened here.
    assert journal._file is not None
    inherited = os.dup(journal._file)
    journal.close()
    JournalFile(tmp_path / "journal").close()
    os.close(inherited)


def test_a_secret_is_in_no_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path, payloads=True, secrets=["hunter2"]) as journal:
        ObservedMachine(JobMachine("hunter2"), journal, lambda: 1.0, print).receive(JobStarted())
    assert "hunter2" not in path.read_text(encoding="ascii")


def test_one_that_is_refused_holds_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="secrets are several texts"):
        JournalFile(tmp_path / "journal", secrets="hunter2")
    JournalFile(tmp_path / "journal").close()


def test_a_disk_that_is_full_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = []
    written: list[bytes] = []

    def write(_: int, data: memoryview) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(bytes(data[:10]))
        return 10

    with JournalFile(tmp_path / "journal") as journal:
        observed = machine(journal, failures.append)
        monkeypatch.setattr(os, "write", write)
        observed.receive(JobStarted())
        observed.receive(JobStarted())
    assert written == [b'{"schema":']
    assert [type(error) for error in failures] == [OSError]


def test_jobs_of_several_threads_have_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:

        def work() -> None:
            observed = machine(journal)
            for _ in range(100):
                observed.receive(JobStarted())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = replay(lines(path))
    assert found.is_same
    assert len(found.steps) == 400


def test_the_child_of_a_fork_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:
        observed = machine(journal)
        observed.receive(JobStarted())
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            observed.receive(JobStarted())
            journal.close()
        observed.receive(JobStarted())
    assert len(replay(lines(path)).steps) == 2
