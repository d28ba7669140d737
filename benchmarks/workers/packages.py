"""What a package costs before it does anything: its import, and its place on the disk.

Each import happens in a fresh interpreter, isolated from the current folder and the user's
environment, and next to one that imports nothing:

    ours          `RuntimeService`, which runs, follows and cancels jobs
    ours-at-work  that, and one made: nothing of ours, nor of others', is loaded later by a job
    ours-core     `JobMachine`, for those who bring their own transport
    ibmq          `IBMQ`, as the original's documentation begins
    ibm-runtime   `QiskitRuntimeService`, as its successor's does

The size is that of all files that the environment's distributions list as theirs, byte code
included, less the installer's own; nothing else is installed there than the package and what it
needs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from _protocol import serve, value

IMPORTS = {
    "ours": "from adapters import RuntimeService",
    "ours-at-work": "from adapters import RuntimeService\n"
    "RuntimeService('http://127.0.0.1:1', 'token')\n"
    "import encodings.idna",  # by the standard library, when a host's name is looked up
    "ours-core": "from runtime_core import JobMachine",
    "ibmq": "from qiskit.providers.ibmq import IBMQ",
    "ibm-runtime": "from qiskit_ibm_runtime import QiskitRuntimeService",
}
DISTRIBUTIONS = {
    "ours": "runtime-core",
    "ours-at-work": "runtime-core",
    "ours-core": "runtime-core",
    "ibmq": "qiskit-ibmq-provider",
    "ibm-runtime": "qiskit-ibm-runtime",
}
SETUPTOOLS_USERS = {"ibmq"}  # it imports pkg_resources; elsewhere it came with the environment


def run(code: str) -> bytes:
    # The original warns of its own age on stderr, which is not what it is measured for.
    command = [sys.executable, "-I", "-W", "ignore", "-c", code]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout


def milliseconds(code: str) -> float:
    start = time.perf_counter()
    run(code)
    return (time.perf_counter() - start) * 1000


def import_times(name: str, runs: int) -> dict[str, float]:
    """Milliseconds of fresh interpreters that import it, and of those that do not, in turns."""
    code = IMPORTS[name]
    pairs = [(milliseconds("pass"), milliseconds(code)) for _ in range(runs)]
    extra = [imported - bare for bare, imported in pairs]
    return {
        "more": statistics.median(extra),
        "whole": statistics.median(imported for _, imported in pairs),
        "bare": statistics.median(bare for bare, _ in pairs),
    }


@cache
def modules(name: str) -> int:
    """How many modules are loaded with it that a bare interpreter does not have."""
    count = "\nimport sys\nprint(len(sys.modules))"
    return int(run(IMPORTS[name] + count)) - int(run(count))


def installed(name: str) -> list[Distribution]:
    """The distributions that it consists of, itself included."""
    not_counted = {"pip"} if name in SETUPTOOLS_USERS else {"pip", "setuptools"}
    found = {d.metadata["Name"].lower(): d for d in distributions()}
    return [distribution for key, distribution in found.items() if key not in not_counted]


def installed_bytes(name: str) -> int:
    """The size of their files on the disk."""
    paths = {path for distribution in installed(name) for path in _files(distribution)}
    return sum(os.path.getsize(path) for path in paths)


def _files(distribution: Distribution) -> Iterator[Path]:
    for entry in distribution.files or ():
        path = Path(str(distribution.locate_file(entry))).resolve()
        if path.is_file():
            yield path


def main() -> None:
    name = sys.argv[1]

    def import_time(runs: int) -> dict[str, Any]:
        times = import_times(name, runs)
        return value(times["more"], "ms", **times, modules=modules(name))

    def size() -> dict[str, Any]:
        found = {each.metadata["Name"]: each.version for each in installed(name)}
        return value(installed_bytes(name) / 1e6, "MB", distributions=len(found), which=found)

    serve(name, {"import": import_time, "installed": size}, [DISTRIBUTIONS[name]])


if __name__ == "__main__":
    main()
