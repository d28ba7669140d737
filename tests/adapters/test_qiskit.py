"""Circuits and results through Qiskit, where it is installed: for those who register it."""

# Where it is checked, Qiskit is not needed.
# pyright: reportMissingImports=false

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from typing import Any

import pytest

from runtime_core import DecodeError, DecoderRegistry, UsageError, decode_result, encode_tagged

TAGS = ["QuantumCircuit", "Instruction", "ParameterExpression", "Result"]


def test_qiskit_is_not_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, adapters, runtime_core\n"
        'runtime_core.decode_tagged(\'{"__type__":"QuantumCircuit","__value__":"eA=="}\')\n'
        "sys.exit('qiskit' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def ours() -> Any:
    pytest.importorskip("qiskit")
    import adapters.qiskit

    return adapters.qiskit


def test_a_decoder_of_circuits_is_registered_for_a_program(ours: Any) -> None:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    registry = DecoderRegistry()
    registry.register("sampler", ours.QiskitDecoder)
    text = encode_tagged({"circuits": [circuit]}, ours.qiskit_tags())
    assert decode_result(text, "sampler", registry) == {"circuits": [circuit]}
    [plain] = decode_result(text, "another", registry)["circuits"]
    assert plain["__type__"] == "QuantumCircuit"


def test_everything_round_trips_in_every_version_of_qpy(ours: Any) -> None:
    from qiskit import QuantumCircuit, qpy
    from qiskit.circuit import Parameter, ParameterVector
    from qiskit.circuit.library import HGate, Measure, RXGate

    a, b, vector = Parameter("a"), Parameter("b"), ParameterVector("v", 2)
    circuit = QuantumCircuit(2, 1)
    circuit.rx(2 * a + b.sin(), 0)
    circuit.rz(vector[0] + vector[1], 1)
    circuit.measure(0, 0)
    values = [circuit, a, vector[1], a * b + 1, HGate(), RXGate(a), RXGate(0.5), Measure()]
    for version in range(qpy.QPY_COMPATIBILITY_VERSION, qpy.QPY_VERSION + 1):
        text = encode_tagged(values, ours.qiskit_tags(version))
        assert ours.QiskitDecoder.decode(text) == values


@pytest.mark.parametrize("version", [0, 9, 1000, "10", None.__class__, True])
def test_a_version_that_is_not_written_is_refused(version: Any, ours: Any) -> None:
    with pytest.raises(UsageError, match="The installed Qiskit writes QPY of the versions"):
        ours.qiskit_tags(version)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("value", [None, {}, "", "eA==", "no base64", "long", "compressed"])
def test_what_qiskit_does_not_read_is_an_error(tag: str, value: Any, ours: Any) -> None:
    made = {
        "long": base64.b64encode(b"\xff" * 1000).decode(),
        "compressed": base64.b64encode(zlib.compress(b"QISKIT" + bytes(range(256)))).decode(),
    }
    text = json.dumps({"a": [{"__type__": tag, "__value__": made.get(str(value), value)}]})
    with pytest.raises(DecodeError, match=f"The {tag} tag is malformed") as caught:
        ours.QiskitDecoder.decode(text)
    assert caught.value.path == "$.a[0]"
