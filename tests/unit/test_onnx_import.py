"""Importing ONNX files: end to end, what a check lists, and files that are meant to harm."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import veracity  # noqa: E402
from tests.support.onnx_models import lenet, model, node, save  # noqa: E402
from veracity.cli import main  # noqa: E402
from veracity.errors import (  # noqa: E402
    FormatError,
    UnsupportedModelError,
    UsageError,
    VeracityError,
    VerificationError,
)
from veracity.formats.images import save_image  # noqa: E402
from veracity.formats.npy import save_array  # noqa: E402
from veracity.formats.program import load_any_program  # noqa: E402
from veracity.frontends.onnx import check_onnx, import_onnx, open_onnx  # noqa: E402
from veracity.frontends.onnx.bounds import bounds_of  # noqa: E402
from veracity.frontends.onnx.settling import settle  # noqa: E402
from veracity.proving.models import import_network  # noqa: E402
from veracity.proving.pictures import Picture  # noqa: E402

BIG = {"w": np.arange(600, dtype=np.float32).reshape(20, 30) / 600}


def dense(**rest: Any) -> Any:
    return model([node("MatMul", "x w")], {"x": (1, 20)}, BIG, **rest)


def test_from_an_onnx_file_to_a_verified_output(tmp_path: Path) -> None:
    path, run = save(lenet(), tmp_path), CliRunner()
    (tmp_path / "samples").mkdir()
    rng = np.random.default_rng(2)
    for i in range(6):
        picture = rng.random((3, 32, 32), dtype=np.float32)
        save_array(tmp_path / "samples" / f"{i}.npy", picture)
    program = tmp_path / "net.vprog"
    made = run.invoke(
        main,
        ["import", str(path), "--samples", str(tmp_path / "samples"), "--out", str(program),
         "-q", "--json"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    facts = json.loads(made.output)
    assert facts["parameters"] == 62_006
    assert facts["samples"]["held_out"] == 1
    assert float(facts["accuracy"]["y"]["snr_db"]) > 40
    assert run.invoke(main, ["commit", str(program), "-q"]).exit_code == 0
    save_array(tmp_path / "x.npy", rng.random((1, 3, 32, 32)))
    proof, files = tmp_path / "y.vproof", ("--input", str(tmp_path / "x.npy"))
    proved = run.invoke(main, ["prove", str(program), *files, "--out", str(proof), "-q"])
    assert proved.exit_code == 0, proved.output
    assert proof.stat().st_size <= 16_000
    checked = run.invoke(
        main,
        ["verify", str(proof), "--commitment", str(tmp_path / "net.vcom"), *files,
         "--output", str(tmp_path / "y.npy"), "-q"],
    )  # fmt: skip
    assert checked.exit_code == 0, checked.output


def test_a_check_lists_every_node_that_cannot_be_proved(tmp_path: Path) -> None:
    nodes = [node("NonZero", "x", "i"), node("Unique", "x", "v"), node("Relu", "x", "r"),
             node("Sum", "v r", "y"), node("Identity", "i", "z")]  # fmt: skip
    path = save(model(nodes, {"x": (1, 4)}, {"k": np.array([1])}, ("y", "z")), tmp_path)
    found = check_onnx(open_onnx(path))["unsupported"]
    assert len(found) == 2
    assert "'/NonZero/i': NonZero, opset 17, on 1x4" in found[0].replace("node ", "")
    told = CliRunner().invoke(main, ["import", str(path), "--check"])
    assert told.exit_code == 2
    assert told.output.count("--outputs") == 2
    with pytest.raises(UnsupportedModelError, match="NonZero"):
        import_onnx(path, tmp_path / "net.vprog")
    network = import_onnx(path, tmp_path / "net.vprog", outputs=["r"])
    assert set(network.program.outputs) == {"r"}
    assert (
        CliRunner().invoke(main, ["import", str(path), "--check", "--outputs", "r"]).exit_code == 0
    )


def test_lengths_and_fixed_inputs(tmp_path: Path) -> None:
    nodes = [node("Mul", "x s", "y")]
    path = save(model(nodes, {"x": ("batch", "length"), "s": (1,)}), tmp_path)
    with pytest.raises(UsageError, match="--size length=N"):
        open_onnx(path)
    network = import_onnx(path, tmp_path / "net.vprog", sizes={"length": 3}, constants={"s": 2.5})
    assert network.program.inputs["x"].dims == (1, 3)
    assert set(network.program.inputs) == {"x"}
    again = load_any_program(tmp_path / "net.vprog")
    assert again.program == network.program
    with pytest.raises(UsageError, match="no node computes"):
        open_onnx(path, outputs=["nothing"], sizes={"length": 3})


def test_samples_that_do_not_fit(tmp_path: Path) -> None:
    path = save(dense(), tmp_path)
    folder = tmp_path / "samples"
    folder.mkdir()
    with pytest.raises(UsageError, match="four samples"):
        import_onnx(path, tmp_path / "net.vprog", samples=folder)
    save_array(folder / "a.npy", np.zeros((1, 21)))
    with pytest.raises(UsageError, match="shape"):
        import_onnx(path, tmp_path / "net.vprog", samples=folder)


def test_inputs_beyond_the_samples_cannot_be_proved(tmp_path: Path) -> None:
    import_onnx(save(dense(), tmp_path), tmp_path / "net.vprog")
    _, secret = veracity.commit(tmp_path / "net.vprog")
    with pytest.raises(UsageError, match="not within"):
        veracity.prove_tensors(tmp_path / "net.vprog", secret, np.full((1, 20), 900.0))


# ---- files that are meant to harm ------------------------------------------------------------
def external(folder: Path, **facts: str) -> Path:
    """A model whose weight lies beside it."""
    made = dense()
    tensor = made.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", "length": str(len(raw)), **facts}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (folder / "w.bin").write_bytes(raw)
    return save(made, folder)


def test_external_data_is_read_from_the_models_folder(tmp_path: Path) -> None:
    path = external(tmp_path)
    traced = open_onnx(path).trace()
    assert np.allclose(traced.net.weights["w0"], BIG["w"])


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/w.bin", "..", ".", "", "missing", "a\\w.bin"]
)
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(FormatError):
        open_onnx(external(tmp_path, location=location))


@pytest.mark.parametrize("facts", [{"offset": "8"}, {"length": "8"}, {"offset": "-1"},
                                   {"offset": "x"}, {"length": str(1 << 40)}])  # fmt: skip
def test_external_data_of_another_length_is_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        open_onnx(external(tmp_path, **facts))


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_external_data_that_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    path, data = external(tmp_path), tmp_path / "w.bin"
    other = tmp_path / "other"
    data.rename(other)
    if kind == "link":
        data.symlink_to(other)
    elif kind == "hard link":
        os.link(other, data)
    elif kind == "pipe":
        os.mkfifo(data)
    else:
        data.mkdir()
    with pytest.raises(FormatError):
        open_onnx(path)


def bomb(op: str, *weights: np.ndarray) -> Any:
    names = [f"w{i}" for i in range(len(weights))]
    nodes = [node(op, " ".join(names), "b"), node("Add", "x b")]
    return model(nodes, {"x": (1, 4)}, dict(zip(names, weights, strict=True)))


def number(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def hostile() -> dict[str, Any]:
    """Models that a check must refuse in no time."""
    nan = dense()
    nan.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((20, 30), np.nan, np.float32), "w")
    )
    lying = dense()
    lying.graph.initializer[0].dims[0] = 1 << 40
    negative = dense()
    negative.graph.initializer[0].dims[0] = -20
    twice = dense()
    twice.graph.initializer.append(twice.graph.initializer[0])
    circle = model(
        [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b")], {"x": (4,)}
    )
    missing = model([node("Add", "x nothing")], {"x": (4,)})
    again = model([node("Relu", "x"), node("Abs", "x")], {"x": (4,)})
    foreign = dense()
    foreign.graph.node[0].domain = "com.example"
    branch = helper.make_node("If", ["c"], ["y"], name="/If")
    branch.attribute.append(helper.make_attribute("then_branch", dense().graph))
    return {
        "nan": nan, "lying": lying, "negative": negative, "twice": twice, "circle": circle,
        "missing": missing, "again": again, "foreign": foreign,
        "new opset": dense(opset=999), "old opset": dense(opset=3),
        "fill": bomb("ConstantOfShape", number(1 << 20, 1 << 20)),
        "range": bomb("Range", number(0), number(1 << 40), number(1)),
        "still range": bomb("Range", number(0), number(9), number(0)),
        "tile": bomb("Tile", np.ones((1, 4)), number(1 << 20, 1 << 20)),
        "expand": bomb("Expand", np.ones((1, 4)), number(1 << 20, 1 << 20, 1, 4)),
        "repeat": model([node("Expand", "x s")], {"x": (1, 4)}, {"s": number(1 << 20, 1 << 20, 4)}),
        "division": bomb("Div", number(1), number(0)),
        "if": model([branch], {"c": (1,)}),
        "pads": model([node("Pad", "x p")], {"x": (4,)}, {"p": number(1 << 40, 0)}),
        "kernel": model([node("Conv", "x w", strides=[0, 0])], {"x": (1, 1, 4, 4)},
                        {"w": np.ones((1, 1, 3, 3), np.float32)}),
        "empty slice": model([node("Slice", "x a b")], {"x": (4,)},
                             {"a": number(2), "b": number(2)}),
        "shapes": model([node("Reshape", "x s")], {"x": (4,)}, {"s": number(-1, 3)}),
        "two shapes": model([node("Add", "x w")], {"x": (4,)}, {"w": np.ones(3, np.float32)}),
        "a value that is too wide": model([node("Expand", "x s", "a"), node("Relu", "a")],
                                          {"x": (1,)}, {"s": number(1 << 28)}),
        "values that are too many": model(
            [node("Expand", "x s", "a0"), *[node("Sigmoid", f"a{i}", f"a{i + 1}")
                                            for i in range(9)], node("Relu", "a9")],
            {"x": (1,)}, {"s": number(1 << 26)}),
        "no input": model([node("Relu", "w")], {}, {"w": np.ones(3, np.float32)}),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(hostile()))
def test_harmful_models_are_refused(tmp_path: Path, name: str) -> None:
    path = save(hostile()[name], tmp_path)
    with pytest.raises(VeracityError):
        import_onnx(path, tmp_path / "net.vprog")
    assert not (tmp_path / "net.vprog").exists()


def test_damaged_files_raise_errors_of_ours_only(tmp_path: Path) -> None:
    good = lenet().SerializeToString()[:4000]
    nodes = [node("Softmax", "x", "a"), node("Conv", "a w")]
    small = model(nodes, {"x": (1, 2, 4, 4)}, {"w": np.ones((2, 2, 3, 3), np.float32)})
    whole = small.SerializeToString()
    rng = random.Random(3)
    path = tmp_path / "bad.onnx"
    for data in (good, whole):
        for _ in range(150):
            bad = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                bad[rng.randrange(len(bad))] = rng.randrange(256)
            path.write_bytes(bad)
            try:
                import_onnx(path, tmp_path / "net.vprog")
            except VeracityError:
                continue


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.5, 0.25)])
def test_networks_that_take_pictures(tmp_path: Path, mean: float, deviation: float) -> None:
    rng = np.random.default_rng(3)
    kernel = rng.standard_normal((2, 3, 3, 3))
    nodes = [node("Conv", "x k", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]
    path = save(model(nodes, {"x": (1, 3, 6, 5)}, {"k": kernel.astype(np.float32)}), tmp_path)
    folder = tmp_path / "samples"
    folder.mkdir()
    for i in range(8):
        pixels = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        save_image(folder / f"{i}.png", pixels)
    pictured = import_network(
        path, tmp_path / "net.vprog", samples=folder, pixels=(mean, deviation)
    )
    port = pictured.program.inputs["x"]
    assert (port.exponent, port.low, port.high) == (0, 0, 255)
    assert float(pictured.accuracy["y"]["snr_db"]) > 60
    assert len(pictured.program.ops) == (2 if mean == 0 else 3)
    _, secret = veracity.commit(pictured)
    picture = Picture(pixels)
    proved = veracity.prove_tensors(pictured, secret, picture)
    scaled = (pixels.transpose(2, 0, 1)[None] / 255 - mean) / deviation
    shown = trace_of(path, scaled)
    assert np.abs(proved.outputs["y"] - shown).max() < 2e-3 * np.abs(shown).max()
    done = CliRunner().invoke(
        main,
        ["import", str(path), "--samples", str(folder), "--out", str(tmp_path / "cli.vprog"),
         "--pixels", str(mean), str(deviation), "-q"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for bad in (("0", "0"), ("0", "nan"), ("0", "-1")):
        refused = CliRunner().invoke(main, ["import", str(path), "--pixels", *bad, "-q"])
        assert refused.exit_code == 2


def trace_of(path: Path, x: np.ndarray) -> np.ndarray:
    """What the network makes of an input, in floats."""
    found = open_onnx(path).trace()
    values = found.net.run({"x": x})
    result = found.outputs["y"]
    return values[result.terms[0].x]


def test_the_largest_of_sums_that_need_more_than_16_bits(tmp_path: Path) -> None:
    """An exact sum is rescaled before its largest entry is asked for."""
    nodes = [node("Slice", "x a b axis", "left"), node("Slice", "x b c axis", "right"),
             node("Mul", "left k", "far"), node("Mul", "right h", "near"),
             node("Add", "far near", "s"), node("ArgMax", "s", axis=1, keepdims=0)]  # fmt: skip
    numbers = {"a": number(0), "b": number(8), "c": number(16), "axis": number(1),
               "k": np.float32([4.0]), "h": np.float32([0.5])}  # fmt: skip
    made = model(nodes, {"x": (1, 16)}, numbers, types={"y": TensorProto.INT64})
    network = import_network(save(made, tmp_path), tmp_path / "net.vprog")
    commitment, secret = veracity.commit(network)
    x = np.random.default_rng(4).random((1, 16))
    x[0, 5] = 1.0
    proved = veracity.prove_tensors(network, secret, {"x": x})
    veracity.verify_tensors(proved.proof, commitment, {"x": x}, proved.outputs)
    expected = np.argmax(4 * x[:, :8] + 0.5 * x[:, 8:], axis=1)
    assert np.array_equal(np.asarray(proved.outputs["y"]).astype(int), expected)


def table(**weights: np.ndarray) -> Any:
    """A table that whole numbers choose from."""
    nodes = [node("Gather", "w x", "g"), node("ReduceSum", "g a", keepdims=0)]
    return model(nodes, {"x": (1, 3)}, {**weights, "a": number(1)}, types={"x": TensorProto.INT64})


def test_what_is_chosen_has_room_whatever_samples_choose(tmp_path: Path) -> None:
    """Drawn indices are 0 and 1; an entry of a table that is 9 times larger is proved, too."""
    made = table(w=np.float32([[0.1, -0.1], [0.1, 0.05], [0.9, -0.8]]))
    network = import_network(save(made, tmp_path), tmp_path / "net.vprog")
    commitment, secret = veracity.commit(network)
    x = {"x": np.array([[2, 2, 1]])}
    proved = veracity.prove_tensors(network, secret, x)
    veracity.verify_tensors(proved.proof, commitment, x, proved.outputs)
    assert np.allclose(proved.outputs["y"], [[1.9, -1.55]], atol=1e-3)
    facts = bounds_of(open_onnx(tmp_path / "net.onnx").trace().net)
    assert sorted(round(v, 4) for v in facts.values()) == [0.9, 1.0]


def test_a_length_that_is_not_known_becomes_two_where_one_row_loses_its_axis(
    tmp_path: Path,
) -> None:
    nodes = [node("Squeeze", "x", "s"), node("Transpose", "s", perm=[1, 0])]
    path = save(model(nodes, {"x": ("batch", 1, 4)}), tmp_path)
    network = import_network(path, tmp_path / "net.vprog")
    assert network.program.inputs["x"].dims == (2, 1, 4)
    assert check_onnx(open_onnx(path))["inputs"] == {"x": [2, 1, 4]}
    told = check_onnx(open_onnx(path, sizes={"batch": 1}))
    assert "Transpose" in told["unsupported"][0]


def test_an_input_that_nothing_reads_and_an_output_that_is_constant(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "r"), node("Identity", "c", "y")]
    made = model(nodes, {"x": (2, 3), "idle": (4,)}, {"c": np.float32([[0.5], [2.0]])},
                 outputs=("y", "r"))  # fmt: skip
    network = import_network(save(made, tmp_path), tmp_path / "net.vprog")
    commitment, secret = veracity.commit(network)
    given = {"x": np.full((2, 3), 0.25), "idle": np.full(4, 0.5)}
    proved = veracity.prove_tensors(network, secret, given)
    assert np.allclose(proved.outputs["y"], [[0.5], [2.0]])
    veracity.verify_tensors(proved.proof, commitment, given, proved.outputs)
    other = {**given, "idle": np.full(4, 0.75)}
    with pytest.raises(VerificationError):
        veracity.verify_tensors(proved.proof, commitment, other, proved.outputs)


def test_numbers_of_half_a_byte_and_of_short_floats(tmp_path: Path) -> None:
    halves = helper.make_tensor("w", TensorProto.INT4, (3,), np.array([-8, 7, 3]))
    short = helper.make_tensor("b", TensorProto.BFLOAT16, (3,), np.array([0.5, -1.5, 3.0]))
    made = model([node("Cast", "w", "f", to=1), node("Cast", "b", "g", to=1),
                  node("Mul", "x f", "m"), node("Add", "m g")],
                 {"x": (1, 3)}, opset=21)  # fmt: skip
    made.graph.initializer.extend([halves, short])
    traced = open_onnx(save(made, tmp_path)).trace()
    assert traced.faults == []
    value = settle(traced, ["y"])["y"]
    found = traced.net.run({"x": np.ones((1, 3))})[value]
    assert np.allclose(found, [[-7.5, 5.5, 6.0]])


def test_infinite_weights_are_the_largest_and_no_numbers_are_refused(tmp_path: Path) -> None:
    made = model([node("Where", "c x w", "a"), node("Softmax", "a")], {"x": (1, 2)},
                 {"c": np.array([True, False]), "w": np.float32([-np.inf])})  # fmt: skip
    network = import_network(save(made, tmp_path), tmp_path / "net.vprog")
    assert float(network.accuracy["y"]["largest_error"]) < 1e-3
    made = model([node("Add", "x w")], {"x": (1, 2)}, {"w": np.float32([np.inf, 0])})
    with pytest.raises(UnsupportedModelError, match="node '/Add/y'"):
        import_network(save(made, tmp_path), tmp_path / "net.vprog")
    made = model([node("Add", "x w")], {"x": (1, 2)}, {"w": np.float32([np.nan, 0])})
    with pytest.raises(FormatError, match="no number"):
        open_onnx(save(made, tmp_path))


def test_an_output_of_which_16_bits_keep_nothing_is_refused(tmp_path: Path) -> None:
    nodes = [node("Mul", "x t", "a"), node("Add", "a o", "b"), node("Relu", "b", "c"),
             node("Sub", "c o")]  # fmt: skip
    made = model(nodes, {"x": (2, 3)}, {"t": np.float32([1.0]), "o": np.float32([1e6])})
    with pytest.raises(UnsupportedModelError, match=r"output 'y'.*signal to noise"):
        import_onnx(save(made, tmp_path), tmp_path / "net.vprog")


def test_names_that_break_lines_do_not(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "a"), node("No\nSuch", "a")], {"x": (2, 3)})
    made.graph.node[0].output[0] = made.graph.node[1].input[0] = "a\nb"
    (found,) = check_onnx(open_onnx(save(made, tmp_path)))["unsupported"]
    assert "\n" not in found
    assert "--outputs a?b" in found


def test_constants_of_wide_sums_fit_a_commitment(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    weights = {"w": (rng.standard_normal((8, 64)) * 1e5).astype("f4"), "s": np.float32([1.1e-5]),
               "t": np.float32([0.9]), "c": rng.standard_normal((64, 64)).astype("f4")}  # fmt: skip
    nodes = [node("MatMul", "x w", "a"), node("Mul", "a s", "b"), node("Mul", "u t", "d"),
             node("Mul", "b d", "e"), node("Add", "e c")]  # fmt: skip
    made = model(nodes, {"x": (64, 8), "u": (64, 64)}, weights)
    network = import_onnx(save(made, tmp_path), tmp_path / "net.vprog")
    assert max(int(np.abs(w).max()) for w in network.weights.values()) < 1 << 38
    assert float(network.accuracy["y"]["snr_db"]) > 60
    veracity.commit(network)
