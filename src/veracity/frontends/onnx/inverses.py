"""Inverses, and the sigmoids that some exporters spell out with them."""

from __future__ import annotations

import numpy as np

from veracity.frontends.onnx.floats import FloatNetwork, Ref, Sym
from veracity.graph.wires import apply_wire

__all__ = ["inverse"]


def inverse(net: FloatNetwork, x: Sym) -> Sym:
    """``1 / x``; of ``1 + exp(y)`` it is ``sigmoid(-y)``, which has no large values on its way.

    Parameters
    ----------
    net : FloatNetwork
        Where ops go.
    x : Sym
        What is inverted.
    """
    for one, power in (x.terms, x.terms[::-1]) if len(x.terms) == 2 else ():
        op = net.made.get(power.x)
        if op is None or op.fn != "exp" or power != Ref(power.x) or op.dims != x.dims:
            continue
        if one.of == "weight" and np.all(
            apply_wire(one.wire, net.weights[one.x]) * one.factor == 1
        ):
            return net.function("sigmoid", net.scale(Sym(x.dims, op.addends), -1.0))
    return net.function("power(-1)", x)
