"""The command line for a Ray cluster: its arguments, and what is said of them. No job is run."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from adapters.cli import main
from adapters.cli.arguments import COMMANDS, parse
from adapters.cli.job_ids import complete_job_ids
from adapters.cli.options import TOKEN_VARIABLE
from adapters.cli.place import Place
from adapters.cli.ray_options import ray_options
from adapters.local import records
from adapters.local.store import Store
from runtime_core.errors import NotAuthorizedError, TransportError

HEAD = "http://head.example:8265"
RUN = ("run", "p.py", "--ray", HEAD)
OF_A_JOB = ("watch", "status", "result", "logs", "cancel")


def given(*options: str) -> dict[str, Any]:
    return ray_options(parse([*RUN, *options]))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), {}),
        (("--num-cpus", "0"), {"num_cpus": 0.0}),
        (("--num-cpus", "2", "--num-gpus", "0.5"), {"num_cpus": 2.0, "num_gpus": 0.5}),
        (("--memory", "2G"), {"memory": 2 * 2**30}),
        (
            ("--resource", "license=1", "--resource", "disk=0.5"),
            {"resources": {"license": 1.0, "disk": 0.5}},
        ),
        (
            ("--env", "A=1", "--env", "B=x=y", "--env", "C="),
            {"env_vars": {"A": "1", "B": "x=y", "C": ""}},
        ),
        (("--pip", "numpy>=2", "--pip", "attrs"), {"pip": ["numpy>=2", "attrs"]}),
    ],
)
def test_what_a_job_gets_becomes_the_options_of_run(
    options: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    assert given(*options) == wanted


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--num-cpus", "many"), "--num-cpus: a number that is not below 0, not 'many'"),
        (("--num-cpus", "-1"), "--num-cpus: a number that is not below 0, not '-1'"),
        (("--num-gpus", "nan"), "--num-gpus: a number that is not below 0, not 'nan'"),
        (("--num-gpus", "inf"), "--num-gpus: a number that is not below 0, not 'inf'"),
        (("--memory", "lots"), "--memory: a size like 500M, 2G or 0, not 'lots'"),
        (("--resource", "license"), "--resource: wants NAME=AMOUNT, for instance license=1"),
        (("--resource", "license=x"), "--resource: a number that is not below 0, not 'x'"),
        (("--resource", "a=1", "--resource", "a=2"), "--resource gives 'a' twice"),
        (("--env", "secret"), "--env: wants NAME=VALUE"),
        (("--env", "=secret"), "--env: wants NAME=VALUE"),
        (("--env", "A=secret", "--env", "A=secret"), "--env gives 'A' twice"),
        (("--resume", "offset"), "--resume is for a service at --url; Ray keeps what was publ"),
        (("--url", "http://u.example"), "--ray: not allowed with argument --url"),
        (("--data", "d"), "--data: not allowed with argument --ray"),
        (("--transport", "m:t"), "--transport: not allowed with argument --ray"),
        (("--detach", "--timeout", "3"), "--timeout has no meaning with --detach"),
    ],
)
def test_what_is_wrong_gets_a_sentence(
    options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*RUN, *options])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert says in said
    assert said.count("\n") == 1
    assert "secret" not in said


@pytest.mark.parametrize(
    "option",
    [
        *(("--num-cpus", "1"), ("--num-gpus", "1"), ("--memory", "1G"), ("--resource", "a=1")),
        *(("--env", "A=secret"), ("--pip", "numpy")),
    ],
    ids=lambda option: option[0],
)
@pytest.mark.parametrize(
    "place", [(), ("--url", "http://u.example"), ("--transport", "m:t"), ("--detach",)]
)
def test_what_only_a_cluster_takes_is_refused_elsewhere(
    option: tuple[str, ...], place: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "p.py", *place, *option])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"{option[0]} is for a Ray cluster: it goes with --ray URL" in said
    assert said.count("\n") == 1
    assert "secret" not in said


def test_every_command_about_jobs_takes_a_cluster() -> None:
    for name in OF_A_JOB:
        place = Place.given(parse([name, "j1", "--ray", HEAD]))
        assert place.ray == HEAD
        assert place.name == f"on Ray at {HEAD}"
    assert Place.given(parse(["jobs", "--ray", HEAD])).ray == HEAD
    assert {name for name in COMMANDS if name not in (*OF_A_JOB, "run", "jobs", "prune")} == {
        *("replay", "serve", "completion"),  # which are about no job of a service
    }


def test_the_token_is_the_options_or_the_environments_and_in_no_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "from-environment")
    place = Place.given(parse([*RUN]))
    assert place.token == "from-environment"
    assert "from-environment" not in repr(place)
    place = Place.given(parse([*RUN, "--token", "given"]))
    assert place.token == "given"
    assert place.command("watch", "j1") == f"runtime-core watch j1 --ray {HEAD}"
    assert place.advice == f": `runtime-core jobs --ray {HEAD}` lists them"


def test_what_cannot_be_reached_or_wants_a_token_is_told_for_a_cluster() -> None:
    place = Place.given(parse(["jobs", "--ray", HEAD]))
    gone = place.complaint(TransportError("No connection.", retryable=True))
    assert gone == f"No connection. Does the head of a Ray cluster run at {HEAD}?"
    missing = place.complaint(NotAuthorizedError("There is no token.", 401))
    assert missing == "There is no token. It is read from RUNTIME_CORE_TOKEN, or from --token."


def test_prune_is_for_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--ray", HEAD]) == 2
    assert "prune works on this machine's store only" in capsys.readouterr().err


def test_no_job_of_this_machine_completes_one_of_a_cluster(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        program = store.add_program(records.Program("p", 5), b"")
        store.add_job(records.Job("p", program.source, 5, id="here"), "{}")
    assert list(complete_job_ids("", Namespace(ray=None, data=tmp_path))) == ["here"]
    assert complete_job_ids("", Namespace(ray=HEAD, data=tmp_path)) == {}


def test_the_help_of_run_tells_of_the_cluster(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = capsys.readouterr().out
    assert "--ray URL" in said
    assert "what the job gets, with --ray" in said
