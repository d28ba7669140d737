"""The data directory: where it is, who may read it, the access token in it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from runtime_core.errors import ServiceError

DATA_VARIABLE = "RUNTIME_CORE_DATA"
"""The environment variable with the data directory of those who name none."""

TOKEN = "token"  # noqa: S105 - the name of the file, no token
"""The name of the file with the access token."""

LOG = "service.log"
"""The name of the file with what the service itself wrote."""

WORK = "work"
"""The name of the directory with the working directories of running jobs."""


def data_directory(given: str | os.PathLike[str] | None = None) -> Path:
    """Give the absolute path of the data directory: `given`, or that of the environment.

    Without either it is the usual place for a user's data. It need not exist.
    """
    if given is None:
        given = os.environ.get(DATA_VARIABLE) or None
    if given is not None:
        return Path(given).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("runtime-core", appauthor=False)


def make_private(directory: Path) -> None:
    """Make the data directory, or check that it is ours alone.

    Raises:
        ServiceError: if it cannot be made, or belongs to someone else, or others may write to it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
        if found.st_uid != os.geteuid():
            raise ServiceError(f"The data directory {directory} belongs to another user.")
        if stat.S_IMODE(found.st_mode) & 0o022:
            raise ServiceError(
                f"Others may write to the data directory {directory}: chmod go-w it, or use "
                "another one."
            )
    except OSError as error:
        raise ServiceError(
            f"The data directory {directory} cannot be used: {error.strerror or error}."
        ) from error


def read_token(directory: Path) -> str:
    """Read the access token.

    Raises:
        ServiceError: if it cannot be read, or others could read it too.
    """
    path = directory / TOKEN
    try:
        with path.open(encoding="ascii") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ServiceError(
                    f"Others may read the access token in {path}: remove the file, and a new "
                    "token is made at the next start."
                )
            token = file.read().strip()
    except (OSError, ValueError) as error:
        raise ServiceError(f"The access token cannot be read from {path}: {error}.") from error
    if not token:
        raise ServiceError(f"There is no access token in {path}: remove the file.")
    return token


def keep_token(directory: Path, given: str | None = None) -> str:
    """Give the access token: `given`, which is kept, or the one there is, or a new one.

    Raises:
        ServiceError: if it cannot be read or written.
    """
    path = directory / TOKEN
    if given is None:
        if path.exists():
            return read_token(directory)
        given = secrets.token_urlsafe(32)
    new = path.with_suffix(".new")
    try:
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{given}\n")
        new.replace(path)
    except OSError as error:
        raise ServiceError(
            f"The access token cannot be written to {path}: {error.strerror or error}."
        ) from error
    return given
