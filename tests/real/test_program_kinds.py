"""Programs of every kind in their own process, mostly started as a service does, without one."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import runtime_core
from adapters import RuntimeService
from adapters.local import host
from adapters.local.frames import FrameReader
from adapters.programs import read_source
from runtime_core.errors import RuntimeJobFailureError

MAIN = "def main(backend, user_messenger):\n    return 'ran'\n"


@attrs.frozen
class Ended:
    """What is known of a program that has ended."""

    returncode: int
    frames: list[tuple[bytes, str]]
    logs: str

    @property
    def result(self) -> Any:
        assert [kind for kind, _ in self.frames][-1:] == [host.RESULT], self
        return json.loads(self.frames[-1][1])

    @property
    def failure(self) -> str:
        assert [kind for kind, _ in self.frames][-1:] == [host.FAILURE], self
        return self.frames[-1][1]


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program in a new directory `job` until it ends."""

    def run(source: bytes | str, /, *, killed_after: float = 30, **inputs: Any) -> Ended:
        data = textwrap.dedent(source).encode() if isinstance(source, str) else source
        directory = tmp_path / "job"
        directory.mkdir()
        (directory / host.program_file(data)).write_bytes(data)
        report, theirs = os.pipe()
        with open(tmp_path / "logs", "w+b") as logs:
            process = subprocess.Popen(
                [sys.executable, "-P", host.__file__, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=logs,
                stderr=logs,
                pass_fds=(theirs,),
                cwd=directory,
                start_new_session=True,
            )
        os.close(theirs)
        assert process.stdin is not None
        order = {"backend": "here", "params": json.dumps(inputs), "log_level": None}
        text = json.dumps(order).encode()
        limit = threading.Timer(killed_after, os.killpg, (process.pid, signal.SIGKILL))
        limit.start()
        reader = FrameReader()
        frames: list[tuple[bytes, str]] = []
        with process.stdin as stdin:
            stdin.write(host.LENGTH.pack(len(text)) + text)
            stdin.flush()
            while part := os.read(report, 1 << 16):
                frames += reader.feed(part)
            returncode = process.wait()
        limit.cancel()
        os.close(report)
        return Ended(returncode, frames, (tmp_path / "logs").read_text(errors="replace"))

    return run


def folder(tmp_path: Path, files: dict[str, str]) -> Path:
    """Write a program of several files."""
    for name, text in files.items():
        path = tmp_path / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path / "study"


def packed(*entries: str | zipfile.ZipInfo, main: str = MAIN) -> bytes:
    """Make an archive by hand, of ``main.py`` and others."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", main)
        for entry in entries:
            archive.writestr(entry, b"content")
    return buffer.getvalue()


# ---- a file --------------------------------------------------------------------------------------


def test_a_file_runs_as_the_module_program(run: Run) -> None:
    ended = run(
        """
        import os, sys
        def main(backend, user_messenger, a):
            import program
            assert program.main is main
            return [__name__, __file__ == os.path.abspath("program.py"), os.listdir(), sys.argv, a]
        """,
        a=1,
    )
    assert ended.result == ["program", True, ["program.py"], ["program.py"], 1]
    assert (ended.returncode, ended.logs) == (0, "")


def test_what_begins_like_an_archive_is_one() -> None:
    assert host.program_file(MAIN.encode()) == "program.py"
    assert host.program_file(b"") == "program.py"
    assert host.program_file(b"PK = 1") == "program.py"
    assert host.program_file(packed()) == "program.zip"
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert host.program_file(empty.getvalue()) == "program.zip"


# ---- a folder ------------------------------------------------------------------------------------


def test_a_folder_runs_with_its_modules_and_its_data(run: Run, tmp_path: Path) -> None:
    study = folder(
        tmp_path,
        {
            "main.py": """
                import os, subprocess, sys
                from pathlib import Path
                import helper
                from pkg.sub import deep
                def main(backend, user_messenger, n):
                    import main as itself
                    assert itself.main is main
                    user_messenger.publish([__name__, sys.argv])
                    Path("out/plot").write_text("drawn")
                    return [
                        helper.double(n),
                        deep.DATA,
                        Path("data/table.csv").read_text(),
                        Path(__file__).with_name("program.zip").read_text(),
                        subprocess.run(["./tool.sh"], capture_output=True, text=True).stdout,
                        sorted(name for name in os.listdir() if name != "__pycache__"),
                    ]
            """,
            "helper.py": "def double(n): return 2 * n",
            "pkg/__init__.py": "",
            "pkg/sub/__init__.py": "",
            "pkg/sub/deep.py": """
                from importlib import resources
                DATA = resources.files("pkg").joinpath("deep.txt").read_text()
            """,
            "pkg/deep.txt": "deep",
            "data/table.csv": "1,2",
            "tool.sh": "#!/bin/sh\necho tool",
            "program.zip": "not the archive",
            "out/.gitkeep": "",
        },
    )
    (study / "tool.sh").chmod(0o755)
    ended = run(read_source(study), n=21)
    assert json.loads(ended.frames[0][1]) == ["main", ["main.py"]]
    *values, listing = ended.result
    assert values == [42, "deep", "1,2", "not the archive", "tool\n"]
    assert listing == ["data", "helper.py", "main.py", "out", "pkg", "program.zip", "tool.sh"]
    assert stat.S_IMODE((tmp_path / "job" / "main.py").stat().st_mode) & 0o111 == 0
    assert ended.logs == ""


def test_the_archive_is_gone_when_the_program_runs(run: Run) -> None:
    source = packed(main="import os\ndef main(backend, user_messenger): return os.listdir()\n")
    assert "program.zip" not in run(source).result


def test_a_package_can_be_the_main_module(run: Run, tmp_path: Path) -> None:
    study = folder(
        tmp_path,
        {
            "main/__init__.py": "from .work import main",
            "main/work.py": "def main(backend, user_messenger): return __name__",
            "main.py": "raise RuntimeError('the package comes first')",
        },
    )
    assert run(read_source(study)).result == "main.work"


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_functions_and_values_of_a_folder_go_to_processes_of_its_own(
    run: Run, tmp_path: Path, method: str
) -> None:
    study = folder(
        tmp_path,
        {
            "main.py": f"""
                import multiprocessing, pickle
                from shapes import Square
                class Local:
                    pass
                def area(square):
                    return square.side ** 2
                def main(backend, user_messenger):
                    assert isinstance(pickle.loads(pickle.dumps(Local())), Local)
                    with multiprocessing.get_context("{method}").Pool(1) as pool:
                        return pool.map(area, [Square(1), Square(3)])
            """,
            "shapes.py": """
                class Square:
                    def __init__(self, side):
                        self.side = side
            """,
        },
    )
    assert run(read_source(study)).result == [1, 9]


@pytest.mark.parametrize("entry", ["other.py", "main/data.txt"])
def test_an_archive_without_a_main_module_is_refused(run: Run, entry: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, MAIN)
    assert run(buffer.getvalue()).failure == (
        "The program's folder has no main module: there is no file main.py."
    )


# ---- tracebacks ----------------------------------------------------------------------------------


def files_in(traceback: str) -> list[str]:
    lines = (line.strip() for line in traceback.splitlines())
    return [line.split('"')[1] for line in lines if line.startswith('File "')]


def test_a_traceback_has_the_frames_of_the_folder_by_their_names_there(
    run: Run, tmp_path: Path
) -> None:
    study = folder(
        tmp_path,
        {
            "main.py": """
                import json, os
                from pkg import mod
                def main(backend, user_messenger):
                    os.chdir("/")
                    try:
                        mod.parse("{")
                    except ValueError as error:
                        raise KeyError("bad luck") from error
            """,
            "pkg/mod.py": "import json\ndef parse(text):\n    return json.loads(text)\n",
        },
    )
    failure = run(read_source(study)).failure
    own = [name for name in files_in(failure) if not os.path.isabs(name)]
    assert own == ["main.py", "pkg/mod.py", "main.py"]
    assert 'File "pkg/mod.py", line 3, in parse\n    return json.loads(text)\n' in failure
    assert failure.endswith("KeyError: 'bad luck'\n")
    assert str(tmp_path) not in failure
    assert "host.py" not in failure


@pytest.mark.parametrize(
    ("files", "shown", "last"),
    [
        ({"main.py": MAIN + "import nothing_like_it"}, ["main.py"], "No module named"),
        ({"main.py": MAIN + "import wrong", "wrong.py": "def"}, ["main.py", "wrong.py"], "Syntax"),
        (
            {"main.py": MAIN + "import wrong", "wrong.py": "1 / 0"},
            ["main.py", "wrong.py"],
            "ZeroDivisionError",
        ),
    ],
    ids=["missing", "syntax", "error"],
)
def test_what_fails_while_it_is_imported_is_shown_without_the_importing(
    run: Run, tmp_path: Path, files: dict[str, str], shown: list[str], last: str
) -> None:
    failure = run(read_source(folder(tmp_path, files))).failure
    assert files_in(failure) == shown
    assert last in failure.splitlines()[-1]
    assert "importlib" not in failure


def test_a_folder_may_have_modules_named_as_pythons(run: Run, tmp_path: Path) -> None:
    study = folder(
        tmp_path,
        {
            "main.py": """
                import colorsys, traceback
                def main(backend, user_messenger):
                    return 1 / colorsys.ZERO
            """,
            "colorsys.py": "ZERO = 0",
            "traceback.py": "",
            "linecache.py": "raise RuntimeError('not this one')",
            "contextlib.py": "raise RuntimeError('not this one')",
        },
    )
    failure = run(read_source(study)).failure
    assert files_in(failure) == ["main.py"]
    assert failure.endswith("ZeroDivisionError: division by zero\n")


def test_a_folders_main_is_called_like_any(run: Run, tmp_path: Path) -> None:
    study = folder(tmp_path, {"main.py": MAIN})
    assert run(read_source(study), samples=1).failure.startswith(
        "main() does not take these inputs: "
    )


# ---- a module ------------------------------------------------------------------------------------


def test_a_module_runs_where_it_is_installed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "study"), before]))
    folder(
        tmp_path,
        {
            "lab/__init__.py": "",
            "lab/ground.py": """
                import os
                from . import parts
                def main(backend, user_messenger, fail=False):
                    return parts.fail() if fail else [__name__, os.listdir()]
            """,
            "lab/parts.py": "def fail():\n    raise ValueError('bad luck')\n",
        },
    )
    source = read_source("lab.ground")
    assert run(source).result == ["lab.ground", ["program.py"]]
    (tmp_path / "job").rename(tmp_path / "first job")
    failure = run(source, fail=True).failure
    lab = tmp_path / "study" / "lab"
    assert files_in(failure) == [str(lab / "ground.py"), str(lab / "parts.py")]
    assert "    raise ValueError('bad luck')\nValueError: bad luck\n" in failure


def test_a_module_that_is_not_there_fails_by_its_name(run: Run) -> None:
    failure = run(b"from nothing_like_it.at_all import main\n").failure
    assert failure.endswith("ModuleNotFoundError: No module named 'nothing_like_it'\n")


# ---- archives that are refused -------------------------------------------------------------------


def info(name: str, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.flag_bits |= flags
    return entry


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../out.py", 0),
        ("pkg/../../out.py", 0),
        ("/tmp/absolute.py", 0),
        ("pkg//x.py", 0),
        ("./x.py", 0),
        ("..", 0),
        ("../", 0),
        ("link", stat.S_IFLNK | 0o777),
        ("device", stat.S_IFCHR | 0o666),
    ],
)
def test_an_archive_that_leads_out_of_its_folder_is_refused(
    run: Run, tmp_path: Path, name: str, mode: int
) -> None:
    before = set(tmp_path.iterdir())
    why = "is neither a file nor a folder" if mode else "leads out of the folder"
    assert run(packed("fine.py", info(name, mode))).failure == (
        f"The program's archive is refused: {name!r} {why}."
    )
    assert list((tmp_path / "job").iterdir()) == []  # before anything of it was unpacked
    assert set(tmp_path.iterdir()) - before == {tmp_path / "job", tmp_path / "logs"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_a_name_twice_is_refused(run: Run) -> None:
    assert run(packed("a.py", "a.py")).failure == (
        "The program's archive is refused: 'a.py' is there twice."
    )


def test_an_archive_with_a_file_in_a_files_place_is_refused(run: Run) -> None:
    failure = run(packed("a", "a/b")).failure
    assert failure.startswith("The program's archive cannot be unpacked: ")


def test_an_encrypted_archive_is_refused(run: Run) -> None:
    data = bytearray(packed("a.py"))
    central = data.rindex(b"PK\x01\x02")
    data[central + 8] |= 1
    assert run(bytes(data)).failure == "The program's archive is refused: 'a.py' is encrypted."


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(run: Run, method: int) -> None:
    entry = zipfile.ZipInfo("a.py")
    entry.compress_type = method
    assert "'a.py' is compressed in a way" in run(packed(entry)).failure


def claim(data: bytes, size: int) -> bytes:
    """Have the last entry of an archive say that it is `size` bytes long."""
    changed = bytearray(data)
    central = changed.rindex(b"PK\x01\x02")
    changed[central + 24 : central + 28] = size.to_bytes(4, "little")
    return bytes(changed)


def test_an_archive_that_is_too_large_unpacked_is_refused(run: Run) -> None:
    too_much = host.MAX_UNPACKED_BYTES - len(MAIN) + 1
    assert run(claim(packed("a"), too_much)).failure == (
        "The program's archive has more than 512 MiB in its files."
    )


def test_of_an_entry_no_more_is_unpacked_than_it_says(run: Run, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("main.py", MAIN)
        archive.writestr("bomb", bytes(10_000_000))
    failure = run(claim(buffer.getvalue(), 10)).failure
    assert failure.startswith("The program's archive cannot be unpacked: ")
    assert (tmp_path / "job" / "bomb").stat().st_size <= 10


def test_an_archive_with_very_many_entries_is_refused(run: Run) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(host.MAX_UNPACKED_ENTRIES + 1):
            archive.writestr(str(number), b"")
    assert run(buffer.getvalue()).failure == (
        "The program's archive has more than 20,000 files and folders."
    )


@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.8, 0.99])
def test_an_archive_that_is_cut_is_refused(run: Run, part: float) -> None:
    data = packed("a.py", "b.py")
    failure = run(data[: 4 + int(part * (len(data) - 4))]).failure
    assert failure == "The program's archive cannot be unpacked: File is not a zip file."


def test_an_archive_whose_content_changed_on_its_way_is_refused(run: Run) -> None:
    data = packed("a.py").replace(b"content", b"CONTENT")
    assert "cannot be unpacked: Bad CRC-32 for file 'a.py'" in run(data).failure


# ---- what is written to the logs -----------------------------------------------------------------


def test_what_c_libraries_and_processes_write_goes_to_the_logs(run: Run) -> None:
    ended = run(
        """
        import ctypes, os, subprocess
        def main(backend, user_messenger):
            print("from Python")
            libc = ctypes.CDLL(None)
            libc.puts(b"from C")
            libc.fflush(None)
            libc.write(2, b"from a C library's error\\n", 25)
            os.write(1, b"from the system\\n")
            subprocess.run(["echo", "from a process"])
            libc.printf(b"from C, %d at the end\\n", 1)
        """
    )
    assert ended.logs.splitlines() == [
        "from Python",
        "from C",
        "from a C library's error",
        "from the system",
        "from a process",
        "from C, 1 at the end",
    ]
    assert ended.returncode == 0


# ---- deaths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "returncode"),
    [
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
        ("ctypes.string_at(0)", -signal.SIGSEGV),
    ],
)
def test_a_process_that_dies_has_reported_what_it_had_published_and_printed(
    run: Run, code: str, returncode: int
) -> None:
    ended = run(
        f"""
        import ctypes, os
        def main(backend, user_messenger):
            user_messenger.publish(1)
            print("so far")
            here()
        def here():
            {code}
        """
    )
    assert ended.returncode == returncode
    assert ended.frames == [(host.INTERIM, "1")]
    first, *rest = ended.logs.splitlines()
    assert first == "so far"
    crashed = returncode in (-signal.SIGABRT, -signal.SIGSEGV)
    assert ('  File "program.py", line 8 in here' in rest) == crashed


LIMITED = """
        import resource
        def limit():
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20), used + (60 << 20)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit the address space")
def test_a_program_without_memory_says_so(run: Run) -> None:
    ended = run(
        LIMITED
        + """
        def main(backend, user_messenger):
            limit()
            kept = []
            for size in (1 << 20, 1 << 16, 1 << 12, 1 << 8, 1):  # until nothing is left
                fill(kept, size)
            kept.append(bytearray(1 << 20))
        def fill(kept, size):
            try:
                while True:
                    kept.append(bytearray(size))
            except MemoryError:
                pass
        """
    )
    assert "in main\n    kept.append(bytearray(1 << 20))\n" in ended.failure
    assert ended.failure.endswith("MemoryError\n")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit the address space")
def test_a_result_that_does_not_fit_into_memory_says_so(run: Run) -> None:
    ended = run(
        LIMITED
        + """
        def main(backend, user_messenger):
            limit()
            return ["x" * (40 << 20)]
        """
    )
    assert ended.failure == "The result cannot be encoded: MemoryError"


# ---- by way of a service -------------------------------------------------------------------------


def test_the_local_service_runs_every_kind(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(MAIN)
    study = folder(tmp_path, {"main.py": "from pkg.mod import main", "pkg/mod.py": MAIN})
    given: dict[str, str | bytes | Path] = {
        "file": file,
        "folder": study,
        "module": "json.tool",
        "text": MAIN,
        "bytes": b"1 / 0",
    }
    with RuntimeService.local() as service:
        jobs = {}
        for kind, program in given.items():
            name = f"{kind}-of-{tmp_path.name}"[:64]
            jobs[kind] = service.run(service.upload_program(program, {"name": name}))
        for kind in ("file", "folder", "text"):
            assert jobs[kind].result(timeout=30) == "ran"
        with pytest.raises(RuntimeJobFailureError, match="does not take these inputs"):
            jobs["module"].result(timeout=30)  # it is no program, but it was found and called
        with pytest.raises(RuntimeJobFailureError, match="ZeroDivisionError"):
            jobs["bytes"].result(timeout=30)


# ---- the price -----------------------------------------------------------------------------------


def test_a_file_pays_nothing_for_folders(run: Run) -> None:
    ended = run(
        """
        import sys
        def main(backend, user_messenger):
            return sorted({"zipfile", "traceback", "shutil", "tempfile"} & set(sys.modules))
        """
    )
    assert set(ended.result) <= known()


def test_a_program_pays_for_no_more_of_the_library_than_it_uses(run: Run) -> None:
    ended = run(
        """
        import sys
        def main(backend, user_messenger):
            return [name for name in sys.modules if name.startswith("runtime_core")]
        """
    )
    assert "runtime_core.tagged_json" in ended.result
    assert "runtime_core.machine" not in ended.result


@pytest.mark.parametrize(
    "how",
    [
        "import runtime_core\nnames = (runtime_core.JobMachine, runtime_core.errors.UsageError)",
        "from runtime_core import *\nnames = (JobMachine, UsageError)",
        "import runtime_core.machine as m, runtime_core as r\nnames = (m.JobMachine, r.UsageError)",
    ],
    ids=["whole", "star", "module"],
)
def test_a_program_that_uses_the_library_itself_gets_it_whole(run: Run, how: str) -> None:
    ended = run(
        f"""{how}
def main(backend, user_messenger):
    import runtime_core
    assert not hasattr(runtime_core, "nonsense")
    return [name.__name__ for name in names] + [min(runtime_core.__all__)]
"""
    )
    assert ended.result == ["JobMachine", "UsageError", min(runtime_core.__all__)]


def known() -> set[str]:
    """What Python and the decoding of values load by themselves."""
    code = "import sys, runtime_core.tagged_json; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    return set(output.stdout.decode().split())
