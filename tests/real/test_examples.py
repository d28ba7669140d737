"""The examples, each run as its first lines say, and the physics that they claim."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conditions import PATIENCE, eventually
from PIL import Image

from adapters import RuntimeJob, RuntimeService
from runtime_core import (
    CancelOutcome,
    JobState,
    RuntimeJobCancelledError,
    RuntimeJobFailureError,
    encode_tagged,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
ONSAGER = -1.10608
"""The energy per spin of the infinite square lattice at a temperature of 2.5."""


class Heard(list[dict[str, Any]]):
    """A messenger that keeps what is published."""

    def publish(self, message: Any, final: bool = False) -> None:
        self.append(message)

    def column(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([message[name] for message in self])


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ground_state() -> ModuleType:
    return load("ground_state")


@pytest.fixture(scope="module")
def service() -> Iterator[RuntimeService]:
    with RuntimeService.local() as service:
        yield service


def submit(service: RuntimeService, file: str, **inputs: Any) -> RuntimeJob:
    return service.run(service.upload_program(EXAMPLES / file), inputs=inputs)


def python(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        cwd=cwd,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"} | environment,
    )


# ---- the ground state: physics -------------------------------------------------------------


def free_fermions(spins: int, field: float) -> float:
    """The exact ground energy of the ring (Pfeuty 1970), by a way that the example does not go."""
    momenta = (2 * np.arange(spins) + 1) * np.pi / spins
    return -float(np.sqrt(1 + field**2 - 2 * field * np.cos(momenta)).sum())


@pytest.mark.parametrize("field", [0.0, 0.4, 1.0, 2.5])
@pytest.mark.parametrize("spins", [3, 4, 7, 10])
def test_the_exact_energy_is_that_of_free_fermions(
    ground_state: ModuleType, spins: int, field: float
) -> None:
    found = ground_state.Ring(spins, field).ground_energy()
    assert found == pytest.approx(free_fermions(spins, field), abs=1e-10)


@pytest.mark.parametrize(("spins", "layers"), [(3, 1), (5, 2), (6, 3), (8, 2)])
@pytest.mark.parametrize("field", [0.3, 1.0, 2.0])
def test_the_energy_never_rises_and_never_passes_the_exact_one(
    ground_state: ModuleType, spins: int, layers: int, field: float
) -> None:
    heard = Heard()
    result = ground_state.main(None, heard, spins, layers, 40, field, seed=spins)
    energies = heard.column("energy")
    assert (np.diff(energies) <= 0).all()
    assert energies[-1] < energies[0]
    assert (energies >= free_fermions(spins, field) - 1e-10).all()
    assert heard.column("step").tolist() == list(range(41))
    assert result["energy"] == pytest.approx(energies[-1], abs=1e-12)
    assert result["parameters"].shape == (layers, 2)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("spins", "layers"), [(6, 3), (7, 4), (8, 4)])
def test_half_as_many_layers_as_spins_reach_the_ground_state(
    ground_state: ModuleType, spins: int, layers: int, seed: int
) -> None:
    result = ground_state.main(None, Heard(), spins, layers, 60, seed=seed)
    assert abs(result["error"]) < 1e-5


def test_too_few_layers_do_not_reach_it(ground_state: ModuleType) -> None:
    assert ground_state.main(None, Heard(), 10, 2, 60, seed=1)["error"] > 0.1


def test_the_derivatives_are_those_of_the_state(ground_state: ModuleType) -> None:
    ring = ground_state.Ring(5, 0.8)
    parameters = np.random.default_rng(1).uniform(-1, 1, (3, 2))
    state, derivatives = ring.prepare_with_derivatives(parameters)
    assert np.linalg.norm(state) == pytest.approx(1.0, abs=1e-12)
    assert state == pytest.approx(ring.prepare(parameters), abs=1e-12)
    for index, derivative in enumerate(derivatives):
        shift = np.zeros(6)
        shift[index] = 1e-6
        ahead = ring.prepare(parameters + shift.reshape(3, 2))
        behind = ring.prepare(parameters - shift.reshape(3, 2))
        assert derivative == pytest.approx((ahead - behind) / 2e-6, abs=1e-8)


def test_measured_energies_scatter_as_they_say(ground_state: ModuleType) -> None:
    ring = ground_state.Ring(6, 0.7)
    random = np.random.default_rng(1)
    state = ring.prepare(random.uniform(0, 1, (3, 2)))
    measured = np.array([ring.measure(state, 200, random) for _ in range(2000)])
    away = (measured[:, 0] - ring.energy(state)) / measured[:, 1]
    assert away.mean() == pytest.approx(0.0, abs=0.1)
    assert away.std() == pytest.approx(1.0, abs=0.1)


def test_the_search_by_measurements_comes_near(ground_state: ModuleType) -> None:
    heard = Heard()
    result = ground_state.main(None, heard, 6, 3, 200, shots=1000, seed=1)
    assert 0 <= result["error"] < 0.06 * abs(result["exact_energy"])
    assert (heard.column("uncertainty") > 0).all()
    again = ground_state.main(None, Heard(), 6, 3, 200, shots=1000, seed=1)
    assert again["energy"] == result["energy"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("spins", 2, "spins must be a whole number from 3 to 16, not 2"),
        ("spins", "six", "not 'six'"),
        ("spins", True, "not True"),
        ("spins", 6.5, "not 6.5"),
        ("layers", 0, "layers must be a whole number from 1"),
        ("iterations", -1, "iterations must be a whole number from 1"),
        ("field", -0.5, "field must be a number from 0 to 10, not -0.5"),
        ("field", float("nan"), "not nan"),
        ("shots", 1, "shots must be a whole number from 2"),
        ("seed", -3, "seed must be a whole number from 0"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(
    ground_state: ModuleType, name: str, value: object, says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ground_state.main(None, Heard(), **{name: value})


# ---- as jobs -------------------------------------------------------------------------------


def test_pi_runs_as_a_job(service: RuntimeService) -> None:
    job = submit(service, "pi.py", samples=20_000, batches=4, seed=1)
    assert len(list(job.interim_results())) == 4
    assert abs(job.result(timeout=PATIENCE)["estimate"] - np.pi) < 0.1


def test_the_ground_state_is_found_by_a_job(
    service: RuntimeService, ground_state: ModuleType
) -> None:
    job = submit(service, "ground_state.py", spins=6, layers=3, iterations=30, seed=2)
    interim = Heard(job.interim_results())
    result = job.result(timeout=PATIENCE)
    assert interim.column("step").tolist() == list(range(31))
    assert abs(result["error"]) < 1e-6
    ring = ground_state.Ring(6, 1.0)  # the parameters came as an array, and are those of the state
    assert ring.energy(ring.prepare(result["parameters"])) == pytest.approx(result["energy"])


def test_the_failing_one_says_why(service: RuntimeService) -> None:
    job = submit(service, "fails.py")
    interim = Heard(job.interim_results())
    with pytest.raises(RuntimeJobFailureError) as caught:
        job.result(timeout=PATIENCE)
    reason = str(caught.value.reason)
    assert "FloatingPointError: overflow" in reason
    assert "was the direct cause" in reason
    assert "time_step * (rod[:-2]" in reason
    assert reason.rstrip().endswith("a time step of 0.53 is unstable, take 0.5 or less")
    assert interim[0]["hottest"] < 100.0  # it looks well at first
    assert interim[-1]["hottest"] > 1e30
    assert "cooling a rod" in job.logs()


def test_the_failing_one_works_with_a_smaller_step(service: RuntimeService) -> None:
    job = submit(service, "fails.py", time_step=0.5)
    rod = job.result(timeout=PATIENCE)["temperatures"]
    assert rod[0] == rod[-1] == 0.0
    assert rod == pytest.approx(rod[::-1], abs=1e-3)
    assert 20.0 < rod.max() < 25.0


def test_the_cancelled_one_leaves_a_lattice_to_go_on_from(service: RuntimeService) -> None:
    job = submit(service, "cancelled.py", size=32, sweeps=200, seed=3)
    heard = Heard()
    for interim in job.interim_results():
        heard.append(interim)
        if len(heard) == 20:
            job.cancel()
    job.wait_for_final_state(timeout=PATIENCE)
    assert job.status() is JobState.CANCELLED
    assert job.cancel_outcome() is CancelOutcome.CANCELLED
    with pytest.raises(RuntimeJobCancelledError):
        job.result(timeout=PATIENCE)
    last = heard[-1]
    assert last["batches"] == len(heard) - 1 == heard[-2]["batch"]
    assert last["energy"] == pytest.approx(ONSAGER, abs=0.05)
    assert last["uncertainty"] < 0.05
    assert set(np.unique(last["lattice"])) == {-1, 1}
    assert f"asked to stop: {last['batches']} batches are done" in job.logs()

    following = submit(service, "cancelled.py", sweeps=200, lattice=last["lattice"])
    first = next(iter(following.interim_results()))
    assert first["energy"] == pytest.approx(ONSAGER, abs=0.2)
    following.cancel()


# ---- as commands ---------------------------------------------------------------------------


def run_command(file: str, *inputs: str) -> subprocess.CompletedProcess[str]:
    given = [part for text in inputs for part in ("-i", text)]
    return python("-m", "adapters.cli", "run", EXAMPLES / file, *given)


def test_the_command_runs_the_ground_state() -> None:
    done = run_command("ground_state.py", "spins=6", "layers=3", "iterations=5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "energy=" in done.stdout
    assert "'parameters': array(" in done.stdout


def test_the_command_shows_how_it_fails() -> None:
    done = run_command("fails.py")
    assert done.returncode == 1
    assert "take 0.5 or less" in done.stderr
    assert "FloatingPointError" in done.stderr


def test_the_cancelled_one_shows_itself_twice_over() -> None:
    for _ in range(2):  # the second time its program is there already
        done = python(EXAMPLES / "cancelled.py")
        assert (done.returncode, done.stderr) == (0, "")
        assert "'batch': 3" in done.stdout
        assert "its last word, with a lattice" in done.stdout
        assert "status cancelled, outcome of the cancel: CancelOutcome.CANCELLED" in done.stdout
        assert "asked to stop" in done.stdout


@pytest.mark.parametrize("file", ["pi.py", "ground_state.py", "fails.py"])
def test_the_programs_need_no_service(file: str) -> None:
    module = load(Path(file).stem)
    small: dict[str, dict[str, Any]] = {
        "pi.py": {"samples": 100, "batches": 2},
        "ground_state.py": {"spins": 3, "layers": 1, "iterations": 2},
        "fails.py": {"time_step": 0.1, "steps": 20},
    }
    heard = Heard()
    result = module.main(None, heard, **small[file])
    assert heard
    json.loads(encode_tagged([list(heard), result]))


# ---- the plot ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where matplotlib keeps its list of fonts: not in the user's home."""
    return str(tmp_path_factory.mktemp("matplotlib"))


def plot(folder: Path, settings: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = EXAMPLES / "plot_ground_state.py"
    return python(script, *arguments, cwd=folder, MPLCONFIGDIR=settings)


@pytest.mark.parametrize("shots", ["0", "200"])
def test_the_plot_is_a_picture(tmp_path: Path, settings: str, shots: str) -> None:
    size = ("--spins", "6", "--layers", "3", "--iterations", "20", "--seed", "1")
    done = plot(tmp_path, settings, "--save", "energy.png", *size, "--shots", shots)
    assert done.returncode == 0, done.stderr
    assert re.search(r"energy -7\.\d+, exact -7\.727406610\n", done.stdout)
    assert [file.name for file in tmp_path.iterdir()] == ["energy.png"]
    with Image.open(tmp_path / "energy.png") as file:
        assert file.format == "PNG"
        picture = np.asarray(file.convert("RGB")).astype(int)
    assert picture.shape == (900, 1050, 3)
    red, _, blue = picture.transpose(2, 0, 1)
    is_line, is_exact = blue - red > 80, red - blue > 80
    # The line runs through both panels, and the dashes of the exact energy across the upper one.
    assert np.count_nonzero(is_line.any(axis=0)) > 600
    assert is_line[:450].any()
    assert is_line[600:].any()
    assert np.count_nonzero(is_exact.any(axis=0)) > 300
    assert not is_exact[600:].any()
    assert (picture == 255).all(axis=2).mean() > 0.7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "There is no display to open a window on; write a picture: --save energy.png"),
        (("--save", "energy.xyz"), "the name must end in one of"),
        (("--save", "nowhere/energy.png"), "there is no folder nowhere"),
        (("--save", "energy.png", "--spins", "2"), "spins must be a whole number from 3 to 16"),
    ],
)
def test_the_plot_says_what_is_wrong(
    tmp_path: Path, settings: str, arguments: tuple[str, ...], says: str
) -> None:
    done = plot(tmp_path, settings, *arguments)
    assert done.returncode != 0
    assert says in done.stderr
    assert 'plot_ground_state.py", line' not in done.stderr  # no traceback of the script's own
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_the_job_and_says_how_to_come_back(tmp_path: Path, settings: str) -> None:
    size = ("--spins", "10", "--layers", "5", "--iterations", "100000")
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "plot_ground_state.py", "--save", "energy.png", *size],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg", "MPLCONFIGDIR": settings},
    )
    with process:
        assert process.stdout is not None
        job = process.stdout.readline().removeprefix("job ").strip()
        assert eventually((tmp_path / "energy.png").exists)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert said == f"\nThe job goes on. To come back: runtime-core watch {job}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["energy.png"]
    with RuntimeService.local() as service:
        left = service.job(job)
        assert left.status() is JobState.RUNNING
        left.cancel()
        left.wait_for_final_state(timeout=PATIENCE)


def test_the_plot_says_how_to_get_matplotlib(tmp_path: Path) -> None:
    hidden = tmp_path / "matplotlib"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('not here')")
    shutil.copy(EXAMPLES / "plot_ground_state.py", tmp_path)
    done = python(tmp_path / "plot_ground_state.py")
    assert done.returncode == 1
    assert done.stderr == "The plot needs matplotlib: pip install 'runtime-core[examples]'\n"
