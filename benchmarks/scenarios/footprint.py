"""What packages cost before they do anything: their import, their place on the disk."""

from __future__ import annotations

from _runner import Contender, Role, Scenario, Target

from scenarios.people import IBM_RUNTIME, IBMQ, ORIGINAL

_OURS = ".venv-bench-ours"

OURS = Contender("ours", "packages", Role.OURS, _OURS, "ours")
AT_WORK = Contender(
    "ours, with what a first job loads", "packages", Role.OURS, _OURS, "ours-at-work", quick=False
)
CORE = Contender("ours, the core alone", "packages", Role.OURS, _OURS, "ours-core")
PEERS = (
    Contender(ORIGINAL, "packages", Role.PEER, IBMQ, "ibmq"),
    Contender("qiskit-ibm-runtime", "packages", Role.PEER, IBM_RUNTIME, "ibm-runtime"),
)

IMPORT = Scenario(
    name="import",
    title="Import",
    unit="ms",
    contenders=(OURS, AT_WORK, CORE, *PEERS),
    about=(
        "How much longer a fresh interpreter runs that imports what a program needs to run jobs, "
        "than one of the same environment that imports nothing, in turns; and how many more "
        "modules it has loaded. Byte code and files are in their caches: the first round warms "
        "them. Of the time of ours, attrs and logging are three quarters, our own modules a "
        "quarter, half of that errors, which are attrs classes "
        "(`python benchmarks/profiling.py import`). What speaks HTTP and websockets and what jobs "
        "are made of is not in it: that is loaded when a `RuntimeService` is made, before it asks "
        "anything. The second row has it, and so all that a program has paid for by the end of its "
        "first job: urllib3 is a quarter of that, attrs and logging a sixth, wsproto a tenth, and "
        "nearly half our own modules, half of that the making of 110 attrs classes."
    ),
    targets=(Target("import in a tenth of the best peer's time", 0.1, "best peer"),),
    args={"runs": 3},
    quick_args={"runs": 1},
    details={"modules": "modules", "whole": "whole process, ms", "bare": "bare process, ms"},
)

INSTALLED = Scenario(
    name="installed",
    title="Installed size",
    unit="MB",
    contenders=(OURS, *PEERS),
    about=(
        "The files of all distributions of an environment in which nothing is but the package and "
        "what it needs, as their RECORDs list them, byte code included, the installer left out. "
        "Ours is installed without extras."
    ),
    targets=(
        Target("installed, under 10 MB", 10),
        Target("installed, under 12 distributions", 11, of="distributions"),
    ),
    details={"distributions": "distributions"},
    rounds=1,
    quick_rounds=1,
)

SCENARIOS = (IMPORT, INSTALLED)
