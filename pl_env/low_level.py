"""What kernels need and numba does not offer: arrays by address, numbers from NumPy generators, a hint to the cache."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype
from numpy.typing import DTypeLike, NDArray

Arrays = TypeVar("Arrays", bound=tuple[NDArray[Any], ...])
Layout = Sequence[tuple[DTypeLike | None, int]]
"""Type and number of axes of each of some arrays; None stands for a type that is known at compile time only."""

_MOST_AXES = 3


def addresses_of(arrays: Sequence[NDArray[Any]], layout: Layout) -> NDArray[np.int64]:
    """Where arrays lie in memory and what shapes they have, int64 (len(arrays), 4), for `array_reader`.

    A kernel takes some 50 ns for each array that it is called with, longer than a step takes for all its work; this
    one array stands for all of them. It holds as long as the arrays themselves: whoever has it must keep them, and
    make it anew when they are copied or unpickled.

    Raises:
        TypeError: An array is not what the layout says, or is not contiguous; a kernel would read nonsense.
    """
    table = np.zeros((len(arrays), 1 + _MOST_AXES), dtype=np.int64)
    for row, array, (dtype, n_axes) in zip(table, arrays, layout, strict=True):
        right_type = dtype is None or array.dtype == dtype
        if not (right_type and array.ndim == n_axes and array.flags.c_contiguous):
            raise TypeError(f"expected a contiguous {dtype} of {n_axes} axes, not {array.dtype} {array.shape}")
        row[0] = array.__array_interface__["data"][0]
        row[1 : 1 + n_axes] = array.shape
    return table


def array_reader(kind: type[Arrays], layout: Layout) -> Callable[[NDArray[np.int64], NDArray[Any]], Arrays]:
    """Make a function for kernels that turns a table of `addresses_of` into a named tuple of arrays again.

    Its second argument is an array of the type that stands as None in the layout. The arrays own no memory, so handing
    them and slices of them to each other costs no reference counting either.
    """

    def without_compilation(table: NDArray[np.int64], typed: NDArray[Any]) -> Arrays:
        arrays = []
        for (address, *shape), (dtype, n_axes) in zip(table.tolist(), layout, strict=True):
            element = np.dtype(typed.dtype if dtype is None else dtype)
            size = math.prod(shape[:n_axes]) * element.itemsize
            content = (ctypes.c_byte * size).from_address(address)
            arrays.append(np.frombuffer(content, dtype=element).reshape(shape[:n_axes]))
        return kind(*arrays)

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


# Type checkers see numba's own first argument too.
next_double: Callable[..., float] = _next_double
prefetch: Callable[..., None] = _prefetch
