"""The original's encoder and decoder, a JSON line for each question of ``test_round_trips.py``."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

warnings.simplefilter("ignore")

from described import build, describe  # noqa: E402
from qiskit.providers.ibmq.runtime import RuntimeDecoder, RuntimeEncoder  # noqa: E402


def answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        if "encode" in question:
            return {"text": json.dumps(build(question["encode"]), cls=RuntimeEncoder)}
        return {"words": describe(json.loads(question["decode"], cls=RuntimeDecoder))}
    except Exception:
        return {"error": traceback.format_exc()}


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # what it prints is no answer
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
