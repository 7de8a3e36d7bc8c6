"""Nodes that read constants only, computed at once, with the types that the format says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import erf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.bodies import Node
from veracity.frontends.onnx.tensors import clipped

__all__ = ["axes_of", "fold", "slices_of", "target_shape"]

Array = NDArray[Any]
MAX_ENTRIES = 1 << 26
_CASTS = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32,
          7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64, 12: np.uint32,
          13: np.uint64, 16: np.float32}  # fmt: skip


def axes_of(node: Node, given: Sequence[Array | None], i: int) -> tuple[int, ...] | None:
    """Axes, an attribute in older versions and input ``i`` in newer ones.

    Parameters
    ----------
    node : Node
        Which.
    given : sequence
        Its inputs that are constants.
    i : int
        Which input.
    """
    if len(given) > i and given[i] is not None:
        return tuple(int(a) for a in np.asarray(given[i]).reshape(-1))
    found = node.attributes.get("axes")
    return None if found is None else tuple(int(a) for a in found)


def target_shape(shape: Sequence[int], wanted: Array, zero: bool) -> tuple[int, ...]:
    """The shape that Reshape means: 0 keeps a length, -1 is what is left.

    Parameters
    ----------
    shape : sequence of int
        Of the source.
    wanted : array
        Of the node.
    zero : bool
        Whether 0 means 0.
    """
    out = [int(n) for n in np.asarray(wanted).reshape(-1)]
    out = [shape[i] if n == 0 and not zero else n for i, n in enumerate(out)]
    if -1 in out:
        rest = int(np.prod([n for n in out if n != -1], dtype=np.int64))
        total = int(np.prod(shape, dtype=np.int64))
        if rest == 0 or total % rest:
            raise UsageError("a reshape that does not come out even")
        out[out.index(-1)] = total // rest
    return tuple(out)


def slices_of(
    node: Node, given: Sequence[Array | None], shape: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """``(axis, start, stop, step)`` of Slice, in its old form and its new one.

    Parameters
    ----------
    node : Node
        Which.
    given : sequence
        Its inputs that are constants.
    shape : sequence of int
        Of what is sliced.
    """
    if "starts" in node.attributes:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes.get("axes"), None
    else:
        starts, ends = np.asarray(given[1]).tolist(), np.asarray(given[2]).tolist()
        axes = np.asarray(given[3]).tolist() if len(given) > 3 and given[3] is not None else None
        steps = np.asarray(given[4]).tolist() if len(given) > 4 and given[4] is not None else None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    out = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = int(axis) % len(shape)
        out.append((axis, *slice(int(start), int(end), int(step)).indices(shape[axis])))
    if len(out) != len(starts):
        raise UsageError("a slice that is none")
    return out


def _slice(node: Node, x: list[Any]) -> Array:
    index = [slice(None)] * x[0].ndim
    for axis, start, stop, step in slices_of(node, x, x[0].shape):
        index[axis] = slice(start, None if stop < 0 else stop, step)
    return np.asarray(x[0][tuple(index)])


def _reduce(function: Callable[..., Any]) -> Callable[[Node, list[Any]], Array]:
    def of(node: Node, x: list[Any]) -> Array:
        axes = axes_of(node, x, 1)
        keep = bool(node.attributes.get("keepdims", 1))
        return np.asarray(function(x[0], axis=axes, keepdims=keep))

    return of


def _pair(function: Callable[..., Any]) -> Callable[[Node, list[Any]], Array]:
    return lambda _, x: np.asarray(function(x[0], x[1]))


def _one(function: Callable[..., Any]) -> Callable[[Node, list[Any]], Array]:
    return lambda _, x: np.asarray(function(x[0])).astype(x[0].dtype, copy=False)


def _divide(_: Node, x: list[Any]) -> Array:
    a, b = x
    if np.any(b == 0):
        raise UsageError("a division by zero")
    if a.dtype.kind in "iu":
        return np.asarray(np.trunc(a / b)).astype(a.dtype)
    return np.asarray(a / b)


def _squeeze(node: Node, x: list[Any]) -> Array:
    return np.asarray(np.squeeze(x[0], axis=axes_of(node, x, 1)))


def _unsqueeze(node: Node, x: list[Any]) -> Array:
    return np.asarray(np.expand_dims(x[0], axes_of(node, x, 1) or ()))


def _constant(node: Node, _: list[Any]) -> Array:
    for name, kind in (("value_float", np.float32), ("value_int", np.int64),
                       ("value_floats", np.float32), ("value_ints", np.int64)):  # fmt: skip
        if name in node.attributes:
            return np.asarray(node.attributes[name], dtype=kind)
    return np.asarray(node.attributes["value"])


def _filled(node: Node, x: list[Any]) -> Array:
    value = node.attributes.get("value", np.zeros(1, dtype=np.float32))
    return np.full(_bounded(x[0]), value.reshape(-1)[0], dtype=value.dtype)


def _bounded(shape: Array) -> tuple[int, ...]:
    """A shape that is small enough to be made."""
    dims = tuple(int(n) for n in np.asarray(shape).reshape(-1))
    if any(n < 0 for n in dims) or prod(dims) > MAX_ENTRIES:
        raise UsageError("a constant that is too large")
    return dims


def _tile(_: Node, x: list[Any]) -> Array:
    counts = _bounded(x[1])
    _bounded(np.multiply(counts, x[0].shape))
    return np.asarray(np.tile(x[0], counts))


def _range(_: Node, x: list[Any]) -> Array:
    if x[2].item() == 0 or abs((x[1].item() - x[0].item()) / x[2].item()) > MAX_ENTRIES:
        raise UsageError("a range that is too long")
    return np.arange(x[0].item(), x[1].item(), x[2].item()).astype(x[0].dtype)


def _concat(node: Node, x: list[Any]) -> Array:
    return np.concatenate(x, axis=node.attributes.get("axis", 1))


def _gather(node: Node, x: list[Any]) -> Array:
    return np.asarray(np.take(x[0], x[1], axis=node.attributes.get("axis", 0)))


def _is(test: Callable[..., Any]) -> Callable[[Node, list[Any]], Array]:
    return lambda _, x: np.asarray(test(x[0]))


def _place(find: Callable[..., Any]) -> Callable[[Node, list[Any]], Array]:
    def of(node: Node, x: list[Any]) -> Array:
        if node.attributes.get("select_last_index", 0):
            raise UsageError("the last of equals")
        axis, keep = node.attributes.get("axis", 0), bool(node.attributes.get("keepdims", 1))
        return np.asarray(find(x[0], axis=axis, keepdims=keep), dtype=np.int64)

    return of


def _cumulative(node: Node, x: list[Any]) -> Array:
    if node.attributes.get("exclusive", 0) or node.attributes.get("reverse", 0):
        raise UsageError("sums of constants from the other side, or without the last")
    return np.asarray(np.cumsum(x[0], axis=int(x[1].reshape(-1)[0]), dtype=x[0].dtype))


def _gather_nd(node: Node, x: list[Any]) -> Array:
    if node.attributes.get("batch_dims", 0):
        raise UsageError("indices for each batch")
    return np.asarray(x[0][tuple(np.moveaxis(x[1], -1, 0))])


def _gather_elements(node: Node, x: list[Any]) -> Array:
    return np.asarray(np.take_along_axis(x[0], x[1], axis=node.attributes.get("axis", 0)))


def _scatter_nd(node: Node, x: list[Any]) -> Array:
    if node.attributes.get("reduction", "none") not in ("none", b"none"):
        raise UsageError("entries that are combined")
    out = np.array(x[0])
    out[tuple(np.moveaxis(x[1], -1, 0))] = x[2]
    return out


def _eye(node: Node, x: list[Any]) -> Array:
    rows, columns = x[0].shape
    dtype = _CASTS[node.attributes["dtype"]] if "dtype" in node.attributes else x[0].dtype
    return np.eye(rows, columns, node.attributes.get("k", 0), dtype=dtype)


def _expand(_: Node, x: list[Any]) -> Array:
    return np.asarray(x[0] * np.ones(_bounded(x[1]), dtype=x[0].dtype))


def _cast(node: Node, x: list[Any]) -> Array:
    return np.asarray(x[0].astype(_CASTS[node.attributes["to"]]))


def _shape(node: Node, x: list[Any]) -> Array:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return np.asarray(x[0].shape[start:end], dtype=np.int64)


def _transpose(node: Node, x: list[Any]) -> Array:
    return np.asarray(np.transpose(x[0], node.attributes.get("perm")))


def _reshape(node: Node, x: list[Any]) -> Array:
    wanted = x[1] if len(x) > 1 else np.asarray(node.attributes["shape"])
    zero = bool(node.attributes.get("allowzero", 0))
    return np.asarray(x[0].reshape(target_shape(x[0].shape, wanted, zero)))


def _trilu(node: Node, x: list[Any]) -> Array:
    k = int(x[1]) if len(x) > 1 and x[1] is not None else 0
    return np.asarray(np.triu(x[0], k) if node.attributes.get("upper", 1) else np.tril(x[0], k))


def _clip(node: Node, x: list[Any]) -> Array:
    bounds = [x[i] if len(x) > i else node.attributes.get(n) for i, n in ((1, "min"), (2, "max"))]
    return np.asarray(x[0] if bounds == [None, None] else np.clip(x[0], *bounds))


def _softmax(node: Node, x: list[Any]) -> Array:
    axis = node.attributes.get("axis", -1)
    powers = np.exp(x[0] - x[0].max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _padded(node: Node, x: list[Any]) -> Array:
    mode = str(node.attributes.get("mode", "constant"))
    if mode not in ("constant", "edge", "reflect", "wrap") or (len(x) > 3 and x[3] is not None):
        raise UsageError("pads of some axes of a constant")
    pads = np.asarray(x[1] if len(x) > 1 else node.attributes["pads"]).reshape(2, -1).T
    value = x[2] if len(x) > 2 and x[2] is not None else node.attributes.get("value", 0)
    more = (
        {"constant_values": float(np.asarray(value).reshape(-1)[0])} if mode == "constant" else {}
    )
    return np.asarray(np.pad(x[0], pads.tolist(), mode=mode, **more))  # type: ignore[call-overload]


def _gemm(node: Node, x: list[Any]) -> Array:
    a, b = (
        y.T if node.attributes.get(f"trans{n}", 0) else y for n, y in zip("AB", x, strict=False)
    )
    out = a @ b * node.attributes.get("alpha", 1.0)
    more = x[2] * node.attributes.get("beta", 1.0) if len(x) > 2 and x[2] is not None else 0
    return np.asarray(out + more).astype(x[0].dtype)


def _one_hot(node: Node, x: list[Any]) -> Array:
    depth, values = int(np.asarray(x[1]).reshape(-1)[0]), x[2]
    if not 1 <= depth <= MAX_ENTRIES:
        raise UsageError("a depth out of bounds")
    hit = (np.asarray(x[0]) % depth)[..., None] == np.arange(depth)
    return np.asarray(np.moveaxis(np.where(hit, values[1], values[0]), -1,
                                  node.attributes.get("axis", -1)))  # fmt: skip


def _window(*terms: float) -> Callable[[Node, list[Any]], Array]:
    """``sum_k (-1)^k terms_k cos(2 pi k i / n)``."""

    def of(node: Node, x: list[Any]) -> Array:
        size = int(x[0])
        if not 1 <= size <= MAX_ENTRIES:
            raise UsageError("a window out of bounds")
        turn = 2 * np.pi * np.arange(size) / max(1, size if node.attributes.get("periodic", 1)
                                                 else size - 1)  # fmt: skip
        parts = [(-1) ** k * a * np.cos(k * turn) for k, a in enumerate(terms)]
        return np.asarray(sum(parts)).astype(np.float32)

    return of


_erf = np.vectorize(erf, otypes=[np.float64])


FOLDS: dict[str, Callable[[Node, list[Any]], Array]] = {
    "Constant": _constant, "Shape": _shape, "Cast": _cast, "Reshape": _reshape,
    "Size": lambda _, x: np.asarray(x[0].size, dtype=np.int64),
    "Identity": lambda _, x: x[0], "Gather": _gather, "Slice": _slice, "Concat": _concat,
    "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Transpose": _transpose, "Expand": _expand,
    "ConstantOfShape": _filled, "Range": _range, "Trilu": _trilu, "Div": _divide,
    "Add": _pair(np.add), "Sub": _pair(np.subtract), "Mul": _pair(np.multiply),
    "Mod": _pair(np.mod), "Pow": lambda _, x: np.asarray(np.power(x[0], x[1])),
    "Min": _pair(np.minimum), "Max": _pair(np.maximum), "Equal": _pair(np.equal),
    "Less": _pair(np.less), "Greater": _pair(np.greater), "And": _pair(np.logical_and),
    "Or": _pair(np.logical_or), "Not": lambda _, x: np.asarray(np.logical_not(x[0])),
    "LessOrEqual": _pair(np.less_equal), "GreaterOrEqual": _pair(np.greater_equal),
    "MatMul": _pair(np.matmul), "Where": lambda _, x: np.where(x[0], x[1], x[2]),
    "Neg": _one(np.negative), "Abs": _one(np.abs), "Floor": _one(np.floor),
    "Ceil": _one(np.ceil), "Sqrt": _one(np.sqrt), "Exp": _one(np.exp), "Log": _one(np.log),
    "Cos": _one(np.cos), "Sin": _one(np.sin), "Reciprocal": _one(np.reciprocal),
    "ReduceSum": _reduce(np.sum), "ReduceMean": _reduce(np.mean), "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min), "ReduceProd": _reduce(np.prod),
    "Tile": _tile,
    "Flatten": lambda node, x: x[0].reshape(
        int(np.prod(x[0].shape[: node.attributes.get("axis", 1)], dtype=np.int64)), -1),
    "Dropout": lambda _, x: x[0],
    "Xor": _pair(np.logical_xor), "Sign": _one(np.sign), "Round": _one(np.round),
    "Tanh": _one(np.tanh), "Tan": _one(np.tan), "Atan": _one(np.arctan),
    "Relu": _one(lambda x: np.maximum(x, 0)), "Sigmoid": _one(lambda x: 1 / (1 + np.exp(-x))),
    "Sum": lambda _, x: np.asarray(sum(x[1:], x[0])),
    "Mean": lambda _, x: np.asarray(sum(x[1:], x[0]) / len(x)).astype(x[0].dtype),
    "ReduceL1": _reduce(lambda x, **how: np.sum(np.abs(x), **how)),
    "ReduceL2": _reduce(lambda x, **how: np.sqrt(np.sum(x * x, **how))),
    "ReduceSumSquare": _reduce(lambda x, **how: np.sum(x * x, **how)),
    "ArgMax": _place(np.argmax), "ArgMin": _place(np.argmin), "CumSum": _cumulative,
    "NonZero": lambda _, x: np.asarray(np.nonzero(x[0]), dtype=np.int64),
    "GatherND": _gather_nd, "GatherElements": _gather_elements, "EyeLike": _eye,
    "ScatterND": _scatter_nd,
    "Clip": _clip, "Softmax": _softmax, "Pad": _padded, "Gemm": _gemm, "OneHot": _one_hot,
    "Erf": lambda _, x: np.asarray(_erf(x[0])).astype(x[0].dtype),
    "HannWindow": _window(0.5, 0.5), "HammingWindow": _window(25 / 46, 21 / 46),
    "BlackmanWindow": _window(0.42, 0.5, 0.08),
    "BitShift": lambda node, x: np.asarray(
        np.left_shift(*x) if node.attributes.get("direction") == "LEFT" else np.right_shift(*x)),
    "BitwiseAnd": _pair(np.bitwise_and), "BitwiseOr": _pair(np.bitwise_or),
    "BitwiseXor": _pair(np.bitwise_xor), "BitwiseNot": _one(np.bitwise_not),
    "IsNaN": _is(np.isnan), "IsInf": _is(np.isinf),
}  # fmt: skip


def fold(node: Node, given: Sequence[Array | None]) -> Array:
    """The result of a node whose inputs are constants.

    Raises
    ------
    UsageError
        Where that is not known, would be too large or is no number; infinite entries become the
        largest float32.
    """
    if node.op not in FOLDS:
        raise UsageError("no way to compute this op on constants")
    with np.errstate(all="ignore"):
        found = np.asarray(FOLDS[node.op](node, list(given)))
    if found.size > MAX_ENTRIES:
        raise UsageError("a constant that is too large")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise UsageError("a constant that is no number")
    return clipped(found)
