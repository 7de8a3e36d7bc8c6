"""ONNX's einsum, as products of two operands one after the other."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.graph.wires import Step

Array = NDArray[Any]


@handler("Einsum")
def einsum(call: Call) -> Result:
    """Operand after operand; a letter that neither what is left nor the result has is summed."""
    net = call.net
    operands = [net.force(net.sym(call.any(i))) for i in range(len(call.given))]
    parts, out = _letters(call.text("equation", ""), [len(x.dims) for x in operands])
    pairs = [_diagonal(call, x, part) for x, part in zip(operands, parts, strict=True)]
    sizes: dict[str, int] = {}
    for x, part in pairs:
        for c, n in zip(part, x.dims, strict=True):
            sizes[c] = max(sizes.get(c, 1), n)
    pairs = [_narrowed(call, x, part, sizes) for x, part in pairs]
    x, part = pairs[0]
    for i in range(1, len(pairs)):
        wanted = out + "".join(p for _, p in pairs[i + 1 :])
        x, part = _contracted(call, (x, part), pairs[i], wanted)
    return _arranged(call, x, part, out)


def _letters(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Letters of each operand and of the result; some of their own for an ellipsis.

    Parameters
    ----------
    equation : str
        As the node has it.
    ranks : list of int
        Of the operands.
    """
    equation = _lowered(equation.replace(" ", ""))
    inputs, arrow, out = equation.partition("->")
    parts = inputs.split(",")
    if len(parts) != len(ranks):
        raise UsageError("an einsum of another number of operands")
    spare = [c for c in ascii_lowercase if c not in equation]
    hidden = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=True)]
    most = max([n for n, part in zip(hidden, parts, strict=True) if "..." in part], default=0)
    wrong = any(n < 0 or (n and "..." not in p) for n, p in zip(hidden, parts, strict=True))
    if wrong or most > len(spare):
        raise UsageError("an einsum of other ranks")
    dots = "".join(spare[:most])
    full = [part.replace("...", dots[most - n :]) for part, n in zip(parts, hidden, strict=True)]
    if not arrow:
        every = "".join(parts).replace("...", "")
        once = sorted(c for c in set(every) if every.count(c) == 1)
        out = "..." * ("..." in inputs) + "".join(once)
    result, read = out.replace("...", dots), set("".join(full))
    if not set(result) <= read <= set(ascii_lowercase) or len(set(result)) != len(result):
        raise UsageError("an einsum whose result has other letters than its operands, or one twice")
    return full, result


def _lowered(equation: str) -> str:
    """With small letters only, capitals become letters that are not in use."""
    free = [c for c in ascii_lowercase if c not in equation]
    capitals = sorted({c for c in equation if c.isascii() and c.isupper()})
    if len(capitals) > len(free):
        raise UsageError("an einsum of more than 26 letters")
    return equation.translate({ord(c): f for c, f in zip(capitals, free, strict=False)})


def _diagonal(call: Call, x: Sym, part: str) -> tuple[Sym, str]:
    """One axis for a letter that stands twice: the entries at equal places."""
    net = call.net
    for c in dict.fromkeys(part):
        while part.count(c) > 1:
            first = part.index(c)
            second = part.index(c, first + 1)
            n = x.dims[first]
            if x.dims[second] != n:
                raise UsageError("a diagonal of an oblong")
            rest = [i for i in range(len(part)) if i not in (first, second)]
            x = net.view(x, Step("permute", 0, (*rest, first, second)))
            flat = net.force(net.reshape(x, (*x.dims[:-2], n * n)))
            x = net.view(flat, Step("pick", len(rest), tuple(range(0, n * n, n + 1))))
            part = "".join(part[i] for i in rest) + c
    return x, part


def _narrowed(call: Call, x: Sym, part: str, sizes: dict[str, int]) -> tuple[Sym, str]:
    """Without axes of length 1 that other operands have longer.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        An operand.
    part : str
        Its letters.
    sizes : dict
        Length of each letter.
    """
    for axis in reversed(range(len(part))):
        if x.dims[axis] == 1 and sizes[part[axis]] > 1:
            x = call.net.view(x, Step("sum", axis))
            part = part[:axis] + part[axis + 1 :]
    return x, part


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
