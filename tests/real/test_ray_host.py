"""Programs as a Ray cluster runs them, without Ray: a package, a shell, and one file for a log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import venv
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import attrs
import pytest
from conditions import PATIENCE, eventually

from adapters.local.processes import identity_of
from adapters.programs import read_source
from adapters.ray import ray_host
from adapters.ray.log_events import LogEvent, Published, Raised, Returned
from adapters.ray.log_frames import FrameReader, printed
from adapters.ray.package import ENTRYPOINT, FOLDER, Order, order_env, pack_program

NONCE = "5e1f0c2a"


@attrs.frozen
class Ended:
    """What a job has left behind."""

    exit_code: int
    events: list[LogEvent]
    output: str

    @property
    def result(self) -> Any:
        assert isinstance(self.events[-1], Returned), self
        assert self.exit_code == 0
        return json.loads(self.events[-1].text)

    @property
    def reason(self) -> str:
        assert isinstance(self.events[-1], Raised), self
        assert self.exit_code == 1
        return self.events[-1].reason

    @property
    def interim(self) -> list[Any]:
        return [json.loads(event.text) for event in self.events if isinstance(event, Published)]


class Job:
    """One job, as Ray starts it."""

    def __init__(self, cluster: Cluster, package: Path, order: Order) -> None:
        self._log = cluster.root / f"{order.job_id}.log"
        self._nonce = order.nonce
        with self._log.open("ab") as log:
            log.write(b"Running entrypoint for job\n")
            log.flush()
            self.process = subprocess.Popen(
                ENTRYPOINT,
                shell=True,
                start_new_session=True,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=package,
                env={**cluster.environment(package), **order_env(order)},
            )

    @property
    def log(self) -> bytes:
        return self._log.read_bytes()

    @property
    def output(self) -> str:
        return printed(self.log, self._nonce).decode()

    def until_printed(self, text: str) -> None:
        assert eventually(lambda: text in self.output), self.log

    def ended(self) -> Ended:
        exit_code = self.process.wait(PATIENCE)
        return Ended(exit_code, FrameReader(self._nonce).feed(self.log), self.output)


class Cluster:
    """What there is of a cluster: a bare Python, a folder for temporary files, and one for Ray."""

    def __init__(self, root: Path, python: Path) -> None:
        self.root = root
        self.python = python
        self.temporary = root / "tmp"
        self.temporary.mkdir()
        self.variables: dict[str, str] = {}
        self.jobs: list[Job] = []

    def environment(self, package: Path) -> dict[str, str]:
        return {
            "PATH": f"{self.python}:/usr/bin:/bin",
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(package),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.variables,
        }

    def unpacked(self, source: bytes | str, order: Order) -> Path:
        """Unpack a package as Ray does: executables are not executable any more."""
        data = textwrap.dedent(source).encode() if isinstance(source, str) else source
        packed = pack_program(data, order)
        package = self.root / packed.name.removesuffix(".zip")
        if not package.exists():
            zipfile.ZipFile(BytesIO(packed.data)).extractall(package)
            # A process that does not end after its main() has three seconds; tests are in a hurry.
            endings = package / FOLDER / "adapters" / "local" / "endings.py"
            endings.write_text(endings.read_text().replace("GRACE = 3.0", "GRACE = 1.0"))
        return package

    def start(self, source: bytes | str, /, max_time: int | None = None, **inputs: Any) -> Job:
        job_id = f"j{len(self.jobs)}"
        order = Order(NONCE + job_id, job_id, json.dumps(inputs), "here", max_time=max_time)
        job = Job(self, self.unpacked(source, order), order)
        self.jobs.append(job)
        return job

    def run(self, source: bytes | str, /, max_time: int | None = None, **inputs: Any) -> Ended:
        return self.start(source, max_time, **inputs).ended()

    @property
    def left(self) -> list[str]:
        return os.listdir(self.temporary)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with nothing installed."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, symlinks=True, with_pip=False)
    return folder / "bin"


@pytest.fixture
def cluster(tmp_path: Path, bare_python: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, bare_python)
    yield cluster
    for job in cluster.jobs:
        if job.process.poll() is None:
            os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()


def is_gone(pid: int) -> bool:
    return eventually(lambda: identity_of(pid) is None)


def put(folder: Path, **files: str) -> bytes:
    """Write files, and pack them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return read_source(folder)


# ---- what a program says -------------------------------------------------------------------------


def test_a_program_publishes_prints_and_returns(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        import os, sys
        def main(backend, user_messenger, count):
            print("on", backend.name, end="", flush=True)
            for number in range(count):
                user_messenger.publish({"number": number})
            print(" with", os.environ["RUNTIME_CORE_JOB"], file=sys.stderr)
            ours = [folder for folder in sys.path if os.path.exists(folder + "/host.py")]
            return {"prefix": sys.prefix, "at": 1j, "ours": ours}
        """,
        count=3,
    )
    assert ended.interim == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert ended.output == "on here with j0\n"
    assert ended.result["prefix"] == str(cluster.python.parent)  # and so it has no attrs
    assert ended.result["at"]["__type__"] == "complex"
    assert ended.result["ours"] == []  # where `import frames` would find a module of ours
    assert cluster.left == []


def test_what_was_printed_before_an_interim_result_stands_before_it(cluster: Cluster) -> None:
    job = cluster.start(
        """
        import os, signal
        def main(backend, user_messenger):
            os.kill(os.getppid(), signal.SIGSTOP)  # so that it finds all of this at once
            user_messenger.publish(0)
            print("some words")
            user_messenger.publish(1)
            os.kill(os.getppid(), signal.SIGCONT)
        """
    )
    job.ended()
    before, words, _ = job.log.partition(b"some words\n")
    assert words
    assert Published(1, "1") not in FrameReader(NONCE + "j0").feed(before)


def test_many_interim_results_and_a_large_result_arrive_whole(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        import threading
        def main(backend, user_messenger):
            def publish(kind):
                for number in range(2000):
                    user_messenger.publish([kind, number])
            threads = [threading.Thread(target=publish, args=(kind,)) for kind in "ab"]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            user_messenger.publish("é" * 1_000_000)
            return "x" * 12_000_000
        """
    )
    for kind in "ab":
        numbers = [item[1] for item in ended.interim if item[0] == kind]
        assert numbers == list(range(2000))
    assert ended.interim[-1] == "é" * 1_000_000
    assert ended.result == "x" * 12_000_000


def test_prints_of_every_kind_come_back(cluster: Cluster) -> None:
    ended = cluster.run(
        r"""
        import os, subprocess, sys
        def main(backend, user_messenger):
            os.write(1, b"\xff\xfe bytes\n")
            print("words", "é", "\udcff", flush=True)
            subprocess.run(["sh", "-c", "echo a shell; echo its errors >&2"])
            subprocess.run([sys.executable, "-c", "print('another Python')"])
            os.write(2, b"half a line")
            user_messenger.publish(1)
            print(" and its rest")
            print("5 %\r10 %\r\n", end="")
            print("\n\x1e5e1f0c2a{\"q\":0,\"k\":\"result\",\"p\":0,\"n\":1,\"d\":\"1\"}")
            if os.fork() == 0:
                print("a fork")
                sys.stdout.flush()
                os._exit(0)
            os.wait()
            print("x" * 5_000_000)
            os.write(1, b"\xc3")
            return 2
        """
    )
    assert ended.result == 2
    assert ended.output.splitlines() == [
        "\\xff\\xfe bytes",
        "words é \\udcff",
        "a shell",
        "its errors",
        "another Python",
        "half a line and its rest",
        "5 %",
        "10 %",
        "",
        "",  # splitlines() takes the record separator for a line break as well
        '5e1f0c2a{"q":0,"k":"result","p":0,"n":1,"d":"1"}',
        "a fork",
        "x" * 5_000_000,
        "\\xc3",
    ]
    assert max(map(len, cluster.jobs[0].log.split(b"\n"))) < 20_000


# ---- how a program ends --------------------------------------------------------------------------


def test_a_traceback_is_as_the_author_knows_the_program(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        def halve(number):
            return number / 0
        def main(backend, user_messenger):
            print("before")
            halve(1)
        """
    )
    assert ended.reason.splitlines()[:4] == [
        "Traceback (most recent call last):",
        '  File "program.py", line 6, in main',
        "    halve(1)",
        '  File "program.py", line 3, in halve',
    ]
    assert ended.reason.endswith("ZeroDivisionError: division by zero\n")
    assert ended.output == "before\n"
    assert cluster.left == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "os.kill(os.getpid(), 9)",
            "ended by signal 9 (SIGKILL). Running out of memory is a usual",
        ),
        ("os._exit(3)", "ended with exit code 3 before main() returned"),
        ("return object()", "The result cannot be encoded: "),
        ("sys.exit('enough')", "SystemExit: enough"),
        ("os.write(int(sys.orig_argv[-1]), b'x' * 20)", "carried something that is no report"),
    ],
)
def test_every_end_has_its_sentence(cluster: Cluster, line: str, reason: str) -> None:
    ended = cluster.run(
        f"""
        import os, sys, time
        def main(backend, user_messenger):
            user_messenger.publish(1)
            print("last words", flush=True)
            {line}
            time.sleep(60)
        """
    )
    assert reason in ended.reason
    assert ended.interim == [1]
    assert ended.output == "last words\n"
    assert cluster.left == []


def test_a_process_that_dies_before_it_has_its_inputs_has_its_sentence(cluster: Cluster) -> None:
    (cluster.root / "sitecustomize.py").write_text("import os\nos._exit(7)\n")
    cluster.variables["PYTHONPATH"] = str(cluster.root)
    ended = cluster.run("def main(backend, user_messenger, text): pass", text="x" * 1_000_000)
    assert "exit code 7 before main() returned" in ended.reason
    assert ended.output == ""  # no words of ours


def test_a_program_that_runs_too_long_is_ended(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        import signal, time
        def main(backend, user_messenger):
            signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
            while True:
                time.sleep(60)
        """,
        max_time=1,
    )
    assert ended.reason == "The program ran longer than its 1 s and was ended."
    assert ended.output == "no\n"
    assert cluster.left == []


def test_a_result_stands_though_the_process_does_not_end(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        import threading, time
        def main(backend, user_messenger):
            threading.Thread(target=time.sleep, args=(60,)).start()
            return "done"
        """
    )
    assert ended.result == "done"


def test_a_daemon_that_holds_the_pipes_does_not_hold_up_the_end(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        import subprocess, sys
        def main(backend, user_messenger):
            daemon = subprocess.Popen(["sleep", "60"], start_new_session=True)
            return daemon.pid
        """
    )
    daemon = ended.result
    assert identity_of(daemon) is not None
    os.kill(daemon, signal.SIGKILL)
    assert is_gone(daemon)


def test_what_a_program_leaves_in_its_group_is_ended(cluster: Cluster) -> None:
    ended = cluster.run(
        """
        import subprocess
        def main(backend, user_messenger):
            return subprocess.Popen(["sleep", "60"]).pid
        """
    )
    assert is_gone(ended.result)


# ---- how Ray stops a job -------------------------------------------------------------------------

ENDLESS = """
import os, signal, sys, time
def stop(*_):
    print("stopping", flush=True)
    if not stubborn:
        sys.exit()
def main(backend, user_messenger, ignores):
    global stubborn
    stubborn = ignores
    signal.signal(signal.SIGTERM, stop)
    print(os.getpid(), flush=True)
    print("there", flush=True)
    while True:
        time.sleep(60)
"""


def started(cluster: Cluster, source: str, **inputs: Any) -> tuple[Job, int]:
    """Give a job that runs, and the number of the program's process."""
    job = cluster.start(source, **inputs)
    job.until_printed("there\n")
    return job, int(job.output.split()[0])


def test_a_program_that_ends_when_it_is_told_has_last_words(cluster: Cluster) -> None:
    job, pid = started(cluster, ENDLESS, ignores=False)
    for process in (job.process.pid, pid):  # as Ray does it: one by one
        os.kill(process, signal.SIGTERM)
    ended = job.ended()
    assert ended.output.endswith("there\nstopping\n")
    assert ended.reason == "The program's process was ended by signal 15 (SIGTERM)."
    assert is_gone(pid)
    assert cluster.left == []


def test_a_program_that_ignores_it_is_ended_before_ray_ends_all(cluster: Cluster) -> None:
    cluster.variables["RAY_JOB_STOP_WAIT_TIME_S"] = "2"
    job, pid = started(cluster, ENDLESS, ignores=True)
    for process in (job.process.pid, pid):
        os.kill(process, signal.SIGTERM)
    ended = job.ended()
    assert ended.output.endswith("there\nstopping\n")
    assert ended.reason == "The program's process was ended by signal 15 (SIGTERM)."
    assert is_gone(pid)
    assert cluster.left == []


def test_a_stop_that_only_the_first_process_hears_ends_all(cluster: Cluster) -> None:
    cluster.variables["RAY_JOB_STOP_WAIT_TIME_S"] = "2"
    job, pid = started(cluster, ENDLESS, ignores=True)
    os.killpg(job.process.pid, signal.SIGTERM)
    ended = job.ended()
    assert "signal 15 (SIGTERM)" in ended.reason
    assert is_gone(pid)
    assert cluster.left == []


def test_a_program_does_not_outlive_the_one_that_started_it(cluster: Cluster) -> None:
    job, pid = started(cluster, ENDLESS, ignores=True)
    os.killpg(job.process.pid, signal.SIGKILL)
    assert is_gone(pid)
    assert job.process.wait(PATIENCE) == -signal.SIGKILL
    assert FrameReader(NONCE + "j0").feed(job.log) == []
    assert len(cluster.left) == 1  # there was nobody to remove it
    assert cluster.run("def main(backend, user_messenger): return 1").result == 1
    assert cluster.left == []


# ---- where a program runs ------------------------------------------------------------------------


def test_a_folder_is_there_with_all_that_it_has(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "empty").mkdir(parents=True)
    (folder / "tool").write_text("#!/bin/sh\necho a tool\n")
    (folder / "tool").chmod(0o755)
    source = put(
        folder,
        **{
            "main.py": """
                import os, subprocess
                import program, tempfile
                from parts.first import value
                def main(backend, user_messenger):
                    subprocess.run(["./tool"], check=True)
                    text = open("data/numbers.txt").read()
                    return [value, text, sorted(os.listdir()), program.NAME, tempfile.MINE]
            """,
            "program.py": "NAME = __name__\n",
            "tempfile.py": "MINE = True\n",
            "parts/first.py": "value = 'first'\n",
            "data/numbers.txt": "1 2 3",
        },
    )
    ended = cluster.run(source)
    files = ["__pycache__", "data", "empty", "main.py", "parts", "program.py"]
    files += ["tempfile.py", "tool"]
    assert ended.result == ["first", "1 2 3", files, "program", True]
    assert ended.output == "a tool\n"


def test_a_failure_in_a_folder_has_the_names_of_its_files(cluster: Cluster, tmp_path: Path) -> None:
    source = put(
        tmp_path / "mine",
        **{
            "main.py": "from parts.first import fail\ndef main(backend, user_messenger): fail()\n",
            "parts/first.py": "def fail(): raise ValueError('on purpose')\n",
        },
    )
    lines = cluster.run(source).reason.splitlines()
    assert '  File "main.py", line 2, in main' in lines
    assert '  File "parts/first.py", line 1, in fail' in lines


def test_jobs_of_one_package_do_not_see_each_other(cluster: Cluster) -> None:
    source = """
        import os, time
        def main(backend, user_messenger, name):
            open(name, "w").close()
            open("program.py", "a").write("#")
            print("there", flush=True)
            while not os.path.exists(os.path.join(os.environ["TMPDIR"], "go")):
                time.sleep(0.01)
            return sorted(os.listdir())
        """
    jobs = [cluster.start(source, name=name) for name in "ab"]
    for job in jobs:
        job.until_printed("there\n")
    (cluster.temporary / "go").touch()
    assert [job.ended().result for job in jobs] == [["a", "program.py"], ["b", "program.py"]]
    assert cluster.left == ["go"]
    (shared,) = (path for path in cluster.root.iterdir() if path.name.startswith("_ray_pkg_"))
    assert not (shared / "program.py").read_text().endswith("#")


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_inputs_of_every_size_arrive(cluster: Cluster, size: int) -> None:
    ended = cluster.run(
        """
        import os
        def main(backend, user_messenger, text):
            return [len(text), sorted(os.environ)]
        """,
        text="x" * size,
    )
    length, names = ended.result
    assert length == size
    assert {"RUNTIME_CORE_JOB", "PATH", "TMPDIR"} <= set(names)
    # Nothing of ours that is not the program's, nothing that Ray set for the entrypoint alone.
    assert not [name for name in names if name.startswith(("RUNTIME_CORE_RAY", "PYTHON"))]


def test_workers_of_ray_are_not_told_the_order(cluster: Cluster) -> None:
    variable = "RAY_JOB_CONFIG_JSON_ENV_VAR"
    told = {"env_vars": {ray_host.NONCE_VARIABLE: NONCE, "MINE": "1", "PYTHONUNBUFFERED": "1"}}
    cluster.variables[variable] = json.dumps({"runtime_env": told, "metadata": {"a": "b"}})
    cluster.variables["PYTHONPATH"] = f"/somewhere:{cluster.root}"
    ended = cluster.run(
        f"""
        import os
        def main(backend, user_messenger):
            wanted = ("{variable}", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
            return [os.environ.get(name) for name in wanted]
        """
    )
    config, unbuffered, not_written, path = ended.result
    assert json.loads(config) == {
        "runtime_env": {"env_vars": {"MINE": "1", "PYTHONUNBUFFERED": "1"}},
        "metadata": {"a": "b"},
    }
    assert (unbuffered, not_written) == ("1", None)  # the one was asked for
    assert path == f"/somewhere:{cluster.root}"


# ---- the cluster's Python ------------------------------------------------------------------------


def test_a_python_that_is_too_old_is_named(cluster: Cluster) -> None:
    source = "def main(backend, user_messenger): pass"
    package = cluster.unpacked(source, Order(NONCE, "j0", "{}"))
    file = package / FOLDER / "ray_host.py"
    text = file.read_text()
    assert text.count("(3, 11)") == 1
    file.write_text(text.replace("(3, 11)", "(99, 1)"))
    ended = cluster.run(source)
    version = ".".join(map(str, sys.version_info[:3]))
    assert ended.reason == (
        f"The cluster's Python, {cluster.python}/python, is {version}, and programs need 99.1 or "
        "newer."
    )
    assert cluster.left == []


@pytest.mark.parametrize(("version", "theirs"), [("26.1.0", True), ("23.2.0", False)])
def test_the_clusters_attrs_is_used_if_it_is_new_enough(
    tmp_path: Path, version: str, theirs: bool
) -> None:
    venv.create(tmp_path / "python", symlinks=True, with_pip=False)
    (packages,) = (tmp_path / "python" / "lib").glob("python3*/site-packages")
    installed = Path(attrs.__file__).parent.parent
    for name in ("attr", "attrs"):
        (packages / name).symlink_to(installed / name)
    (packages / f"attrs-{version}.dist-info").mkdir()
    ended = Cluster(tmp_path, tmp_path / "python" / "bin").run(
        """
        import attrs
        def main(backend, user_messenger):
            return attrs.__file__
        """
    )
    assert ended.result.startswith(str(packages)) is theirs


def test_files_that_are_missing_are_an_error_that_says_so(cluster: Cluster) -> None:
    source = "def main(backend, user_messenger): pass"
    (cluster.unpacked(source, Order(NONCE, "j0", "{}")) / "program.py").unlink()
    assert "The program could not be run: " in cluster.run(source).reason
    assert cluster.left == []
