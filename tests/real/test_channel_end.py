"""The end of a connection, as the service sees it."""

from __future__ import annotations

import threading

import pytest
from conditions import PATIENCE
from stream_service import Peer, StreamService

BREACH = b"\xff\xff"
MORE = b"x" * 65_536


class Breaks:
    """A play: breach the protocol, send more, and only then see what the client said."""

    def __init__(self, breach: bytes = BREACH) -> None:
        self.breach = breach
        self.codes: list[int] = []
        self.error: OSError | None = None
        self.done = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.accept()
        try:
            peer.raw(self.breach)
            for _ in range(64):
                peer.raw(MORE)
            peer.until_gone()
        except OSError as error:
            self.error = error
        for data in peer.heard:
            self.codes.append(int.from_bytes(unmasked(data)[:2], "big"))
        self.done.set()


def finishes(peer: Peer) -> None:
    peer.accept()
    peer.service.status = "Completed"
    peer.close()


def unmasked(frame: bytes) -> bytes:
    """The payload of a short frame of the client's."""
    key = frame[2:6]
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(frame[6:]))


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("breach", "code"),
    [(BREACH, 1002), (b"\x81\x02\xff\xff", 1007), (b"\x82\x7f\x10" + bytes(7), 1009)],
)
def test_trap_after_a_breach_the_close_frame_arrives(breach: bytes, code: int, tls: bool) -> None:
    play = Breaks(breach)
    with StreamService(play, finishes, tls=tls) as service, service.job() as job:
        assert list(job.interim_results()) == []
        assert play.done.wait(PATIENCE)
    assert play.error is None
    assert play.codes == [code]
