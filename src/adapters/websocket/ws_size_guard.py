"""The limit of a message, met before any of it is kept."""

from __future__ import annotations

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

_NO_BITS = RsvBits(rsv1=False, rsv2=False, rsv3=False)
"""None of the reserved bits is ours: wsproto fails a frame that has one."""


class SizeGuard(Extension):
    """Refuses a message by the lengths in its frames' headers, before a payload byte is kept.

    An extension, because wsproto shows a header's length to these only. It is never offered to the
    peer, and changes nothing of what passes.
    """

    name = "size-guard"

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._message_bytes = 0
        self._is_data = False

    def enabled(self) -> bool:
        """Say that it is in use, or wsproto would drop it."""
        return True

    def offer(self) -> bool:
        """Say that it is not for the peer."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's signature
        opcode: Opcode,
        rsv: RsvBits,  # noqa: ARG002
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Called once for each frame, as soon as its header is complete."""
        self._is_data = not opcode.iscontrol()
        if self._is_data:
            before = self._message_bytes if opcode is Opcode.CONTINUATION else 0
            self._message_bytes = before + payload_length
            if self._message_bytes > self._max_bytes:
                return CloseReason.MESSAGE_TOO_BIG
        return _NO_BITS

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002
        fin: bool,
    ) -> bytes | CloseReason | None:
        """Called once for each frame, at its end: after a message, a continuation begins at 0."""
        if fin and self._is_data:
            self._message_bytes = 0
        return None
