"""The one place that sets numba's options, and the rules that keep bits portable.

A kernel returns the same bits on every x86-64 processor because

- it is compiled without fast-math, so that LLVM neither reorders sums nor contracts ``a * b + c``;
- it uses only ``+ - * /``, square roots, comparisons, conversions and integers, all of which IEEE 754 rounds
  correctly,
  and *explicit* fused multiply-adds (:func:`fma`), which LLVM emulates with the same bits where hardware
  lacks them;
- exponentials and logarithms are our own polynomials (:mod:`rbmlib.kernels.elementary`), since those of libm,
  numpy and
  SVML depend on the processor;
- sums across lanes run in an order that the code spells out (:mod:`rbmlib.kernels.lanes`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .caching import kernel_cache


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel: no Python objects, no fast-math, no bounds checks, cached on disk, releasing the
    GIL.
    """
    dispatcher = numba.njit(fastmath=False, boundscheck=False, error_model="numpy", nogil=True)(function)
    dispatcher._cache = kernel_cache(function)
    return dispatcher


def inline(function: Callable[..., Any]) -> Any:
    """Compile a small piece that LLVM is told to inline into the kernels that call it (never called from
    Python).
    """
    return numba.njit(fastmath=False, boundscheck=False, error_model="numpy", nogil=True, forceinline=True)(
        function
    )


@intrinsic
def fma(typingctx, a, b, c):
    """``a * b + c`` with one rounding, for float32 or float64 scalars."""
    if not (a == b == c and a in (types.float32, types.float64)):
        return None

    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    return a(a, a, a), codegen


@intrinsic
def bits_to_float64(typingctx, bits):
    """Reinterpret the 64 bits of an integer as a float64."""
    if not isinstance(bits, types.Integer) or bits.bitwidth != 64:
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(bits), codegen


@intrinsic
def float64_to_bits(typingctx, x):
    """Reinterpret a float64 as an int64."""
    if x != types.float64:
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(x), codegen
