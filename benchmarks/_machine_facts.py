"""Where a benchmark ran: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import attrs


@attrs.frozen
class MachineFacts:
    """The machine, as it was when it was asked."""

    cpu: str
    """The processor's name."""
    cores: int
    """How many processors this process may use."""
    memory_gib: float
    """Memory of the machine."""
    system: str
    """The kernel."""
    python: str
    """The interpreter that ran ours."""
    load: tuple[float, float, float]
    """The load averages over 1, 5 and 15 minutes."""
    when: str
    """The time, in UTC."""


def machine_facts() -> MachineFacts:
    """Look at this machine."""
    return MachineFacts(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _all_cores(),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        load=os.getloadavg(),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _all_cores() -> int:
    return os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
