"""Writes a log of a job on a Ray cluster to its end, after what wrote it is gone.

Ray's log stream ends only as it fails to send: a reader that has left is found out two writes
later. Until then it takes one of the hundred places that a head has for all readers of logs, and
for its state API; and after the end of the job nothing would be written any more. So something is,
by a shell that outlives the job for some seconds. It also says that nothing else will follow, where
a job was killed before it could.

This file runs where this project is not installed: it imports the standard library only, and Python
3.8 can read it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

# How many seconds lie before each write: readers far away, and slow ones, leave later.
_PAUSES = "0 1 1 2 4"

# The shell waits for the end of a pipe, so for that of the process that has the other end. It is no
# descendant of that any more, all of which Ray ends with it.
_SCRIPT = """
exec 3<&0
(
    read -r nothing <&3
    exec 3<&-
    for pause in $2; do
        sleep "$pause"
        printf "%s\\n" "$1"
    done
) &
"""


def end_the_log(frame: bytes, pauses: str = _PAUSES) -> None:
    """See to it that this frame is written when this process is gone, once after each pause.

    Without a shell nothing is.
    """
    ended, _ = os.pipe()  # the other end stays open as long as this process lives
    text = frame.decode("ascii").rstrip("\n")  # the shell writes the line break
    with contextlib.suppress(OSError):
        subprocess.run(  # noqa: S603 - a script of ours
            ["/bin/sh", "-c", _SCRIPT, "sh", text, pauses],
            stdin=ended,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )
    os.close(ended)
