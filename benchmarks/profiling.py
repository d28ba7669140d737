"""Where our time goes in what `make bench` compares.

A profiler makes small functions look dearer than they are: what it shows is where to look, not how
much there is to win.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "workers"))

from _completing import completing
from _decoding import decoding
from _living import living
from _receiving import MESSAGES, receiving
from _texts import NAMES

WHAT = ("machine", "import", "decoding", "receiving", "completing")
LINES = 25
"""How many functions are shown."""


def imports() -> None:
    """The import of `RuntimeService` in a fresh interpreter."""
    code = (
        "import cProfile, pstats\n"
        "with cProfile.Profile() as profile:\n"
        "    from adapters import RuntimeService\n"
        f"pstats.Stats(profile).sort_stats('tottime').print_stats({LINES})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("text", nargs="?", choices=NAMES, default="tagged", help="what to decode")
    parser.add_argument("--kind", choices=MESSAGES, default="small", help="what to receive")
    arguments = parser.parse_args()
    match arguments.what:
        case "machine":
            living()
        case "import":
            imports()
        case "receiving":
            receiving(arguments.kind)
        case "completing":
            completing()
        case _:
            decoding(arguments.text)


if __name__ == "__main__":
    main()
