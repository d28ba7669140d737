"""Sparse matrices: both ways, and what a hostile file of arrays comes to."""

from __future__ import annotations

import base64
import io
import json
import sys
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest

from runtime_core import DecodeError, DecodeLimits, EncodeError, decode_tagged, encode_tagged
from runtime_core import sparse as ours

MATRIX = np.array([[0, 1.5, 0, 0], [2, 0, 0, 0], [0, 0, 0, -1], [0, 0, 0, 0]])
FORMATS = ["csr", "csc", "bsr", "dia", "coo"]


def tag_text(value: object) -> str:
    return json.dumps({"__type__": "spmatrix", "__value__": value})


def npz(**arrays: Any) -> str:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return tag_text(base64.b64encode(file.getvalue()).decode())


def csr(**changed: Any) -> str:
    arrays: dict[str, Any] = {
        "format": b"csr",
        "shape": (2, 3),
        "data": np.array([1.0, 2.0]),
        "indices": np.array([0, 2]),
        "indptr": np.array([0, 1, 2]),
    }
    arrays |= changed
    return npz(**{name: array for name, array in arrays.items() if array is not None})


def refusal(text: str, limits: DecodeLimits | None = None) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_tagged(f'{{"a": [{text}]}}', limits or DecodeLimits())
    assert caught.value.path == "$.a[0]"
    return caught.value


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    assert refusal(csr()).message == (
        "The text holds an spmatrix, and scipy is not installed: pip install 'runtime-core[scipy]'"
    )
    assert ": it is not a text, in 5" in refusal(tag_text(5)).message


# ---- with scipy --------------------------------------------------------------------------------


@pytest.fixture
def scipy_sparse() -> Any:
    return pytest.importorskip("scipy.sparse")


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_scipy_writes_round_trips(
    form: str, kind: str, scipy_sparse: Any
) -> None:
    value = getattr(scipy_sparse, f"{form}_{kind}")(MATRIX)
    back = decode_tagged(encode_tagged({"a": value}))["a"]
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert (back.toarray() == MATRIX).all()


def test_an_array_of_one_dimension_round_trips(scipy_sparse: Any) -> None:
    value = scipy_sparse.coo_array(np.array([0, 1, 0, 2]))
    assert decode_tagged(encode_tagged(value)).toarray().tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("kind", ["b", "i", "u", "f", "c"])
def test_every_kind_of_number_round_trips(kind: str, scipy_sparse: Any) -> None:
    dtype = {"b": np.bool_, "i": np.int8, "u": np.uint8, "f": np.float64, "c": np.complex128}[kind]
    value = scipy_sparse.csr_matrix(np.array([[0, 1]], dtype=dtype))
    assert value.dtype.kind == kind
    back = decode_tagged(encode_tagged(value))
    assert (back.dtype, back.toarray().tolist()) == (value.dtype, value.toarray().tolist())


def test_a_matrix_without_rows_round_trips(scipy_sparse: Any) -> None:
    back = decode_tagged(encode_tagged(scipy_sparse.csr_matrix((0, 3))))
    assert back.shape == (0, 3)


@pytest.mark.usefixtures("scipy_sparse")
def test_indices_without_a_sign_are_integers() -> None:
    text = csr(indices=np.array([0, 2], dtype=np.uint32))
    assert decode_tagged(text).toarray().tolist() == [[1, 0, 0], [0, 0, 2]]


def test_the_names_of_older_versions_are_read(scipy_sparse: Any) -> None:
    back = decode_tagged(csr(format="csr"))
    assert type(back) is scipy_sparse.csr_matrix
    assert back.toarray().tolist() == [[1, 0, 0], [0, 0, 2]]


def test_a_format_that_scipy_does_not_write_is_told(scipy_sparse: Any) -> None:
    with pytest.raises(EncodeError, match="scipy writes no lil matrix") as caught:
        encode_tagged({"a": scipy_sparse.lil_matrix(MATRIX)})
    assert caught.value.path == "$.a"


def test_a_matrix_of_objects_cannot_be_written(scipy_sparse: Any) -> None:
    value = scipy_sparse.csr_matrix(MATRIX)
    value.data = value.data.astype(object)
    with pytest.raises(EncodeError, match="holds Python objects"):
        encode_tagged(value)
    value.data = np.zeros(65_537, "V0")
    with pytest.raises(EncodeError, match="its items have no size"):
        encode_tagged(value)


@pytest.mark.usefixtures("scipy_sparse")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (tag_text("no base64!"), "malformed"),
        (csr().replace('__value__": "', '__value__": "\\n'), "Only base64 data is allowed"),
        (tag_text("eJw="), "npz file does not read"),
        (csr(shape=None), "its arrays are no sparse matrix: KeyError('shape')"),
        (csr(shape=(2, -3)), "no sparse matrix"),
        (csr(shape=()), "no sparse matrix"),
        (csr(shape=(2, 2.5)), "float64 where integers belong"),
        (csr(format=b"lil"), "format 'lil'"),
        (csr(format=b"../../csr"), "no sparse matrix"),
        (csr(data=np.array(["a", "b"])), "no sparse matrix"),
        (csr(data=np.array([object()])), "holds Python objects, which would need pickle"),
        (csr(data=np.zeros((2, 2, 2))), "no sparse matrix"),
        (csr(indices=np.array([0, 3])), "no sparse matrix"),
        (csr(indices=np.array([0, -1])), "no sparse matrix"),
        (csr(indices=np.array([0, 2**40])), "no sparse matrix"),
        (csr(indices=np.array([0.5, 1])), "integers belong"),
        (csr(indices=np.array([0])), "no sparse matrix"),
        (csr(indptr=np.array([0, 1, 2**40])), "no sparse matrix"),
        (csr(indptr=np.array([0, 2, 1])), "no sparse matrix"),
        (csr(indptr=np.array([0, -5, 2])), "no sparse matrix"),
        (csr(indptr=np.array([0, 2])), "no sparse matrix"),
        (csr(format=b"csc"), "no sparse matrix"),
        (csr(format=b"bsr", data=np.zeros((2, 1, 1)), indices=np.array([0, 9])), "no sparse"),
        (csr(format=b"dia", offsets=np.array([0, 0]), data=np.zeros((2, 3))), "no sparse"),
        (csr(format=b"dia", offsets=np.array([0.5]), data=np.zeros((1, 3))), "integers"),
        (csr(format=b"coo", row=np.array([0, 5]), col=np.array([0, 1])), "no sparse"),
        (csr(format=b"coo", row=np.array([0, -1]), col=np.array([0, 1])), "no sparse"),
        (csr(format=b"coo", coords=np.array([[0, 5], [0, 1]])), "no sparse"),
        (npz(**{f"part{i}": 1 for i in range(17)}), ": its .npz file has too many parts, in"),
        (npz(**{f"part{i}": 1 for i in range(16)}), "KeyError('shape')"),
    ],
)
def test_a_file_that_is_no_matrix_is_an_error(text: str, words: str) -> None:
    error = refusal(text)
    assert "The spmatrix tag is malformed" in error.message
    assert words in error.message


@pytest.mark.usefixtures("scipy_sparse")
def test_what_a_file_of_arrays_inflates_to_is_limited() -> None:
    text = csr(data=np.zeros(2_000_000))
    error = refusal(text, DecodeLimits(max_inflated_bytes=1 << 20))
    assert error.limit == "max_inflated_bytes"
    assert refusal(text, DecodeLimits(max_memory_bytes=1 << 20)).limit == "max_memory_bytes"


@pytest.mark.usefixtures("scipy_sparse")
def test_a_file_of_arrays_is_stopped_while_it_inflates() -> None:
    text = csr(data=np.zeros(2_000_000))
    tracemalloc.start()
    try:
        refusal(text, DecodeLimits(max_inflated_bytes=1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("scipy_sparse")
def test_a_file_may_lie_about_its_sizes() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"\0" * 100_000)
    for old, new in [(b"\xa0\x86\x01\0", b"\x10\0\0\0"), (b"\x08\0", b"\x63\0")]:
        data = file.getvalue().replace(old, new)
        text = tag_text(base64.b64encode(data).decode())
        assert "npz file does not read" in refusal(text).message


@pytest.mark.usefixtures("scipy_sparse")
@pytest.mark.parametrize("where", ["_matrix", "_pieces"])
def test_running_out_of_memory_is_no_fault_of_the_text(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(ours, where, fail)
    with pytest.raises(MemoryError):
        decode_tagged(csr())
