"""Programs on their way to a Ray cluster: what is packed with them, and how orders travel."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import random
import stat
import sys
import zipfile
from pathlib import Path

import attrs
import pytest

from adapters.local import host
from adapters.programs import read_source
from adapters.ray import package, ray_host
from adapters.ray.package import (
    ENTRYPOINT,
    FOLDER,
    MAX_ORDER_IN_ENVIRONMENT,
    Order,
    order_env,
    pack_program,
)
from runtime_core.errors import UsageError

MAIN = b"def main(backend, user_messenger):\n    pass\n"
ORDER = Order(nonce="5e1f0c2a", job_id="j1", params='{"count": 3}', backend="b", max_time=60)
LONG = attrs.evolve(ORDER, params=json.dumps("x" * MAX_ORDER_IN_ENVIRONMENT))


def opened(source: bytes, order: Order | None = None) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(pack_program(source, order).data))


def archive(**files: bytes) -> bytes:
    """Make an archive as somebody else may make one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return packed.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "main.py").write_bytes(MAIN)
    (tmp_path / "data" / "numbers.txt").write_text("1 2 3")
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    return tmp_path


# ---- packages ------------------------------------------------------------------------------------


def test_a_file_is_packed_with_what_runs_it() -> None:
    packed = opened(MAIN)
    assert packed.read("program.py") == MAIN
    ours = [name for name in packed.namelist() if name != "program.py"]
    assert all(name.startswith(FOLDER + "/") for name in ours)
    assert packed.read(f"{FOLDER}/adapters/local/host.py") == Path(host.__file__).read_bytes()
    assert packed.read(f"{FOLDER}/ray_host.py") == Path(ray_host.__file__).read_bytes()
    assert f"{FOLDER}/library/runtime_core/tagged_json.py" in ours
    assert not [name for name in ours if "testing" in name or "__pycache__" in name]
    assert ENTRYPOINT.endswith(f" -I {FOLDER}/ray_host.py")


def test_a_folder_is_packed_at_the_root(folder: Path) -> None:
    packed = opened(read_source(folder))
    assert packed.read("main.py") == MAIN
    assert packed.read("data/numbers.txt") == b"1 2 3"
    assert "program.py" not in packed.namelist()
    assert packed.testzip() is None
    assert json.loads(packed.read(f"{FOLDER}/manifest.json")) == {
        "unpacked": True,
        "files": ["data/numbers.txt", "main.py", "tool"],
        "folders": ["empty/"],
        "executables": ["tool"],
    }


@pytest.mark.parametrize("order", [None, ORDER, LONG])
def test_the_same_content_is_the_same_package(folder: Path, order: Order | None) -> None:
    for source in (MAIN, read_source(folder)):
        first, second = pack_program(source, order), pack_program(source, order)
        assert first == second
        assert first.name == f"_ray_pkg_{hashlib.sha1(first.data).hexdigest()}.zip"
    assert pack_program(MAIN).name != pack_program(MAIN + b"\n").name


def test_nothing_in_a_package_tells_when_or_by_whom_it_was_made(folder: Path) -> None:
    for entry in opened(read_source(folder), LONG).infolist():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        assert stat.S_IMODE(entry.external_attr >> 16) in (0o644, 0o755)


def test_attrs_goes_along_with_its_license() -> None:
    packed = opened(MAIN)
    names = packed.namelist()
    assert f"{FOLDER}/attrs/attr/__init__.py" in names
    assert f"{FOLDER}/attrs/attrs/__init__.py" in names
    assert b"MIT" in packed.read(f"{FOLDER}/attrs/LICENSE")


def test_a_package_is_small() -> None:
    assert len(pack_program(MAIN).data) < 200_000


# ---- what cannot be packed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"PK\x03\x04 not really", "The program cannot be packed: "),
        (archive(**{"main.py": MAIN, f"{FOLDER}/x": b""}), "the name of the folder that is packed"),
        (archive(**{"main.py": MAIN, "../x": b""}), "'../x' leads out of the folder"),
    ],
)
def test_an_archive_that_would_do_harm_is_refused(source: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        pack_program(source)


def test_a_package_that_is_too_long_names_what_is_big(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(0).randbytes
    (folder / "data" / "large.bin").write_bytes(noise(300_000))
    (folder / "larger.bin").write_bytes(noise(400_000))
    source = read_source(folder)
    monkeypatch.setattr(package, "MAX_PACKAGE_BYTES", 800_000)
    with pytest.raises(UsageError) as refused:
        pack_program(source)
    said = str(refused.value)
    assert "takes 0.8 MB" in said
    assert "'larger.bin' (0.4 MB), 'data/large.bin' (0.3 MB)" in said
    assert said.endswith("give the program its path as an input.")


def test_inputs_that_are_too_long_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "MAX_PACKAGE_BYTES", 300_000)
    inputs = json.dumps(random.Random(0).randbytes(200_000).hex())
    with pytest.raises(UsageError, match=r"the biggest parts are the inputs \("):
        pack_program(MAIN, attrs.evolve(ORDER, params=inputs))


# ---- orders --------------------------------------------------------------------------------------


def test_a_short_order_goes_by_the_environment() -> None:
    environment = order_env(ORDER)
    assert environment["RUNTIME_CORE_JOB"] == "j1"
    assert environment[ray_host.NONCE_VARIABLE] == "5e1f0c2a"
    order = json.loads(environment[ray_host.ORDER_VARIABLE])
    assert order == {
        "params": '{"count": 3}',
        "backend": "b",
        "log_level": None,
        "max_time": 60,
    }
    assert pack_program(MAIN, ORDER) == pack_program(MAIN)


def test_a_long_order_goes_in_the_package() -> None:
    assert set(order_env(LONG)) == {"RUNTIME_CORE_JOB", ray_host.NONCE_VARIABLE}
    packed = opened(MAIN, LONG)
    assert json.loads(packed.read(f"{FOLDER}/order.json"))["params"] == LONG.params
    assert not any(b"5e1f0c2a" in packed.read(name) for name in packed.namelist())


def test_the_same_long_order_makes_the_same_package_for_every_job() -> None:
    again = attrs.evolve(LONG, nonce="00000000", job_id="j2")
    assert pack_program(MAIN, again) == pack_program(MAIN, LONG)


@pytest.mark.parametrize("more", [0, 1])
def test_an_order_is_somewhere_at_every_length(more: int) -> None:
    room = MAX_ORDER_IN_ENVIRONMENT - len(package._order_text(attrs.evolve(ORDER, params="")))
    order = attrs.evolve(ORDER, params="1" * (room + more))
    in_environment = ray_host.ORDER_VARIABLE in order_env(order)
    in_package = f"{FOLDER}/order.json" in opened(MAIN, order).namelist()
    assert (in_environment, in_package) == (more == 0, more == 1)


def test_inputs_are_not_in_a_repr() -> None:
    assert "count" not in repr(ORDER)


# ---- what runs on the cluster --------------------------------------------------------------------


def packed_modules() -> dict[str, ast.Module]:
    """Give what is packed of `adapters`, by the names that it is imported by there."""
    packed = opened(MAIN)
    found = {}
    for name in packed.namelist():
        path = name.removeprefix(FOLDER + "/")
        if path.startswith("adapters/") or path == "ray_host.py":
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found[module] = ast.parse(packed.read(name))
    return found


def test_what_runs_on_the_cluster_needs_nothing_that_is_not_there() -> None:
    modules = packed_modules()
    assert "adapters.local.host" in modules
    for name, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                wanted = [node.module or ""]
            elif isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            else:
                continue
            for module in wanted:
                top = module.split(".")[0]
                ours = module in modules or (
                    name == "adapters.local.host" and module == "runtime_core.tagged_json"
                )
                assert top in sys.stdlib_module_names or ours, (name, module)


@pytest.mark.parametrize("name", ["ray_host.py", "adapters/ray/frame_writer.py"])
def test_an_old_python_can_read_what_says_that_it_is_too_old(name: str) -> None:
    ast.parse(opened(MAIN).read(f"{FOLDER}/{name}"), feature_version=(3, 8))
