"""Argument systems over multilinear polynomials, with hiding.

Nothing here knows what a tensor program is. Reading order: :mod:`transcript`, :mod:`hidden`,
:mod:`columns`, :mod:`sumcheck`, :mod:`lookup`, :mod:`reduction`, :mod:`opening`.
"""
