"""ONNX's einsum, as products of two operands one after the other."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.lowering import Call, Result, handler
from veracity.graph.wires import Step

Array = NDArray[Any]


@handler("Einsum")
def einsum(call: Call) -> Result:
    """Operand after operand; a letter that neither what is left nor the result has is summed."""
    spec = call.text("equation", "").replace(" ", "")
    inputs, arrow, out = spec.partition("->")
    parts = inputs.split(",")
    if not arrow or len(parts) != len(call.given) or "." in spec:
        raise UsageError("an einsum without a result, or with an ellipsis")
    if any(len(set(part)) != len(part) for part in (*parts, out)):
        raise UsageError("an einsum that reads a diagonal")
    net = call.net
    x, part = net.force(net.sym(call.any(0))), parts[0]
    for i in range(1, len(parts)):
        wanted = out + "".join(parts[i + 1 :])
        x, part = _contracted(call, (x, part), (call.any(i), parts[i]), wanted)
    return _arranged(call, x, part, out)


def _arranged(call: Call, x: Sym, part: str, out: str) -> Sym:
    """An operand with the letters of the result, summed over the others."""
    for axis in reversed(range(len(part))):
        if part[axis] not in out:
            x = call.net.view(x, Step("sum", axis))
            part = part[:axis] + part[axis + 1 :]
    order = tuple(part.index(c) for c in out)
    return x if order == tuple(range(len(order))) else call.net.view(x, Step("permute", 0, order))


def _contracted(
    call: Call, left: tuple[Sym, str], right: tuple[Sym | Array, str], wanted: str
) -> tuple[Sym, str]:
    """The product of two operands with their letters, summed over those that nobody wants.

    Parameters
    ----------
    call : Call
        The node.
    left, right : (Sym or array, str)
        Operands and their letters.
    wanted : str
        Letters that the result or other operands have.
    """
    net = call.net
    sizes: dict[str, int] = {}
    refs: list[Ref] = []
    letters: list[str] = []
    for given, part, other in ((*left, right[1]), (*right, left[1])):
        x = net.force(net.sym(given))
        sizes |= dict(zip(part, x.dims, strict=True))
        for axis in reversed(range(len(part))):
            if part[axis] not in wanted + other:
                x = net.view(x, Step("sum", axis))
                part = part[:axis] + part[axis + 1 :]
        refs.append(net.ref(x))
        letters.append(part)
    kept = "".join(c for c in dict.fromkeys(letters[0] + letters[1]) if c in wanted)
    spec = f"{letters[0]},{letters[1]}->{kept}"
    return net.linear([(spec, refs[0], refs[1])], (), tuple(sizes[c] for c in kept)), kept
