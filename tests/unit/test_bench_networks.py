"""The measured networks as they are made; what is measured is tried on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from veracity.benchmarks.networks import DEPTH, bench_network, vdsr
from veracity.errors import UsageError


def test_vdsr_has_its_shape() -> None:
    made = vdsr(None)
    found = made.trace()
    assert not found.faults
    assert sum(op.kind == "linear" for op in found.net.ops) == DEPTH
    assert sum(int(w.size) for w in made.graph.constants.values()) == 664_704


def test_other_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"input.weight": np.zeros((64, 1, 3, 3), np.float32)}, path)
    with pytest.raises(UsageError, match="does not hold the weights of VDSR"):
        vdsr(path)
    with pytest.raises(UsageError, match="--weights is for vdsr"):
        bench_network("cifar-lenet", weights=path)
