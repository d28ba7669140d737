"""Arrays as tagged JSON carries them: base64 of zlib of a `.npy` file, or a nested list.

numpy is imported when the first array is met. Nothing here unpickles. The format is that of
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import binascii
import io
import math
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from runtime_core.errors import DecodeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIECE = 1 << 16  # bytes, of input and of output, that are decompressed in one go
_ROW = (list, tuple)  # written alike, so that an array of tuples is read as one of more dimensions
_MOST_DIMENSIONS = 64  # of a numpy array


def inflate(text: str, room: int) -> bytearray:
    """Turn base64 of zlib into bytes, at most `room` of them.

    Raises:
        DecodeError: if there are more than `room`; little more than that was allocated.
        ValueError: if the text is not base64, or not zlib, or cut off, or followed by more.
    """
    packed = memoryview(binascii.a2b_base64(text, strict_mode=True))
    inflater, inflated = zlib.decompressobj(), bytearray()
    for piece in _decompressed(inflater, packed):
        inflated += piece
        if len(inflated) > room:
            raise DecodeError(
                "The arrays of the text decompress to more than max_inflated_bytes allows",
                limit="max_inflated_bytes",
            )
    if not inflater.eof:
        raise ValueError("its zlib data is cut off")
    return inflated


def _decompressed(inflater: zlib._Decompress, packed: memoryview) -> Iterator[bytes]:
    """Yield what zlib data holds in pieces of bounded size, however well it was compressed."""
    for start in range(0, len(packed), _PIECE):
        rest: memoryview | bytes = packed[start : start + _PIECE]
        while rest:  # the checksum at the end stays until everything before it came out
            try:
                piece = inflater.decompress(rest, _PIECE)
            except zlib.error as error:
                raise ValueError(f"it is not zlib: {error}") from error
            yield piece
            rest = inflater.unconsumed_tail
        if inflater.unused_data:
            raise ValueError("there is more after the end of the zlib data")


def array_from_npy(data: bytearray) -> NDArray[Any]:
    """Make an array over the bytes of a `.npy` file, which it keeps instead of a copy.

    Raises:
        ValueError: if it is not such a file, holds Python objects, or its header does not fit the
            bytes that follow; an array is allocated in none of these cases.
        ImportError: without numpy.
    """
    import numpy as np

    file = io.BytesIO(data[:_PIECE])
    try:
        shape, fortran, dtype = _read_header(file)
    except Exception as error:
        # numpy evaluates a header that may say anything: ValueError is only the usual outcome.
        raise ValueError(f"its .npy header does not read: {error}") from error
    _check_dtype(dtype)
    size, follows = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if size != follows or min(shape, default=0) < 0:
        raise ValueError(f"its header wants {size} bytes of data, and {follows} follow")
    return np.ndarray(shape, dtype, data, file.tell(), order="F" if fortran else "C")


def _read_header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    import numpy as np

    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of .npy is not supported")


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError(f"its dtype {dtype} holds Python objects, which would need pickle")
    if dtype.itemsize == 0:
        raise ValueError("its items have no size, so any number of them would fit into nothing")


def object_array(rows: list[Any]) -> NDArray[np.object_]:
    """Make an array of Python objects: every level of lists of one length is a dimension.

    Raises:
        ImportError: without numpy.
    """
    import numpy as np

    # Not numpy.array(rows): it would turn [1, "a"] into text, and copy arrays that are elements.
    shape, level = [len(rows)], rows
    while len(shape) < _MOST_DIMENSIONS and level and isinstance(level[0], _ROW):
        length = len(level[0])
        if not all(isinstance(row, _ROW) and len(row) == length for row in level):
            break
        shape.append(length)
        level = [item for row in level for item in row]
    array = np.empty(len(level), dtype=object)
    for index, item in enumerate(level):
        array[index] = item
    return array.reshape(shape)


def pack_array(array: NDArray[Any]) -> str:
    """Write an array without Python objects as base64 of zlib of a `.npy` file.

    Raises:
        ValueError: if `.npy` cannot hold it without pickle.
    """
    import numpy as np

    _check_dtype(array.dtype)
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return binascii.b2a_base64(zlib.compress(file.getbuffer()), newline=False).decode("ascii")


def array_of_tag(value: Any, room: int) -> tuple[NDArray[Any], int]:
    """Make the array of an `ndarray` tag; also tells how many bytes were inflated for it.

    Raises:
        DecodeError: if the value inflates to more than `room`, or numpy is missing.
        ValueError, TypeError, OverflowError: if the value is malformed.
    """
    try:
        if isinstance(value, list):
            return object_array(value), 0
        if isinstance(value, str):
            data = inflate(value, room)
            return array_from_npy(data), len(data)
    except ImportError as error:
        raise DecodeError(
            "The text holds an ndarray, and numpy is not installed: "
            "pip install 'runtime-core[numpy]'"
        ) from error
    raise TypeError("it is neither a text nor a list")
