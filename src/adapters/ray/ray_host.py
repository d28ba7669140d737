"""Starts a program on a Ray cluster: what Ray runs as the entrypoint of a job.

It runs in Ray's copy of the package that `package` makes, from a file beside what else it needs,
where this project is not installed, with whatever Python is there. So this file imports the
standard library only, and even a Python that is too old can read it, and say that it is.

Ray lets all jobs with the same package share one copy of it. So the program gets a copy of its own
as its working directory, in the folder for temporary files, removed at the end. One that was left
behind, as its process was killed, is removed by the next job on that machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))

NONCE_VARIABLE = "RUNTIME_CORE_RAY_NONCE"
"""The environment variable with the job's nonce; the program does not see it."""

ORDER_VARIABLE = "RUNTIME_CORE_RAY_ORDER"
"""The environment variable with the job's order, if it is short; the program does not see it."""

ORDER_FILE = "order.json"
"""The file with the job's order, if it is long."""

MANIFEST_FILE = "manifest.json"
"""The file that says which of Ray's files are the program's, and which were executable."""

LIBRARY_FOLDER = "library"
"""The folder with the part of this project that a program needs."""

ATTRS_FOLDER = "attrs"
"""The folder with what that needs, for where the cluster has none, or one that is too old."""

_OLDEST_PYTHON = (3, 11)
_OLDEST_ATTRS = (24, 2)

# The names of working directories: while they are made, and when they are there and locked.
_NEW = "runtime-core-new-"
_MADE = "runtime-core-ray-"

# Where Ray keeps what was said at the submission, for `ray.init()` in the program.
_RAY_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"

# What Ray sets for the entrypoint: the program's output is read at once anyway, and what is
# compiled is worth keeping.
_FOR_RAYS_OWN_PYTHON = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")


def main() -> int:
    """Run the program; give the exit code."""
    sys.path.insert(0, HERE)
    from adapters.ray.frame_writer import ERROR, GONE, STARTED, frames
    from adapters.ray.log_ending import end_the_log

    nonce = os.environ[NONCE_VARIABLE]
    _write(frames(nonce, 0, STARTED))
    end_the_log(b"".join(frames(nonce, 0, GONE)))
    if sys.version_info < _OLDEST_PYTHON:
        _write(frames(nonce, 0, ERROR, _too_old()))
        return 1
    from adapters.ray.hosted_run import HostedRun

    try:
        order = _order()
        manifest = _read_json(MANIFEST_FILE)
        with _working_directory() as directory:
            _copy_program(manifest, directory)
            run = HostedRun(nonce, order["max_time"])
            host = os.path.join(HERE, "adapters", "local", "host.py")
            return run.run(host, directory, _environment(), _inner_order(order, manifest))
    except OSError as error:
        _write(frames(nonce, 0, ERROR, f"The program could not be run: {error}."))
        return 1


def _write(parts: Iterable[bytes]) -> None:
    for part in parts:
        os.write(1, part)


def _too_old() -> str:
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    found = ".".join(map(str, sys.version_info[:3]))
    return (
        f"The cluster's Python, {sys.executable}, is {found}, and programs need {wanted} or newer."
    )


def _order() -> dict[str, Any]:
    text = os.environ.get(ORDER_VARIABLE)
    order: dict[str, Any] = _read_json(ORDER_FILE) if text is None else json.loads(text)
    return order


def _inner_order(order: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    libraries = [os.path.join(HERE, LIBRARY_FOLDER)]
    if not _has_attrs():
        libraries.append(os.path.join(HERE, ATTRS_FOLDER))
    return {
        "backend": order["backend"],
        "params": order["params"],
        "log_level": order["log_level"],
        "libraries": libraries,
        "unpacked": manifest["unpacked"],
    }


def _read_json(name: str) -> Any:
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return json.load(file)


# ---- the working directory -----------------------------------------------------------------------


@contextlib.contextmanager
def _working_directory() -> Iterator[str]:
    """Make the job's working directory, and remove it at the end."""
    _remove_left_behind()
    # Under its name it is locked from the beginning: what is not is left behind.
    new = tempfile.mkdtemp(prefix=_NEW)
    lock = os.open(new, os.O_RDONLY)
    made = os.path.join(os.path.dirname(new), _MADE + os.path.basename(new)[len(_NEW) :])
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(new, made)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _remove_left_behind() -> None:
    with os.scandir(tempfile.gettempdir()) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(_MADE)]
    for path in found:
        with contextlib.suppress(OSError):  # somebody else's, or locked, or gone by now
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _copy_program(manifest: dict[str, Any], directory: str) -> None:
    source = os.path.dirname(HERE)
    for name in manifest["folders"]:
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    for name in manifest["files"]:
        target = os.path.join(directory, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(source, name), target)
    for name in manifest["executables"]:  # unpacking has lost it
        target = os.path.join(directory, name)
        os.chmod(target, stat.S_IMODE(os.stat(target).st_mode) | stat.S_IXUSR)


# ---- what the program finds around it ------------------------------------------------------------


def _environment() -> dict[str, str]:
    """Give the program's environment: as it would be without Ray's entrypoint and without us."""
    ours = (NONCE_VARIABLE, ORDER_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    try:
        config = json.loads(environment[_RAY_CONFIG])
        asked = config["runtime_env"]["env_vars"]
    except (KeyError, ValueError, TypeError):
        asked = {}
    else:
        # What `ray.init()` finds here it gives to every worker.
        for name in ours:
            asked.pop(name, None)
        environment[_RAY_CONFIG] = json.dumps(config)
    for name in _FOR_RAYS_OWN_PYTHON:
        if name not in asked:
            environment.pop(name, None)
    # There Ray has the program's files. They would come before Python's own modules.
    folders = environment.pop("PYTHONPATH", "").split(os.pathsep)
    others = [folder for folder in folders if folder and not _is_rays_copy(folder)]
    if others:
        environment["PYTHONPATH"] = os.pathsep.join(others)
    return environment


def _is_rays_copy(folder: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(os.path.dirname(HERE))


def _has_attrs() -> bool:
    """Whether the cluster has an attrs that is new enough."""
    spec = PathFinder.find_spec("attrs")
    if spec is None or spec.origin is None:
        return False
    packages = os.path.dirname(os.path.dirname(spec.origin))
    versions = [
        re.match(r"attrs-(\d+)\.(\d+)[^-]*\.dist-info$", name) for name in os.listdir(packages)
    ]
    return any(found and (int(found[1]), int(found[2])) >= _OLDEST_ATTRS for found in versions)


if __name__ == "__main__":
    sys.exit(main())
