"""The output projection and the choice of every answer token.

For row r of the last A positions, with public answer ``y_r`` and every token v:

    n(r) . W(v) + 2^(s-1) - 2^s (m_r - d_rv) in [0, 2^s)    the rescaled logit is m_r - d_rv
    d_rv - [v < y_r] in [0, 2^16),  d_{r, y_r} = 0    nothing is larger; ties go to the lowest index

Where tokens are drawn (:mod:`veracity.graph.sampling`), every token has public noise ``n_rv``,
which the verifier computes itself, and the largest sum of logit and noise is chosen. With the noise
relative to the answer's, ``N_rv = n_rv - n_{r, y_r}``, the first relation becomes

    n(r) . W(v) + 2^(s-1) - 2^s (m_r - d_rv - N_rv) in [0, 2^s)    m_r is the answer's own logit

and ``[v < y_r]`` becomes ``[v > y_r]`` at positions where ties go to the higher token. ``m_r`` is
in 16 bits as before; d has as many more as noise of this temperature needs. Noise is a public
integer far below the field's size, so the rescaled logit ``m_r - d_rv - N_rv`` is still unique.
"""

from __future__ import annotations

import numpy as np

from veracity.engine.api import Ints
from veracity.errors import UsageError
from veracity.graph.ops import Head, HeadWithBias, Op
from veracity.graph.sampling import check_scale
from veracity.zkml.circuit.integers import divided
from veracity.zkml.circuit.linear_maps import Slice
from veracity.zkml.circuit.tables import signed, unsigned
from veracity.zkml.circuit.tensor import PublicRows, Tensor
from veracity.zkml.ops import Context, Rule, along_last


def head(context: Context, op: Head) -> Tensor:
    """See the module text; returns the distances ``d``."""
    b, x, w = context.builder, context.value(op.x), context.builder.weight(op.weight)
    vocabulary = w.dims[0]
    answer = context.answered(op, vocabulary)
    first = x.dims[0] - len(answer)
    if first < 0:
        raise UsageError(f"{op.name}: more answers than positions")
    dims = (len(answer), vocabulary)
    half = (1 << op.shift) >> 1
    noise, ties = _chosen(context, op, answer, first, vocabulary)
    m_value = d_value = r_value = None
    logits = context.detail(op.name, "acc")
    if logits is not None:
        z, r_value = divided(logits, op.shift, b.integers)
        m_value = z[np.arange(len(answer)), answer]
        d_value = np.subtract(m_value[:, None], z, dtype=np.int32)  # of logits of 16 bits
        if noise is not None and noise.value is not None:
            d_value = d_value - noise.value
    m = b.ranged(op.name, "head.max", (len(answer),), m_value, signed(16))
    d = b.column("head.distance", dims, d_value)
    bits = 16 if noise is None else _bits(context, op)
    b.lookup(op.name, unsigned(bits), _less(d, ties))
    for row, token in enumerate(answer.tolist()):
        chosen = d.view(Slice(0, row, row + 1, dims[0]), Slice(1, token, token + 1, vocabulary))
        b.zero(chosen)
    acc = Tensor.product("rk,vk->rv", x.rows(first, first + dims[0]), w)
    if isinstance(op, HeadWithBias):
        acc = acc + along_last(b.weight(op.bias), dims).bare()
    r = acc - (m.bare().broadcast(1, vocabulary) - d.bare()) * (1 << op.shift) + half
    if noise is not None:
        r = r + noise.bare() * (1 << op.shift)
    if op.shift:
        b.remainder(op.name, "head.r", r, r_value, op.shift)
    else:
        b.zero(r)
    return d


def _chosen(
    context: Context, op: Head, answer: Ints, first: int, vocabulary: int
) -> tuple[Tensor | None, Tensor]:
    """Noise relative to the answer's, where there is any, and the tokens that lose ties to it.

    Parameters
    ----------
    context : Context
        How tokens are drawn.
    op : Head
        The projection.
    answer : int64 array, shape (rows,)
        Answer tokens.
    first : int
        Position of the first row.
    vocabulary : int
        Number of tokens.
    """
    proving, sampling = context.builder.proving, context.sampling
    below = Tensor.below(tuple(int(t) for t in answer), vocabulary, proving)
    if sampling is None:
        return None, below
    exponent = context.exponents.get(op.name, -1)
    check_scale(sampling, exponent)

    def noise(row: int) -> Ints:
        found = sampling.noise(first + row, vocabulary, exponent)
        return np.asarray(found - found[answer[row]])

    def losers(row: int) -> Ints:
        tokens = np.arange(vocabulary)
        lost = tokens > answer[row] if sampling.reverses(first + row) else tokens < answer[row]
        return np.asarray(lost, dtype=np.int64)

    most = 2 * sampling.largest(exponent)
    rows = PublicRows(len(answer), vocabulary, noise, most)
    return (
        Tensor.public_rows(rows, proving),
        Tensor.public_rows(PublicRows(len(answer), vocabulary, losers, 1), proving),
    )


def _less(d: Tensor, ties: Tensor) -> Tensor:
    """``d - ties``, in integers that are no wider than those of ``d`` and a sign."""
    if d.value is None or ties.value is None or ties.value.dtype != np.int8:
        return d - ties
    wide = np.int64 if d.value.dtype == np.int64 else np.int32
    value = np.subtract(d.value, ties.value, dtype=wide)
    return Tensor(d.dims, (d.bare() - ties.bare()).terms, value)


def _bits(context: Context, op: Head) -> int:
    """Bits of the distances where tokens are drawn: of 16-bit scores, and of noise."""
    if context.sampling is None:
        return 16
    span = context.sampling.span(context.exponents.get(op.name, -1))
    return int((1 << 16) + span).bit_length()


RULES: dict[type[Op], Rule] = {Head: head, HeadWithBias: head}
