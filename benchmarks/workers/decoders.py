"""Decoders of tagged JSON: ours, the original's and its successor's, and the limits.

    ours             decode_tagged, behind its limits on size, depth and memory
    ours-fast        the same with the extra `fast`, which parses plain JSON with msgspec
    ibmq, ibm-runtime
                     json.loads with the RuntimeDecoder of each, as their jobs decode results
    json             Python's parser with a hook that undoes the same tags, without limits
    orjson, msgspec  the quickest parsers that there are, then a walk over what they made, since
                     they take no hook; no walk where the text has no tag, which is seen beforehand.
                     The lower limit: no limits on what a hostile text may cost.

Each undoes base64 and zlib of an array as a whole, and loads it with numpy; ours does it in pieces.
"""

from __future__ import annotations

import base64
import gc
import io
import statistics
import sys
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from _protocol import serve, value
from _texts import NAMES, check, make_text

Decode = Callable[[str], Any]


# ---- the limits --------------------------------------------------------------------------------


def undo(found: dict[str, Any]) -> Any:
    """What a tagged value stands for; another dict is what it is."""
    kind = found.get("__type__")
    if kind == "complex":
        return complex(*found["__value__"])
    if kind == "datetime":
        return datetime.fromisoformat(found["__value__"])
    if kind == "ndarray":
        import numpy as np

        return np.load(io.BytesIO(zlib.decompress(base64.b64decode(found["__value__"]))))
    return found


def walk(value: Any) -> Any:
    """Undo the tags of what was parsed, the inner ones first, in place."""
    if type(value) is dict:
        for key, inner in value.items():
            if type(inner) in (dict, list):
                value[key] = walk(inner)
        return undo(value) if "__type__" in value else value
    for index, inner in enumerate(value):
        if type(inner) in (dict, list):
            value[index] = walk(inner)
    return value


def parsed_then_walked(parse: Decode) -> Decode:
    def decode(text: str) -> Any:
        value = parse(text)
        return walk(value) if "__type__" in text else value

    return decode


def by_json() -> Decode:
    import json

    return lambda text: json.loads(text, object_hook=undo if "__type__" in text else None)


def by_orjson() -> Decode:
    import orjson

    return parsed_then_walked(orjson.loads)


def by_msgspec() -> Decode:
    import msgspec

    return parsed_then_walked(msgspec.json.Decoder().decode)


# ---- ours, and theirs --------------------------------------------------------------------------


def ours() -> Decode:
    sys.modules["msgspec"] = None  # type: ignore[assignment]  # as if it were not installed
    return ours_fast()


def ours_fast() -> Decode:
    from runtime_core import decode_tagged

    return decode_tagged


def ibmq() -> Decode:
    import json

    from qiskit.providers.ibmq.runtime import RuntimeDecoder

    return lambda text: json.loads(text, cls=RuntimeDecoder)


def ibm_runtime() -> Decode:
    import json

    from qiskit_ibm_runtime import RuntimeDecoder

    return lambda text: json.loads(text, cls=RuntimeDecoder)


CONTENDERS: dict[str, tuple[Callable[[], Decode], tuple[str, ...]]] = {
    "ours": (ours, ("runtime-core", "numpy")),
    "ours-fast": (ours_fast, ("runtime-core", "msgspec", "numpy")),
    "ibmq": (ibmq, ("qiskit-ibmq-provider", "numpy")),
    "ibm-runtime": (ibm_runtime, ("qiskit-ibm-runtime", "numpy")),
    "json": (by_json, ("numpy",)),
    "orjson": (by_orjson, ("orjson", "numpy")),
    "msgspec": (by_msgspec, ("msgspec", "numpy")),
}
"""What makes each decoder, and the distributions that it is of."""


# ---- measuring ---------------------------------------------------------------------------------


def microseconds(decode: Decode, text: str, seconds: float) -> float:
    """CPU time of decoding the text once: the median of many batches."""
    batch, taken, batches = 1, 0.0, list[float]()
    while taken < seconds or len(batches) < 3:
        gc.collect()
        gc.disable()
        start = time.process_time()
        for _ in range(batch):
            decode(text)
        spent = time.process_time() - start
        gc.enable()
        if spent < 0.005:
            batch *= 2  # too short for the clock
            continue
        taken += spent
        batches.append(spent / batch)
    return statistics.median(batches) * 1e6


def peak(decode: Decode, text: str) -> float:
    """The most bytes that Python and numpy allocate at once while they decode the text."""
    gc.collect()
    tracemalloc.start()
    try:
        decode(text)
        return float(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def measures(decode: Decode, text_name: str) -> dict[str, Callable[..., dict[str, Any]]]:
    """The scenarios of one text."""
    known: dict[int, str] = {}

    def text_of(items: int) -> str:
        if items not in known:
            known[items] = text = make_text(text_name, items)
            check(text_name, items, decode(text))
        return known[items]

    def time_taken(seconds: float, size: int = 0) -> dict[str, Any]:
        text = text_of(size)
        taken = microseconds(decode, text, seconds)
        return value(taken, "us", MB_per_second=len(text) / taken)

    def most_memory(size: int) -> dict[str, Any]:
        most = peak(decode, text_of(size))
        return value(most / (8 * size), "arrays", MB=most / 1e6)

    return {f"decode-{text_name}": time_taken, f"memory-{text_name}": most_memory}


def main() -> None:
    warnings.simplefilter("ignore")  # the original warns of its own age
    name = sys.argv[1]
    new_decode, distributions = CONTENDERS[name]
    decode = new_decode()
    known = [measures(decode, text_name) for text_name in NAMES]
    serve(name, {key: each[key] for each in known for key in each}, distributions)


if __name__ == "__main__":
    main()
