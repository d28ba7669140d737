"""The other commands: what they print of jobs that queue, run, failed, and are not there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from cli_runs import COMMAND, COUNT, FAIL, SLEEP, STUBBORN, call, environment, read_until, start
from conditions import eventually

from adapters import RuntimeService
from adapters.local.lock import ServiceLock, find_service
from adapters.local.process import LocalServiceProcess
from adapters.local.store import DATABASE, Store

PRINTS = """
import time
def main(backend, user_messenger):
    print("\\x1b[32mgr\\u00fcn\\x1b[0m")
    print("no end of line", end="")
"""


class Home:
    """A service with jobs of every kind."""

    def __init__(self, process: LocalServiceProcess, service: RuntimeService) -> None:
        self.process = process
        self.service = service
        self.data = str(process.data)
        self.programs = {
            name: service.upload_program(source, {"name": name})
            for name, source in {
                "count": COUNT,
                "fail": FAIL,
                "sleep": SLEEP,
                "stubborn": STUBBORN,
                "prints": PRINTS,
                "infinite": "def main(b, m):\n    return [float('nan'), float('-inf')]\n",
                "text": "def main(b, m):\n    return 'two\\nlines \\x1b[2J'\n",
            }.items()
        }
        self.done = self.ended("count", n=2)
        self.failed = self.ended("fail")
        self.cancelled = self.run("sleep")
        with service.job(self.cancelled) as job:
            assert next(job.interim_results())
            job.cancel()
            job.wait_for_final_state(timeout=15)

    def run(self, program: str, **inputs: object) -> str:
        return self.service.run(program, inputs=inputs).job_id()

    def ended(self, program: str, **inputs: object) -> str:
        job = self.service.run(program, inputs=inputs)
        job.wait_for_final_state(timeout=15)
        return job.job_id()

    def cli(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return call(*arguments, "--data", self.data, **variables)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with (
        LocalServiceProcess.start(2) as process,
        RuntimeService(process.url, process.access_token, resume="offset") as service,
    ):
        yield Home(process, service)


@pytest.fixture
def asleep(home: Home, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A job that runs until a file is there."""
    until = tmp_path / "until"
    job_id = home.run("sleep", until=str(until))
    with home.service.job(job_id) as job:
        assert next(job.interim_results())
        yield job_id, until
        until.touch()
        job.wait_for_final_state(timeout=15)


def told(ended: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return ended.returncode, ended.stdout, ended.stderr


def lines(text: str) -> list[str]:
    """The lines of a plain view, without the times."""
    return [re.sub(r"^ +(\d+\.\d s)? +", "", line) for line in text.splitlines()]


# ---- what is not there -------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["watch", "status", "result", "logs", "cancel"])
def test_an_unknown_job_gets_a_sentence(command: str, home: Home) -> None:
    said = (
        "runtime-core: There is no job 'nope' on this machine: "
        f"`runtime-core jobs --data {home.data}` lists them.\n"
    )
    assert told(home.cli(command, "nope")) == (2, "", said)


def test_what_can_be_no_job_gets_a_sentence(home: Home) -> None:
    code, out, err = told(home.cli("status", "../programs/count"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("runtime-core: '../programs/count' cannot be the id of a job")


@pytest.mark.parametrize(
    "command", [["jobs"], ["status", "j"], ["prune"], ["watch", "j"]], ids=" ".join
)
def test_a_data_directory_that_is_not_there_is_not_made(command: list[str], tmp_path: Path) -> None:
    code, out, err = told(call(*command, "--data", tmp_path / "typo"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"runtime-core: There is no directory '{tmp_path}/typo'")
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("command", [["jobs"], ["result", "j"], ["cancel", "j"]], ids=" ".join)
def test_a_service_that_is_not_there_gets_a_sentence(command: list[str]) -> None:
    code, out, err = told(call(*command, "--url", "http://127.0.0.1:9"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("Does a service run at http://127.0.0.1:9?\n")


def test_a_service_somewhere_else_is_asked_with_its_token(home: Home) -> None:
    url, token = home.process.url, home.process.access_token
    ended = call("status", home.done, "--url", url, RUNTIME_CORE_TOKEN=token)
    assert told(ended) == (0, "done\n", "")
    wrong = call("status", home.done, "--url", url, "--token", "wrong")
    assert wrong.returncode == 2
    assert "It is read from RUNTIME_CORE_TOKEN, or from --token.\n" in wrong.stderr
    unknown = call("status", "nope", "--url", url, RUNTIME_CORE_TOKEN=token)
    assert f"There is no job 'nope' at {url}: `runtime-core jobs --url {url}`" in unknown.stderr


# ---- watch -------------------------------------------------------------------------------------


def test_watching_a_job_that_has_ended_tells_it_again(home: Home) -> None:
    code, out, err = told(home.cli("watch", home.done))
    assert (code, err) == (0, "")
    assert out.startswith(f"count: job {home.done} on this machine\n")
    assert lines(out)[1:] == [
        "hello",
        "50%  energy=-1  shots=10,000",
        "100%  energy=-0.5  shots=20,000",
        "done",
        "{'n': 2, 'text': None}",
    ]
    # How long it took is known, when it published is not.
    assert re.search(r"^ {7,}hello$", out, re.MULTILINE)
    assert re.search(r"^ +\d+\.\d s  done$", out, re.MULTILINE)


def test_watching_a_job_that_failed_or_was_cancelled(home: Home) -> None:
    failed = home.cli("watch", home.failed)
    assert failed.returncode == 1
    assert lines(failed.stdout)[1:] == ["before", "failed"]
    assert failed.stderr.endswith("ValueError: it went \\x1b[31mwrong\n")
    cancelled = home.cli("watch", home.cancelled, "--json")
    assert cancelled.returncode == 3
    events = [json.loads(line) for line in cancelled.stdout.splitlines()]
    assert [event["event"] for event in events] == ["found", "interim", "cancelled"]
    assert events[0] == {"event": "found", "job": home.cancelled, "program": "sleep"}


def test_a_service_somewhere_else_may_not_keep_interim_results(home: Home) -> None:
    place = ["--url", home.process.url]
    token = home.process.access_token
    plain = call("watch", home.done, *place, RUNTIME_CORE_TOKEN=token)
    assert plain.returncode == 0
    note, *said = plain.stdout.splitlines()[1:]
    assert note.startswith("note: no interim results: the service is not known to keep them")
    assert len(said) == 2
    known = call("watch", home.done, *place, "--resume", "offset", RUNTIME_CORE_TOKEN=token)
    assert lines(known.stdout)[1] == "hello"


def test_watching_a_job_that_runs_tells_what_it_published_and_goes_on(
    home: Home, asleep: tuple[str, Path]
) -> None:
    job, until = asleep
    process = start("watch", job, "--data", home.data)
    seen, _ = read_until(process, r"\[\d+\]")
    assert lines(seen)[1] == "running"
    until.touch()
    out, err = process.communicate(timeout=15)
    assert (process.returncode, err) == (0, "")
    assert lines(out) == ["done", "slept"]


# ---- jobs and status ---------------------------------------------------------------------------


def test_jobs_are_listed_the_newest_first(home: Home) -> None:
    code, out, err = told(home.cli("jobs"))
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["JOB", "PROGRAM", "STATE", "CREATED", "RAN"]
    by_id = {row.split()[0]: row for row in rows}
    assert list(by_id)[-3:] == [home.cancelled, home.failed, home.done]
    pattern = r"{}  +{}  +{}  +\d\d:\d\d \(\d+ (s|min) ago\)  +\d+\.\d s"
    for job, program, state in [
        (home.done, "count", "done"),
        (home.failed, "fail", "failed"),
        (home.cancelled, "sleep", "cancelled"),
    ]:
        assert re.fullmatch(pattern.format(job, program, state), by_id[job]), by_id[job]


def test_jobs_can_be_picked(home: Home, asleep: tuple[str, Path]) -> None:
    def ids(*options: str) -> list[str]:
        return [line.split()[0] for line in home.cli("jobs", *options).stdout.splitlines()[1:]]

    assert ids("--pending") == [asleep[0]]
    assert asleep[0] not in ids("--finished")
    assert home.done in ids("--finished")
    assert ids("--program", "fail") == [home.failed]
    assert ids("--limit", "1") == [asleep[0]]


def test_jobs_as_json(home: Home) -> None:
    (line,) = home.cli("jobs", "--json", "--program", "fail").stdout.splitlines()
    job = json.loads(line)
    assert (job["job"], job["program"], job["state"]) == (home.failed, "fail", "failed")
    assert job["position"] is None
    assert job["created"] <= job["started"] <= job["ended"]


def test_no_jobs_are_said_to_be_none(home: Home) -> None:
    code, out, err = told(home.cli("jobs", "--program", "nothing"))
    assert (code, out, err) == (0, "", "runtime-core: there are no jobs.\n")
    assert told(home.cli("jobs", "--program", "nothing", "--json")) == (0, "", "")


def test_a_status_is_one_word(home: Home, asleep: tuple[str, Path]) -> None:
    words = {job: home.cli("status", job).stdout for job in (home.done, home.failed, asleep[0])}
    assert list(words.values()) == ["done\n", "failed\n", "running\n"]
    said = json.loads(home.cli("status", home.cancelled, "--json").stdout)
    assert said == {"job": home.cancelled, "state": "cancelled", "position": None}


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", [["jobs"], ["status", "nope"], ["--help"]], ids=" ".join)
def test_output_that_is_closed_is_not_written(command: list[str], closed: str, home: Home) -> None:
    script = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *command]
    env = environment(RUNTIME_CORE_DATA=home.data)
    ended = subprocess.run(script, env=env, capture_output=True, text=True, timeout=30)
    assert ended.returncode == (0 if command[0] in ("jobs", "--help") else 2)
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


# ---- result ------------------------------------------------------------------------------------


def test_a_result_is_printed(home: Home) -> None:
    assert told(home.cli("result", home.done)) == (0, "{'n': 2, 'text': None}\n", "")
    assert told(home.cli("result", home.done, "--json")) == (0, '{"n":2,"text":null}\n', "")
    text = home.ended("text")
    assert told(home.cli("result", text)) == (0, "two\nlines \\x1b[2J\n", "")
    assert json.loads(home.cli("result", text, "--json").stdout) == "two\nlines \x1b[2J"
    infinite = home.ended("infinite")
    assert told(home.cli("result", infinite, "--json")) == (0, '["NaN","-Infinity"]\n', "")


def test_a_job_without_a_result(home: Home) -> None:
    code, out, err = told(home.cli("result", home.failed))
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert told(home.cli("result", home.cancelled)) == (
        3,
        "",
        f"runtime-core: Job {home.cancelled} was cancelled: it has no result.\n",
    )


def test_a_result_is_waited_for(home: Home, asleep: tuple[str, Path]) -> None:
    job, until = asleep
    again = f"runtime-core result {job} --data {home.data}"
    assert told(home.cli("result", job, "--timeout", "0.2")) == (
        4,
        "",
        f"runtime-core: timeout after 0.2 s: job {job} goes on. Ask again with\n    {again}\n",
    )
    process = start("result", job, "--data", home.data)
    until.touch()
    assert process.communicate(timeout=15) == ("slept\n", "")
    assert process.returncode == 0


def test_ctrl_c_while_waiting_for_a_result(home: Home, asleep: tuple[str, Path]) -> None:
    # Python says so before it runs anything of ours, which may be too early to be heard.
    script = (
        "import sys, adapters.cli, adapters.job as j\n"
        "wait = j.RuntimeJob.result\n"
        "j.RuntimeJob.result = lambda *a: (print('waits', flush=True), wait(*a))[1]\n"
        "sys.exit(adapters.cli.main())"
    )
    command = [COMMAND[0], "-c", script, "result", asleep[0], "--data", home.data]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    read_until(process, "waits")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith(f"runtime-core: interrupted: job {asleep[0]} goes on. Ask again with\n")


# ---- logs --------------------------------------------------------------------------------------


def test_a_log_is_printed_as_it_is(home: Home) -> None:
    job = home.ended("prints")
    log = "\x1b[32mgrün\x1b[0m\nno end of line"
    assert told(home.cli("logs", job)) == (0, log, "")
    assert told(home.cli("logs", job, "--follow")) == (0, log, "")
    assert json.loads(home.cli("logs", job, "--json").stdout) == {"text": log}


def test_a_log_is_followed_to_the_end(home: Home, asleep: tuple[str, Path]) -> None:
    job, until = asleep
    process = start("logs", "-f", job, "--data", home.data)
    assert process.stdout is not None
    assert process.stdout.readline() == "asleep\n"
    until.touch()
    assert process.communicate(timeout=15) == ("awake\n", "")
    assert process.returncode == 0


def test_a_job_that_printed_nothing(home: Home) -> None:
    for options in ([], ["--follow"]):
        said = f"runtime-core: job {home.done} has printed nothing.\n"
        assert told(home.cli("logs", home.done, *options)) == (0, "", said)


# ---- cancel ------------------------------------------------------------------------------------


def test_a_job_is_cancelled(home: Home, asleep: tuple[str, Path]) -> None:
    job, _ = asleep
    assert told(home.cli("cancel", job)) == (0, "cancelled\n", "")
    assert told(home.cli("cancel", job)) == (0, "it was cancelled before\n", "")
    said = json.loads(home.cli("cancel", job, "--json").stdout)
    assert said == {"job": job, "state": "cancelled"}


def test_a_job_that_had_ended_cannot_be_cancelled(home: Home) -> None:
    for job, word in ((home.done, "done"), (home.failed, "failed")):
        said = f"runtime-core: job {job} had ended before: it is {word}.\n"
        assert told(home.cli("cancel", job)) == (2, "", said)


# ---- prune -------------------------------------------------------------------------------------


def test_old_jobs_are_removed() -> None:
    with (
        LocalServiceProcess.start(2) as process,
        RuntimeService(process.url, process.access_token, resume="offset") as service,
    ):
        home = Home(process, service)
        code, out, err = told(home.cli("prune", "--dry-run", "--older-than", "0s"))
        assert (code, err) == (0, "")
        would, stored, rule = out.splitlines()
        assert re.fullmatch(r"would remove  3 jobs, [\d.]+ \w+", would)
        assert re.fullmatch(r"stored   3 jobs, .*, the oldest of \d{4}-\d\d-\d\d \d\d:\d\d", stored)
        assert re.fullmatch(r"rule     jobs are kept for 30 days after .* less than .*", rule)
        # Nothing was removed, and the rule keeps it all.
        removed, stored, _ = home.cli("prune").stdout.splitlines()
        assert (removed, stored[:16]) == ("removed  0 jobs, 0 bytes", "stored   3 jobs,")
        said = json.loads(home.cli("prune", "--keep-size", "0", "--json").stdout)
        assert said["removed"]["jobs"] == 3
        assert said["removed"]["size"] > 0
        assert (said["dry_run"], said["stored"]["jobs"]) == (False, 0)
        assert home.cli("jobs").stderr == "runtime-core: there are no jobs.\n"


def test_a_store_somewhere_else_is_not_pruned() -> None:
    code, out, err = told(call("prune", "--url", "http://127.0.0.1:9"))
    assert (code, out) == (2, "")
    assert "run it on the machine of the service" in err


# ---- serve -------------------------------------------------------------------------------------


def test_a_service_in_the_foreground_is_found_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = start("serve", "--data", data, "--workers", "1", "--keep-days", "2")
    try:
        assert eventually(lambda: (found := find_service(data)) is not None and bool(found.url))
        assert call("jobs", "--data", data).returncode == 0
        rule = json.loads(call("prune", "--data", data, "--json").stdout)["stored"]
        assert rule["keep_seconds"] == 2 * 86400
        second = call("serve", "--data", data)
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert "already" in second.stderr
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    assert find_service(data) is None


def test_a_service_that_starts_or_ends_has_no_address(tmp_path: Path) -> None:
    with ServiceLock.take(tmp_path) or pytest.fail("the lock is not to be had"):
        ended = call("serve", "--data", tmp_path)
    said = (
        f"runtime-core: A service runs in {tmp_path} already: process {os.getpid()}. "
        "End it, or use another --data.\n"
    )
    assert told(ended) == (2, "", said)


def test_an_address_that_is_taken_gets_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = call("serve", "--data", tmp_path / "data", "--port", str(port))
    said = f"127.0.0.1 port {port} cannot be listened at: Address already in use."
    assert told(ended) == (2, "", f"runtime-core: {said}\n")


def test_a_directory_that_is_not_usable_is_not_taken_for_the_address(tmp_path: Path) -> None:
    (tmp_path / "service.lock").mkdir()
    said = f"The data directory {tmp_path} cannot be used: Is a directory: {tmp_path}/service.lock."
    assert told(call("serve", "--data", tmp_path)) == (2, "", f"runtime-core: {said}\n")


def test_a_store_that_is_broken_gets_a_sentence(tmp_path: Path) -> None:
    with Store.open(tmp_path):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE)) as store:
        store.execute("DROP TABLE jobs")
    code, out, err = told(call("serve", "--data", tmp_path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"runtime-core: The data directory {tmp_path} cannot be used: no such t")


def test_a_service_does_not_need_who_reads_what_it_says(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [*COMMAND, "serve", "--data", str(tmp_path), "--workers", "1"]
    process = subprocess.Popen(command, stdout=write, stderr=write, env=environment())
    os.close(write)
    try:
        assert eventually(lambda: (found := find_service(tmp_path)) is not None and bool(found.url))
        assert call("jobs", "--data", tmp_path).returncode == 0
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(15)
    assert code == 0


def test_other_machines_need_a_token_that_was_chosen(tmp_path: Path) -> None:
    code, out, err = told(call("serve", "--data", tmp_path / "data", "--host", "0.0.0.0"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "RUNTIME_CORE_TOKEN" in err
    assert "can run any program as you" in err


def test_other_machines_are_served_with_it_by_the_names_that_were_allowed(tmp_path: Path) -> None:
    data, token = tmp_path / "data", "t" * 32
    process = start(
        *("serve", "--data", data, "--host", "0.0.0.0", "--allow-host", "jobs.example"),
        RUNTIME_CORE_TOKEN=token,
    )
    try:
        assert eventually(lambda: (found := find_service(data)) is not None and bool(found.url))
        found = find_service(data)
        assert found is not None

        def status(host: str, token: str) -> int:
            headers = {"Host": f"{host}:{found.port}", "X-Access-Token": token}
            return urllib3.request("GET", f"{found.url}/jobs", headers=headers).status

        assert status("jobs.example", token) == 200
        assert status("other.example", token) == 403
        assert status("jobs.example", "u" * 32) == 401
        assert call("jobs", "--data", data).returncode == 0  # the token was kept for those here
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    assert process.returncode == 0
    assert "can run any program as you" in err
    assert token not in err


# ---- completion --------------------------------------------------------------------------------


def complete(line: str, **variables: str) -> list[str]:
    """What the shell is offered at the end of the line."""
    read, write = os.pipe()
    env = environment(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_SHELL="zsh",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        _ARGCOMPLETE_STDOUT_FILENAME=f"/dev/fd/{write}",
        **variables,
    )
    ended = subprocess.run(
        COMMAND, env=env, capture_output=True, text=True, timeout=30, pass_fds=[write]
    )
    os.close(write)
    assert (ended.stdout, ended.stderr) == ("", "")
    with os.fdopen(read) as offered:
        return offered.read().split("\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    code, out, err = told(call("completion", shell))
    assert (code, err) == (0, "")
    assert "_ARGCOMPLETE" in out
    assert "runtime-core" in out


def test_the_script_is_what_a_shell_understands() -> None:
    script = 'eval "$("$0" -m adapters.cli completion bash)" && complete -p runtime-core'
    command = ["bash", "-c", script, COMMAND[0]]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.rstrip().endswith("runtime-core")


def test_a_shell_is_offered_commands_and_options() -> None:
    assert {"run", "watch", "completion"} <= {word.split(":")[0] for word in complete("rc ")}
    assert [word.split(":")[0].rstrip() for word in complete("rc run --cancel")] == [
        "--cancel-on-interrupt"
    ]


def test_a_shell_is_offered_the_newest_jobs_of_the_store(home: Home) -> None:
    offered = complete("rc watch ", RUNTIME_CORE_DATA=home.data)
    assert offered[-3:] == [
        f"{home.cancelled}:sleep, cancelled",
        f"{home.failed}:fail, failed",
        f"{home.done}:count, done",
    ]
    assert complete(f"rc logs --data {home.data} -f {home.done[:20]}")[-1].startswith(home.done)
    assert complete("rc watch --url http://127.0.0.1:9 ", RUNTIME_CORE_DATA=home.data) == [""]


def test_completing_starts_nothing_and_says_nothing(tmp_path: Path) -> None:
    assert complete("rc watch ", RUNTIME_CORE_DATA=str(tmp_path / "none")) == [""]
    assert not (tmp_path / "none").exists()
    (tmp_path / "store.sqlite3").write_text("this is no database")
    assert complete("rc watch ", RUNTIME_CORE_DATA=str(tmp_path)) == [""]
    assert [path.name for path in tmp_path.iterdir()] == ["store.sqlite3"]
