"""`runtime-core run` without a terminal: the real command, a real service, pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_runs import (
    COMMAND,
    COUNT,
    FAIL,
    SLEEP,
    STUBBORN,
    assert_gone,
    call,
    cli,
    environment,
    interrupt,
    is_alive,
    read_until,
    start,
)
from conditions import eventually

from adapters import RuntimeJob, RuntimeService
from adapters.cli.place import Place
from adapters.local.daemon import START_TIMEOUT
from adapters.local.directory import make_private
from adapters.local.lock import ServiceLock, find_service
from adapters.local.process import LocalServiceProcess
from runtime_core.states import JobState

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a program and gives the name of its file."""

    def write(source: str) -> str:
        file = tmp_path / "prog.py"
        file.write_text(source)
        return str(file)

    return write


@pytest.fixture(scope="module")
def home() -> Iterator[LocalServiceProcess]:
    """A service that is there before and after the command."""
    with LocalServiceProcess.start(4) as process:
        yield process


@pytest.fixture
def known(home: LocalServiceProcess) -> Iterator[RuntimeService]:
    with RuntimeService(home.url, home.access_token, resume="offset") as service:
        yield service


def job_of(text: str) -> str:
    found = re.search(r"job ([0-9a-f]{24}) ", text)
    assert found, text
    return found[1]


def assert_runs(known: RuntimeService, job_id: str) -> None:
    """The job goes on; end it."""
    with known.job(job_id) as job:
        assert job.status() is JobState.RUNNING
        job.cancel()
        job.wait_for_final_state(timeout=10)


def events(out: str) -> list[dict[str, object]]:
    """What `--json` printed, without the times; every line of it is an object."""
    told = [json.loads(line) for line in out.splitlines()]
    assert all(isinstance(event.pop("seconds", 0.0), float) for event in told)
    return told


# ---- how it is told ----------------------------------------------------------------------------


def test_a_program_is_run_and_told_line_by_line(
    home: LocalServiceProcess, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "n.json").write_text("4")
    ended = cli(
        *("run", write(COUNT), "--data", home.data),
        *("-i", f"n=@{tmp_path}/n.json", "-i", "text=two words"),
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"prog-[0-9a-f]{12}: job [0-9a-f]{24} on this machine", lines.pop(0))
    said = [re.sub(r"^ +\d+\.\d s  ", "", line) for line in lines]
    # A job this short may have ended before the service was asked, and is then not said to run.
    assert [word for word in said if word not in ("queued", "running")] == [
        "hello",
        " 25%  energy=-1  shots=10,000",
        " 50%  energy=-0.5  shots=20,000",
        " 75%  energy=-0.333333  shots=30,000",
        "100%  energy=-0.25  shots=40,000",
        "done",
        "{'n': 4, 'text': 'two words'}",
    ]


def test_of_a_failed_job_the_programs_traceback_is_shown(
    home: LocalServiceProcess, write: Write
) -> None:
    ended = cli("run", write(FAIL), "--data", home.data)
    assert ended.returncode == 1
    assert re.search(r"before\n.* s  failed\n$", ended.stdout)
    assert ended.stderr.startswith('Traceback (most recent call last):\n  File "program.py", line')
    assert ended.stderr.endswith("ValueError: it went \\x1b[31mwrong\n")
    assert "adapters" not in ended.stderr


def test_inputs_that_main_does_not_take_are_the_jobs_error(
    home: LocalServiceProcess, write: Write
) -> None:
    ended = cli("run", write(COUNT), "--data", home.data, "-i", "m=4")
    assert ended.returncode == 1
    assert "main() got an unexpected keyword argument 'm'\n" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_job_may_be_given_a_longest_time(home: LocalServiceProcess, write: Write) -> None:
    ended = cli("run", write(SLEEP), "--data", home.data, "--max-time", "1")
    assert ended.returncode == 1
    assert "failed (code RAN_TOO_LONG)\n" in ended.stdout
    assert "ran too long" in ended.stderr


def test_a_queued_job_says_where_it_stands(write: Write, tmp_path: Path) -> None:
    until = tmp_path / "until"
    file = write(SLEEP)
    with LocalServiceProcess.start(1) as lone:
        for _ in range(2):
            call("run", file, "--data", lone.data, "--detach", "-i", f"until={until}")
        process = start("run", file, "--data", lone.data, "-i", f"until={until}")
        seen, _ = read_until(process, r"s  queued, 2nd in line\n")
        assert "s  queued\n" in seen
        jobs = call("jobs", "--data", lone.data).stdout
        assert [line.split()[2:4] for line in jobs.splitlines()[1:3]] == [
            ["queued", "(2)"],
            ["queued", "(1)"],
        ]
        last, second = (line.split()[0] for line in jobs.splitlines()[1:3])
        assert call("status", last, "--data", lone.data).stdout == "queued, 2nd in line\n"
        call("cancel", second, "--data", lone.data)
        read_until(process, r"s  queued, next in line\n")
        until.touch()
        out, err = process.communicate(timeout=15)
    assert out.endswith("done\nslept\n")
    assert err == ""


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["plain", "json"])
def test_a_job_that_leaves_the_queue_while_it_is_asked_about_has_no_place_in_it(
    options: list[str], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Place.find

    def find_and_cancel(place: Place, service: RuntimeService, job_id: str) -> RuntimeJob:
        job = find(place, service, job_id)
        with service.job(job_id) as other:
            other.cancel()
        return job

    file, until = write(SLEEP), tmp_path / "until"
    with LocalServiceProcess.start(1) as lone:
        submit = ("run", file, "--data", lone.data, "--detach", "-i", f"until={until}")
        _, queued = (call(*submit).stdout.rstrip() for _ in range(2))
        monkeypatch.setattr(Place, "find", find_and_cancel)
        said = call("status", queued, "--data", lone.data, *options).stdout
        until.touch()
    if options:
        assert json.loads(said) == {"job": queued, "state": "cancelled", "position": None}
    else:
        assert said == "cancelled\n"


def test_a_reader_that_goes_away_is_no_error(
    home: LocalServiceProcess, known: RuntimeService, write: Write, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    with start("run", write(SLEEP), "--data", home.data, "-i", f"until={until}") as process:
        read_until(process, r"\[\d+\]")
        assert process.stdout is not None
        process.stdout.close()
        until.touch()  # now there is something to write
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_output_that_cannot_be_written_gets_a_sentence(
    home: LocalServiceProcess, write: Write
) -> None:
    command = [*COMMAND, "run", write(COUNT), "--data", str(home.data)]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, env=environment()
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith("runtime-core: The output cannot be written: ")
    assert ended.stderr.count("\n") == 1


# ---- for programs ------------------------------------------------------------------------------


def test_json_is_an_event_a_line(home: LocalServiceProcess, write: Write) -> None:
    value = {"__type__": "complex", "__value__": [1, 2]}
    ended = cli(
        *("run", write(COUNT), "--data", home.data, "--json"),
        *("-i", "n=1", "-i", f"text={json.dumps(value)}"),
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    submitted, *told = events(ended.stdout)
    assert submitted["event"] == "submitted"
    assert re.fullmatch(r"[0-9a-f]{24}", str(submitted["job"]))
    assert re.fullmatch(r"prog-[0-9a-f]{12}", str(submitted["program"]))
    states = [event.pop("state") for event in told if event["event"] == "state"]
    assert states in (["queued"], ["queued", "running"], ["running"], [])
    value = {"__type__": "complex", "__value__": [1.0, 2.0]}
    assert [event for event in told if event["event"] != "state"] == [
        {"event": "interim", "progress": None, "value": "hello"},
        {
            "event": "interim",
            "progress": 1.0,
            "value": {"progress": 1.0, "energy": -1.0, "shots": 10000},
        },
        {"event": "result", "value": {"n": 1, "text": value}},
    ]


def test_json_of_a_job_that_fails(home: LocalServiceProcess, write: Write) -> None:
    ended = cli("run", write(FAIL), "--data", home.data, "--json")
    assert ended.returncode == 1
    assert ended.stderr == ""
    last = events(ended.stdout)[-1]
    assert (last["event"], last["code"]) == ("failed", None)
    assert str(last["reason"]).endswith("ValueError: it went \x1b[31mwrong\n")


@pytest.mark.parametrize(
    ("options", "presses", "code", "last"),
    [
        (["--timeout", "2.5"], 0, 4, {"event": "left", "why": "timeout"}),
        ([], 1, 130, {"event": "left", "why": "interrupt"}),
        ([], 2, 3, {"event": "cancelled"}),
    ],
    ids=["timeout", "Ctrl-C", "Ctrl-C twice"],
)
def test_json_of_a_job_that_is_left_or_cancelled(
    options: list[str],
    presses: int,
    code: int,
    last: dict[str, object],
    home: LocalServiceProcess,
    known: RuntimeService,
    write: Write,
) -> None:
    process = start("run", write(SLEEP), "--data", home.data, "--json", *options)
    first, match = read_until(process, r'"event": "interim".*\[(\d+)\]')
    interrupt(process, presses)
    out, _ = process.communicate(timeout=15)
    assert process.returncode == code
    job = str(events(first)[0]["job"])
    assert events(out)[-1] == (last | {"job": job} if code != 3 else last)
    if code == 3:
        assert_gone(int(match[1]))
    else:
        assert_runs(known, job)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.py"], "There is no file"),
        ([__file__], "has no main"),
        (["PROGRAM", "-i", "x"], "NAME=VALUE"),
        (["PROGRAM", "--url", "http://127.0.0.1:9"], "Does a service run at"),
    ],
    ids=["no file", "no main", "bad input", "dead service"],
)
def test_json_of_what_cannot_be_run(arguments: list[str], says: str, write: Write) -> None:
    given = [write(COUNT) if word == "PROGRAM" else word for word in arguments]
    ended = call("run", *given, "--json")
    assert ended.returncode == 2
    (only,) = events(ended.stdout)
    assert only["event"] == "error"
    assert says in str(only["message"])
    assert ended.stderr == f"runtime-core: {only['message']}\n"


# ---- leaving and coming back -------------------------------------------------------------------


def test_a_detached_job_outlives_the_command_that_started_its_service(
    write: Write, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    try:
        ended = cli("run", write(SLEEP), "--data", data, "--detach", "-i", f"until={tmp_path}/u")
        assert (ended.returncode, ended.stderr) == (0, "")
        job = ended.stdout.rstrip("\n")
        assert re.fullmatch(r"[0-9a-f]{24}", job)
        assert call("status", job, "--data", data).stdout in ("queued\n", "running\n")
        (tmp_path / "u").touch()
        assert call("result", job, "--data", data).stdout == "slept\n"
    finally:
        record = find_service(data)
        assert record is not None
        os.kill(record.pid, signal.SIGTERM)
        assert eventually(lambda: find_service(data) is None)


def test_json_of_a_detached_job(home: LocalServiceProcess, write: Write) -> None:
    ended = cli("run", write(COUNT), "--data", home.data, "--detach", "--json")
    (only,) = events(ended.stdout)
    assert list(only) == ["event", "job", "program"]
    assert only["event"] == "submitted"


def test_at_the_timeout_the_job_goes_on(
    home: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    ended = cli("run", write(SLEEP), "--data", home.data, "--timeout", "2.5")
    assert ended.returncode == 4
    job = job_of(ended.stdout)
    assert ended.stderr == (
        f"runtime-core: timeout after 2.5 s: job {job} goes on. Come back with\n"
        f"    runtime-core watch {job} --data {home.data}\n"
    )
    assert_runs(known, job)


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a service that is about to come up, and does not."""
    data = tmp_path / "data"
    make_private(data)
    with ServiceLock.take(data) or pytest.fail("the lock is not to be had"):
        yield data


@pytest.mark.parametrize("command", ["run", "watch"])
def test_the_timeout_bounds_the_start_of_the_service(
    command: str, starting: Path, write: Write
) -> None:
    begun = time.monotonic()
    what = write(COUNT) if command == "run" else "j1"
    ended = cli(command, what, "--data", starting, "--timeout", "0.5")
    assert time.monotonic() - begun < START_TIMEOUT / 2
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr.startswith("runtime-core: timeout after 0.5 s")
    assert ended.stderr.count("\n") == 1


def test_ctrl_c_is_heard_while_the_service_starts(starting: Path, write: Write) -> None:
    # Before it looks for the service it may be too early to be heard.
    script = (
        "import sys, adapters.cli, adapters.local.daemon as d\n"
        "find = d.find_service\n"
        "d.find_service = lambda *a: (print('waits', flush=True), find(*a))[1]\n"
        "sys.exit(adapters.cli.main())"
    )
    command = [COMMAND[0], "-c", script, "run", write(COUNT), "--data", str(starting)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    read_until(process, "waits")
    interrupt(process, 2)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert err.startswith("runtime-core: interrupted: the job was not confirmed yet")


@pytest.mark.parametrize("where", ["on this machine", "somewhere else"])
def test_ctrl_c_leaves_the_job_running(
    where: str, home: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    place = ["--data", str(home.data)] if where == "on this machine" else ["--url", home.url]
    process = start("run", write(SLEEP), *place, RUNTIME_CORE_TOKEN=home.access_token)
    seen, _ = read_until(process, r"\[\d+\]")
    job = job_of(seen)
    interrupt(process)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert err == (
        "runtime-core: leaving, the job goes on: Ctrl-C again within 2 s cancels it\n"
        f"runtime-core: interrupted: job {job} goes on. Come back with\n"
        f"    runtime-core watch {job} {' '.join(place)}\n"
    )
    assert_runs(known, job)


@pytest.mark.parametrize("options", [[], ["--cancel-on-interrupt"]], ids=["twice", "by option"])
def test_ctrl_c_can_cancel_the_job(
    options: list[str], home: LocalServiceProcess, write: Write
) -> None:
    process = start("run", write(SLEEP), "--data", home.data, *options)
    _, pid = read_until(process, r"\[(\d+)\]")
    interrupt(process, 1 if options else 2)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 3
    assert out.endswith("s  cancelled\n")
    assert err == "runtime-core: cancelling the job\n"
    assert_gone(int(pid[1]))


def test_a_third_ctrl_c_waits_for_nothing(
    home: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    process = start("run", write(STUBBORN), "--data", home.data)
    seen, pid = read_until(process, r"\[(\d+)\]")
    interrupt(process, 3)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert is_alive(int(pid[1]))
    job = job_of(seen)
    assert f"job {job} was asked to end, and has not ended yet. Come back with\n" in err
    known.job(job).wait_for_final_state(timeout=15)
    assert_gone(int(pid[1]))


def test_a_job_that_ends_after_a_ctrl_c_is_told_all_the_same(
    home: LocalServiceProcess, write: Write, tmp_path: Path
) -> None:
    until = tmp_path / "until"
    process = start("run", write(SLEEP), "--data", home.data, "-i", f"until={until}")
    read_until(process, r"\[\d+\]")
    interrupt(process)
    assert process.stderr is not None
    process.stderr.readline()
    until.touch()
    out, err = process.communicate(timeout=15)
    assert process.returncode == 0
    assert out.endswith("s  done\nslept\n")
    assert err == ""


def test_the_way_back_is_told_when_ctrl_c_has_ended_the_reader_too(
    home: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    until = Path(write(SLEEP)).with_name("until")
    process = start("run", write(SLEEP), "--data", home.data, "-i", f"until={until}")
    seen, _ = read_until(process, r"\[\d+\]")
    interrupt(process)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.readline()
    process.stdout.close()
    process.stdout = None
    until.touch()  # now there is something to write
    _, err = process.communicate(timeout=15)
    assert process.returncode == 141
    assert err.startswith(f"runtime-core: interrupted: job {job_of(seen)} goes on. Come back with")
    assert err.count("\n") == 2


# ---- a service somewhere else ------------------------------------------------------------------


def test_a_service_that_cannot_be_reached_gets_a_sentence(write: Write) -> None:
    ended = call("run", write(COUNT), "--url", "http://127.0.0.1:9")
    assert ended.returncode == 2
    assert ended.stderr.startswith("runtime-core: ")
    assert "refused" in ended.stderr
    assert ended.stderr.endswith("Does a service run at http://127.0.0.1:9?\n")
    assert ended.stderr.count("\n") == 1


def test_what_is_no_url_gets_a_sentence(write: Write) -> None:
    ended = call("run", write(COUNT), "--url", "127.0.0.1:9")
    assert ended.returncode == 2
    assert ended.stderr.startswith("runtime-core: The service's URL must start with http://")


def test_a_wrong_token_gets_a_sentence(home: LocalServiceProcess, write: Write) -> None:
    ended = call("run", write(COUNT), "--url", home.url, RUNTIME_CORE_TOKEN="wrong")
    assert ended.returncode == 2
    assert "401" in ended.stderr
    assert "RUNTIME_CORE_TOKEN" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_program_that_is_there_already_is_run_again(
    home: LocalServiceProcess, write: Write
) -> None:
    for _ in range(2):
        ended = cli("run", write(COUNT), "--url", home.url, RUNTIME_CORE_TOKEN=home.access_token)
        assert ended.returncode == 0, ended.stderr
        assert f"at {home.url}\n" in ended.stdout
        assert ended.stdout.endswith("{'n': 3, 'text': None}\n")


def test_a_program_is_the_one_that_the_service_makes_of_it(
    home: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    facts: dict[str, object] = {"description": "uploaded by runtime-core run"}

    def of_a_run(*options: str) -> str:
        said = call("run", file, "--data", home.data, "--detach", "--json", *options).stdout
        return str(json.loads(said)["program"])

    file = write(COUNT)
    usual, short = of_a_run(), of_a_run("--max-time", "60")
    assert known.upload_program(file, facts) == usual == of_a_run()
    assert known.upload_program(file, facts | {"max_execution_time": 60}) == short
    assert re.fullmatch(r"prog-[0-9a-f]{12}", short)
    write(FAIL)
    assert len({usual, short, of_a_run()}) == 3
    assert known.program(short).max_execution_time == 60


def test_a_job_that_somebody_else_cancels(
    home: LocalServiceProcess, known: RuntimeService, write: Write
) -> None:
    process = start("run", write(SLEEP), "--data", home.data)
    seen, _ = read_until(process, r"\[\d+\]")
    with known.job(job_of(seen)) as job:
        job.cancel()
    out, err = process.communicate(timeout=15)
    assert process.returncode == 3
    assert out.endswith("cancelled\n")
    assert err == ""


# ---- a data directory --------------------------------------------------------------------------


def test_a_data_directory_that_others_may_write_to_gets_a_sentence(
    write: Write, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    ended = call("run", write(COUNT), "--data", data)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"runtime-core: Others may write to the data directory {data}")
    assert ended.stderr.count("\n") == 1


def test_a_data_directory_that_is_a_file_gets_a_sentence(write: Write) -> None:
    program = write(COUNT)
    ended = call("run", program, "--data", program)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"runtime-core: The data directory {program} cannot be used: ")
    assert ended.stderr.count("\n") == 1


def test_only_what_is_needed_is_imported() -> None:
    script = "import sys, adapters.cli.attend; sys.exit('rich' in sys.modules)"
    assert cli_script(script) == 0
    slow = (
        "{'rich', 'argcomplete', 'cattrs', 'sqlite3', 'starlette', 'multiprocessing', "
        "'transitions', 'urllib3', 'wsproto'}"
    )
    script = (
        "import sys, contextlib, adapters.cli\n"
        "with contextlib.suppress(SystemExit): adapters.cli.main(['--help'])\n"
        f"sys.exit(bool({slow} & set(sys.modules)))"
    )
    assert cli_script(script) == 0


def cli_script(script: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", script], timeout=30, stdout=subprocess.DEVNULL
    ).returncode
