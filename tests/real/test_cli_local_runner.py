"""The command line with the local runner: no service is started, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import COUNT, FAIL, SLEEP, assert_gone, call, interrupt, read_until, start

RUN = ("run", "--transport", "adapters:LocalRunner")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def test_a_job_is_run_to_its_end(program: Path) -> None:
    program.write_text(COUNT)
    done = call(*RUN, program, "-i", "n=2")
    assert done.returncode == 0
    assert "100%" in done.stdout
    assert "{'n': 2, 'text': None}" in done.stdout
    assert done.stderr == ""


def test_a_job_that_fails_says_why(program: Path) -> None:
    program.write_text(FAIL)
    failed = call(*RUN, program)
    assert failed.returncode == 1
    assert "ValueError: it went" in failed.stdout + failed.stderr


def test_who_leaves_is_told_that_the_job_ends(program: Path) -> None:
    program.write_text(SLEEP)
    process = start(*RUN, program, "--json")
    _, found = read_until(process, r"\[(\d+)\]")
    interrupt(process)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "leaving, and the job ends with it" in err
    assert "ends with this command." in out + err
    assert "Come back" not in out + err
    assert json.loads(out.splitlines()[-1])
    assert_gone(int(found[1]))
