"""Tools for tests of transports and of what is built on jobs. Part of the extra `testing`.

`TransportConformance` is a class of tests to inherit: give it your transport and a few jobs, and it
says by name which rule of `adapters.Transport` is broken. For an `adapters.AsyncTransport` there is
`AsyncTransportConformance`.
"""

from adapters.testing.conformance import TransportConformance
from adapters.testing.fake_reactor import FakeReactor, WorldClock

__all__ = ["FakeReactor", "TransportConformance", "WorldClock"]
