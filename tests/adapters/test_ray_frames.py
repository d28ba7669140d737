"""The log of a job on a Ray cluster: what is written there is read again, however it comes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ray import log_frames
from adapters.ray.frame_writer import (
    ERROR,
    INTERIM,
    MAX_CHUNK_BYTES,
    MAX_LINE,
    RESULT,
    STARTED,
    PrintedText,
    frames,
)
from adapters.ray.log_events import LogEvent, Published, Raised, Returned
from adapters.ray.log_frames import BrokenLogError, FrameReader, printed
from runtime_core.errors import TransportError

NONCE = "5e1f0c2a"
RAYS_LINES = (
    b"2026-11-26 15:33:03,165\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
    b"Running entrypoint for job j1: exec python _runtime_core/ray_host.py\n"
)


def started(nonce: str = NONCE) -> bytes:
    return b"".join(frames(nonce, 0, STARTED))


def interim(index: int, text: str, nonce: str = NONCE) -> bytes:
    return b"".join(frames(nonce, index, INTERIM, text))


def result(index: int, text: str, nonce: str = NONCE) -> bytes:
    return b"".join(frames(nonce, index, RESULT, text))


def error(index: int, text: str) -> bytes:
    return b"".join(frames(NONCE, index, ERROR, text))


def read(log: bytes, after: int = 0, nonce: str = NONCE) -> list[LogEvent]:
    return FrameReader(nonce, after).feed(log)


def fed(pieces: Iterable[bytes], after: int = 0) -> list[LogEvent]:
    reader = FrameReader(NONCE, after)
    return [event for piece in pieces for event in reader.feed(piece)]


# ---- written and read ----------------------------------------------------------------------------


def test_what_is_reported_is_read() -> None:
    log = RAYS_LINES + started() + interim(0, "1") + b"some words" + interim(1, "[2]")
    reader = FrameReader(NONCE)
    assert reader.feed(log) == [Published(0, "1"), Published(1, "[2]")]
    assert reader.outcome is None
    assert reader.feed(result(2, '{"a":1}')) == [Returned('{"a":1}')]
    assert reader.outcome == Returned('{"a":1}')


def test_a_failure_is_read() -> None:
    reader = FrameReader(NONCE)
    reason = 'Traceback (most recent call last):\n  File "program.py"\n\x1e\x00é\U0001f600'
    assert reader.feed(started() + error(0, reason)) == [Raised(reason)]
    assert reader.outcome == Raised(reason)


@pytest.mark.parametrize(
    "text",
    ["1" * 12_000_000, '"' * 300_000, "é" * 300_000, "\U0001f600" * 100_000, "\x01" * 100_000, ""],
    ids=["12 MB", "quotes", "beyond ASCII", "beyond 16 bits", "controls", "nothing"],
)
def test_long_texts_go_in_short_frames(text: str) -> None:
    written = list(frames(NONCE, 0, RESULT, text))
    assert all(len(frame) < MAX_CHUNK_BYTES + 100 for frame in written)
    assert all(frame.isascii() and frame.count(b"\n") == 2 for frame in written)
    assert fed(written) == [Returned(text)]


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, list[LogEvent], bytes]:
    """Give a log, what it reports, and what was printed."""
    output = PrintedText(NONCE)
    log = draw(st.sampled_from([b"", RAYS_LINES])) + started()
    events: list[LogEvent] = []
    raw = b""
    plain = [b"words", b"\n", b"\r", b"\xff", b"\xc3", b"\xa9", b"\x1e"]
    strange = [b"\n\x1e" + NONCE[:-1].encode(), started("other"), interim(0, "1", "other")]
    bits = st.sampled_from([*plain, *strange])
    steps = st.one_of(bits, st.text(max_size=20))
    for step in draw(st.lists(steps, max_size=12)):
        if isinstance(step, bytes):
            raw += step
            log += output.encode(step)
        else:
            log += interim(len(events), step)
            events.append(Published(len(events), step))
    log += output.encode(b"", final=True)
    end = draw(st.sampled_from([Returned("[1]"), Raised("why\n"), None]))
    if isinstance(end, Returned):
        log += result(len(events), end.text)
        events.append(end)
    elif isinstance(end, Raised):
        log += error(len(events), end.reason)
        events.append(end)
    return log, events, raw.decode(errors="backslashreplace").encode()


@given(logs(), st.data())
@settings(max_examples=150, deadline=None)
def test_however_a_log_is_cut_the_same_is_read(
    given_log: tuple[bytes, list[LogEvent], bytes], data: st.DataObject
) -> None:
    log, events, _ = given_log
    assert fed([log]) == events
    assert fed(log[at : at + 1] for at in range(len(log))) == events
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=6)))
    pieces = [log[a:b] for a, b in zip([0, *cuts], [*cuts, len(log)], strict=True)]
    assert fed(pieces) == events
    after = data.draw(st.integers(0, len(events)))
    known = [e for e in events if isinstance(e, Published) and e.index < after]
    assert known + fed(pieces, after) == events


@given(logs())
@settings(max_examples=150, deadline=None)
def test_what_is_printed_comes_back_as_it_was(
    given_log: tuple[bytes, list[LogEvent], bytes],
) -> None:
    log, _, raw = given_log
    assert printed(log, NONCE) == raw
    # As Ray's own reader has it: every line break becomes the same one.
    seen = log.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert printed(seen, NONCE) == raw.decode()


@given(logs(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_log_that_ends_early_says_the_beginning(
    given_log: tuple[bytes, list[LogEvent], bytes], data: st.DataObject
) -> None:
    log, events, raw = given_log
    cut = log[: data.draw(st.integers(log.index(started()) + len(started()), len(log)))]
    found = read(cut)
    assert found == events[: len(found)]
    shown = printed(cut, NONCE)
    # But for a frame of which so little is there that it could be anything.
    mark = b"\n\x1e" + NONCE.encode()
    rest = next(n for n in range(len(mark) - 1, -1, -1) if shown.endswith(mark[:n]))
    assert raw.startswith((shown, shown[: len(shown) - rest]))


# ---- what is printed -----------------------------------------------------------------------------


def test_what_looks_like_a_frame_of_another_job_is_printed() -> None:
    strange = interim(0, "1", "other") + result(1, "2", "5e1f0c2") + b'\n{"q":0,"k":"result"}\n'
    log = started() + strange + result(0, "3")
    assert read(log) == [Returned("3")]
    assert printed(log, NONCE) == strange


def test_a_long_line_is_broken_and_whole_again() -> None:
    line = "é" * 5_000_000 + "\nshort\n" + "x" * 40_000
    output = PrintedText(NONCE)
    data = line.encode()
    # Odd pieces: in the middle of characters, and of lines.
    log = b"".join(output.encode(data[at : at + 65_535]) for at in range(0, len(data), 65_535))
    assert max(map(len, log.decode().split("\n"))) <= MAX_LINE
    assert printed(log, NONCE) == data
    assert read(log) == []


def test_short_lines_are_not_touched() -> None:
    output = PrintedText(NONCE)
    text = ("x" * (MAX_LINE - 1) + "\n").encode()
    assert output.encode(text * 3) == text * 3


def test_half_a_character_waits_for_its_rest() -> None:
    output = PrintedText(NONCE)
    assert output.encode(b"a\xc3") == b"a"
    assert output.encode(b"\xa9") == "é".encode()
    assert output.encode(b"\xe2\x82") == b""
    assert output.encode(b"", final=True) == b"\\xe2\\x82"


def test_a_log_that_the_program_never_came_to_is_shown_whole() -> None:
    log = RAYS_LINES + b"sh: 1: exec: : Permission denied\n"
    assert printed(log, NONCE) == log


def test_rays_lines_before_the_program_are_not_shown() -> None:
    assert printed(RAYS_LINES + started() + b"mine\n", NONCE) == b"mine\n"
    assert printed((RAYS_LINES + started()).decode() + "mine\n", NONCE) == "mine\n"


def test_lines_of_rays_between_frames_do_no_harm() -> None:
    log = started() + interim(0, "1") + RAYS_LINES + interim(1, "2") + RAYS_LINES + result(2, "3")
    assert read(log) == [Published(0, "1"), Published(1, "2"), Returned("3")]


# ---- what is known already -----------------------------------------------------------------------


def test_what_is_known_is_not_even_decoded() -> None:
    unreadable = b'\n\x1e%b{"q":0,"k":"interim","p":0,"n":1,"d":"\xff"}\n' % NONCE.encode()
    log = started() + unreadable + interim(1, "2")
    assert read(log, after=1) == [Published(1, "2")]
    with pytest.raises(BrokenLogError):
        read(log)


def test_frames_that_come_again_are_passed_over() -> None:
    log = started() + interim(0, "1") + interim(1, "2")
    assert fed([log, log, interim(2, "3")]) == [
        Published(0, "1"),
        Published(1, "2"),
        Published(2, "3"),
    ]


def test_the_first_end_stands() -> None:
    reader = FrameReader(NONCE)
    reader.feed(started() + result(0, "1") + error(0, "late"))
    assert reader.outcome == Returned("1")


@pytest.mark.parametrize("size", [1, 10_000])
def test_with_the_end_it_ends_however_much_comes_at_once(size: int) -> None:
    garbage = f"\n\x1e{NONCE}{{nonsense\n".encode()
    log = started() + interim(0, "1") + result(1, "2") + interim(1, "late") + garbage
    reader = FrameReader(NONCE)
    found = [each for at in range(0, len(log), size) for each in reader.feed(log[at : at + size])]
    assert found == [Published(0, "1"), Returned("2")]


def test_a_kind_from_the_future_is_passed_over() -> None:
    log = started() + b"".join(frames(NONCE, 0, "metrics", "{}")) + result(0, "1")
    assert read(log) == [Returned("1")]


# ---- what is no whole log ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "log",
    [interim(1, "2"), interim(0, "1") + interim(2, "3"), interim(0, "1") + result(2, "3")],
    ids=["the first", "one between", "the last"],
)
def test_a_missing_interim_result_is_an_error(log: bytes) -> None:
    with pytest.raises(BrokenLogError, match=r"not whole: after \d interim results comes"):
        read(started() + log)
    assert issubclass(BrokenLogError, TransportError)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_missing_part_is_an_error(left_out: int) -> None:
    parts = list(frames(NONCE, 0, INTERIM, "x" * 70_000))
    assert len(parts) == 3
    del parts[left_out]
    with pytest.raises(BrokenLogError, match="not whole"):
        fed([*parts, interim(1, "2"), result(2, "3")])


def test_parts_of_two_things_are_not_put_together() -> None:
    first = next(frames(NONCE, 0, RESULT, "x" * 70_000))
    second = list(frames(NONCE, 0, ERROR, "x" * 70_000))[1]
    with pytest.raises(BrokenLogError, match="a part of something"):
        fed([first, second])


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"[]",
        b'{"q":0}',
        b'{"q":0,"k":"result","p":0,"n":1,"d":1}',
        b'{"q":0,"k":"result","p":0,"n":1,"d":"\xff"}',
        b'{"q":0,"k":"result","p":0,"n":1,"d":"a"b"}',
        b'{"q":0,"k":"result","p":0,"n":1,"d":"}',
        b'{"q":-1,"k":"result","p":0,"n":1,"d":"1"}',
        b'{"q":' + b"9" * 5000 + b',"k":"result","p":0,"n":1,"d":"1"}',
    ],
)
def test_a_frame_that_is_none_is_an_error(frame: bytes) -> None:
    with pytest.raises(BrokenLogError, match="a frame that cannot be read"):
        read(b"\n\x1e" + NONCE.encode() + frame + b"\n")


def test_a_frame_without_an_end_is_not_kept_for_ever() -> None:
    reader = FrameReader(NONCE)
    reader.feed(b"\n\x1e" + NONCE.encode() + b"{" + b" " * 60_000)
    with pytest.raises(BrokenLogError, match="longer than 65,536 bytes"):
        reader.feed(b" " * 60_000)


def test_a_text_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_frames, "MAX_TEXT", 1 << 20)
    step = "x" * 20_000
    with pytest.raises(
        BrokenLogError, match="longer than 1,048,576 characters, which is the limit"
    ):
        fed(
            b'\n\x1e%b{"q":0,"k":"interim","p":%d,"n":99999,"d":"%b"}\n'
            % (NONCE.encode(), part, step.encode())
            for part in range(60)
        )


def test_the_limit_is_of_each_text_and_not_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_frames, "MAX_TEXT", 1 << 20)
    texts = [str(number) * 1_000_000 for number in range(3)]
    log = b"".join(interim(index, text) for index, text in enumerate(texts))
    assert read(log) == [Published(index, text) for index, text in enumerate(texts)]


def test_what_is_printed_is_not_kept() -> None:
    reader = FrameReader(NONCE)
    for _ in range(100):
        reader.feed(b"some words of a program\n" * 1000)
    assert len(reader._rest) <= len(NONCE) + 2
