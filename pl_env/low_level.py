"""What kernels need and numba does not offer: arrays by address, numbers from NumPy generators, a hint to the cache."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_type_hints

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype
from numpy.typing import DTypeLike, NDArray

Arrays = TypeVar("Arrays", bound=tuple[NDArray[Any], ...])

_MOST_AXES = 3


class Field(NamedTuple):
    """What a field of a named tuple of arrays says of itself: ``Annotated[NDArray[np.int64], "N", "I + 1"]``.

    Attributes:
        dtype: Type of the elements; None for a type that is known at compile time only, written as ``NDArray[Any]``.
        axes: Names of the axes, or their lengths in digits.
    """

    dtype: DTypeLike | None
    axes: tuple[str, ...]


@cache
def fields_of(kind: type[Arrays]) -> tuple[Field, ...]:
    """What the fields of a named tuple of arrays say of themselves, in order."""
    fields = []
    for hint in get_type_hints(kind, include_extras=True).values():
        array, *axes = get_args(hint)
        (scalar,) = get_args(get_args(array)[1])
        fields.append(Field(None if scalar is Any else scalar, tuple(axes)))
    return tuple(fields)


def zeros_of(kind: type[Arrays], sizes: Mapping[str, int], typed: DTypeLike) -> Arrays:
    """Arrays of zeros for all fields of a named tuple.

    Args:
        kind: The named tuple.
        sizes: Length of each axis by its name.
        typed: Type of the fields that leave theirs open.
    """
    return kind._make(  # type: ignore[attr-defined,no-any-return]
        np.zeros([int(axis) if axis.isdigit() else sizes[axis] for axis in axes], typed if dtype is None else dtype)
        for dtype, axes in fields_of(kind)
    )


def addresses_of(arrays: tuple[NDArray[Any], ...]) -> NDArray[np.int64]:
    """Where a named tuple's arrays lie in memory and what shapes they have, int64 (fields, 4), for `array_reader`.

    A kernel takes some 50 ns for each array that it is called with, longer than a step takes for all its work; this
    one array stands for all of them. It holds as long as the arrays themselves: whoever has it must keep them, and
    make it anew when they are copied or unpickled.

    Raises:
        TypeError: An array is not what its field says, or is not contiguous; a kernel would read nonsense.
    """
    table = np.zeros((len(arrays), 1 + _MOST_AXES), dtype=np.int64)
    for row, array, (dtype, axes) in zip(table, arrays, fields_of(type(arrays)), strict=True):
        right_type = dtype is None or array.dtype == dtype
        if not (right_type and array.ndim == len(axes) and array.flags.c_contiguous):
            raise TypeError(f"expected a contiguous {dtype} of {len(axes)} axes, not {array.dtype} {array.shape}")
        row[0] = array.__array_interface__["data"][0]
        row[1 : 1 + len(axes)] = array.shape
    return table


def array_reader(kind: type[Arrays]) -> Callable[[NDArray[np.int64], NDArray[Any]], Arrays]:
    """Make a function for kernels that turns a table of `addresses_of` into a named tuple of arrays again.

    Its second argument is an array of the type that fields leave open. The arrays own no memory, so handing them and
    slices of them to each other costs no reference counting either.
    """
    layout = [(dtype, len(axes)) for dtype, axes in fields_of(kind)]

    def without_compilation(table: NDArray[np.int64], typed: NDArray[Any]) -> Arrays:
        arrays = []
        for (address, *shape), (dtype, n_axes) in zip(table.tolist(), layout, strict=True):
            element = np.dtype(typed.dtype if dtype is None else dtype)
            size = math.prod(shape[:n_axes]) * element.itemsize
            content = (ctypes.c_byte * size).from_address(address)
            arrays.append(np.frombuffer(content, dtype=element).reshape(shape[:n_axes]))
        return kind._make(arrays)  # type: ignore[attr-defined,no-any-return]

    def read(typing_context: Any, table: Any, typed: Any) -> Any:
        array_types = [
            types.Array(typed.dtype if dtype is None else from_dtype(np.dtype(dtype)), n_axes, "C")
            for dtype, n_axes in layout
        ]
        result = types.NamedTuple(array_types, kind)  # type: ignore[no-untyped-call]

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            entries = make_array(signature.args[0])(context, builder, arguments[0]).data  # type: ignore[no-untyped-call]
            integer = context.get_value_type(types.intp)

            def entry(row: int, column: int) -> Any:
                return builder.load(builder.gep(entries, [ir.Constant(integer, row * (1 + _MOST_AXES) + column)]))

            values = []
            for row, array_type in enumerate(array_types):
                array = make_array(array_type)(context, builder)  # type: ignore[no-untyped-call]
                shape = [entry(row, 1 + axis) for axis in range(array_type.ndim)]
                item_size = ir.Constant(integer, context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
                strides = [item_size]
                for length in reversed(shape[1:]):
                    strides.insert(0, builder.mul(strides[0], length))
                address = builder.inttoptr(entry(row, 0), array.data.type)
                populate_array(array, address, shape, strides, item_size, meminfo=None)  # type: ignore[no-untyped-call]
                values.append(array._getvalue())
            return context.make_tuple(builder, result, values)

        return result(table, typed), generate

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return without_compilation
    return cast(Callable[[NDArray[np.int64], NDArray[Any]], Arrays], intrinsic(read))


@intrinsic
def _borrowed(typing_context: Any, arrays: Any) -> Any:
    """The same named tuple of arrays, that own no memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = []
        for place, kind in enumerate(arrays.types):
            array = make_array(kind)(context, builder, builder.extract_value(arguments[0], place))  # type: ignore[no-untyped-call]
            array.meminfo = ir.Constant(array.meminfo.type, None)
            array.parent = ir.Constant(array.parent.type, None)
            values.append(array._getvalue())
        return context.make_tuple(builder, signature.return_type, values)

    return arrays(arrays), generate


def generator_addresses(generators: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    """Where each generator's ``next_double`` and its state lie in memory, int64 (N, 2), for `next_double`.

    They hold as long as the generators live in this process; a copied or unpickled generator has others.
    """
    addresses = np.empty((len(generators), 2), dtype=np.int64)
    for row, generator in zip(addresses, generators, strict=True):
        interface = generator.bit_generator.ctypes
        function = ctypes.cast(interface.next_double, ctypes.c_void_p).value
        assert function is not None
        row[:] = (function, interface.state_address)
    return addresses


@intrinsic
def _next_double(typing_context: Any, function: Any, state: Any) -> Any:
    """Call a bit generator's ``next_double``, as NumPy's "Extending" chapter does; both arguments are addresses."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.DoubleType(), [pointer])
        callee = builder.inttoptr(arguments[0], kind.as_pointer())
        return builder.call(callee, [builder.inttoptr(arguments[1], pointer)])

    return types.float64(types.int64, types.int64), generate


@intrinsic
def _prefetch(typing_context: Any, address: Any) -> Any:
    """Tell the processor that the cache line at an address will be read soon; the address need not be valid."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        read, keep_near, data = integer(0), integer(3), integer(1)
        builder.call(hint, [builder.inttoptr(arguments[0], pointer), read, keep_near, data])
        return context.get_dummy_value()

    return types.none(types.int64), generate


def _next_double_without_compilation(function: int, state: int) -> float:
    return float(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p)(int(function))(int(state)))


# Type checkers see numba's own first argument too.
next_double: Callable[..., float] = _next_double
prefetch: Callable[..., None] = _prefetch

borrowed: Callable[..., Any] = _borrowed
"""The same named tuple of arrays, which own no memory: a kernel that begins with it counts no references.

Every function that is handed thirty arrays, compiled in or called, counts thirty references up and down. Whoever calls
the kernel must hold the arrays until it returns; none may be made in the kernel.
"""

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    next_double, prefetch = _next_double_without_compilation, lambda address: None
    borrowed = lambda arrays: arrays  # noqa: E731
