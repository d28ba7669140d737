"""Tools for tests of transports and of what is built on jobs. Part of the extra `testing`.

`TransportConformance` is a class of tests to inherit: give it your transport and a few jobs, and it
says by name which rule of `adapters.Transport` is broken. For an `adapters.AsyncTransport` there is
`AsyncTransportConformance`. `FakeReactor` is where jobs live in tests that take no time.
"""

from adapters.testing.async_conformance import AsyncTransportConformance
from adapters.testing.conformance import TransportConformance
from adapters.testing.fake_reactor import FakeReactor, WorldClock
from adapters.testing.subject import AnyTransport, Patience

__all__ = [
    "AnyTransport",
    "AsyncTransportConformance",
    "FakeReactor",
    "Patience",
    "TransportConformance",
    "WorldClock",
]
