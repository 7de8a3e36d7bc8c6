"""Programs of decoders that have a shape and no weights: what their proofs would cost.

What a proof costs follows from sizes and widths. Sizes are the shape's; widths follow from the
magnitudes that calibration sees, and these have to be supposed (:data:`SUPPOSED`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from veracity.graph import Program, WeightSpec
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel, check_model
from veracity.lm.quantise import program_of
from veracity.lm.scales import Builder, Range

__all__ = ["SUPPOSED", "shape_program"]

#: What is told to people.
SUPPOSED = (
    "magnitudes as in a trained model with massive activations; the counts of calibrated models "
    "differ from this by a few per cent"
)
#: Exponent of all weights: their largest entries lie between 1 and 2.
_WEIGHT = 14
#: Exponent of the residual stream.
_RESIDUAL = 10
#: Largest magnitudes, by the end of the name under which calibration sees them.
_LARGEST = {
    "embed": 2.0, "residual": 2000.0, "head": 30.0, "final_gain": 20.0, "attn.scores": 100.0,
    "attn.q": 15.0, "attn.k": 15.0, "attn.v": 4.0, "attn": 3.0, "attn.o": 4.0, "mlp.up": 8.0,
    "mlp.gate": 8.0, "mlp.act": 8.0, "mlp.prod": 20.0, "mlp.down": 2000.0, "gain": 15.0,
    "post": 20.0,
}  # fmt: skip
#: Whose largest entries are far larger than all others.
_MASSIVE = ("residual", "mlp.down")


class _ShapeBuilder(Builder):
    """Builds a program whose weights have shapes and no integers."""

    def quantise(self, name: str, exponent: int, dtype: str = "int16") -> str:
        """Note the shape of a tensor.

        Parameters
        ----------
        name : str
            Name of the tensor.
        exponent : int
            Of its integers.
        dtype : str
            How they are stored.
        """
        bits = 16 if dtype == "int16" else 32
        dims = self.model.tensors[name].shape
        self.specs.setdefault(name, WeightSpec(dims, dtype, exponent, bits))
        return name

    def weight_exponent(self, name: str) -> int:
        """The one supposed of all."""
        return _WEIGHT

    def first_exponent(self) -> int:
        """The one supposed."""
        return _RESIDUAL


def shape_program(
    config: Config, shapes: Mapping[str, tuple[int, ...]], name: str = "shape"
) -> Program:
    """The integer program that a decoder of this shape would have.

    Parameters
    ----------
    config : Config
        Its dimensions.
    shapes : mapping
        Dims of its tensors, by the names of :class:`veracity.lm.decoder.FloatModel`.
    name : str
        For people.

    Raises
    ------
    FormatError
        The configuration is not sound, or the dims do not fit it.
    UnsupportedModelError
        No program has this shape.
    """
    # arrays of one number in memory, whatever their dims
    nothing = np.zeros((), dtype=np.float32)
    tensors = {n: np.broadcast_to(nothing, dims) for n, dims in shapes.items()}
    model = FloatModel(config, tensors)
    check_model(model, name, values=False)
    return program_of(_ShapeBuilder(model, _supposed(model)), name)


def _supposed(model: FloatModel) -> dict[str, Range]:
    """Ranges of everything that a calibration of this model would see."""
    seen = ["embed", "residual", "head", "final_gain"]
    parts = [part for part in _LARGEST if part.partition(".")[0] in ("attn", "mlp")]
    for i in range(model.config.layers):
        seen += [f"layers.{i}.{part}" for part in parts]
    seen += [n for n in model.tensors if n.endswith((".gain", ".post"))]
    found = {}
    for name in seen:
        end = name.split(".", 2)[-1] if name.startswith("layers.") else name
        end = end if end in _LARGEST else end.rpartition(".")[2]
        largest = _LARGEST[end]
        found[name] = Range(largest, largest / (1000 if end in _MASSIVE else 2))
    return found
