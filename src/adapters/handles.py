"""What a client is called in the handles of its jobs, and how a job is taken up from a handle."""

from __future__ import annotations

from adapters.services.dialect import LEGACY, Dialect
from adapters.transport import Transport
from runtime_core.traits import ServiceTraits


def service_name(client: object) -> str:
    """Give the name of the service that a client, or a transport, speaks with; it may be empty.

    It is what it says in its attribute `service_name`, or else `url`. Where it says neither, and
    has another client as its `service`, that one is asked.
    """
    for holder in (client, getattr(client, "service", None)):
        for attribute in ("service_name", "url"):
            said = getattr(holder, attribute, None)
            if isinstance(said, str):
                return said
    return ""


def dialect_name(client: object) -> str:
    """Give the name of the dialect that a client, or a transport, speaks.

    It is that of its attribute `dialect`. A client that has none speaks the legacy one; what a
    transport speaks that has none is its own affair, and the name is empty.
    """
    said = getattr(client, "dialect", None)
    if isinstance(said, Dialect):
        return said.name
    # A mock has whatever it is asked for, but no such traits.
    is_transport = isinstance(client, Transport) and isinstance(client.traits, ServiceTraits)
    return "" if is_transport else LEGACY.name
