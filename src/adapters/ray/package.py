"""Packs a program for a Ray cluster, with all that is needed to run it there.

A package is a zip archive, which Ray unpacks as the working directory of a job, and of the workers
that the job asks for. At its root are the program's files, so that a worker can import them;
beside them is one folder of ours, with `ray_host`, which runs the program with no more than a bare
Python. The same content gives the same bytes, and so the same name: it is uploaded once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from typing import Final

import attrs

from adapters.local import host
from adapters.ray import ray_host
from runtime_core.errors import UsageError

FOLDER: Final = "_runtime_core"
"""The folder of ours in a package."""

ENTRYPOINT: Final = f'exec "$(command -v python || command -v python3)" -I {FOLDER}/ray_host.py'
"""What Ray is to run. `exec`, so that Ray's signals come to Python and not to a shell; `-I`, as a
module of the program must not stand in for one of Python's, and Ray has them in PYTHONPATH."""

MAX_PACKAGE_BYTES: Final = 104_857_600
"""The longest package that Ray takes."""

MAX_ORDER_IN_ENVIRONMENT: Final = 32 * 1024
"""The longest order, as JSON, that goes by the environment. Ray hands that on in many places, and
Linux takes no variable of more than 128 KiB."""

# What runs on the cluster beside `ray_host`, by its place in `adapters`.
_MODULES = (
    "local/endings.py",
    "local/frames.py",
    "local/host.py",
    "ray/frame_writer.py",
    "ray/hosted_run.py",
    "ray/log_ending.py",
)


@attrs.frozen
class Order:
    """What a job is told that its program is not."""

    nonce: str
    """What the frames in its log begin with: letters and digits, made for it by chance."""
    job_id: str
    """Its id."""
    params: str = attrs.field(repr=False)
    """The inputs, a tagged JSON object."""
    backend: str = ""
    """The name that the program is told."""
    log_level: str | None = None
    """The level of Python's logging in the program; None leaves it alone."""
    max_time: int | None = None
    """The longest execution time in seconds; None for any."""


@attrs.frozen
class Package:
    """What is uploaded."""

    name: str
    """What it is called there, which changes with its content."""
    data: bytes = attrs.field(repr=False)
    """A zip archive."""


def pack_program(source: bytes, order: Order | None = None) -> Package:
    """Pack a program.

    Args:
        source: the program, as `adapters.programs.read_source` gives it.
        order: what the job is told, which is packed too if it is too long for `order_env`.

    Raises:
        UsageError: if it is longer than `MAX_PACKAGE_BYTES`, or a packed folder that cannot be
            unpacked, or has a folder of our name. The message says what to do.
    """
    packed = io.BytesIO()
    if host.program_file(source) == host.ARCHIVE_FILE:
        packed.write(source)  # what is compressed stays so
        with _opened(packed) as archive:
            manifest = _manifest(archive)
            _add_ours(archive, manifest, order)
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            manifest = {
                "unpacked": False,
                "files": [host.PROGRAM_FILE],
                "folders": [],
                "executables": [],
            }
            _add(archive, host.PROGRAM_FILE, source)
            _add_ours(archive, manifest, order)
    data = packed.getvalue()
    if len(data) > MAX_PACKAGE_BYTES:
        raise UsageError(_too_long(len(data), archive))
    return Package(f"_ray_pkg_{hashlib.sha1(data, usedforsecurity=False).hexdigest()}.zip", data)


def order_env(order: Order) -> dict[str, str]:
    """Give the environment variables by which a job finds its order.

    One that is long is not among them: then it has to be in the package.
    """
    environment = {host.JOB_VARIABLE: order.job_id, ray_host.NONCE_VARIABLE: order.nonce}
    text = _order_text(order)
    if len(text) <= MAX_ORDER_IN_ENVIRONMENT:
        environment[ray_host.ORDER_VARIABLE] = text
    return environment


def _order_text(order: Order) -> str:
    # Without what is new for each job: the same inputs make the same package.
    return json.dumps(
        {
            "params": order.params,
            "backend": order.backend,
            "log_level": order.log_level,
            "max_time": order.max_time,
        }
    )


def _opened(packed: io.BytesIO) -> zipfile.ZipFile:
    try:
        with zipfile.ZipFile(packed) as archive:
            host.check_entries(archive.infolist())
    except (zipfile.BadZipFile, host.UnrunnableError) as error:
        raise UsageError(f"The program cannot be packed: {error}") from error
    return zipfile.ZipFile(packed, "a")  # it takes what is no archive as well


def _manifest(archive: zipfile.ZipFile) -> dict[str, object]:
    entries = archive.infolist()
    if any(entry.filename.split("/")[0] == FOLDER for entry in entries):
        raise UsageError(
            f"The program's folder has a {FOLDER!r}, which is the name of the folder that is "
            "packed with it: give that one another name."
        )
    files = [entry for entry in entries if not entry.is_dir()]
    return {
        "unpacked": True,
        "files": [entry.filename for entry in files],
        "folders": [entry.filename for entry in entries if entry.is_dir()],
        "executables": [
            entry.filename for entry in files if entry.external_attr >> 16 & stat.S_IXUSR
        ],
    }


def _add_ours(archive: zipfile.ZipFile, manifest: dict[str, object], order: Order | None) -> None:
    for name, data in _our_files():
        _add(archive, name, data)
    _add(archive, f"{FOLDER}/{ray_host.MANIFEST_FILE}", json.dumps(manifest).encode())
    if order is not None and len(text := _order_text(order)) > MAX_ORDER_IN_ENVIRONMENT:
        _add(archive, f"{FOLDER}/{ray_host.ORDER_FILE}", text.encode())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name)  # of 1980, as zip has no "never"
    info.create_system = 3  # Unix, on which the attributes depend
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=6)


@functools.cache
def _our_files() -> tuple[tuple[str, bytes], ...]:
    ours = resources.files("adapters")
    found = {f"{FOLDER}/ray_host.py": (ours / "ray" / "ray_host.py").read_bytes()}
    for name in _MODULES:
        found[f"{FOLDER}/adapters/{name}"] = ours.joinpath(*name.split("/")).read_bytes()
    for package in ("adapters", "adapters/local", "adapters/ray"):
        found[f"{FOLDER}/{package}/__init__.py"] = b""
    library, attrs_folder = (
        f"{FOLDER}/{name}" for name in (ray_host.LIBRARY_FOLDER, ray_host.ATTRS_FOLDER)
    )
    for name, data in _modules_of("runtime_core"):
        found[f"{library}/{name}"] = data
    for package in ("attr", "attrs"):
        for name, data in _modules_of(package):
            found[f"{attrs_folder}/{name}"] = data
    with contextlib.suppress(metadata.PackageNotFoundError):
        license_text = metadata.distribution("attrs").read_text("licenses/LICENSE")
        found[f"{attrs_folder}/LICENSE"] = (license_text or "").encode()
    return tuple(sorted(found.items()))


def _modules_of(package: str) -> Iterator[tuple[str, bytes]]:
    """Give the modules at the top of a package, which is all of those here but for test tools."""
    files: Traversable = resources.files(package)
    for file in files.iterdir():
        if file.name.endswith(".py"):
            yield f"{package}/{file.name}", file.read_bytes()


def _too_long(size: int, archive: zipfile.ZipFile) -> str:
    biggest = sorted(archive.infolist(), key=lambda entry: (-entry.compress_size, entry.filename))
    named = ", ".join(
        f"{_shown(entry.filename)} ({entry.compress_size / 1e6:.1f} MB)" for entry in biggest[:3]
    )
    return (
        f"The program is {size / 1e6:.1f} MB, packed, and a Ray cluster takes "
        f"{MAX_PACKAGE_BYTES / 1e6:.1f} MB; the biggest parts are {named}: put large data where "
        "the cluster can read it, and give the program its path as an input."
    )


def _shown(name: str) -> str:
    return "the inputs" if name == f"{FOLDER}/{ray_host.ORDER_FILE}" else repr(name)
