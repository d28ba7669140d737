"""The type variables of those who hand out decoded values: jobs, and iterators of interim results.

`Value` is the class's own; `Made` is for its class methods, of which type checkers differ.
Where nobody says what a decoder makes, it is Any: ``RuntimeJob`` without brackets stays good.
"""

from typing import TYPE_CHECKING

# Defaults of type variables are in `typing` from Python 3.13 on; type checkers know them before.
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar

    Value = TypeVar("Value", default=Any)
    Made = TypeVar("Made", default=Any)
else:
    from typing import TypeVar

    Value = TypeVar("Value")
    Made = TypeVar("Made")
