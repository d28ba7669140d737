"""Values in words that two processes share: one builds a value, the other says whether it got it.

A description is plain JSON; two values are equal, types and bits included, if their descriptions
are. It runs on both sides of the pipe, so it knows neither our packages nor theirs.
"""

# Where it is checked, neither scipy nor Qiskit is needed.
# pyright: reportMissingImports=false

from __future__ import annotations

import ast
import base64
import math
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np


class Tuned:
    """An object that is sent as its settings."""

    def __init__(self, **values: Any) -> None:
        self.settings = values


class Model:
    """An object that is sent as what its `to_json` gives."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def to_json(self) -> Any:
        return self.content


def build(words: Any) -> Any:
    """Make the value that is described."""
    kind, *rest = words
    if kind in _BUILD:
        return _BUILD[kind](*rest)
    return rest[0]


def describe(value: Any) -> Any:
    """Describe a value."""
    if value is None or isinstance(value, (bool, str)):
        return ["plain", value]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, float):
        return ["float", "nan" if math.isnan(value) else value.hex()]
    if isinstance(value, complex):
        # A negative zero is lost in their sum of two products.
        return ["complex", (value.real + 0.0).hex(), (value.imag + 0.0).hex()]
    if isinstance(value, list):
        return ["list", [describe(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", sorted(([describe(key), describe(v)] for key, v in value.items()), key=str)]
    if isinstance(value, set):
        return ["set", sorted((describe(item) for item in value), key=str)]
    if isinstance(value, datetime):
        offset = value.utcoffset()
        seconds = None if offset is None else offset.total_seconds()
        return ["datetime", value.replace(tzinfo=None).isoformat(), seconds]
    if isinstance(value, np.ndarray):
        return _array_words(value)
    return _other_words(value)


def _array_words(array: Any) -> Any:
    if array.dtype == object:
        return ["objects", list(array.shape), [describe(item) for item in array.ravel().tolist()]]
    descr = repr(np.lib.format.dtype_to_descr(array.dtype))
    names = array.dtype.names
    if names:  # between fields there may be anything
        fields = [_array_words(array[name]) for name in names]
        return ["record", descr, list(array.shape), fields]
    return ["array", descr, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _other_words(value: Any) -> Any:
    name = type(value).__name__
    if name in ("Settings", "Tuned"):
        values = value.settings if name == "Tuned" else value.values
        return ["settings", describe(dict(values))[1]]
    if name == "Result":
        return ["result", describe(value.to_dict())]
    if name == "QuantumCircuit":
        return ["circuit", value.num_qubits, [_gate_words(value, gate) for gate in value.data]]
    if hasattr(value, "toarray"):
        kind = "array" if name.endswith("array") else "matrix"
        return ["sparse", f"{value.format}_{kind}", _array_words(value.toarray())]
    if hasattr(value, "num_qubits"):
        return ["instruction", value.name, [_parameter_words(p) for p in value.params]]
    return _parameter_words(value)


def _gate_words(circuit: Any, gate: Any) -> Any:
    qubits = [circuit.find_bit(qubit).index for qubit in gate.qubits]
    parameters = [_parameter_words(parameter) for parameter in gate.operation.params]
    return [gate.operation.name, parameters, qubits]


def _parameter_words(value: Any) -> Any:
    """An expression is known by its parameters, and by what it is worth somewhere."""
    if not hasattr(value, "parameters"):
        return ["number", float(value)]
    names = sorted(value.parameters, key=lambda parameter: str(parameter.name))
    bound = value.bind({parameter: 0.5 + 0.25 * i for i, parameter in enumerate(names)})
    return ["expression", [p.name for p in names], round(float(bound), 9)]


def _circuit(qubits: int, gates: Any) -> Any:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(qubits)
    for name, parameters, on in gates:
        getattr(circuit, name)(*[_expression(*p) for p in parameters], *on)
    return circuit


def _instruction(name: str, parameters: Any) -> Any:
    from qiskit.circuit import library

    gate = {"h": library.HGate, "rx": library.RXGate, "cx": library.CXGate}[name]
    return gate(*[_expression(*p) for p in parameters])


def _expression(kind: str, names: Any, value: Any = None) -> Any:
    """`value` is a*x + b*y, with the names of the parameters standing for themselves."""
    from qiskit.circuit import Parameter

    if kind == "number":
        return names
    total: Any = sum((i + 1) * Parameter(name) for i, name in enumerate(names))
    return total


def _sparse(kind: str, words: Any) -> Any:
    import scipy.sparse

    return getattr(scipy.sparse, kind)(build(words))


def _result(words: Any) -> Any:
    from qiskit.result import Result

    return Result.from_dict(build(words))


def _objects(shape: Any, items: Any) -> Any:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = build(item)
    return array.reshape(shape)


def _datetime(text: str, offset: Any) -> datetime:
    zone = None if offset is None else timezone(timedelta(seconds=offset))
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def _array(descr: str, shape: Any, data: str) -> Any:
    dtype = np.lib.format.descr_to_dtype(ast.literal_eval(descr))
    if not data:
        return np.zeros(shape, dtype)
    return np.frombuffer(bytearray(base64.b64decode(data)), dtype).reshape(shape)


def _record(descr: str, shape: Any, fields: Any) -> Any:
    array = np.zeros(shape, np.lib.format.descr_to_dtype(ast.literal_eval(descr)))
    for name, words in zip(array.dtype.names or (), fields, strict=True):
        array[name] = build(words)
    return array


def _dict(items: Any) -> Any:
    return {build(key): build(value) for key, value in items}


_BUILD: Any = {
    "int": int,
    "float": float.fromhex,
    "complex": lambda re, im: complex(float.fromhex(re), float.fromhex(im)),
    "list": lambda items: [build(item) for item in items],
    "dict": _dict,
    "set": lambda items: {build(item) for item in items},
    "datetime": _datetime,
    "date": date.fromisoformat,
    "array": _array,
    "record": _record,
    "objects": _objects,
    "sparse": _sparse,
    "settings": lambda items: Tuned(**_dict(items)),
    "to_json": lambda words: Model(build(words)),
    "result": _result,
    "circuit": _circuit,
    "instruction": _instruction,
    "expression": lambda *words: _expression("expression", *words),
}
