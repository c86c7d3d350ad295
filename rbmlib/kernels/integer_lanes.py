"""Sixteen units in a register: integer sums that no order can change, and states of one bit each.

Sums are of 32-bit integers modulo 2**32 (``u32x16``; :func:`as_floats` reads them as signed), so that a partial
sum may overflow as long as the whole one fits. States are bits, sixteen units a uint16, unit 0 the lowest.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from llvmlite.ir import values
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .lanes import _aligned_to_elements, _broadcast, _constant, _pointer, _shuffle, f32x16, u32x16
from .options import inline

_I8, _I16, _I64 = ir.IntType(8), ir.IntType(16), ir.IntType(64)
_BITS = ir.VectorType(ir.IntType(1), 16)
_EIGHT = ir.VectorType(_I64, 8)
_CACHE_LINE = 64


@intrinsic
def add(typingctx, a, b):
    """Sums modulo 2**32."""
    if not (a == b == u32x16):
        return None

    def codegen(context, builder, signature, args):
        return builder.add(*args)

    return a(a, b), codegen


@intrinsic
def as_floats(typingctx, integers):
    """Signed integers as float32, each rounded once."""
    if integers is not u32x16:
        return None

    def codegen(context, builder, signature, args):
        return builder.sitofp(args[0], f32x16.llvm)

    return f32x16(integers), codegen


@intrinsic
def nearest_integers(typingctx, floats):
    """Float32 lanes rounded to the nearest integer, halves to even; they must lie within +-2**31."""
    if floats is not f32x16:
        return None

    def codegen(context, builder, signature, args):
        function = ir.FunctionType(f32x16.llvm, [f32x16.llvm])
        round_even = cgutils.get_or_insert_function(builder.module, function, "llvm.roundeven.v16f32")
        return builder.fptosi(builder.call(round_even, args), u32x16.llvm)

    return u32x16(floats), codegen


@intrinsic
def fixed_point_scales(typingctx, bounds):
    """``(2**(30 - e), 2**(e - 30))`` for float32 bounds below 2**e, e as small as it can be, at least -29."""
    if bounds is not f32x16:
        return None

    def codegen(context, builder, signature, args):
        exponent = builder.lshr(builder.bitcast(args[0], u32x16.llvm), _constant(u32x16.llvm, 23))
        least = _constant(u32x16.llvm, 97)
        exponent = builder.select(builder.icmp_unsigned("<", exponent, least), least, exponent)
        both = (
            builder.sub(_constant(u32x16.llvm, 283), exponent),
            builder.sub(exponent, _constant(u32x16.llvm, 29)),
        )
        both = [builder.bitcast(builder.shl(x, _constant(u32x16.llvm, 23)), f32x16.llvm) for x in both]
        return context.make_tuple(builder, signature.return_type, both)

    return types.UniTuple(f32x16, 2)(bounds), codegen


@intrinsic
def bits_where_less(typingctx, a, b):
    """A uint16 whose bit l is set where ``a < b`` in lane l."""
    if not (a == b == f32x16):
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(builder.fcmp_ordered("<", *args), _I16)

    return types.uint16(a, b), codegen


@intrinsic
def where_bits(typingctx, bits, a):
    """Float32 lanes of ``a`` where the uint16's bit is set, 0.0 elsewhere."""
    if bits != types.uint16 or a is not f32x16:
        return None

    def codegen(context, builder, signature, args):
        return builder.select(builder.bitcast(args[0], _BITS), args[1], _constant(f32x16.llvm, 0.0))

    return a(bits, a), codegen


def _keep_rolled(builder, branch):
    """Tell LLVM not to unroll the loop that ends in ``branch``."""
    module = builder.module
    disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    # A loop's metadata names itself first, which llvmlite writes only if it is added by hand.
    loop = values.MDValue(module, [disable], name=str(len(module.metadata)))
    loop.operands = (loop, disable)
    branch.set_metadata("llvm.loop", loop)


@intrinsic
def add_where_bits(typingctx, totals, terms, places, first, last, bits, base):
    """Add ``terms[k]``, k = first ... last - 1, to the lanes of ``totals[r]`` whose bit is set, for every r.

    The bits of ``totals[r]`` are the uint16 ``bits[base + places[k] + r]``.
    """
    if not (isinstance(totals, types.UniTuple) and totals.dtype is u32x16):
        return None

    def codegen(context, builder, signature, args):
        start, after = args[3], args[4]
        before = builder.block
        body, done = builder.append_basic_block("weights"), builder.append_basic_block("done")
        initial = [builder.extract_value(args[0], r) for r in range(totals.count)]
        builder.cbranch(builder.icmp_signed("<", start, after), body, done)
        builder.position_at_end(body)
        k = builder.phi(_I64)
        k.add_incoming(start, before)
        sums = [builder.phi(u32x16.llvm) for _ in initial]
        term, place = (
            builder.load(_pointer(context, builder, signature.args[which], args[which], k))
            for which in (1, 2)
        )
        term = _broadcast(builder, term, u32x16.llvm)
        at = builder.add(args[6], builder.zext(place, _I64))
        words = _pointer(context, builder, signature.args[5], args[5], at)
        added = []
        for register, total in enumerate(sums):
            chosen = builder.bitcast(builder.load(builder.gep(words, [_I64(register)])), _BITS)
            added.append(builder.select(chosen, builder.add(total, term), total))
        following = builder.add(k, _I64(1))
        k.add_incoming(following, body)
        # In one copy of the loop LLVM finds the masked addition; unrolled, it blends and adds.
        _keep_rolled(builder, builder.cbranch(builder.icmp_signed("<", following, after), body, done))
        builder.position_at_end(done)
        results = []
        for total, value, more in zip(sums, initial, added, strict=True):
            total.add_incoming(value, before)
            total.add_incoming(more, body)
            result = builder.phi(u32x16.llvm)
            result.add_incoming(value, before)
            result.add_incoming(more, body)
            results.append(result)
        return context.make_tuple(builder, signature.return_type, results)

    return totals(totals, terms, places, types.intp, types.intp, bits, types.intp), codegen


@intrinsic
def store_columns(typingctx, columns, at, stride, words):
    """Write the sixteen columns of a square of bits whose rows are the low halves of ``words``, one uint16 each.

    Column b goes to ``columns[at + b * stride]``.
    """
    if words is not u32x16 or getattr(columns, "dtype", None) != types.uint16:
        return None

    def codegen(context, builder, signature, args):
        first = _pointer(context, builder, signature.args[0], args[0], args[1])
        for bit in range(16):
            chosen = builder.and_(args[3], _constant(u32x16.llvm, 1 << bit))
            column = builder.icmp_unsigned("!=", chosen, _constant(u32x16.llvm, 0))
            builder.store(
                builder.bitcast(column, _I16), builder.gep(first, [builder.mul(args[2], _I64(bit))])
            )
        return context.get_dummy_value()

    return types.void(columns, types.intp, types.intp, words), codegen


@intrinsic
def gather_words(typingctx, words, at, stride, number):
    """Lanes ``words[at], words[at + stride], ...`` of a uint16 array; zero in the lanes from ``number`` on."""
    if getattr(words, "dtype", None) != types.uint16:
        return None

    def codegen(context, builder, signature, args):
        first = _pointer(context, builder, signature.args[0], args[0], args[1])
        lanes = _constant(u32x16.llvm, 0)
        slot = cgutils.alloca_once_value(builder, lanes)
        for lane in range(16):
            with builder.if_then(builder.icmp_signed("<", _I64(lane), args[3])):
                word = builder.load(builder.gep(first, [builder.mul(args[2], _I64(lane))]))
                wide = builder.zext(word, ir.IntType(32))
                builder.store(builder.insert_element(builder.load(slot), wide, ir.IntType(32)(lane)), slot)
        return builder.load(slot)

    return u32x16(words, types.intp, types.intp, types.intp), codegen


@intrinsic
def store_transposed(typingctx, target, at, stride, source, source_at, source_stride):
    """Transpose a square of 16 by 16 elements: row r of ``target`` (at ``at + r * stride``) is column r of ``source``."""
    lanes = {types.float32: f32x16, types.uint32: u32x16}.get(getattr(source, "dtype", None))
    if lanes is None or getattr(target, "dtype", None) != source.dtype:
        return None

    def codegen(context, builder, signature, args):
        def row_pointer(which, row):
            place = builder.add(args[which + 1], builder.mul(args[which + 2], _I64(row)))
            pointer = _pointer(context, builder, signature.args[which], args[which], place)
            return builder.bitcast(pointer, lanes.llvm.as_pointer())

        rows = [_aligned_to_elements(builder.load(row_pointer(3, row)), lanes) for row in range(16)]
        for distance in (8, 4, 2, 1):
            # Exchange the off-diagonal squares of side `distance` in every square of side 2 * distance.
            upper = [lane if not lane & distance else lane - distance + 16 for lane in range(16)]
            lower = [lane + distance if not lane & distance else lane + 16 for lane in range(16)]
            exchanged = list(rows)
            for row in range(16):
                if not row & distance:
                    pair = rows[row], rows[row + distance]
                    exchanged[row] = _shuffle(builder, *pair, upper)
                    exchanged[row + distance] = _shuffle(builder, *pair, lower)
            rows = exchanged
        for row in range(16):
            _aligned_to_elements(builder.store(rows[row], row_pointer(0, row)), lanes)
        return context.get_dummy_value()

    index = types.intp
    return types.void(target, index, index, source, index, index), codegen


@intrinsic
def add_entries(typingctx, total, table, places, at):
    """``total`` plus eight entries of a table, which start at ``table[places[at]] ... table[places[at + 7]]``."""
    if total is not u32x16:
        return None

    def codegen(context, builder, signature, args):
        total = args[0]
        entries = context.make_array(signature.args[1])(context, builder, args[1]).data
        first = _pointer(context, builder, signature.args[2], args[2], args[3])
        for number in range(8):
            place = builder.zext(builder.load(builder.gep(first, [_I64(number)])), _I64)
            pointer = builder.bitcast(builder.gep(entries, [place]), u32x16.llvm.as_pointer())
            entry = builder.load(pointer)
            entry.align = _CACHE_LINE
            total = builder.add(total, entry)
        return total

    return total(total, table, places, types.intp), codegen


@intrinsic
def store_places(typingctx, places, at, states, byte, bits):
    """Where eight groups of ``bits`` units each, whose states begin at a byte, find their table entries.

    Tables have ``2**bits`` entries of sixteen elements and follow one another.
    """
    if getattr(places, "dtype", None) != types.uint16:
        return None

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[2])(context, builder, args[2]).data
        pointer = builder.gep(builder.bitcast(data, _I8.as_pointer()), [args[3]])
        word = builder.load(builder.bitcast(pointer, _I64.as_pointer()))
        word.align = 1
        numbers = ir.Constant(_EIGHT, [_I64(n) for n in range(8)])
        one, width = _constant(_EIGHT, 1), _broadcast(builder, args[4], _EIGHT)
        size = builder.shl(one, width)
        group = builder.lshr(_broadcast(builder, word, _EIGHT), builder.mul(numbers, width))
        entry = builder.add(builder.and_(group, builder.sub(size, one)), builder.mul(numbers, size))
        found = builder.trunc(builder.shl(entry, _constant(_EIGHT, 4)), ir.VectorType(_I16, 8))
        target = _pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(found, builder.bitcast(target, found.type.as_pointer())).align = 2
        return context.get_dummy_value()

    return types.void(places, types.intp, states, types.intp, types.intp), codegen


@inline
def aligned_integers(n):
    """A uint32 array of ``n`` zeros that starts on a cache line."""
    buffer = np.zeros(n + 16, np.uint32)
    start = (-(buffer.ctypes.data // 4)) % 16
    return buffer[start : start + n]
