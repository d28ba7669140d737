"""Who is measured against the server, each under the name that the report shows."""

from __future__ import annotations

from _runner import Contender, Role

IBMQ, IBM_RUNTIME, CLIENTS = ".venv-ibmq", ".venv-ibm-runtime", ".venv-bench-clients"
"""The environments of the others, as the Makefile makes them."""
PLAIN = ".venv-bench-ours"
"""Ours, installed as a user gets it, without extras."""
FAST = ".venv-bench-decoders"
"""The same with the extra `fast`."""
ORIGINAL = "qiskit-ibmq-provider"
"""The original of ours: its name begins so."""


def ours(way: str = "default", words: str = "") -> Contender:
    name = f"ours, {words}" if words else "ours"
    return Contender(name, "job_ours", Role.OURS, PLAIN, way)


def ibmq(way: str = "default", words: str = "") -> Contender:
    name = f"{ORIGINAL}, {words}" if words else ORIGINAL
    return Contender(name, "job_ibmq", environment=IBMQ, way=way)


def ibm_runtime(way: str = "default", words: str = "") -> Contender:
    name = f"qiskit-ibm-runtime, {words}" if words else "qiskit-ibm-runtime"
    return Contender(name, "job_ibm_runtime", environment=IBM_RUNTIME, way=way)


def by_hand(way: str, words: str) -> Contender:
    return Contender(words, "job_by_hand", environment=CLIENTS, way=way)


def client(way: str, words: str = "") -> Contender:
    return Contender(words or way, "stream_clients", environment=CLIENTS, way=way)


def bare(words: str = "bare socket", way: str = "default") -> Contender:
    return Contender(words, "bare_socket", Role.LIMIT, way=way)
