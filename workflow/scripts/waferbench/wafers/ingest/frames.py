"""Pickled pandas tables without pandas: a restricted unpickler over minimal stand-ins.

LSWMD.pkl was written by Python 2 and a pandas before 0.20, its repackagings by many others, and no one pandas opens
them all. A table is only blocks of values and their column positions, so small stand-ins for the pandas, numpy and
pyarrow names of such files are enough; every other name is refused, and nothing of the file is ever run. Bytes
stay as the file holds them until a column is asked for: half the memory, and only what is used is decoded.
"""

from __future__ import annotations

import gc
import io
import math
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from waferbench.base.errors import InputError, readable
from waferbench.base.npy import require_characters
from waferbench.base.progress import progress


class Dtype:
    """A numpy type by its code, such as ``u1`` or ``U6``; made real only when dies or texts need it."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, align: Any = False, copy: Any = False):
        self.code, self.order = _text(code), "="

    def __setstate__(self, state: tuple) -> None:
        self.order = _text(state[1])

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def numpy(self) -> np.dtype:
        if not re.fullmatch(r"[biufSU]\d{1,4}", self.code):
            raise ValueError(f"values of type {self.code!r}, expected numbers or texts")
        return np.dtype(self.code).newbyteorder(self.order if self.order in ("<", ">") else "=")


class Array:
    """A numpy array as pickled: shape, type, and its bytes (or, of objects, its list)."""

    __slots__ = ("dtype", "fortran", "raw", "shape")

    def __setstate__(self, state: tuple) -> None:
        _, shape, self.dtype, self.fortran, self.raw = state
        if not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape) or not isinstance(self.dtype, Dtype):
            raise ValueError("an array without a shape or a type")
        self.shape = tuple(shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def numpy(self) -> np.ndarray:
        """The array itself, numbers or texts; a damaged one is a ValueError."""
        if self.dtype.is_object:
            return np.array(self.objects()).reshape(self.shape)
        raw = self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw
        array = require_characters(np.frombuffer(raw, self.dtype.numpy()))
        return array.reshape(self.shape, order="F" if self.fortran else "C")

    def objects(self) -> list:
        """The entries of a flat array."""
        if not self.dtype.is_object:
            return self.numpy().ravel().tolist()
        if len(self.raw) != self.size:
            raise ValueError(f"an array of shape {self.shape} with {len(self.raw)} entries")
        return self.raw

    def line(self, row: int) -> list:
        """One row of a two-dimensional array, the array itself if it is flat."""
        if len(self.shape) == 1:
            return self.objects()
        if not self.dtype.is_object:
            return self.numpy()[row].tolist()
        rows, columns = self.shape
        entries = self.objects()
        return entries[row::rows] if self.fortran else entries[row * columns : (row + 1) * columns]


class Texts:
    """A pandas array of strings, whatever holds them."""

    def __init__(self, *_: Any):
        self.values: Any = None

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple):  # pandas' own array of objects: (type, array, attributes)
            state = next(part for part in state if isinstance(part, (Array, dict)))
        self.values = state.get("_pa_array", state.get("_ndarray")) if isinstance(state, dict) else state

    def objects(self) -> list:
        return self.values.objects()

    def line(self, row: int) -> list:
        return self.values.line(row) if isinstance(self.values, Array) else self.objects()


class ArrowStrings:
    """A pyarrow array of strings, from its type, length, offset and buffers (validity, ends, UTF-8)."""

    def __init__(self, state: tuple):
        self.type, self.length, _, self.offset, self.buffers = state[:5]

    def objects(self) -> list:
        if self.type not in ("string", "large_string"):
            raise ValueError(f"a pyarrow column of type {self.type!r}, expected strings")
        validity, ends, text = self.buffers
        at = np.frombuffer(ends, "<i8" if self.type == "large_string" else "<i4") if self.length else [0]
        bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little") if validity else None
        text = bytes(text or b"")
        return [
            None if bits is not None and not bits[i] else text[at[i] : at[i + 1]].decode()
            for i in range(self.offset, self.offset + self.length)
        ]


class ArrowChunks:
    """A pyarrow array in pieces."""

    def __init__(self, chunks: Sequence, kind: Any = None):
        self.chunks = chunks

    def objects(self) -> list:
        return [entry for chunk in self.chunks for entry in chunk.objects()]


class Ignored:
    """A name that such files mention and that no column needs."""

    def __init__(self, *args: Any, **_: Any):
        self.args = args

    def __setstate__(self, state: Any) -> None:
        pass


class Index:
    """Row or column names; those of rows are never looked at."""

    def __init__(self, cls: Any = None, attributes: dict | None = None):
        self.data = (attributes or {}).get("data")

    def objects(self) -> list:
        return self.data.objects() if self.data is not None else []


class BlockManager:
    """The blocks (values, column positions) of a table and its two axes, by either way that pandas has pickled it."""

    def __init__(self, blocks: Sequence = (), axes: Sequence = (), *_: Any):
        self.blocks, self.axes = list(blocks), list(axes)

    def __setstate__(self, state: tuple) -> None:
        newest = state[3]["0.14.1"]
        self.axes = newest["axes"]
        self.blocks = [(block["values"], block["mgr_locs"]) for block in newest["blocks"]]


class Frame:
    """A pandas data frame."""

    def __setstate__(self, state: dict) -> None:
        self.manager: BlockManager = state["_mgr"] if "_mgr" in state else state["_data"]

    @property
    def columns(self) -> list[str]:
        return [str(_text(name)) for name in self.manager.axes[0].objects()]

    def column(self, name: str) -> list:
        """The cells of a column as Python objects."""
        position = self.columns.index(name)
        for values, placement in self.manager.blocks:
            places = _positions(placement, len(self.columns))
            if position in places:
                return values.line(places.index(position))
        raise ValueError(f"no values for the column {name!r}")


def _positions(placement: Any, count: int) -> list[int]:
    if isinstance(placement, Ignored):  # pandas' BlockPlacement, made of a slice, an array or a number
        placement = placement.args[0]
    if isinstance(placement, slice):
        return list(range(count))[placement]
    return [placement] if isinstance(placement, int) else placement.objects()


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, (bytes, bytearray)) else value


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes into the older protocols."""
    return text.encode("latin1")


def _bytes(value: Any = b"", encoding: str = "latin1") -> bytes:
    """Bytes of bytes or text; of a number there would be as many zeros, which no such file needs."""
    if isinstance(value, int):
        raise ValueError("bytes by their number")
    return _encode(value) if isinstance(value, str) else bytes(value)


def _new_array(*_: Any) -> Array:
    return Array()


def _array_of_buffer(raw: Any, dtype: Dtype, shape: tuple, order: str, axes: Any = None) -> Array:
    if axes is not None and tuple(axes) != tuple(range(len(shape))):
        raise ValueError("an array with permuted axes")
    array = Array()
    array.__setstate__((1, shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: Dtype, raw: Any) -> Any:
    return _array_of_buffer(raw, dtype, (1,), "C").objects()[0]


def _new_string_array(cls: Any, checksum: Any, state: Any) -> Texts:
    texts = Texts()
    if state is not None:
        texts.__setstate__(state)
    return texts


def _same(value: Any, *_: Any) -> Any:
    return value


def _instance(cls: type, *_: Any) -> Any:
    return cls.__new__(cls)


def _names(modules: str, names: str, stand_in: Any) -> dict[tuple[str, str], Any]:
    return {(module, name): stand_in for module in modules.split() for name in names.split()}


# by age: before 0.20, up to 2.x, 3
ALLOWED = {
    **_names("pandas.core.frame pandas", "DataFrame", Frame),
    **_names("pandas.core.internals pandas.core.internals.managers", "BlockManager", BlockManager),
    **_names("pandas.core.internals.blocks", "new_block", lambda values, placement, *_, **__: (values, placement)),
    **_names("pandas._libs.internals", "_unpickle_block", lambda values, placement, *_: (values, placement)),
    **_names("pandas._libs.internals", "BlockPlacement", Ignored),
    **_names("pandas.indexes.base pandas.core.indexes.base pandas.core.index pandas", "_new_Index", Index),
    **_names("pandas.indexes.base pandas.core.indexes.base pandas.core.index pandas", "Index", Index),
    **_names("pandas.indexes.range pandas.core.indexes.range pandas", "RangeIndex", Index),
    **_names("pandas.indexes.numeric pandas.core.indexes.numeric pandas.core.index", "Int64Index", Index),
    **_names("pandas.core.arrays.string_ pandas.arrays", "StringArray", Texts),
    **_names("pandas.core.arrays.string_arrow pandas.arrays", "ArrowStringArray ArrowStringArrayNumpySemantics", Texts),
    **_names("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked", _new_string_array),
    **_names("pandas.core.arrays.string_ pandas", "StringDtype", Ignored),
    **_names("pandas._libs.missing pandas", "NA", None),
    **_names("numpy.core.multiarray numpy._core.multiarray", "_reconstruct", _new_array),
    **_names("numpy.core.multiarray numpy._core.multiarray", "scalar", _scalar),
    **_names("numpy.core.numeric numpy._core.numeric", "_frombuffer", _array_of_buffer),
    **_names("numpy", "ndarray", Array),
    **_names("numpy", "dtype", Dtype),
    **_names("pyarrow.lib", "_restore_array", ArrowStrings),
    **_names("pyarrow.lib", "chunked_array", ArrowChunks),
    **_names("pyarrow.lib", "type_for_alias py_buffer", _same),
    **_names("_codecs", "encode", _encode),
    **_names("copy_reg copyreg", "_reconstructor", _instance),
    **_names("__builtin__ builtins", "object", object),
    **_names("__builtin__ builtins", "slice", slice),
    **_names("__builtin__ builtins", "bytearray bytes", _bytes),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: Path):
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise InputError(
                f"{self._path}: the pickle asks for {module}.{name}, which a wafer table does not need, so it is not "
                "read; take an unaltered LSWMD.pkl, or convert the table to .npz"
            )
        return ALLOWED[module, name]


class _Counted(io.FileIO):
    """A file that moves a progress bar as it is read."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.bar = progress((), f"reading {path.name}, bytes", path.stat().st_size)

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self.bar.update(count or 0)
        return count

    def close(self) -> None:
        self.bar.close()
        super().close()


def read_frame(path: Path) -> Frame:
    """The data frame in a pickle of any protocol.

    Raises:
        InputError: not a pickle, cut short, not a data frame, or with a name outside the allowed ones (named).
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects, none of them garbage
    try:
        with (
            readable(path, "pickle", "it is cut short, damaged or another kind of file: download it again"),
            io.BufferedReader(_Counted(path), 1 << 20) as file,
        ):
            frame = _Unpickler(file, path).load()
    finally:
        if collecting:
            gc.enable()
    if not isinstance(frame, Frame) or not isinstance(getattr(frame, "manager", None), BlockManager):
        raise InputError(f"{path}: the pickle holds a {type(frame).__name__}, expected a pandas data frame")
    return frame
