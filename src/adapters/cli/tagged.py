"""Values as they came, for `--json`: tagged JSON is passed on, not decoded."""

from __future__ import annotations

import json
from typing import Any, Final

from runtime_core.json_limits import DecodeLimits, parse_json

_LIMITS: Final = DecodeLimits()


class AsItCame:
    """A decoder that gives the text itself."""

    @classmethod
    def decode(cls, data: str) -> str:
        """See `Decoder`."""
        return data


class AsTagged:
    """A decoder that gives the JSON value with its tags; the text itself if it is no JSON."""

    @classmethod
    def decode(cls, data: str) -> Any:
        """See `Decoder`.

        Raises:
            DecodeError: if it is beyond the limits for JSON.
        """
        try:
            return parse_json(data, _LIMITS)
        except json.JSONDecodeError:
            return data
