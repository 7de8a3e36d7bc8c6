"""A GPT-2-type forward pass in SPU's SEMI2K, two parties over TCP; in an environment of its own.

Takes one JSON object (see ``private_peers.py``) and prints one: seconds, bytes, messages. Written
for ``spu`` 0.9.5: plain JAX, compiled as SPU compiles it; weights and prompt are both secret.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu.utils.frontend as frontend
from spu import api, libspu


def weights_of(order: dict[str, Any]) -> dict[str, Any]:
    """Random weights of a decoder's usual sizes."""
    d, rng = order["width"], np.random.default_rng(0)

    def dense(n: int, k: int) -> dict[str, Any]:
        return {
            "w": rng.normal(0, k**-0.5, (k, n)).astype(np.float32),
            "b": np.zeros(n, dtype=np.float32),
        }

    return {
        "embed": rng.normal(0, 1, (order["vocab"], d)).astype(np.float32),
        "layers": [
            {
                "qkv": dense(3 * d, d),
                "o": dense(d, d),
                "up": dense(4 * d, d),
                "down": dense(d, 4 * d),
            }
            for _ in range(order["layers"])
        ],
    }


def forward(weights: Any, one_hot: Any, cache: Any, *, heads: int) -> Any:
    """The place of the greatest logit of the last row; ``cache`` holds earlier keys and values."""

    def dense(x: Any, layer: Any) -> Any:
        return x @ layer["w"] + layer["b"]

    def norm(x: Any) -> Any:
        c = x - x.mean(axis=-1, keepdims=True)
        return c * jax.lax.rsqrt((c * c).mean(axis=-1, keepdims=True) + 1e-5)

    x = one_hot @ weights["embed"]
    rows, d = x.shape
    start = cache[0].shape[2] if cache else 0
    seen = np.arange(start + rows)[None, :] <= start + np.arange(rows)[:, None]
    for i, layer in enumerate(weights["layers"]):
        q, k, v = (
            part.reshape(rows, heads, -1).transpose(1, 0, 2)
            for part in jnp.split(dense(norm(x), layer["qkv"]), 3, axis=1)
        )
        if cache:
            k = jnp.concatenate([cache[i][0], k], axis=1)
            v = jnp.concatenate([cache[i][1], v], axis=1)
        z = q @ k.transpose(0, 2, 1) * (d // heads) ** -0.5
        p = jax.nn.softmax(z + np.where(seen, 0, -100).astype(np.float32), axis=-1)
        mixed = (p @ v).transpose(1, 0, 2).reshape(rows, d)
        x = x + dense(mixed, layer["o"])
        x = x + dense(jax.nn.gelu(dense(norm(x), layer["up"]), approximate=True), layer["down"])
    return jnp.argmax(norm(x[-1:]) @ weights["embed"].T, axis=-1)


def main() -> None:
    """One pass."""
    order = json.loads(sys.argv[1])
    rng = np.random.default_rng(1)
    weights = weights_of(order)
    tokens = rng.integers(0, order["vocab"], order["rows"])
    one_hot = np.eye(order["vocab"], dtype=np.float32)[tokens]
    shape = (2, order["heads"], order["start"], order["width"] // order["heads"])
    layers = order["layers"] if order["start"] else 0
    cache = [rng.normal(0, 1, shape).astype(np.float32) for _ in range(layers)]
    inputs = (weights, one_hot, cache)
    flat, _ = jax.tree_util.tree_flatten(inputs)
    names = [f"in{i}" for i in range(len(flat))]
    executable, _ = frontend.compile(
        frontend.Kind.JAX,
        lambda *a: forward(*a, heads=order["heads"]),
        inputs,
        {},
        names,
        [libspu.Visibility.VIS_SECRET] * len(flat),
        lambda out: [f"out{i}" for i in range(len(out))],
    )
    config = libspu.RuntimeConfig(
        protocol=libspu.ProtocolKind.SEMI2K, field=libspu.FieldType.FM64, fxp_fraction_bits=18
    )
    io = api.Io(2, config)
    shares = [io.make_shares(np.asarray(x), libspu.Visibility.VIS_SECRET) for x in flat]
    results: list[Any] = [None, None]

    def party(rank: int) -> None:
        description = libspu.link.Desc()
        description.recv_timeout_ms = 600_000
        for other, port in enumerate(order["ports"][rank]):
            description.add_party(f"id_{other}", f"127.0.0.1:{port}")
        link = libspu.link.create_brpc(description, rank)
        own = libspu.RuntimeConfig(config)
        own.enable_pphlo_profile = rank == 0
        runtime = api.Runtime(link, own)
        for name, share in zip(names, shares, strict=True):
            runtime.set_var(name, share[rank])
        link.barrier()
        started = time.perf_counter()
        runtime.run(executable)
        seconds = time.perf_counter() - started
        results[rank] = runtime.get_var("out0"), seconds
        link.stop_link()

    threads = [threading.Thread(target=party, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = int(io.reconstruct([r[0] for r in results])[0])
    clear = int(forward(*inputs, heads=order["heads"])[0])
    facts = {
        "seconds": max(r[1] for r in results),
        "token": token,
        "clear": clear,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
