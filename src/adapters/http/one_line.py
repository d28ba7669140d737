"""How messages show what somebody else wrote: on one line, not too long. Pure."""

from __future__ import annotations


def shortened(text: str, limit: int = 300) -> str:
    """Bring a text of unknown size to one printable line of at most `limit` characters."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= limit else f"{line[: limit - 5]}[...]"
