"""An accuracy that nobody has to believe: a CNN for Fashion-MNIST, its right answers proved.

A small network of LeNet's shape is trained in NumPy, written as an ONNX file, imported, committed,
and asked 1,000 test pictures; the verifier has the pictures and no weights. Run it with
``make demo-accuracy``, which unpacks the data first.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from demo import Steps
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save_model

from veracity.formats.accuracy import AccuracyProof
from veracity.training.data import read_idx

Array = NDArray[np.float32]
#: Kernels, matrices and biases; pictures of 28x28, pools of 2x2 behind each convolution.
SHAPES = {
    "c1": (6, 1, 5, 5), "c2": (16, 6, 5, 5), "f1": (120, 256), "f2": (84, 120), "f3": (10, 84),
}  # fmt: skip
SEEN, TESTED, BATCH = 200, 1000, 64


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo-accuracy"))
    parser.add_argument("--data", type=Path, required=True, help="folder with the four idx files")
    parser.add_argument("--steps", type=int, default=900, help="of training, 64 pictures each")
    parser.add_argument("--memory", default="4GiB", help="limit for proving")
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    outside = folder / "verifier"
    outside.mkdir(parents=True)
    steps = Steps(folder)

    net, public, secret = folder / "net.vprog", outside / "net.vcom", folder / "net.vsec"
    proof, tests = outside / "accuracy.vproof", outside / "test.npz"

    print("== The owner: train, import, commit, evaluate ==")
    x, y = pictures(chosen.data, "train")
    write_onnx(folder / "net.onnx", train(x, y, chosen.steps))
    (folder / "samples").mkdir()
    for i, picture in enumerate(x[:SEEN]):
        np.save(folder / "samples" / f"{i:03}.npy", picture[None])
    held, labels = pictures(chosen.data, "t10k")
    np.savez_compressed(tests, x=held[:TESTED], y=labels[:TESTED])
    steps.must(
        "import",
        *("import", folder / "net.onnx", "--samples", folder / "samples", "--out", net),
    )
    steps.must("commit", "commit", net, "--out", public, "--secret", secret)
    made = steps.must(
        "evaluate and prove",
        *("evaluate", net, "--secret", secret, "--samples", tests, "--prove", "--out", proof),
        *("--memory", chosen.memory),
    )
    print("\n== Anybody: verify ==")
    checked = ("verify", proof.name, "--commitment", public.name, "--samples", tests.name)
    seen = steps.must("verify", *checked, cwd=outside)
    if made["correct"] != seen["correct"]:
        raise SystemExit("owner and verifier count differently")

    print("\n== A better number than the network's ==")
    given = AccuracyProof.load(proof)
    better = replace(given, answers=labels[:TESTED])
    better.save(outside / "better.vproof")
    code, told = steps.run(
        "all of them right", "verify", "better.vproof", *checked[2:], cwd=outside, complain=False
    )
    if code != 1 or told.get("accepted") is not False:
        raise SystemExit("a false accuracy was not rejected")
    print(f"  rejected, as it must be: {told['error']['message']}")
    print(
        f"\n{seen['correct']} of {seen['samples']} right; proved in {made['seconds']} s, "
        f"{made['proof_bytes']:,} bytes, verified in {seen['verify_s']} s"
    )
    print(f"\n{'step':<28}{'seconds':>10}{'peak MB':>10}")
    for title, seconds, memory in steps.rows:
        print(f"{title:<28}{seconds:>10.1f}{memory / 1e6:>10.0f}")


def pictures(folder: Path, which: str) -> tuple[Array, NDArray[np.int64]]:
    """Pictures of 0 .. 1, (N, 1, 28, 28), and labels."""
    x = read_idx(folder / f"{which}-images-idx3-ubyte.gz").reshape(-1, 1, 28, 28)
    y = read_idx(folder / f"{which}-labels-idx1-ubyte.gz")
    return (x / 255).astype(np.float32), y.astype(np.int64)


# ---- training ------------------------------------------------------------------------------------
def train(x: Array, y: NDArray[np.int64], steps: int) -> dict[str, Array]:
    """Adam on the cross-entropy, by hand."""
    rng = np.random.default_rng(1)
    w: dict[str, Array] = {}
    for name, shape in SHAPES.items():
        spread = np.sqrt(2 / np.prod(shape[1:]))
        w[name] = (rng.standard_normal(shape) * spread).astype(np.float32)
        w[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    mean = {n: np.zeros_like(v) for n, v in w.items()}
    square = {n: np.zeros_like(v) for n, v in w.items()}
    for step in range(1, steps + 1):
        rows = rng.integers(0, len(x), BATCH)
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / steps))
        for name, g in gradients(w, x[rows], y[rows]).items():
            mean[name] += 0.1 * (g - mean[name])
            square[name] += 0.001 * (g * g - square[name])
            fair = mean[name] / (1 - 0.9**step)
            w[name] -= rate * fair / (np.sqrt(square[name] / (1 - 0.999**step)) + 1e-8)
    return w


def gradients(w: dict[str, Array], x: Array, y: NDArray[np.int64]) -> dict[str, Array]:
    """Of the mean loss of a batch."""
    out: dict[str, Array] = {}
    conv = []
    for name in ("c1", "c2"):
        windows = sliding_window_view(x, (5, 5), axis=(2, 3))
        taps = windows.transpose(0, 2, 3, 1, 4, 5).reshape(*x.shape[:1], *windows.shape[2:4], -1)
        z = taps @ w[name].reshape(len(w[name]), -1).T + w[f"{name}.bias"]  # (N, y, x, o)
        n, rows, columns, depth = z.shape
        cells = z.reshape(n, rows // 2, 2, columns // 2, 2, depth)
        top = cells.max(axis=(2, 4))
        conv.append((name, taps, cells, top, x.shape))
        x = np.maximum(top, 0).transpose(0, 3, 1, 2)
    kept = [x.reshape(len(x), -1)]
    for name in ("f1", "f2", "f3"):
        z = kept[-1] @ w[name].T + w[f"{name}.bias"]
        kept.append(z if name == "f3" else np.maximum(z, 0))
    e = np.exp(kept[-1] - kept[-1].max(axis=1, keepdims=True))
    back = (e / e.sum(axis=1, keepdims=True) - np.eye(10, dtype=np.float32)[y]) / len(y)
    for i, name in ((2, "f3"), (1, "f2"), (0, "f1")):
        out[name], out[f"{name}.bias"] = back.T @ kept[i], back.sum(axis=0)
        back = (back @ w[name]) * (kept[i] > 0)
    for name, taps, cells, top, before in reversed(conv):
        into = back.reshape(len(top), top.shape[3], *top.shape[1:3]).transpose(0, 2, 3, 1)
        into = into * (top > 0)
        spread = (cells == top[:, :, None, :, None]) * into[:, :, None, :, None]
        rows = spread.reshape(-1, top.shape[3])
        out[name] = (rows.T @ taps.reshape(len(rows), -1)).reshape(w[name].shape)
        out[f"{name}.bias"] = rows.sum(axis=0)
        if name == "c2":
            columns = rows @ w[name].reshape(len(w[name]), -1)
            grid = columns.reshape(*taps.shape[:3], before[1], 5, 5)
            back = np.zeros(before, np.float32)
            for u in range(5):
                for v in range(5):
                    part = grid[..., u, v].transpose(0, 3, 1, 2)
                    back[:, :, u : u + part.shape[2], v : v + part.shape[3]] += part
    return out


def write_onnx(path: Path, weights: dict[str, Array]) -> None:
    """The network as an ONNX file."""
    nodes, x = [], "x"

    def add(op: str, *reads: str, **attributes: object) -> str:
        made = f"v{len(nodes)}"
        nodes.append(helper.make_node(op, reads, [made], **attributes))
        return made

    for name in ("c1", "c2"):
        x = add("Conv", x, name, f"{name}.bias")
        x = add("MaxPool", add("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    x = add("Flatten", x)
    for name in ("f1", "f2", "f3"):
        x = add("Gemm", x, name, f"{name}.bias", transB=1)
        x = x if name == "f3" else add("Relu", x)
    nodes[-1].output[0] = "scores"
    port = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "fashion-lenet",
        [port("x", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [port("scores", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(v, n) for n, v in weights.items()],
    )  # fmt: skip
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


if __name__ == "__main__":
    main()
