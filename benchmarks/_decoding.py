"""Where the CPU of decoding goes: in Python's scanner of JSON, or in what is ours around it."""

from __future__ import annotations

import json

from _texts import make_text
from decoders import Decode, microseconds, ours, ours_fast

from runtime_core.fast_json import fast_parser

ITEMS = {"tagged": 1_000}
"""Of how many items a text is; of the others it is 100,000, where that is to be said."""
SECONDS = 0.2
"""How long each row is measured."""
ROUNDS = 5
"""Of so many, in turns, the least is shown."""


def decoding(name: str) -> None:
    """Print the microseconds of one text: the parsers alone, and ours with and without `fast`."""
    text = make_text(name, ITEMS.get(name, 100_000))
    rows: dict[str, Decode] = {"json's scanner alone": json.JSONDecoder().raw_decode}
    if (fast := fast_parser()) is not None:
        rows |= {"msgspec alone": fast, "ours, with the extra fast": ours_fast()}
    least = dict.fromkeys((*rows, "ours"), float("inf"))
    for _ in range(ROUNDS):
        for words, decode in rows.items():
            least[words] = min(least[words], microseconds(decode, text, SECONDS))
    fast_parser.cache_clear()
    alone = ours()  # from here on there is no `fast`
    least["ours"] = min(microseconds(alone, text, SECONDS) for _ in range(ROUNDS))
    print(f"us of CPU, for {len(text):,} characters")
    for words, taken in least.items():
        print(f"{words:28}{taken:12,.2f}")
