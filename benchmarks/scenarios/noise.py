"""What the machine itself does to a clock: nothing in the report can be more exact than that."""

from _runner import Contender, Role, Scenario

SCENARIOS = (
    Scenario(
        name="noise",
        title="How exact this machine is",
        unit="ms too late",
        about="A wait of 10 ms, a hundred times: the median of how late it ends.",
        contenders=(
            Contender("threading.Event().wait", "waits_bare", Role.LIMIT, way="event"),
            Contender("time.sleep", "waits_bare", Role.LIMIT, way="sleep"),
        ),
        args={"waits": 100},
        quick_args={"waits": 30},
        details={"worst": "latest of all"},
    ),
)
