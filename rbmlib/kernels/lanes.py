"""Explicit SIMD lanes for numba: fixed-width vectors that live in registers.

LLVM splits a vector that is wider than the processor's registers (16 float32 lanes are one AVX-512, two AVX2
or four SSE registers), and every lane is rounded by itself, so the bits do not depend on the split. A sum
across lanes is a fixed tree (:func:`tree_sum`).

===========  =====================  ===========================================
type         lanes                  made by
===========  =====================  ===========================================
``f32x16``   16 float32             ``load_f32``, ``splat`` of a float32
``f64x8``    8 float64              ``load_f64``, ``splat`` of a float64
``u32x16``   16 unsigned 32-bit     ``interleave`` of two ``u64x8``
``u64x8``    8 unsigned 64-bit      ``splat`` of a uint64, ``even_chains``
===========  =====================  ===========================================

Arrays are passed C-contiguous with a flat element offset, so that a kernel can hold several tiles in one
buffer.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from .options import inline


class Lanes(types.Type):
    """A vector of ``count`` lanes of a scalar type."""

    def __init__(self, name: str, element: types.Type, count: int, llvm: ir.Type) -> None:
        self.element = element
        self.count = count
        self.llvm = ir.VectorType(llvm, count)
        super().__init__(name=name)


f32x16 = Lanes("f32x16", types.float32, 16, ir.FloatType())
f64x8 = Lanes("f64x8", types.float64, 8, ir.DoubleType())
u32x16 = Lanes("u32x16", types.uint32, 16, ir.IntType(32))
u64x8 = Lanes("u64x8", types.uint64, 8, ir.IntType(64))
_INDICES = ir.VectorType(ir.IntType(64), 16)
_FLOATS = (f32x16, f64x8)
_OF_ELEMENT = {lanes.element: lanes for lanes in (f32x16, f64x8, u32x16, u64x8)}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


def _constant(vector: ir.VectorType, value) -> ir.Constant:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def _shuffle(builder, a, b, pattern):
    return builder.shuffle_vector(
        a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(pattern)), list(pattern))
    )


def _broadcast(builder, scalar, vector: ir.VectorType):
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    return _shuffle(builder, one, one, [0] * vector.count)


def _call_llvm(builder, name, lanes, arguments):
    """Call LLVM's intrinsic ``name`` (fma, fabs, sqrt) on whole vectors."""
    signature = ir.FunctionType(lanes.llvm, [lanes.llvm] * len(arguments))
    full_name = f"llvm.{name}.v{lanes.count}f{lanes.element.bitwidth}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, full_name), arguments)


def _pointer(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _aligned_to_elements(instruction, lanes: Lanes):
    instruction.align = lanes.element.bitwidth // 8
    return instruction


@intrinsic
def load(typingctx, array, offset):
    """Lanes from the flat elements ``offset, offset + 1, ...`` of a contiguous float32 or float64 array."""
    lanes = _OF_ELEMENT.get(getattr(array, "dtype", None))
    if lanes is None or not isinstance(offset, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args)
        return _aligned_to_elements(builder.load(builder.bitcast(pointer, lanes.llvm.as_pointer())), lanes)

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """Write lanes to the flat elements ``offset, offset + 1, ...`` of a contiguous array."""
    if not isinstance(value, Lanes) or getattr(array, "dtype", None) != value.element:
        return None

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        _aligned_to_elements(builder.store(args[2], builder.bitcast(pointer, value.llvm.as_pointer())), value)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def splat(typingctx, scalar):
    """The same scalar (float32, float64, uint32 or uint64) in every lane."""
    lanes = _OF_ELEMENT.get(scalar)
    if lanes is None:
        return None

    def codegen(context, builder, signature, args):
        return _broadcast(builder, args[0], lanes.llvm)

    return lanes(scalar), codegen


@intrinsic
def fused(typingctx, a, b, c):
    """``a * b + c`` with one rounding in every lane."""
    if not (a == b == c and a in _FLOATS):
        return None

    def codegen(context, builder, signature, args):
        return _call_llvm(builder, "fma", a, args)

    return a(a, a, a), codegen


@intrinsic
def less_than(typingctx, a, b):
    """1.0 where ``a < b``, else 0.0 (0.0 for NaN)."""
    if not (a == b and a in _FLOATS):
        return None

    def codegen(context, builder, signature, args):
        return builder.select(
            builder.fcmp_ordered("<", *args), _constant(a.llvm, 1.0), _constant(a.llvm, 0.0)
        )

    return a(a, a), codegen


@intrinsic
def clamp(typingctx, a, low, high):
    """``a`` limited to [low, high] in every lane; NaN becomes ``low``."""
    if not (a in _FLOATS and low == high == a):
        return None

    def codegen(context, builder, signature, args):
        value, lowest, highest = args
        value = builder.select(builder.fcmp_ordered(">", value, lowest), value, lowest)
        return builder.select(builder.fcmp_ordered("<", value, highest), value, highest)

    return a(a, a, a), codegen


@intrinsic
def absolute(typingctx, a):
    """The absolute value of every lane."""
    if a not in _FLOATS:
        return None

    def codegen(context, builder, signature, args):
        return _call_llvm(builder, "fabs", a, args)

    return a(a), codegen


@intrinsic
def square_root(typingctx, a):
    """The correctly rounded square root of every lane."""
    if a not in _FLOATS:
        return None

    def codegen(context, builder, signature, args):
        return _call_llvm(builder, "sqrt", a, args)

    return a(a), codegen


def _float_operation(name):
    @intrinsic
    def operation(typingctx, a, b):
        if not (a == b and a in _FLOATS):
            return None

        def codegen(context, builder, signature, args):
            return getattr(builder, name)(*args)

        return a(a, b), codegen

    return operation


_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = (_float_operation(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


def _overload_operator(symbol, operation):
    @overload(symbol)
    def implementation(a, b):
        if a == b and a in _FLOATS:
            return lambda a, b: operation(a, b)
        return None


for _symbol, _operation in (
    (operator.add, _ADD),
    (operator.sub, _SUBTRACT),
    (operator.mul, _MULTIPLY),
    (operator.truediv, _DIVIDE),
):
    _overload_operator(_symbol, _operation)


@intrinsic
def scale_by_power_of_two(typingctx, a, exponent):
    """``a * 2**n`` where ``exponent`` holds ``n + magic`` (see ``elementary``): an integer add to a's
    exponent bits.

    ``magic`` is 1.5 * 2**23 (float32) or 1.5 * 2**52 (float64): adding it rounds to an integer, which then
    stands in the low bits of the sum. Neither ``a`` nor the result may leave the normal numbers.
    """
    if not (a == exponent and a in _FLOATS):
        return None
    mantissa = 23 if a is f32x16 else 52

    def codegen(context, builder, signature, args):
        integers = ir.VectorType(ir.IntType(a.element.bitwidth), a.count)
        power = builder.shl(builder.bitcast(args[1], integers), _constant(integers, mantissa))
        return builder.bitcast(builder.add(builder.bitcast(args[0], integers), power), a.llvm)

    return a(a, a), codegen


@intrinsic
def split_float(typingctx, a):
    """``(m, e)`` with ``a = m * 2**e`` and m in [sqrt(1/2), sqrt(2)), for positive normal float64 lanes."""
    if a is not f64x8:
        return None
    integers = ir.VectorType(ir.IntType(64), 8)

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], integers)
        # Subtracting the bits of sqrt(1/2) makes the exponent field count from sqrt(1/2), not from 1.
        offset = builder.sub(bits, _constant(integers, 0x3FE6A09E667F3BCD))
        exponent = builder.ashr(offset, _constant(integers, 52))
        mantissa = builder.sub(bits, builder.shl(exponent, _constant(integers, 52)))
        result = (builder.bitcast(mantissa, a.llvm), builder.sitofp(exponent, a.llvm))
        return context.make_tuple(builder, signature.return_type, result)

    return types.UniTuple(f64x8, 2)(a), codegen


@intrinsic
def tree_sum(typingctx, a):
    """The sum of all lanes: halves are added until one lane is left, in this order on every processor."""
    if a not in _FLOATS:
        return None

    def codegen(context, builder, signature, args):
        value, width = args[0], a.count
        while width > 1:
            width //= 2
            low = _shuffle(builder, value, value, range(width))
            high = _shuffle(builder, value, value, range(width, 2 * width))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.IntType(32)(0))

    return a.element(a), codegen


@inline
def aligned_float32(n):
    """An uninitialised float32 array of ``n`` elements that starts on a cache line (a register then never
    spans two).
    """
    buffer = np.empty(n + 16, np.float32)
    start = (-(buffer.ctypes.data // 4)) % 16
    return buffer[start : start + n]


# --- integer lanes, for the random numbers --------------------------------------------------------------------------


@intrinsic
def even_chains(typingctx, base):
    """``base + 0, base + 2, ... base + 14`` as 64-bit lanes."""
    if base != types.uint64:
        return None

    def codegen(context, builder, signature, args):
        steps = ir.Constant(u64x8.llvm, [ir.IntType(64)(2 * lane) for lane in range(8)])
        return builder.add(_broadcast(builder, args[0], u64x8.llvm), steps)

    return u64x8(base), codegen


@intrinsic
def low_product(typingctx, a, b):
    """The 64-bit products of the low 32 bits of every lane."""
    if not (a == b == u64x8):
        return None

    def codegen(context, builder, signature, args):
        mask = _constant(u64x8.llvm, 0xFFFFFFFF)
        return builder.mul(builder.and_(args[0], mask), builder.and_(args[1], mask))

    return u64x8(a, b), codegen


@intrinsic
def high_word(typingctx, a):
    """The high 32 bits of every 64-bit lane, moved to the low half (the high half keeps them too)."""
    if a is not u64x8:
        return None

    def codegen(context, builder, signature, args):
        words = builder.bitcast(args[0], u32x16.llvm)
        pattern = [2 * (lane // 2) + 1 for lane in range(16)]
        return builder.bitcast(_shuffle(builder, words, words, pattern), u64x8.llvm)

    return u64x8(a), codegen


@intrinsic
def exclusive_or(typingctx, a, b, c):
    """``a ^ b ^ c`` in every 64-bit lane."""
    if not (a == b == c == u64x8):
        return None

    def codegen(context, builder, signature, args):
        return builder.xor(builder.xor(args[0], args[1]), args[2])

    return u64x8(a, b, c), codegen


@intrinsic
def interleave(typingctx, even, odd):
    """The low words of two sets of 64-bit lanes as sixteen 32-bit lanes: even, odd, even, odd, ..."""
    if not (even == odd == u64x8):
        return None

    def codegen(context, builder, signature, args):
        low = builder.bitcast(args[0], u32x16.llvm)
        high = builder.bitcast(args[1], u32x16.llvm)
        pattern = [index for lane in range(8) for index in (2 * lane, 16 + 2 * lane)]
        return _shuffle(builder, low, high, pattern)

    return u32x16(even, odd), codegen


@intrinsic
def bit_of_words(typingctx, words, bit):
    """Float32 lanes 0.0 or 1.0: bit number ``bit`` of sixteen 32-bit words."""
    if words is not u32x16 or not isinstance(bit, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        shift = _broadcast(builder, builder.trunc(args[1], ir.IntType(32)), u32x16.llvm)
        lowest = builder.and_(builder.lshr(args[0], shift), _constant(u32x16.llvm, 1))
        return builder.uitofp(lowest, f32x16.llvm)

    return f32x16(words, types.intp), codegen


@intrinsic
def first_lanes(typingctx, n):
    """Float32 lanes 1.0 for the lanes below ``n``, 0.0 for the others."""
    if not isinstance(n, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        numbers = ir.Constant(_INDICES, [ir.IntType(64)(lane) for lane in range(16)])
        below = builder.icmp_signed("<", numbers, _broadcast(builder, args[0], _INDICES))
        return builder.select(below, _constant(f32x16.llvm, 1.0), _constant(f32x16.llvm, 0.0))

    return f32x16(types.intp), codegen


def _uniform_from_fraction_bits(builder, bits):
    """Float32 lanes from 21 random bits placed at bits 2 ... 22: (2 k + 1) * 2**-22."""
    one_to_two = builder.or_(bits, _constant(u32x16.llvm, 0x3F800002))
    return builder.fsub(builder.bitcast(one_to_two, f32x16.llvm), _constant(f32x16.llvm, 1.0))


@intrinsic
def uniform_of_top_bits(typingctx, words):
    """Uniform numbers (2 k + 1) * 2**-22 from the upper 21 bits k of 32-bit words: never 0, never 1,
    exact.
    """
    if words is not u32x16:
        return None

    def codegen(context, builder, signature, args):
        shifted = builder.lshr(args[0], _constant(u32x16.llvm, 9))
        return _uniform_from_fraction_bits(builder, builder.and_(shifted, _constant(u32x16.llvm, 0x7FFFFC)))

    return f32x16(words), codegen


@intrinsic
def uniform_of_low_bits(typingctx, first, second):
    """Uniform numbers (2 k + 1) * 2**-22 with k = the lower 11 bits of one word, then the lower 10 bits of
    another.
    """
    if not (first == second == u32x16):
        return None

    def codegen(context, builder, signature, args):
        eleven = builder.and_(args[0], _constant(u32x16.llvm, 0x7FF))
        ten = builder.and_(args[1], _constant(u32x16.llvm, 0x3FF))
        eleven = builder.shl(eleven, _constant(u32x16.llvm, 12))
        ten = builder.shl(ten, _constant(u32x16.llvm, 2))
        return _uniform_from_fraction_bits(builder, builder.or_(eleven, ten))

    return f32x16(first, second), codegen


# --- blocks of lanes: the register-blocked product of a weight matrix with a tile of chains --------------------------


@intrinsic
def splat_block(typingctx, array, offset, size):
    """A tuple of ``len(size)`` lanes, each one element of ``array`` from ``offset`` on, in every lane.

    ``size`` is any tuple of integers: only its length counts, which makes the number of registers part of the
    type.
    """
    lanes = _OF_ELEMENT.get(getattr(array, "dtype", None))
    if lanes is None or not isinstance(size, types.UniTuple):
        return None

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1])
        rows = [
            _broadcast(builder, builder.load(builder.gep(pointer, [ir.IntType(64)(row)])), lanes.llvm)
            for row in range(size.count)
        ]
        return context.make_tuple(builder, signature.return_type, rows)

    return types.UniTuple(lanes, size.count)(array, types.intp, size), codegen


@intrinsic
def fused_block(typingctx, block, weights, offset, stride, lane):
    """``block[r] + weights[offset + r * stride] * lane`` for every row r of a block, one rounding each."""
    if not (isinstance(block, types.UniTuple) and block.dtype == lane and lane in _FLOATS):
        return None

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[1], args[1], args[2])
        rows = []
        for row in range(block.count):
            weight = builder.load(builder.gep(pointer, [builder.mul(args[3], ir.IntType(64)(row))]))
            broadcast = _broadcast(builder, weight, lane.llvm)
            rows.append(
                _call_llvm(builder, "fma", lane, [broadcast, args[4], builder.extract_value(args[0], row)])
            )
        return context.make_tuple(builder, signature.return_type, rows)

    return block(block, weights, types.intp, types.intp, lane), codegen


@intrinsic
def store_block(typingctx, array, offset, block):
    """Write the rows of a block one after the other from the flat element ``offset`` on."""
    if not (isinstance(block, types.UniTuple) and block.dtype in _FLOATS):
        return None
    lanes = block.dtype

    def codegen(context, builder, signature, args):
        for row in range(block.count):
            at = builder.add(args[1], ir.IntType(64)(row * lanes.count))
            pointer = builder.bitcast(
                _pointer(context, builder, signature.args[0], args[0], at), lanes.llvm.as_pointer()
            )
            _aligned_to_elements(builder.store(builder.extract_value(args[2], row), pointer), lanes)
        return context.get_dummy_value()

    return types.void(array, types.intp, block), codegen
