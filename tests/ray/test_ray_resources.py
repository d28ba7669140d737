"""What a job wants of a real cluster: CPUs, other resources, variables, packages; Ray inside."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from conditions import eventually
from ray_cluster import RayHead
from ray_programs import PATIENCE, becomes, start
from service_stories import Gate

from adapters import RuntimeService
from runtime_core.errors import OptionsError, RuntimeJobFailureError
from runtime_core.states import JobState


def test_a_job_that_wants_both_cpus_runs_alone(
    head: RayHead, ray: RuntimeService, gate: Gate
) -> None:
    both = ray.run("gated", {"num_cpus": 2}, {"gate": str(gate.path), "n": 1})
    assert next(both.interim_results()) == 0
    other = ray.run("counts", inputs={"n": 1})
    assert other.status() is JobState.QUEUED
    gate.open()
    assert both.result(timeout=PATIENCE) == "through"
    assert other.result(timeout=PATIENCE) is None


def test_a_job_that_wants_what_is_not_there_stays_queued(
    head: RayHead, ray: RuntimeService
) -> None:
    options = {"resources": {"a_thing_that_nobody_has": 1}}
    waiting = ray.run("counts", options, {"n": 1})
    assert ray.run("counts", inputs={"n": 1}).result(timeout=PATIENCE) is None
    assert waiting.status() is JobState.QUEUED
    assert head.status(waiting.job_id()) == "PENDING"
    waiting.cancel()


def test_variables_reach_the_program(ray: RuntimeService) -> None:
    source = """
        import os
        def main(backend, user_messenger):
            return [os.environ["MINE"], "RUNTIME_CORE_JOB" in os.environ]
        """
    job = start(ray, source, {"env_vars": {"MINE": "é=1"}})
    assert job.result(timeout=PATIENCE) == ["é=1", True]


@pytest.mark.parametrize(
    "options",
    [{"num_cpus": "two"}, {"num_cpus": -1}, {"colour": "red"}, {"image": "x:1"}, {"pip": "numpy"}],
    ids=str,
)
def test_options_that_cannot_be_are_refused_at_once(
    ray: RuntimeService, options: dict[str, object]
) -> None:
    with pytest.raises(OptionsError):
        ray.run("counts", options, {"n": 1})


def test_a_program_has_the_packages_that_it_asks_for(ray: RuntimeService, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "tiny_thing", "VALUE = 'from the wheel'\n")
    source = """
        def main(backend, user_messenger):
            import tiny_thing
            return tiny_thing.VALUE
        """
    job = start(ray, source, {"pip": [str(wheel)]})
    assert job.result(timeout=2 * PATIENCE) == "from the wheel"


def test_a_package_that_there_is_not_fails_the_job_and_says_so(
    ray: RuntimeService, tmp_path: Path
) -> None:
    source = "def main(backend, user_messenger):\n    return 1\n"
    job = start(ray, source, {"pip": [str(tmp_path / "none-1.0-py3-none-any.whl")]})
    with pytest.raises(RuntimeJobFailureError, match=r"none-1\.0") as caught:
        job.result(timeout=2 * PATIENCE)
    assert caught.value.reason_code == "RUNTIME_ENV_SETUP_FAILURE"


def test_a_folder_is_a_program_and_its_parts_are_there(ray: RuntimeService, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "__init__.py").write_text("WORD = 'a part'\n")
    (folder / "data.txt").write_text("some data")
    tool = folder / "tool.sh"
    tool.write_text("#!/bin/sh\necho from a tool\n")
    tool.chmod(0o755)
    (folder / "main.py").write_text(
        "import subprocess\n"
        "import parts\n"
        "def main(backend, user_messenger):\n"
        "    said = subprocess.run(['./tool.sh'], capture_output=True, text=True, check=True)\n"
        "    open('scratch', 'x').close()\n"
        "    return [parts.WORD, open('data.txt').read(), said.stdout]\n"
    )
    program = ray.upload_program(folder)
    for _ in range(2):  # which share what Ray has unpacked, and not where they write
        found = ray.run(program).result(timeout=PATIENCE)
        assert found == ["a part", "some data", "from a tool\n"]


def test_a_program_uses_ray_itself(ray: RuntimeService, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (folder / "squares.py").write_text("def square(n):\n    return n * n\n")
    (folder / "main.py").write_text(
        "import ray\n"
        "from squares import square\n"
        "@ray.remote(num_cpus=0.25)\n"
        "def task(n):\n"
        "    print('in a task')\n"
        "    return square(n)\n"
        "@ray.remote(num_cpus=0.25)\n"
        "class Sum:\n"
        "    def __init__(self):\n"
        "        self.total = 0\n"
        "    def add(self, n):\n"
        "        self.total += n\n"
        "        return self.total\n"
        "def main(backend, user_messenger):\n"
        "    ray.init()\n"
        "    total = Sum.remote()\n"
        "    for part in ray.get([task.remote(n) for n in range(5)]):\n"
        "        user_messenger.publish(ray.get(total.add.remote(part)))\n"
        "    return ray.cluster_resources()['CPU']\n"
    )
    job = ray.run(ray.upload_program(folder))
    assert [*job.interim_results()] == [0, 1, 5, 14, 30]
    assert job.result(timeout=PATIENCE) == 2.0


def test_a_job_is_deleted_and_is_gone(head: RayHead, ray: RuntimeService) -> None:
    job = ray.run("counts", inputs={"n": 1, "result": "kept"})
    assert job.result(timeout=PATIENCE) == "kept"
    assert becomes(head, job, "SUCCEEDED")
    ray.delete_job(job.job_id())
    # Not deleted and revived as a failure, as Ray does if it is asked too early.
    listed = {each["submission_id"] for each in head.call("GET", "/api/jobs/")}
    assert job.job_id() not in listed
    assert eventually(lambda: job.job_id() not in {each.job_id() for each in ray.jobs(limit=None)})


def write_wheel(folder: Path, name: str, source: str) -> Path:
    """Write a wheel of one module, which pip installs without an index."""
    info = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", source)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path
