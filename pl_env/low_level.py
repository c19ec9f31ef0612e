"""Two things that kernels need and numba does not offer: numbers from NumPy generators, and a hint to the cache."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pl_env.compiling import compiled


def generator_addresses(generators: Sequence[np.random.Generator]) -> NDArray[np.int64]:
    """Where each generator's ``next_double`` and its state lie in memory, int64 (N, 2), for `fill_uniforms`.

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


@compiled
def fill_uniforms(
    addresses: NDArray[np.int64],  # (N, 2), of `generator_addresses`
    which: NDArray[np.int64],  # (M,) generators to draw from
    counts: NDArray[np.int64],  # (M,) how many numbers to draw from each
    rows: NDArray[np.int64],  # (M,) row of ``out`` for each
    out: NDArray[np.float64],  # (..., at least max(counts)) out
) -> None:
    """Fill rows with uniform numbers in [0, 1): the very ones that ``generator.random(count)`` would give."""
    for m in range(len(which)):
        function, state = addresses[which[m], 0], addresses[which[m], 1]
        for j in range(counts[m]):
            out[rows[m], j] = _next_double(function, state)  # type: ignore[call-arg]  # the context is numba's


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """Tell the processor that the cache line at an address will be read soon; the address need not be valid."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        read, keep_near, data = integer(0), integer(3), integer(1)
        builder.call(hint, [builder.inttoptr(arguments[0], pointer), read, keep_near, data])
        return context.get_dummy_value()

    return types.none(types.int64), generate
