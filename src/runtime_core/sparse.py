"""Sparse matrices as tagged JSON carries them: base64 of a `.npz` file as scipy writes it.

scipy is imported when the first one is met, and builds the matrix; the file is read here, within
the limits, and every index in it is checked: scipy itself trusts them, and reads and writes
wherever they point.
"""

from __future__ import annotations

import binascii
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runtime_core.errors import DecodeError
from runtime_core.json_limits import Allowance
from runtime_core.npy import check_dtype, read_npy

if TYPE_CHECKING:
    import zipfile

    from numpy.typing import NDArray

_PIECE = 1 << 16
_ENTRY = b"PK\x01\x02"  # begins each entry of a zip file's directory
_MOST_ENTRIES = 16  # scipy writes seven at most
_PARTS = {
    "csr": ("indices", "indptr"),
    "csc": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "dia": ("offsets",),
    "coo": ("row", "col"),
}
"""The arrays of each format that hold integers, beside `data`."""


def sparse_of_tag(value: Any, allowance: Allowance) -> Any:
    """Make the matrix of an `spmatrix` tag.

    Raises:
        DecodeError: if it takes more than is allowed, or scipy is missing.
        ValueError, TypeError: if the value is malformed.
    """
    if not isinstance(value, str):
        raise TypeError("it is not a text")
    try:
        import scipy.sparse  # noqa: F401 # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DecodeError(
            "The text holds an spmatrix, and scipy is not installed: "
            "pip install 'runtime-core[scipy]'"
        ) from error
    allowance.take(len(value))
    arrays = _read_npz(binascii.a2b_base64(value, strict_mode=True), allowance)
    try:
        return _matrix(arrays)
    except (DecodeError, MemoryError):
        raise
    except Exception as error:
        # scipy says in many ways that arrays do not fit together.
        raise ValueError(f"its arrays are no sparse matrix: {error!r}") from error


def _read_npz(data: bytes, allowance: Allowance) -> dict[str, NDArray[Any]]:
    import zipfile  # and much with it, for the few who meet a sparse matrix

    if data.count(_ENTRY) > _MOST_ENTRIES:
        raise ValueError("its .npz file has too many parts")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                part.filename.removesuffix(".npy"): read_npy(_pieces(archive, part), allowance)
                for part in archive.infolist()
            }
    except (DecodeError, MemoryError):
        raise
    except Exception as error:
        # zipfile raises whatever comes: struct.error, zlib.error, NotImplementedError and more.
        raise ValueError(f"its .npz file does not read: {error}") from error


def _pieces(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(part) as file:
        while piece := file.read(_PIECE):
            yield piece


def _matrix(arrays: dict[str, NDArray[Any]]) -> Any:
    import scipy.sparse  # pyright: ignore[reportMissingImports]

    shape = tuple(int(length) for length in _integers(arrays["shape"]))
    kind, data = str(arrays["format"].astype("U3")), arrays["data"]
    if any(length < 0 for length in shape) or kind not in _PARTS or data.dtype.kind not in "biufc":
        raise ValueError(f"format {kind!r} of shape {shape} and {data.dtype}")
    suffix = "array" if "_is_array" in arrays and arrays["_is_array"].all() else "matrix"
    make = getattr(scipy.sparse, f"{kind}_{suffix}")  # one of ten names
    if "coords" in arrays:  # of an array that does not have two dimensions
        return make((data, tuple(_integers(arrays["coords"]))), shape=shape)
    parts = [_integers(arrays[name]) for name in _PARTS[kind]]
    if kind == "coo":
        return make((data, tuple(parts)), shape=shape)
    matrix = make((data, *parts), shape=shape)
    if kind != "dia":
        matrix.check_format(full_check=True)
    return matrix


def _integers(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "iu":
        raise ValueError(f"{array.dtype} where integers belong")
    return array


def pack_sparse(matrix: Any) -> str:
    """Write a sparse matrix or array as base64 of a `.npz` file.

    Raises:
        ValueError: if `.npz` cannot hold it without pickle, or scipy does not write its format.
    """
    import scipy.sparse  # pyright: ignore[reportMissingImports]

    if matrix.format not in _PARTS:
        raise ValueError(f"scipy writes no {matrix.format} matrix: pass a .tocsr() of it")
    check_dtype(matrix.data.dtype, matrix.data.shape)
    file = io.BytesIO()
    scipy.sparse.save_npz(file, matrix)
    return binascii.b2a_base64(file.getbuffer(), newline=False).decode("ascii")
