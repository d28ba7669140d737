"""Refuses a built site that fetches anything from elsewhere: it is to be read without a network.

``python docs/check_site.py`` looks at build/site, after `mkdocs build`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SITE = Path(__file__).parent.parent / "build" / "site"
ELSEWHERE = r"""["']?(?:https?:)?//[^"'> )]+"""
FETCHED = re.compile(
    rf"<(?:script|img|iframe|source)\b[^>]*\bsrc={ELSEWHERE}"
    rf"|<link\b(?=[^>]*\brel=.?(?:stylesheet|icon|pre))[^>]*\bhref={ELSEWHERE}"
    rf"|(?:@import|url\()\s*{ELSEWHERE}",
    re.IGNORECASE,
)


def fetched(text: str) -> list[str]:
    """What a page or a style sheet fetches from elsewhere."""
    return FETCHED.findall(text)


def main() -> int:
    """Look at every page and style sheet; the exit code."""
    pages = [path for kind in ("html", "css") for path in SITE.rglob(f"*.{kind}")]
    found = {str(path): fetched(path.read_text(encoding="utf-8")) for path in pages}
    for path, links in found.items():
        for link in links:
            sys.stderr.write(f"{path} fetches {link}\n")
    if not pages:
        sys.stderr.write(f"there is no site in {SITE}\n")
    return 1 if not pages or any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
