"""What is measured, of whom: one module for each kind, in the order of the report."""

from collections.abc import Sequence

from _runner import Scenario

from scenarios import decoding, footprint, jobs, machines, noise, streaming

ALL: Sequence[Scenario] = (
    *jobs.LATENCY,
    *streaming.RATES,
    *streaming.STREAMS,
    *jobs.WAITS,
    *machines.SCENARIOS,
    *decoding.SCENARIOS,
    *footprint.SCENARIOS,
    *streaming.SERVER,
    *noise.SCENARIOS,
)
