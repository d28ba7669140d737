"""What every transport must do, as tests to inherit: each test is one rule, by its name.

    class TestMine(TransportConformance):
        def make_transport(self):
            return MyTransport(server.url)

        def job_that_succeeds(self):
            return server.start("add", x=40, y=2), "42"

        ...

pytest collects the class like any other. A rule whose hook is not given is skipped, and the reason
says what would be needed; so is what a service without streams does not have. The tests take as
long as the transport's service does: they wait for it, `patience` seconds at most.
"""

from __future__ import annotations

from adapters.testing.request_tests import RequestTests
from adapters.testing.stream_tests import StreamTests


class TransportConformance(RequestTests, StreamTests):
    """The rules of a `Transport`. Inherit, give `make_transport` and the jobs, and run pytest.

    Every rule gets a transport of its own, which is closed afterwards if it has a `close`.
    """
