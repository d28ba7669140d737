"""Reads a program before it is uploaded: a Python file, a folder, or a module by its name.

What is wrong with it is found here, early and in one sentence; nothing of the program is executed.

- A file is uploaded as it is.
- A folder becomes a zip archive, which is unpacked as the job's working directory: its modules can
  be imported and its data files opened by their relative names. The same content gives the same
  bytes. See `_Folder` for what is left out.
- A module becomes one line that imports its `main`. Its code stays where it is installed, so it
  must be there for the Python that runs the job.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime_core.errors import UsageError

if TYPE_CHECKING:
    import zipfile

MAX_SOURCE_BYTES = 47 * 1024 * 1024
"""The longest program, packed: services take 64 MiB, and base64 makes it a third longer."""

MAX_FOLDER_BYTES = 512 * 1024 * 1024
"""The most that the files of a folder may have together."""

MAX_FOLDER_ENTRIES = 20_000
"""The most files and folders in a folder."""

_WAYS = (
    "a program is a Python file, a folder with a main module, or the name of a module that "
    "Python can import"
)
_NEEDS_MAIN = "a program needs a function main(backend, user_messenger, **inputs) at its top level"


def read_source(given: str | bytes | os.PathLike[str]) -> bytes:
    """Give the bytes to upload as a program.

    Args:
        given: the path of a file or a folder, or (a str only) the name of a module. A str with a
            line break is the source itself, and so are bytes; they are not checked.

    Raises:
        UsageError: if it is none of these, cannot be read, is not Python, has no `main`, or is too
            large. The message is one sentence that says what to do.
    """
    if isinstance(given, bytes):
        return given
    if isinstance(given, str) and "\n" in given:
        return given.encode()
    path = os.fsdecode(given)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if isinstance(given, str) and _is_module_name(given):
            return _read_module(given)
        raise UsageError(f"There is no file or folder {path!r}: {_WAYS}.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path!r} cannot be read: {_reason(error)}.") from error
    return _Folder(path).pack() if stat.S_ISDIR(mode) else _read_file(path)


def program_name(given: str | bytes | os.PathLike[str], source: bytes, facts: str = "{}") -> str:
    """Give a readable name that changes with the content, for services that want unique ones.

    Args:
        given: what `read_source` was given.
        source: what it gave.
        facts: what else makes another program of it, as JSON.
    """
    import hashlib

    if isinstance(given, bytes) or (isinstance(given, str) and "\n" in given):
        name = ""
    elif source.startswith(b"PK"):
        name = os.path.basename(os.path.abspath(os.fsdecode(given)))
    elif source == _import_line(os.fsdecode(given)):
        name = os.fsdecode(given)
    else:
        name = os.path.splitext(os.path.basename(os.fsdecode(given)))[0]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "program"
    content = source if facts == "{}" else source + facts.encode()
    return f"{readable}-{hashlib.sha256(content).hexdigest()[:12]}"


# ---- a file --------------------------------------------------------------------------------------


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {_reason(error)}.") from error
    if len(data) > MAX_SOURCE_BYTES:
        raise UsageError(f"{path!r} is longer than {_size(MAX_SOURCE_BYTES)}: it is no program.")
    _check_main(data, path)
    return data


def _check_main(data: bytes, path: str) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path!r} is not Python: it is not UTF-8 text.") from error
    if "main" not in _assigned(data, path, "main"):
        raise UsageError(f"{path!r} has no main: {_NEEDS_MAIN}.")


def _assigned(source: bytes | str, path: str, *wanted: str) -> set[str]:
    """Give which of the wanted names the source assigns, or may assign, at its top level."""
    import ast
    import symtable
    import warnings

    text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about the program, and it goes to run
            tree = ast.parse(source)
            compile(source, path, "exec", dont_inherit=True)  # what ast lets pass
            names = symtable.symtable(text, path, "exec")
    except SyntaxError as error:
        where = "" if error.lineno is None else f" in line {error.lineno}"
        raise UsageError(f"{path!r} is not Python: {error.msg}{where}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path!r} is not Python: {error}.") from error
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body):
        return set(wanted)  # they may come from there
    symbols = (names.lookup(name) for name in names.get_identifiers() if name in wanted)
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


# ---- a folder ------------------------------------------------------------------------------------


class _Folder:
    """A folder with a `main` module, to be packed.

    Left out are hidden files and folders, `__pycache__`, compiled files, virtual environments, and
    what is neither a file nor a folder. Folders that are empty then are kept: the program may want
    to write there. A link is packed as what it leads to, which must be inside of the folder. Of the
    permissions only "executable" is kept, and no time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._root = os.path.realpath(path)

    def pack(self) -> bytes:
        """Give the archive.

        Raises:
            UsageError: if it cannot be packed, has no `main`, or is too large.
        """
        import io
        import zipfile

        try:
            entries = self._entries()
            self._check_main(entries)
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in sorted(entries):
                    self._add(archive, name, entries[name])
                    if packed.tell() > MAX_SOURCE_BYTES:
                        raise self._too_large(f"{_size(MAX_SOURCE_BYTES)}, packed", entries)
        except OSError as error:
            where = self._path if error.filename is None else os.fsdecode(error.filename)
            raise UsageError(f"{where!r} cannot be read: {_reason(error)}.") from error
        return packed.getvalue()

    def _entries(self) -> dict[str, str]:
        """Give the path for each name in the archive; the names of empty folders end in a slash."""
        entries: dict[str, str] = {}
        for name, path in self._walk(self._root, "", (self._root,)):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise self._refusal(f"the name {name!r} is not UTF-8") from None
            entries[name] = path
            if len(entries) > MAX_FOLDER_ENTRIES:
                raise self._refusal(
                    f"it has more than {MAX_FOLDER_ENTRIES:,} files; move elsewhere what the "
                    "program does not need"
                )
        if sum(_sizes(entries).values()) > MAX_FOLDER_BYTES:
            raise self._too_large(_size(MAX_FOLDER_BYTES), entries)
        return entries

    def _walk(self, folder: str, prefix: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        with os.scandir(folder) as listing:
            inside = list(listing)
        for entry in inside:
            name = prefix + entry.name
            if entry.name.startswith(".") or entry.name.endswith((".pyc", ".pyo")):
                continue
            if entry.is_symlink():
                self._check_link(name, entry.path)
            if entry.is_file():
                yield name, entry.path
            elif entry.is_dir() and not _is_left_out(entry):
                real = os.path.realpath(entry.path)
                if real in above:
                    raise self._refusal(f"the link {name!r} leads back to a folder that it is in")
                empty = True
                for found in self._walk(entry.path, name + "/", (*above, real)):
                    empty = False
                    yield found
                if empty:
                    yield name + "/", entry.path

    def _check_link(self, name: str, path: str) -> None:
        target = os.path.realpath(path)
        if not os.path.exists(target):
            raise self._refusal(f"the link {name!r} leads to nothing")
        if os.path.commonpath((self._root, target)) != self._root:
            raise self._refusal(
                f"the link {name!r} leads out of it, to {target!r}; put the files themselves "
                "there, or give the program their path as an input"
            )

    def _check_main(self, entries: dict[str, str]) -> None:
        for name in ("main/__init__.py", "main.py"):  # the order in which Python looks
            if name in entries:
                path = os.path.join(self._path, *name.split("/"))
                _check_main(_read_whole(entries[name]), path)
                return
        raise UsageError(
            f"The folder {self._path!r} has no main module: put a file main.py there with a "
            "function main(backend, user_messenger, **inputs)."
        )

    @staticmethod
    def _add(archive: zipfile.ZipFile, name: str, path: str) -> None:
        import zipfile

        info = zipfile.ZipInfo(name)  # of 1980, as zip has no "never"
        info.create_system = 3  # Unix, on which the attributes depend
        if name.endswith("/"):
            info.external_attr = (stat.S_IFDIR | 0o755) << 16
            archive.writestr(info, b"")
            return
        executable = os.stat(path).st_mode & stat.S_IXUSR
        info.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, _read_whole(path), compresslevel=6)

    def _too_large(self, limit: str, entries: dict[str, str]) -> UsageError:
        sizes = _sizes(entries)
        biggest = sorted(sizes, key=lambda name: (-sizes[name], name))[:3]
        named = ", ".join(f"{name!r} ({_size(sizes[name])})" for name in biggest)
        return self._refusal(
            f"it has more than {limit}; the biggest files are {named}: give the program the path "
            "of large data as an input"
        )

    def _refusal(self, why: str) -> UsageError:
        return UsageError(f"The folder {self._path!r} cannot be packed: {why}.")


def _is_left_out(entry: os.DirEntry[str]) -> bool:
    return entry.name == "__pycache__" or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _sizes(entries: dict[str, str]) -> dict[str, int]:
    return {name: os.stat(path).st_size for name, path in entries.items() if name[-1] != "/"}


def _read_whole(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


# ---- a module ------------------------------------------------------------------------------------

# Finds a module as a new Python does, wherever this process has been started and whatever it has
# added to its path since. The packages above it are put in place without being executed.
_FIND = """
import importlib.util, json, sys, types
answer = {}
name = sys.argv[1]
parts = name.split(".")
for count in range(1, len(parts) + 1):
    whole = ".".join(parts[:count])
    try:
        spec = importlib.util.find_spec(whole)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        answer["missing"] = whole
        break
    if whole not in sys.modules:
        sys.modules[whole] = types.ModuleType(whole)
        if spec.submodule_search_locations is not None:
            sys.modules[whole].__path__ = spec.submodule_search_locations
else:
    answer["origin"] = spec.origin
    if spec.loader is None or spec.origin in ("built-in", "frozen"):
        answer["source"] = ""  # nothing is in a bare folder, and no main in Python's own
    elif hasattr(spec.loader, "get_source"):
        try:
            answer["source"] = spec.loader.get_source(name)
        except (ImportError, SyntaxError) as error:
            answer["problem"] = str(error)
print()
print(json.dumps(answer))
"""


def _is_module_name(given: str) -> bool:
    from keyword import iskeyword

    # `prog.py` is a file that was misspelt, though it could be a module `py` in `prog`.
    return not given.endswith(".py") and all(
        part.isidentifier() and not iskeyword(part) for part in given.split(".")
    )


def _import_line(name: str) -> bytes:
    return f"from {name} import main\n".encode(errors="surrogatepass")


def _read_module(name: str) -> bytes:
    found = _find_module(name)
    if (missing := found.get("missing")) is not None:
        raise UsageError(_missing_module(name, missing))
    if "problem" in found:
        raise UsageError(f"The module {name!r} cannot be read: {found['problem']}.")
    source = found.get("source")
    origin = found.get("origin")
    # Without source (an extension module) it is seen when it runs.
    if source is not None and not _assigned(source, origin or name, "main", "__getattr__"):
        where = f" ({origin})" if origin else ""
        raise UsageError(f"The module {name!r}{where} has no main: {_NEEDS_MAIN}.")
    return _import_line(name)


def _find_module(name: str) -> dict[str, str | None]:
    import json
    import subprocess

    # As the child processes of jobs are started: -P, and no directory that has modules.
    command = [sys.executable, "-P", "-c", _FIND, name]
    try:
        process = subprocess.run(  # noqa: S603 - our own interpreter, our own text
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd=os.sep, timeout=60
        )
        # The last line: what is started along with Python may write, too.
        answer: dict[str, str | None] = json.loads(process.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"It cannot be found out whether there is a module {name!r}: a new process of "
            f"{sys.executable!r} did not answer ({type(error).__name__})."
        ) from error
    return answer


def _missing_module(name: str, missing: str) -> str:
    for folder in ("", *sys.path):
        base = os.path.join(folder, *name.split("."))
        for path in (base + ".py", os.path.join(base, "__init__.py")):
            if os.path.isfile(path):
                where = repr(folder) if folder else "the current directory"
                return (
                    f"The module {name!r} is in {where}, where the Python of a job does not look: "
                    f"pass the folder or the file instead, {path!r}."
                )
    if missing != name:
        return f"There is no module {name!r} that Python can import: it does not find {missing!r}."
    parent = name.rpartition(".")[0]
    if parent:
        return f"There is no module {name!r} that Python can import, though there is {parent!r}."
    return f"There is no file, folder or module {name!r}: {_WAYS}."


# ---- sentences -----------------------------------------------------------------------------------


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 10 * 2**20 else f"{count / 2**20:,.1f} MiB"
