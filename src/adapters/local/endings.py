"""How the process of a program ends: how long it has for it, and the sentences that say it.

Of the standard library only: what is shipped to other machines imports this too.
"""

from __future__ import annotations

import signal

GRACE = 3.0
"""The seconds that a process group has between SIGTERM and SIGKILL, and a process to exit in after
its main() has returned."""


def ran_too_long(limit: int) -> str:
    """Say that the program was ended after its `limit` seconds."""
    return f"The program ran longer than its {limit} s and was ended."


def death(returncode: int) -> str:
    """Say how a process ended that reported neither a result nor a failure.

    Args:
        returncode: as `subprocess` has it: less than 0 for a signal.
    """
    if returncode >= 0:
        return (
            f"The program's process ended with exit code {returncode} before main() returned. "
            "The logs of the job may say more."
        )
    try:
        name = f" ({signal.Signals(-returncode).name})"
    except ValueError:
        name = ""
    usual = " Running out of memory is a usual reason." if returncode == -signal.SIGKILL else ""
    return f"The program's process was ended by signal {-returncode}{name}.{usual}"
