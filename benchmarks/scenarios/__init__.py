"""What is measured, of whom: one module for each kind, in the order of the report."""

from collections.abc import Sequence

from _runner import Scenario

from scenarios import noise

ALL: Sequence[Scenario] = (*noise.SCENARIOS,)
