"""Programs on their way to a service: what a file, a folder and a module become, and what not."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from adapters import programs
from adapters.local import host
from adapters.local.bodies import MAX_BODY_BYTES
from adapters.programs import program_name, read_source
from runtime_core.errors import UsageError

MAIN = "def main(backend, user_messenger):\n    pass\n"


def put(folder: Path, files: dict[str, str]) -> Path:
    """Write files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(source: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(source)).namelist()


def refusal(given: str | os.PathLike[str]) -> str:
    """Give the sentence with which a program is refused."""
    with pytest.raises(UsageError) as refused:
        read_source(given)
    said = str(refused.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


# ---- source, and files ---------------------------------------------------------------------------


def test_source_is_taken_as_it_is() -> None:
    assert read_source("anything\n") == b"anything\n"
    assert read_source(b"anything") == b"anything"


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "p.py"
    file.write_bytes(b"\xef\xbb\xbf# \xc3\xa9\r\n" + MAIN.encode())
    assert read_source(file) == read_source(str(file)) == file.read_bytes()


@pytest.mark.parametrize(
    "source",
    [
        MAIN,
        "try:\n    from fast import main\nexcept ImportError:\n    def main(b, m): pass\n",
        "main = lambda b, m: 1",
        "from somewhere import *",
        "import main",
        "# \\d is not checked\nx = '\\d'\n" + MAIN,
    ],
)
def test_main_may_come_from_anywhere_at_the_top_level(source: str, tmp_path: Path) -> None:
    assert read_source(put(tmp_path, {"p.py": source}) / "p.py") == source.encode()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"def main(:\n", "is not Python: .* in line 1"),
        (b"\nreturn 1\n", "is not Python: 'return' outside function in line 2"),
        (b"x = '\0'", "is not Python"),
        (b"(" * 100_000, "is not Python"),
        (b"x = 1\n", r"has no main: a program needs a function main\(backend, user_messenger"),
        (b"def other():\n    def main(): pass\n", "has no main"),
        (b"print(main)\n", "has no main"),
        (b"", "has no main"),
        (b"# \xe9\n", "is not Python: it is not UTF-8"),
    ],
)
def test_a_file_that_is_no_program_gets_a_sentence(
    source: bytes, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "p.py"
    file.write_bytes(source)
    assert re.search(f"p.py' {says}", refusal(file))


def test_a_file_that_is_too_long_gets_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "MAX_SOURCE_BYTES", len(MAIN))
    file = put(tmp_path, {"p.py": MAIN}) / "p.py"
    read_source(file)
    file.write_text(MAIN + "\n")
    assert "p.py' is longer than" in refusal(file)


@pytest.mark.parametrize("given", ["missing.py", "missing/p", "a-b", "class", "..", "", "a b"])
def test_what_is_nothing_gets_a_sentence_with_the_three_ways(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if given == "..":
        assert "has no main module" in refusal(given)
        return
    said = refusal(given)
    assert said.startswith(f"There is no file or folder {given!r}: ")
    assert re.search("a Python file, a folder with a main module, or the name of a module", said)


def test_a_path_is_never_a_modules_name() -> None:
    assert refusal(Path("json.tool")).startswith("There is no file or folder 'json.tool'")


def test_what_cannot_be_a_path_gets_a_sentence() -> None:
    assert re.search("cannot be read: .*embedded null", refusal("x\0"))
    assert "cannot be read: File name too long" in refusal("x" * 5000 + "/")


# ---- folders -------------------------------------------------------------------------------------


def test_a_folder_is_packed_without_what_is_not_the_programs(tmp_path: Path) -> None:
    put(tmp_path, {"main.py": MAIN, "pkg/__init__.py": "", "pkg/mod.py": "x = 1"})
    put(
        tmp_path,
        {".hidden.py": "", ".git/config.py": "", "pkg/__pycache__/x.py": "", "venv/m.py": ""},
    )
    (tmp_path / "pkg" / "mod.pyc").touch()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "é.csv").write_bytes(b"1,2")
    (tmp_path / "out" / "plots").mkdir(parents=True)
    (tmp_path / "out" / "plots" / ".gitkeep").touch()
    os.mkfifo(tmp_path / "fifo")
    source = read_source(tmp_path)
    assert names(source) == ["data/é.csv", "main.py", "out/plots/", "pkg/__init__.py", "pkg/mod.py"]
    assert zipfile.ZipFile(io.BytesIO(source)).read("data/é.csv") == b"1,2"
    assert host.program_file(source) == host.ARCHIVE_FILE


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one, {"main.py": MAIN, "a.py": "1", "b/c.py": "2"})
    put(two, {"b/c.py": "2", "a.py": "1", "main.py": MAIN})
    os.utime(two / "a.py", (0, 0))
    (two / "a.py").chmod(0o600)
    assert read_source(one) == read_source(two) == read_source(str(one) + "/")
    (two / "a.py").chmod(0o700)
    assert read_source(one) != read_source(two)  # it can be executed now
    (one / "a.py").write_text("3")
    (two / "a.py").chmod(0o600)
    assert read_source(one) != read_source(two)


@pytest.mark.parametrize("name", ["main.py", "main/__init__.py"])
def test_the_main_module_of_a_folder_is_checked(name: str, tmp_path: Path) -> None:
    put(tmp_path, {name: "x = 1"})
    where = str(tmp_path / name)
    assert refusal(tmp_path).startswith(f"{where!r} has no main")
    put(tmp_path, {name: "def"})
    assert refusal(tmp_path).startswith(f"{where!r} is not Python: ")
    put(tmp_path, {name: MAIN})
    read_source(tmp_path)


def test_of_two_main_modules_the_one_that_python_takes_is_checked(tmp_path: Path) -> None:
    put(tmp_path, {"main.py": "x = 1", "main/__init__.py": MAIN})
    read_source(tmp_path)


def test_a_folder_without_a_main_module_gets_a_sentence(tmp_path: Path) -> None:
    put(tmp_path, {"other.py": MAIN, "sub/main.py": MAIN})
    assert re.search("has no main module: put a file main.py there", refusal(tmp_path))


def test_links_inside_of_the_folder_are_packed_as_what_they_lead_to(tmp_path: Path) -> None:
    folder = put(tmp_path / "f", {"main.py": MAIN, "pkg/mod.py": "x = 1"})
    (folder / "again").symlink_to("pkg")
    (folder / "pkg" / "start.py").symlink_to("../main.py")
    (folder / "absolute.py").symlink_to(folder / "main.py")
    link = tmp_path / "link"
    link.symlink_to("f")
    source = read_source(link)
    assert names(source) == [
        *("absolute.py", "again/mod.py", "again/start.py", "main.py"),
        *("pkg/mod.py", "pkg/start.py"),
    ]
    assert zipfile.ZipFile(io.BytesIO(source)).read("again/start.py") == MAIN.encode()
    assert program_name(link, source).startswith("link-")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("../outside", "the link 'pkg/link' leads out of it, to '.*/outside'; "),
        ("../../f-too/x.py", "the link 'pkg/link' leads out of it"),
        ("nothing", "the link 'pkg/link' leads to nothing"),
        ("link", "the link 'pkg/link' leads to nothing"),
        (".", "the link 'pkg/link' leads back to a folder that it is in"),
        ("..", "the link 'pkg/link' leads back to a folder that it is in"),
    ],
)
def test_other_links_are_refused(target: str, says: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "f", {"main.py": MAIN, "pkg/mod.py": ""})
    put(tmp_path / "f-too", {"x.py": ""})
    target = target.replace("../outside", str(tmp_path / "outside"))
    (tmp_path / "outside").mkdir()
    (folder / "pkg" / "link").symlink_to(target)
    assert re.search(f"f' cannot be packed: {says}", refusal(folder))


def test_a_folder_that_is_too_large_names_its_biggest_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"main.py": MAIN})
    for index, size in enumerate([5 << 20, 30 << 20, 1 << 20, 12 << 20]):
        with open(tmp_path / f"data{index}", "wb") as file:
            file.truncate(size)  # takes no room
    read_source(tmp_path)
    monkeypatch.setattr(programs, "MAX_FOLDER_BYTES", 40 << 20)
    assert re.search(
        r"cannot be packed: it has more than 40 MiB; the biggest files are 'data1' \(30 MiB\), "
        r"'data3' \(12 MiB\), 'data0' \(5.0 MiB\): give",
        refusal(tmp_path),
    )


def test_the_packed_size_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {"main.py": MAIN})
    (tmp_path / "noise").write_bytes(os.urandom(200_000))
    monkeypatch.setattr(programs, "MAX_SOURCE_BYTES", 150_000)
    assert re.search(r"more than 0.1 MiB, packed; the biggest files are 'noise'", refusal(tmp_path))
    (tmp_path / "noise").write_bytes(bytes(200_000))
    assert len(read_source(tmp_path)) < 2000


def test_a_folder_with_very_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "MAX_FOLDER_ENTRIES", 3)
    put(tmp_path, {"main.py": MAIN, "a.py": "", "b.py": ""})
    read_source(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "it has more than 3 files" in refusal(tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {"main.py": MAIN})
    try:
        open(os.path.join(os.fsencode(tmp_path), b"\xff"), "wb").close()
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    assert r"the name '\udcff' is not UTF-8" in refusal(tmp_path)


def test_what_fits_here_fits_the_service_and_its_children() -> None:
    assert programs.MAX_FOLDER_BYTES <= host.MAX_UNPACKED_BYTES
    assert programs.MAX_FOLDER_ENTRIES <= host.MAX_UNPACKED_ENTRIES
    assert programs.MAX_SOURCE_BYTES * 4 / 3 < MAX_BODY_BYTES - (1 << 20)  # the rest of the body


# ---- modules -------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every Python looks for modules."""
    folder = tmp_path / "installed"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.mark.parametrize(
    "source",
    [MAIN, "from .other import main", "def __getattr__(name): return print", "from .x import *"],
)
def test_a_module_is_a_line_that_imports_its_main(source: str, installed: Path) -> None:
    put(installed, {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/mod.py": source})
    assert read_source("pkg.sub.mod") == b"from pkg.sub.mod import main\n"


def test_a_package_and_a_module_below_a_bare_folder_can_be_programs(installed: Path) -> None:
    put(installed, {"pkg/__init__.py": MAIN, "bare/sub/mod.py": MAIN})
    assert read_source("pkg") == b"from pkg import main\n"
    assert read_source("bare.sub.mod") == b"from bare.sub.mod import main\n"
    assert refusal("bare.sub").startswith("The module 'bare.sub' has no main: ")


def test_a_module_in_an_archive_can_be_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("zipped.py", MAIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib.zip"))
    assert read_source("zipped") == b"from zipped import main\n"


def test_looking_for_a_module_executes_nothing_of_it(installed: Path) -> None:
    mark = installed / "mark"
    code = f"open({str(mark)!r}, 'w').close()\n"
    put(
        installed,
        {"pkg/__init__.py": code, "pkg/sub/__init__.py": code, "pkg/sub/mod.py": code + MAIN},
    )
    read_source("pkg.sub.mod")
    refusal("pkg.sub.none")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pkg.empty", r"The module 'pkg.empty' \(.*empty.py\) has no main: a program needs"),
        ("pkg.wrong", "wrong.py' is not Python: "),
        ("pkg.latin", "The module 'pkg.latin' cannot be read: "),
        ("pkg.none", "There is no module 'pkg.none' that Python can import, though there is 'pkg'"),
        ("pkg.none.x", "There is no module 'pkg.none.x' .*: it does not find 'pkg.none'"),
        ("pkg.empty.x", "There is no module 'pkg.empty.x' that Python can import, though"),
        ("none", "There is no file, folder or module 'none': a program is a Python file, a folder"),
        ("none.x", "There is no module 'none.x' that Python can import: it does not find 'none'"),
        ("sys", r"The module 'sys' \(built-in\) has no main"),
        ("__main__", "There is no file, folder or module '__main__'"),
    ],
)
def test_a_module_that_is_no_program_gets_a_sentence(name: str, says: str, installed: Path) -> None:
    put(installed, {"pkg/__init__.py": "", "pkg/empty.py": "", "pkg/wrong.py": "def"})
    (installed / "pkg" / "latin.py").write_bytes(b"# \xe9\n")
    assert re.search(says, refusal(name))


def test_a_module_in_the_current_directory_is_to_be_passed_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"pkg/__init__.py": "", "pkg/mod.py": MAIN, "mod.py": MAIN})
    monkeypatch.chdir(tmp_path)
    assert re.search(
        "The module 'pkg.mod' is in the current directory, where the Python of a job does not "
        "look: pass the folder or the file instead, 'pkg/mod.py'",
        refusal("pkg.mod"),
    )
    assert "instead, 'mod.py'" in refusal("mod")
    monkeypatch.setenv("PYTHONPATH", ".")  # which is another folder in a job
    assert "instead, 'mod.py'" in refusal("mod")


def test_a_module_that_only_this_process_finds_is_to_be_passed_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"added/__init__.py": MAIN})
    monkeypatch.syspath_prepend(tmp_path)
    said = refusal("added")
    assert f"is in {str(tmp_path)!r}, where the Python of a job does not look" in said
    assert f"instead, {str(tmp_path / 'added' / '__init__.py')!r}" in said


def test_a_file_or_folder_comes_before_a_module(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(installed, {"both.py": MAIN})
    put(tmp_path, {"both/main.py": MAIN})
    monkeypatch.chdir(tmp_path)
    assert names(read_source("both")) == ["main.py"]


def test_what_starts_along_with_python_may_write(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(installed, {"pkg.py": MAIN, "sitecustomize.py": "print('hello', end='')"})
    assert read_source("pkg") == b"from pkg import main\n"
    put(installed, {"sitecustomize.py": "import os; os._exit(3)"})
    assert re.search("It cannot be found out whether there is a module 'pkg'", refusal("pkg"))


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "source", "name"),
    [
        ("ground état.v2.py", b"x", "ground-tat-v2"),
        ("some/where/p.py", b"x", "p"),
        (Path("p.py"), b"x", "p"),
        ("é" * 50 + ".py", b"x", "program"),
        ("x" * 50, b"x", "x" * 40),
        ("\udcff.py", b"x", "program"),
        ("pkg.sub.mod", b"from pkg.sub.mod import main\n", "pkg-sub-mod"),
        ("some/ground.state/", b"PK\x03\x04", "ground-state"),
        ("text\n", b"text\n", "program"),
        (b"text", b"text", "program"),
    ],
)
def test_a_name_is_readable_and_changes_with_the_content_only(
    given: str | bytes | Path, source: bytes, name: str
) -> None:
    first = program_name(given, source)
    assert re.fullmatch(re.escape(name) + "-[0-9a-f]{12}", first)
    assert len(first) <= 64
    assert first == program_name(given, source)
    assert first != program_name(given, source + b" ")


def test_the_current_directory_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    assert program_name(".", b"PK\x03\x04").startswith("study-")


def test_what_reads_programs_is_imported_when_it_is_needed() -> None:
    code = "import adapters.programs, sys; print('symtable' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout == b"False\n"
