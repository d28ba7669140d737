"""Tests with either parser of JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime_core.fast_json import fast_parser


@contextmanager
def parsed_by(name: str) -> Iterator[None]:
    """Have texts parsed by "json", or by "msgspec" where it is for them."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "json":
            patch.setitem(sys.modules, "msgspec", None)
        fast_parser.cache_clear()
        assert (fast_parser() is None) == (name == "json")
        yield
    fast_parser.cache_clear()
