"""Compiled loops: arrays in, arrays out, no validation, no global state.

Everything here keeps the project's promise of *portable bits*: given the same input, a kernel returns the same bits on
every x86-64 processor and for any number of threads. :mod:`rbmlib.kernels.options` says how.
"""
