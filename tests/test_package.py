"""The packages as they are installed: what an import loads, what ships, who may import whom."""

from __future__ import annotations

import ast
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
        f"sys.path.insert(0, {str(SRC)!r})\n"
        f"{statement}\n"
        "added = sorted(set(sys.modules) - before)\n"
        "import json; print(json.dumps(added))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)
    return set(json.loads(done.stdout))


TOUCHING = {"asyncio", "concurrent.futures", "http.client", "email", "multiprocessing", "random"}
TOUCHING |= {"secrets", "select", "selectors", "socket", "ssl", "subprocess", "urllib.request"}
DECODING = {"decoders", "json_limits", "npy", "structured", "tagged_json", "tagged_json_encoder"}
LATE_IN_CORE = DECODING | {"documents", "job_handle", "journal", "journal_replay", "observer"}
MACHINE = {"commands", "events", "lifecycle", "machine", "regions"}
CLIENTS = {"client_calls", "http.client", "http.current_client", "http.session", "services.dialect"}
CLIENTS |= {"tls", "transport", "websocket.client", "websocket.protocol"}
JOBS = {"drivers.connector", "drivers.reactor", "job", "job_base", "service_jobs"}


def test_importing_a_package_loads_none_of_its_modules() -> None:
    roots = {name.partition(".")[0] for name in loaded_by("import adapters, runtime_core")}
    assert roots - sys.stdlib_module_names == {"adapters", "runtime_core"}


def test_importing_the_machine_loads_attrs_and_transitions_only() -> None:
    loaded = loaded_by("from runtime_core import JobMachine")
    roots = {name.partition(".")[0] for name in loaded}
    # `attrs` is two packages, and transitions needs six.
    allowed = {"runtime_core", "attr", "attrs", "transitions", "six"}
    assert roots - sys.stdlib_module_names == allowed
    assert loaded.isdisjoint(TOUCHING)
    assert loaded >= {f"runtime_core.{name}" for name in MACHINE}
    assert loaded.isdisjoint(f"runtime_core.{name}" for name in LATE_IN_CORE)


def test_importing_the_whole_core_loads_nothing_that_touches_the_world() -> None:
    loaded = loaded_by("from runtime_core import *")
    assert loaded >= {f"runtime_core.{name}" for name in MACHINE | LATE_IN_CORE}
    assert loaded.isdisjoint(TOUCHING | {"cattrs", "numpy"})


def test_importing_the_service_loads_neither_clients_nor_what_jobs_are_made_of() -> None:
    loaded = loaded_by("from adapters import RuntimeService")
    roots = {name.partition(".")[0] for name in loaded}
    assert roots - sys.stdlib_module_names == {"adapters", "attr", "attrs", "runtime_core"}
    assert loaded.isdisjoint(TOUCHING | {"pathlib", "urllib.parse", "ipaddress", "zlib"})
    assert loaded.isdisjoint(f"adapters.{name}" for name in CLIENTS | JOBS)
    assert loaded.isdisjoint(f"runtime_core.{name}" for name in MACHINE | LATE_IN_CORE)


def test_making_a_service_loads_what_its_jobs_need() -> None:
    # In the caller's thread: one with deadlines to keep must not import it.
    made = "from adapters import RuntimeService; RuntimeService('http://127.0.0.1:1', 'token')"
    loaded = loaded_by(made)
    assert loaded >= {f"adapters.{name}" for name in CLIENTS | JOBS}
    assert loaded >= {f"runtime_core.{name}" for name in MACHINE | DECODING - {"structured"}}
    assert loaded >= {"transitions", "urllib3", "wsproto"}
    assert loaded.isdisjoint({"asyncio", "cattrs", "concurrent.futures"})


def test_importing_the_service_for_asyncio_loads_all_of_it() -> None:
    # It is made on a loop, which must not wait for an import.
    imported = loaded_by("from adapters import AsyncRuntimeService")
    made = "AsyncRuntimeService('http://127.0.0.1:1', 'token')"
    assert loaded_by(f"from adapters import AsyncRuntimeService; {made}") == imported


@pytest.mark.parametrize("name", ["AsyncTransportService", "LocalRunner", "TransportService"])
def test_who_brings_a_transport_does_without_what_speaks_http(name: str) -> None:
    loaded = loaded_by(f"from adapters import {name}")
    assert loaded.isdisjoint({"cattrs", "h11", "http.client", "urllib3", "wsproto"})


def test_importing_all_of_the_adapters_loads_none_of_the_extras() -> None:
    extras = {"hypothesis", "numpy", "rich", "starlette", "uvicorn"}
    loaded = loaded_by("from adapters import *")
    assert "adapters.ray.service" in loaded
    assert loaded.isdisjoint(extras)


ASK_AT_ONCE = f"""
import sys, threading
sys.path.insert(0, {str(SRC)!r})
import adapters, runtime_core

names = [(package, name) for package in (adapters, runtime_core) for name in package.__all__]
start, found = threading.Barrier(6), []

def ask(first):
    order = names[first:] + names[:first]
    start.wait()
    found.append({{(package.__name__, name): getattr(package, name) for package, name in order}})

threads = [threading.Thread(target=ask, args=(len(names) * i // 6,)) for i in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 6 and all(each == found[0] for each in found)
"""


def test_threads_that_name_things_for_the_first_time_at_once_get_the_same() -> None:
    subprocess.run([sys.executable, "-I", "-c", ASK_AT_ONCE], check=True, timeout=60)


# ---- what is public, what ships ----------------------------------------------------------------


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_resolves(name: str) -> None:
    package = importlib.import_module(name)
    public: list[str] = list(package.__all__)
    assert public
    assert len(public) == len(set(public))
    assert [missing for missing in public if not hasattr(package, missing)] == []
    assert set(public) <= set(dir(package))
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'odd'"):
        _ = package.odd


@pytest.mark.parametrize("name", PACKAGES)
def test_a_public_name_is_for_programs_what_it_is_for_type_checkers(name: str) -> None:
    package = importlib.import_module(name)
    tree = ast.parse((SRC / name / "__init__.py").read_text(encoding="utf-8"))
    checked = {
        alias.name: statement.module
        for statement in ast.walk(tree)
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith(f"{name}.")
        for alias in statement.names
    }
    assert checked == package._AT_FIRST_USE
    assert set(checked) == set(package.__all__)
    # A module that is imported becomes an attribute, and would stand in for such a name.
    assert {path.stem for path in (SRC / name).iterdir()}.isdisjoint(checked)


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
