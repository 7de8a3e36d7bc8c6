"""Features of ``ai.onnx.ml``: scaled, replaced, looked up, taken out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, Words, handler, words_of
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_choice import one_hot
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_masks import net_value
from veracity.frontends.onnx.ops_pointwise import maximum, sum_over
from veracity.frontends.onnx.ops_sequence import joined
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Most keys of a table, and comparisons with all of them.
MAX_KEYS, MAX_COMPARED = 1 << 12, 1 << 22


@handler("Scaler")
def scaler(call: Call) -> Result:
    """``(x - offset) scale`` for each feature."""
    x = call.value(0)
    offset, scale = call.floats("offset"), call.floats("scale")
    moved = plus(call, x, np.broadcast_to(-offset, x.dims)) if np.any(offset) else x
    wide = scale if scale.size else np.ones(1)
    return times(call, moved, np.broadcast_to(wide, (1, x.dims[-1])))


@handler("Normalizer")
def normalizer(call: Call) -> Result:
    """Rows divided by their largest entry, their sum or their length."""
    x, net, norm = call.value(0), call.net, call.text("norm", "MAX")
    if norm not in ("MAX", "L1", "L2"):
        raise UsageError(f"the norm {norm}")
    last = len(x.dims) - 1
    if norm == "MAX":
        x = net_value(call, x)
        total = maximum(call, x, last)
    else:
        terms = net.function("abs", x) if norm == "L1" else net.sym(times(call, x, x))
        total = sum_over(call, terms, (last,), True)
    return times(call, x, net.function("power(-0.5)" if norm == "L2" else "power(-1)", total))


@handler("Binarizer")
def binarizer(call: Call) -> Result:
    """1 above a threshold, else 0."""
    x = call.value(0)
    level = np.full(x.dims, call.float("threshold", 0.0))
    return call.net.function("step", minus(call, x, level))


def _replaced(call: Call, x: Sym, old: Array, new: Array, default: float | None) -> Sym:
    """Entries that equal one of several numbers become others; the rest becomes the default.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    old, new : array
        Numbers, each with what it becomes.
    default : float or None
        For the rest; None keeps it.
    """
    net, last = call.net, len(x.dims)
    if old.size != new.size or not 1 <= old.size <= MAX_KEYS:
        raise UsageError(f"a table of other than 1 to {MAX_KEYS} keys, each with a value")
    if len(set(old.tolist())) != old.size or np.prod(x.dims) * old.size > MAX_COMPARED:
        raise UsageError("a table with a key twice, or too many comparisons with its keys")
    spread = net.view(x, Step("repeat", last, (old.size,)))
    hit = net.function("zero", minus(call, spread, np.broadcast_to(old, spread.dims)))
    letters = "abcdefgh"[:last]
    rest = new - default if default is not None else new
    chosen = net.constant(rest).terms[0]
    found = net.linear([(f"{letters}z,z->{letters}", net.ref(hit), chosen)], (), x.dims)
    if default is not None:
        return plus(call, found, np.full(x.dims, default)) if default else found
    free = plus(call, np.ones(x.dims),
                net.scale(net.view(net.settled(hit), Step("sum", last)), -1.0))  # fmt: skip
    return plus(call, found, times(call, x, free))


@handler("Imputer")
def imputer(call: Call) -> Result:
    """Another number where an entry is missing; what is no number cannot be an input."""
    x = call.value(0)
    missing = call.floats("replaced_value_int64") if call.integers else call.floats(
        "replaced_value_float")  # fmt: skip
    if not missing.size or not np.isfinite(missing[0]):
        return x
    values = call.floats("imputed_value_int64s" if call.integers else "imputed_value_floats")
    if values.size not in (1, x.dims[-1]):
        raise UsageError("another number of values than of features")
    gap = minus(call, x, np.full(x.dims, float(missing[0])))
    hit = call.net.settled(call.net.function("zero", gap))
    free = plus(call, np.ones(x.dims), call.net.scale(hit, -1.0))
    return plus(call, times(call, x, free), times(call, hit, np.broadcast_to(values, x.dims)))


def _side(call: Call, side: str) -> Array | tuple[str, ...]:
    """Keys or values of a table: numbers or words."""
    tensor = call.node.attributes.get(f"{side}_tensor")
    if isinstance(tensor, np.ndarray):
        flat = tensor.reshape(-1)
        return flat.astype(np.float64) if tensor.dtype.kind in "biuf" else words_of(flat.tolist())
    if words := call.texts(f"{side}_strings"):
        return words
    numbers = [call.floats(f"{side}_{kind}") for kind in ("int64s", "floats")]
    return next((x for x in numbers if x.size), np.zeros(0))


def _otherwise(call: Call, words: bool) -> float | str:
    """What a table says of an entry that is none of its keys."""
    default = call.node.attributes.get("default_tensor")
    if words:
        found = default.reshape(-1).tolist() if isinstance(default, np.ndarray) else [
            call.text("default_string", "_Unused")]  # fmt: skip
        return words_of(found)[0]
    if isinstance(default, np.ndarray):
        return float(default.reshape(-1)[0])
    whole = "values_int64s" in call.node.attributes
    return call.int("default_int64", -1) if whole else call.float("default_float", 0.0)


@handler("LabelEncoder")
def label_encoder(call: Call) -> Result:
    """Numbers or words for numbers or words, by a table."""
    keys, values = _side(call, "keys"), _side(call, "values")
    words = isinstance(values, tuple)
    default = _otherwise(call, words)
    if len(keys) != len(values):
        raise UsageError("a table with another number of keys than of values")
    given = call.given[0]
    if isinstance(given, Words):
        known = dict(zip(keys, values, strict=True)) if isinstance(keys, tuple) else {}
        x, keys = given.places, np.arange(len(given.words))
        found = [known.get(word, default) for word in given.words]
    elif isinstance(keys, tuple):
        raise UsageError("a table of words for numbers")
    else:
        x, found = call.value(0), list(values)
    if not words:
        return _replaced(call, x, keys, np.asarray(found, dtype=np.float64), float(default))
    spoken = tuple(dict.fromkeys((*found, str(default))))
    places = np.array([spoken.index(word) for word in found], dtype=np.float64)
    return Words(_replaced(call, x, keys, places, float(spoken.index(str(default)))), spoken)


@handler("OneHotEncoder")
def one_hot_encoder(call: Call) -> Result:
    """1 at the category that an entry is, along a new last axis."""
    x, net = call.value(0), call.net
    categories = call.floats("cats_int64s")
    if not 1 <= categories.size <= MAX_KEYS:
        raise UsageError("categories that are words, or none; give numbers")
    spread = net.view(x, Step("repeat", len(x.dims), (categories.size,)))
    return net.function("zero", minus(call, spread, np.broadcast_to(categories, spread.dims)))


@handler("ArrayFeatureExtractor")
def extractor(call: Call) -> Result:
    """Entries of the last axis at constant places, or constants at a place that is computed."""
    first, index = call.given[0], call.any(1)
    if isinstance(first, np.ndarray) and first.dtype.kind not in "biuf" and isinstance(index, Sym):
        if first.size != first.shape[-1]:
            raise UsageError("words in more than one row")
        flat = call.net.force(call.net.reshape(index, (1, int(np.prod(index.dims)))))
        return Words(flat, words_of(first.reshape(-1).tolist()))
    x = call.any(0)
    if not isinstance(index, Sym):
        value = call.value(0)
        places = tuple(int(i) for i in index.reshape(-1))
        found = call.net.view(value, Step("pick", len(value.dims) - 1, places))
        return found if len(value.dims) > 1 else call.net.view(found, Step("repeat", 0, (1,)))
    flat = call.net.force(call.net.reshape(index, (int(np.prod(index.dims)),)))
    if isinstance(x, Sym) or x.size != x.shape[-1]:
        table = call.net.sym(x)
        chosen = one_hot(call, flat, table.dims[-1])
        letters = "abcdefgh"[: len(table.dims) - 1]
        product = (f"{letters}z,yz->{letters}y", call.net.ref(table), call.net.ref(chosen))
        return call.net.linear([product], (), (*table.dims[:-1], *flat.dims))
    found = _replaced(call, flat, np.arange(x.size, dtype=np.float64),
                      x.reshape(-1).astype(np.float64), 0.0)  # fmt: skip
    return call.net.view(found, Step("repeat", 0, (1,)))


@handler("FeatureVectorizer")
def vectorizer(call: Call) -> Result:
    """Columns side by side."""
    parts: list[Sym | Array] = []
    for i in range(len(call.given)):
        x = call.value(i)
        parts.append(call.net.view(x, Step("repeat", 1, (1,))) if len(x.dims) == 1 else x)
    return joined(call, parts, 1)


@handler("ZipMap")
def zip_map(call: Call) -> Result:
    """Scores by label; here the scores alone, in the order of the labels."""
    return call.value(0)
