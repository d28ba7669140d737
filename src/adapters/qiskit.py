"""Qiskit's circuits and results in tagged JSON, for those who ask for it (the extra ``qiskit``).

    from adapters.qiskit import QiskitDecoder

    decoders = DecoderRegistry()
    decoders.register("my-program", QiskitDecoder)       # for one program's results, or
    decoders = DecoderRegistry(default=QiskitDecoder)    # for all of a service

    text = encode_tagged({"circuits": [circuit]}, qiskit_tags())

    T                     V                                  Python
    QuantumCircuit        base64 of zlib of QPY              QuantumCircuit
    Instruction           the same, of a circuit of it       Instruction
    ParameterExpression   base64 of QPY's expression bytes   ParameterExpression
    Result                a dict                             Result

**Register it only for services that you trust as you trust a program that you run.** QPY is
Qiskit's own format, and reading it has executed code that was hidden in it (CVE-2025-2000, in
Qiskit before 1.4.2: symbolic expressions were unpickled); its reader was not made for hostile
files. Nothing of ours makes that safer but that a text is unpacked within the limits. Without this
module, such values stay the dicts that were sent, and Qiskit is never imported.
"""

# ruff: noqa: SLF001 # an expression by itself has no public way in or out of QPY
# Qiskit is no dependency of the tools that check this file.
# pyright: reportMissingImports=false

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any, ClassVar

from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Instruction, ParameterExpression
from qiskit.qpy import formats
from qiskit.qpy.binary_io import value as qpy_value
from qiskit.result import Result

from runtime_core.decoders import ResultDecoder
from runtime_core.errors import UsageError
from runtime_core.tags import AnyTag, Packing, Tag
from runtime_core.value_path import shown

_NEW_EXPRESSIONS = 13
"""The version of QPY from which on an expression is its operations, and no text for SymPy."""


def qiskit_tags(qpy_version: int | None = None) -> tuple[Tag, ...]:
    """Give the tags, for `encode_tagged`, `decode_tagged` and the `tags` of a decoder.

    Args:
        qpy_version: the version of QPY to write, for a service whose Qiskit is older: 10 for the
            last ones of the legacy service, which Qiskit 1 still writes. None for the newest.
            Every version that the installed Qiskit knows is read.

    Raises:
        UsageError: if the installed Qiskit does not write that version.
    """
    oldest, newest = qpy.QPY_COMPATIBILITY_VERSION, qpy.QPY_VERSION
    version = newest if qpy_version is None else qpy_version
    if type(version) is not int or not oldest <= version <= newest:
        raise UsageError(
            f"The installed Qiskit writes QPY of the versions {oldest} to {newest}, "
            f"not {shown(version)}"
        )
    return (
        Tag("Result", (Result,), lambda result: result.to_dict(), Result.from_dict),
        Tag(
            "QuantumCircuit",
            (QuantumCircuit,),
            lambda circuit: _dump(circuit, version),
            _load,
            Packing.BASE64_ZLIB,
        ),
        Tag(
            "ParameterExpression",
            (ParameterExpression,),
            lambda expression: _dump_expression(expression, version),
            _load_expression,
            Packing.BASE64,
        ),
        Tag(
            "Instruction",
            (Instruction,),
            lambda instruction: _dump(_circuit_of(instruction), version),
            lambda data: _load(data).data[0].operation,
            Packing.BASE64_ZLIB,
        ),
    )


def _dump(circuit: QuantumCircuit, version: int) -> bytes:
    file = io.BytesIO()
    # Expressions as text: SymEngine's own form is read by the same version of it alone.
    qpy.dump(circuit, file, version=version, use_symengine=False)
    return file.getvalue()


def _load(data: bytes) -> QuantumCircuit:
    [circuit] = qpy.load(io.BytesIO(data))
    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(f"it is no circuit, but {type(circuit).__name__}")
    return circuit


def _circuit_of(instruction: Instruction) -> QuantumCircuit:
    circuit = QuantumCircuit(instruction.num_qubits, instruction.num_clbits)
    circuit.append(instruction, circuit.qubits, circuit.clbits)
    return circuit


# An expression as it stands inside of a circuit in QPY: so the service's own clients write it.


def _dump_expression(expression: ParameterExpression, version: int) -> bytes:
    file = io.BytesIO()
    qpy_value._write_parameter_expression(file, expression, use_symengine=False, version=version)
    return file.getvalue()


def _load_expression(data: bytes) -> Any:
    file = io.BytesIO(data)
    size = formats.PARAMETER_EXPR._make(
        struct.unpack_from(formats.PARAMETER_EXPR_PACK, data)
    ).expr_size
    if size == 0:  # a parameter by itself, which some versions of Qiskit write but do not read
        file.seek(formats.PARAMETER_EXPR_SIZE)
        is_element = file.read(formats.PARAM_EXPR_MAP_ELEM_V3_SIZE)[:1] == b"v"
        if is_element:
            return qpy_value._read_parameter_vec(file, {})
        return qpy_value._read_parameter(file)
    # It begins with the name of an operation in ASCII, or with the number of one.
    if data[formats.PARAMETER_EXPR_SIZE :][:1].isalpha():
        return qpy_value._read_parameter_expression_v3(file, {}, use_symengine=False)
    return qpy_value._read_parameter_expression_v13(file, {}, _NEW_EXPRESSIONS)


class QiskitDecoder(ResultDecoder):
    """The default decoder, which also makes circuits and results: for services that you trust."""

    tags: ClassVar[Sequence[AnyTag]] = qiskit_tags()
