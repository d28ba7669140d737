"""The packages as they are installed: what an import loads, what ships, who may import whom."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PACKAGES = ["runtime_core", "adapters"]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# ---- what an import loads ----------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """The modules that a statement adds to those of a fresh interpreter."""
    code = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "added = sorted(set(sys.modules) - before)\n"
        "import json; print(json.dumps(added))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)
    return set(json.loads(done.stdout))


def test_importing_the_core_loads_attrs_and_transitions_only() -> None:
    roots = {name.partition(".")[0] for name in loaded_by("import runtime_core")}
    # `attrs` is two packages, and transitions needs six.
    allowed = {"runtime_core", "attr", "attrs", "transitions", "six"}
    assert roots - sys.stdlib_module_names <= allowed


def test_importing_the_core_loads_nothing_that_touches_the_world() -> None:
    touching = {"asyncio", "concurrent.futures", "multiprocessing", "select", "selectors", "socket"}
    touching |= {"random", "secrets", "ssl", "subprocess"}
    assert loaded_by("import runtime_core").isdisjoint(touching)


def test_importing_the_adapters_loads_none_of_the_extras() -> None:
    extras = {"hypothesis", "numpy", "rich", "starlette", "uvicorn"}
    assert loaded_by("import adapters").isdisjoint(extras)


# ---- what is public, what ships ----------------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_resolves(name: str) -> None:
    package = importlib.import_module(name)
    public: list[str] = list(package.__all__)
    assert public
    assert len(public) == len(set(public))
    assert [missing for missing in public if not hasattr(package, missing)] == []


def test_the_installed_version_is_the_projects() -> None:
    assert importlib.metadata.version("runtime-core") == PYPROJECT["project"]["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # hatchling itself, not pip: pip would ask the network for the build's requirements.
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(
        [*command, "--directory", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [path] = folder.iterdir()
    return path


def test_the_wheel_holds_the_sources_and_nothing_else(wheel: Path) -> None:
    sources = {
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*")
        if path.name == "py.typed" or path.suffix == ".py"
    }
    assert {f"{name}/py.typed" for name in PACKAGES} <= sources
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == sources


def test_the_wheel_says_what_it_needs_and_offers(wheel: Path) -> None:
    project = PYPROJECT["project"]
    [distribution] = importlib.metadata.distributions(path=[str(wheel)])
    assert distribution.version == project["version"]
    needed = {need for need in distribution.requires or [] if "extra ==" not in need}
    assert needed == set(project["dependencies"])
    assert {entry.name: entry.value for entry in distribution.entry_points} == project["scripts"]
    assert any(path.name == "LICENSE" for path in distribution.files or [])


# ---- who may import whom: the contracts in pyproject.toml, and that they can fail ---------------


def test_every_folder_of_sources_is_a_package() -> None:
    # import-linter does not see a file in a folder that has no `__init__.py`.
    folders = {path.parent for path in SRC.rglob("*.py")} - {SRC}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the sources, to be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-logo", "--no-cache"],
        cwd=project,
        # Before the installed packages, which are the originals. COLUMNS: no wrapped messages.
        env=os.environ | {"PYTHONPATH": "src", "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def test_the_sources_keep_the_import_contracts(project: Path) -> None:
    done = lint_imports(project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("runtime_core/seeded.py", "import socket", "seeded -> socket"),
        ("runtime_core/seeded.py", "import concurrent.futures", "seeded -> concurrent"),
        ("runtime_core/seeded.py", "from os import path", "seeded -> os"),
        ("runtime_core/seeded.py", "def late(): import time", "seeded -> time"),
        ("runtime_core/seeded.py", "import importlib", "seeded -> importlib"),
        ("runtime_core/seeded.py", "import adapters.transport", "seeded -> adapters.transport"),
        ("runtime_core/seeded.py", "import runtime_core.testing", "seeded -> runtime_core.testing"),
        ("runtime_core/__init__.py", "import ssl", "runtime_core -> ssl"),
        ("adapters/services/seeded.py", "import time", "seeded -> time"),
        ("adapters/websocket/protocol.py", "import socket", "protocol -> socket"),
        ("adapters/http/tunnel.py", "import socket", "tunnel -> socket"),
    ],
)
def test_a_forbidden_import_is_found(project: Path, file: str, line: str, complaint: str) -> None:
    with (project / "src" / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    done = lint_imports(project)
    assert done.returncode == 1
    assert complaint in done.stdout


def test_the_test_tools_may_import_what_the_core_may_not(project: Path) -> None:
    for name in ("__init__", "seeded"):
        path = project / "src" / "runtime_core" / "testing" / f"{name}.py"
        with path.open("a", encoding="utf-8") as source:
            source.write("\nimport random\nimport concurrent.futures\n")
    done = lint_imports(project)
    assert done.returncode == 0, done.stdout + done.stderr
