"""Run a command where there is no network but loopback: `loopback.py COMMAND ARGUMENTS...`.

A Ray head listens with half a dozen processes, and whoever reaches them runs what he likes. Linux
gives a network of its own to root's processes, and to those of others where they may have a user
namespace. Where they may not, nothing is run: a head on Linux takes an address of the machine even
where it was told 127.0.0.1, and listens on all. On macOS a head stays at 127.0.0.1 by itself.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones (unshare(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def leave_network() -> None:
    """Go where there is only loopback, and bring that up.

    Raises:
        OSError: if this is not allowed here, or not possible.
    """
    if sys.platform != "linux":
        raise OSError("only Linux has them")
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWUSER | CLONE_NEWNET)
    if uid != 0:
        # In the new user namespace this user is root, or nothing could bring loopback up.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def main(command: list[str]) -> None:
    """Become the command."""
    try:
        leave_network()
        said = "in a network namespace that has nothing else"
    except OSError as error:
        if sys.platform == "linux":
            sys.exit(
                f"loopback: no network namespace can be made here ({error}), and without one a Ray "
                "head listens to the network: run it as root, or allow user namespaces."
            )
        said = "no network namespaces here: Ray listens at 127.0.0.1, and wants a token"
    print(f"loopback: {said}", file=sys.stderr, flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
