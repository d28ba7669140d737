"""Draws the lifecycle table as Mermaid: ``python docs/draw_lifecycle.py`` puts it into the README.

What a state does not leave by is not drawn: late and contradicting facts, which are absorbed.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from pathlib import Path

from transitions.extensions import GraphMachine
from transitions.extensions.diagrams_mermaid import Graph

from runtime_core.lifecycle import TRANSITIONS
from runtime_core.states import JobState

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"```mermaid\nstateDiagram.*?```", re.DOTALL)


def diagram() -> str:
    """The state diagram of the table, in Mermaid's language."""
    moves: list[list[str | Enum]] = [
        [trigger, source, target] for trigger, source, target in TRANSITIONS if source != target
    ]
    machine = GraphMachine(
        model=None,
        states=JobState,
        initial=JobState.QUEUED,
        transitions=moves,
        auto_transitions=False,
        graph_engine="mermaid",
    )
    # Its stub asks for the class, where the code takes an instance.
    graph = Graph(machine)  # type: ignore[arg-type]
    source = str(graph.get_graph(title="lifecycle").source)
    # Colours are left to the page that shows it.
    arrows = [line for line in source.splitlines() if "-->" in line]
    ends = [f"  {state.name} --> [*]" for state in JobState if state.is_final]
    return "\n".join(["stateDiagram-v2", "  direction LR", *arrows, *ends])


def with_diagram(text: str) -> str:
    """The text of the README with the diagram of today's table."""
    return BLOCK.sub(lambda _: f"```mermaid\n{diagram()}\n```", text)


if __name__ == "__main__":
    README.write_text(with_diagram(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
