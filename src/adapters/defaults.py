"""What arguments are where nobody gives them: the constants that signatures show."""

from __future__ import annotations

from typing import Final

ENVIRONMENT: Final = "environment"
"""In place of a proxy's URL: what the environment says."""

DEFAULT_STATUS_RATE: Final = 10.0
"""How many status requests a service gets in a second at most, for all its jobs together. What
follows the end of a job's stream, once a job, is not counted."""
