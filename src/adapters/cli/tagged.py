"""Values as they came, for `--json`: tagged JSON is passed on, not decoded.

Python's JSON has NaN and Infinity, which other readers refuse (RFC 8259, 6): see `valid_json`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from runtime_core.errors import DecodeError
from runtime_core.json_limits import DecodeLimits, parse_json

_LIMITS: Final = DecodeLimits()


# A string, or a word that is none of JSON's. Possessive: long strings leave no way back to keep.
_STRING_OR_WORD: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(-?Infinity|NaN)', re.DOTALL)


def valid_json(text: str) -> str:
    """Give a text of Python's JSON as everybody's: NaN and the infinities as texts of that name."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    return _STRING_OR_WORD.sub(lambda found: f'"{found[1]}"' if found[1] else found[0], text)


class AsItCame:
    """A decoder that gives the text itself, as `valid_json`; as a JSON text if it is no JSON."""

    @classmethod
    def decode(cls, data: str) -> str:
        """See `Decoder`."""
        try:
            parse_json(data, _LIMITS)
        except json.JSONDecodeError:
            return json.dumps(data)
        except DecodeError:
            pass  # too much for us, and perhaps not for who reads it
        return valid_json(data)


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
