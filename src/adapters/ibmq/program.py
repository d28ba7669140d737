"""The original's program and its parameters: ours, with the original's errors."""

from __future__ import annotations

from adapters.ibmq.errors import translating
from adapters.parameters import ParameterNamespace as OurParameters
from adapters.runtime_program import RuntimeProgram as OurProgram


class ParameterNamespace(OurParameters):
    """See `adapters.ParameterNamespace`; raises IBMQInputValueError."""

    __slots__ = ()

    @translating
    def validate(self) -> None:
        """Check the values that are set against the schema.

        Raises:
            IBMQInputValueError: if they do not fit.
        """
        super().validate()


class RuntimeProgram(OurProgram):
    """See `adapters.RuntimeProgram`; raises the original's errors."""

    parameter_namespace = ParameterNamespace

    @property
    def data(self) -> str:
        """The source as the service sends it: in base64.

        Raises:
            IBMQNotAuthorizedError: if the service does not show it to this user.
            QiskitRuntimeError: if the service cannot be asked.
        """
        return translating(lambda: super(RuntimeProgram, self).data)()

    @translating
    def refresh(self) -> None:
        """Ask the service again.

        Raises:
            RuntimeProgramNotFound: if the program is gone.
            QiskitRuntimeError: if the service cannot be asked.
        """
        super().refresh()
