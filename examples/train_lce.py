"""Train the network of ``veracity enhance`` with torch, and write its weights.

    python examples/train_lce.py --pictures DIR --run RUN --steps 20000 --out lce.safetensors

``DIR`` holds the photographs to learn from, one or more folders of JPEG or PNG files; ``make
data-lce`` unpacks those of the shipped weights from a Debian package (``WALLPAPERS`` names them:
CC-BY-4.0 and CC0 only). ``RUN/checkpoint.pt`` is replaced every 250 steps, complete or not at all,
and a run that was interrupted goes on from there. ``--kind plain`` and ``--kind plain-cost`` train
the controls: the same network without correction and without kernels of each picture's own, with
as many parameters (66 channels between the convolutions of a block), or with as many lookups in a
proof of 64x64 pixels (18; 65,536 lookups stand for the 47,900 that correction and kernels cost).

The degradations follow the usual setting of blind super-resolution: Gaussian blur of a random
width, isotropic or not, exact bicubic reduction by two, noise on some, eight bits. What the network
computes is written down in ``docs/vision.md``; torch is needed here and nowhere else.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as nnf

WALLPAPERS = (
    "aitzgorri_by_Aitzol_Berasategi.jpg",
    "friends_by_Aitzol_Berasategi.jpg",
    "life_by_Aitzol_Berasategi.jpg",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "Picture_0B_by_freespace.jpg",
    "Picture_1A_by_freespace.jpg",
    "seeding_by_Clements_Engelhardt.jpg",
    "sunset_by_Aitzol_Berasategi.jpg",
    "umang_by_Abhishek_Mudgal.jpg",
    "Wine_by_Jakkub_Mede.jpg",
)
PATCH = 48  # low-resolution pixels a side
POOL = 4096  # patches that are sampled from
REFRESH = 512  # patches replaced every CHECKPOINT steps
CHECKPOINT = 250
BATCH = 8
DOWN = torch.tensor([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
TAPS = 15
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
MARGIN = 4
STATISTICS = 27


# ---------------------------------------------------------------- the network


def luma(x: Tensor) -> Tensor:
    """R + 2 G + B in levels, (samples, h, w)."""
    return (x[:, 0] + 2 * x[:, 1] + x[:, 2]) * 255


def statistics(x: Tensor) -> Tensor:
    """What the differences of a picture say about its blur and noise, (samples, 27).

    Mean squared first and second differences at lags 1, 2, 4 in four directions and the mean square
    and mean size of a mask that natural edges hardly excite; logarithms to base 2, less the mean
    of the four at lag 4, which is the last entry.
    """
    y = luma(x)
    h, w = y.shape[-2:]

    def moved(dy: int, dx: int) -> Tensor:
        return y[:, MARGIN + dy : h - MARGIN + dy, MARGIN + dx : w - MARGIN + dx]

    centre, means = moved(0, 0), []
    for dy, dx in DIRECTIONS:
        for lag in (1, 2, 4):
            ahead, behind = moved(lag * dy, lag * dx), moved(-lag * dy, -lag * dx)
            means += [
                (ahead - centre).square().mean((1, 2)),
                (ahead - 2 * centre + behind).square().mean((1, 2)),
            ]
    rows = [moved(dy, -1) - 2 * moved(dy, 0) + moved(dy, 1) for dy in (-1, 0, 1)]
    mask = rows[0] - 2 * rows[1] + rows[2]
    logs = torch.log2(torch.stack([*means, mask.square().mean((1, 2))], 1) + 1.6)
    size = 2 * torch.log2(mask.abs().mean((1, 2)) + 1.0)
    level = logs[:, [4, 10, 16, 22]].mean(1)
    every = torch.cat([logs, size[:, None]], 1) - level[:, None]
    return torch.cat([every, level[:, None] - 10], 1) / 4


def gaussian(sy: float, sx: float, angle: float, taps: int) -> Tensor:
    """A Gaussian kernel (taps, taps) with deviations in pixels along turned axes."""
    r = torch.arange(taps) - taps // 2
    y, x = torch.meshgrid(r, r, indexing="ij")
    u = x * math.cos(angle) + y * math.sin(angle)
    v = -x * math.sin(angle) + y * math.cos(angle)
    kernel = torch.exp(-0.5 * ((u / sx) ** 2 + (v / sy) ** 2))
    return kernel / kernel.sum()


class Corrector(nn.Module):
    """Filter h of a picture, a mixture of basis filters that its statistics choose."""

    def __init__(self) -> None:
        super().__init__()
        delta = torch.zeros(TAPS, TAPS)
        delta[TAPS // 2, TAPS // 2] = 1
        shapes = [(s, s, 0.0) for s in (0.4, 0.6, 0.9, 1.4)]
        shapes += [(0.4, s, math.pi * q / 4) for s in (0.9, 1.6) for q in range(4)]
        self.basis = nn.Parameter(
            torch.stack([(delta - gaussian(*shape, TAPS)) * 3 for shape in shapes])
        )

    def forward(self, x: Tensor, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """The corrected picture x + h * x, and h."""
        basis = self.basis - self.basis.mean((1, 2), keepdim=True)
        h = torch.einsum("nk,kuv->nuv", mixture, basis)
        n, c, rows, columns = x.shape
        padded = nnf.pad(x, (TAPS // 2,) * 4, mode="reflect").reshape(1, n * c, rows + 14, -1)
        filtered = nnf.conv2d(padded, h[:, None].repeat_interleave(c, 0), groups=n * c)
        return x + filtered.view(n, c, rows, columns), h


class Mixed(nn.Module):
    """A convolution whose kernel is W0 + sum_k c_k W_k, c from the statistics of the picture."""

    def __init__(self, channels: int, hidden: int, size: int, terms: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, hidden, size, padding=size // 2)
        self.weight, self.bias, self.size = first.weight, first.bias, size
        self.terms = nn.Parameter(torch.zeros(terms, *first.weight.shape)) if terms else None

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Convolve (samples, channels, h, w)."""
        if self.terms is None or c is None:
            return nnf.conv2d(x, self.weight, self.bias, padding=self.size // 2)
        n, channels, rows, columns = x.shape
        kernel = self.weight + torch.einsum("nk,koiuv->noiuv", c, self.terms)
        y = nnf.conv2d(
            x.reshape(1, n * channels, rows, columns),
            kernel.reshape(-1, *kernel.shape[2:]),
            padding=self.size // 2,
            groups=n,
        )
        return y.view(n, -1, rows, columns) + self.bias[:, None, None]


class Block(nn.Module):
    """Attention over channels, frequency branch with a gate per head, two convolutions."""

    def __init__(self, channels: int, maps: int, heads: int, hidden: int, terms: int) -> None:
        super().__init__()
        self.heads = heads

        def matrix(rows: int, columns: int, scale: float = 1.0) -> nn.Parameter:
            bound = scale / math.sqrt(columns)
            return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))

        self.q, self.k, self.v = (matrix(channels, channels) for _ in range(3))
        self.o = matrix(channels, channels, 0.5)
        self.sharpness = nn.Parameter(torch.ones(heads))
        self.f1, self.f2 = matrix(2 * maps, 2 * maps), matrix(2 * maps, 2 * maps)
        self.u = matrix(channels, channels + maps, 0.5)
        self.u_bias = nn.Parameter(torch.zeros(channels))
        self.gate = nn.Conv2d(maps, heads, 3, padding=1)
        self.ffn1 = Mixed(channels, hidden, 3, terms)
        self.ffn2 = Mixed(hidden, channels, 3, terms)
        with torch.no_grad():
            self.ffn2.weight.mul_(0.5)

    def attention(self, x: Tensor) -> Tensor:
        """The matrix M (samples, channels, channels) that mixes the channels of x."""
        n, channels, rows, columns = x.shape
        flat = x.reshape(n, channels, rows * columns)
        gram = flat @ flat.transpose(1, 2) / (rows * columns)
        q, k, v = (w.view(self.heads, -1, channels) for w in (self.q, self.k, self.v))
        o = self.o.view(channels, self.heads, -1)
        scores = torch.einsum("hic,nce,hje->nhij", q, gram, k)
        qq = torch.einsum("hic,nce,hie->nhi", q, gram, q)
        kk = torch.einsum("hic,nce,hie->nhi", k, gram, k)
        scale = torch.rsqrt(qq + 1e-3)[..., None] * torch.rsqrt(kk + 1e-3)[:, :, None]
        soft = (scores * scale * self.sharpness[:, None, None]).softmax(-1)
        return torch.einsum("ohi,nhij,hjc->noc", o, soft, v)

    def forward(self, x: Tensor, spectrum: Tensor, c: tuple[Tensor, Tensor] | None) -> Tensor:
        """One step of the residual stream x (samples, channels, h, w)."""
        n, channels, rows, columns = x.shape
        mixed = (self.attention(x) @ x.reshape(n, channels, -1)).view_as(x)
        r = nnf.relu(torch.einsum("oi,niyx->noyx", self.f1, spectrum))
        z = torch.einsum("oi,niyx->noyx", self.f2, r) + spectrum
        re, im = z.chunk(2, 1)
        g = torch.fft.irfft2(torch.complex(re, im), s=(rows, columns), norm="ortho")
        gate = torch.sigmoid(self.gate(g)).repeat_interleave(channels // self.heads, 1)
        both = torch.cat([x, g], 1)
        gated = torch.einsum("oi,niyx->noyx", self.u, both) + self.u_bias[:, None, None]
        x = x + mixed + gated * gate
        first, second = c if c is not None else (None, None)
        return x + self.ffn2(nnf.relu(self.ffn1(x, first)), second)


class Network(nn.Module):
    """LCE: a picture twice as large, and the corrected picture that it was made from."""

    def __init__(self, kind: str, *, channels: int = 16, maps: int = 8, blocks: int = 4) -> None:
        super().__init__()
        self.kind, self.blocks_, self.terms = kind, blocks, 3
        self.conditioned = kind == "lce"
        hidden = {"lce": channels, "plain": 66, "plain-cost": 18}[kind]
        self.head = nn.Conv2d(6 if self.conditioned else 3, channels, 3, padding=1)
        self.maps = nn.Conv2d(3, maps, 3, padding=1, bias=False)
        if self.conditioned:
            self.corrector = Corrector()
            outputs = 12 + 2 * blocks * self.terms
            self.est1, self.est2 = nn.Linear(STATISTICS, 32), nn.Linear(32, outputs)
        terms = self.terms if self.conditioned else 0
        self.blocks = nn.ModuleList(
            [Block(channels, maps, 2, hidden, terms) for _ in range(blocks)]
        )
        self.tail = nn.Conv2d(channels, 12, 3, padding=1)
        nn.init.normal_(self.tail.weight, 0, 1e-3)
        nn.init.zeros_(self.tail.bias)

    def estimate(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mixture of filters (samples, 12) and of kernels (samples, blocks, 2, terms)."""
        out = self.est2(nnf.relu(self.est1(statistics(picture))))
        return out[:, :12], out[:, 12:].view(-1, self.blocks_, 2, self.terms)

    def forward(
        self, tile: Tensor, picture: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Enlarged tile, corrected tile, filter; the statistics are those of ``picture``."""
        corrected = h = c = None
        entry = tile - 0.5
        if self.conditioned:
            mixture, c = self.estimate(tile if picture is None else picture)
            corrected, h = self.corrector(tile, mixture)
            entry = torch.cat([entry, corrected - 0.5], 1)
        x = first = self.head(entry)
        f = torch.fft.rfft2(
            self.maps((tile if corrected is None else corrected) - 0.5), norm="ortho"
        )
        spectrum = torch.cat([f.real, f.imag], 1)
        for i, block in enumerate(self.blocks):
            x = block(x, spectrum, None if c is None else (c[:, i, 0], c[:, i, 1]))
        return enlarge(tile) + nnf.pixel_shuffle(self.tail(x + first), 2), corrected, h


# ------------------------------------------------------------------- pictures


def reduce_half(x: Tensor) -> Tensor:
    """Exact bicubic reduction by two, edges repeated."""
    kernel = DOWN[None, None].expand(x.shape[1], 1, 8)
    x = nnf.conv2d(
        nnf.pad(x, (0, 0, 3, 3), "replicate"), kernel[..., None], None, (2, 1), 0, 1, x.shape[1]
    )
    return nnf.conv2d(
        nnf.pad(x, (3, 3, 0, 0), "replicate"), kernel[:, :, None], None, (1, 2), 0, 1, x.shape[1]
    )


def enlarge(x: Tensor) -> Tensor:
    """Exact bicubic enlargement by two, edges repeated."""
    taps = torch.tensor([-3.0, 29, 111, -9]) / 128
    for axis in (2, 3):
        x = x.transpose(axis, 3)
        n, c, rows, columns = x.shape
        padded = nnf.pad(x, (2, 2, 0, 0), "replicate")
        even = sum(t * padded[..., i : i + columns] for i, t in enumerate(taps))
        odd = sum(t * padded[..., i + 1 : i + 1 + columns] for i, t in enumerate(taps.flip(0)))
        x = torch.stack([even, odd], -1).reshape(n, c, rows, 2 * columns).transpose(axis, 3)
    return x


def random_kernel(rng: np.random.Generator) -> Tensor | None:
    """A blur of the field's settings: none, mild or strong, round or not; deviations in pixels."""
    draw, angle = rng.random(), rng.uniform(0, math.pi)
    if draw < 0.1:
        return None
    if draw < 0.48:
        s = rng.uniform(0.2, 2.0)
        return gaussian(s, s, 0.0, 21)
    if draw < 0.8:
        return gaussian(rng.uniform(0.3, 2.2), rng.uniform(0.3, 2.2), angle, 21)
    if draw < 0.9:
        s = rng.uniform(2.0, 4.0)
        return gaussian(s, s, 0.0, 21)
    return gaussian(rng.uniform(0.6, 5.0), rng.uniform(0.6, 5.0), angle, 21)


def degrade(x: Tensor, kernel: Tensor | None, noise: float, generator: torch.Generator) -> Tensor:
    """Blur, halve, add noise (deviation in 0..1) and round to bytes, still in 0..1."""
    if kernel is not None:
        pad = kernel.shape[0] // 2
        padded = nnf.pad(x, (pad,) * 4, "reflect")
        x = nnf.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)
    x = reduce_half(x)
    if noise:
        x = x + noise * torch.randn(x.shape, generator=generator)
    return (x.clamp(0, 1) * 255).round() / 255


def load(folder: Path) -> list[Tensor]:
    """Every photograph of the list at two sizes, compression smoothed away by a box reduction."""
    found = sorted(p for p in folder.rglob("*") if p.name in WALLPAPERS)
    if not found:
        raise SystemExit(f"{folder}: none of the photographs is there")
    pictures = []
    for path in found:
        with Image.open(path) as opened:
            whole = opened.convert("RGB")
        for target in (1800, 1000):
            small = whole.reduce(max(2, round(max(whole.size) / target)))
            pictures.append(torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1))
    return pictures


def patches(pictures: list[Tensor], seed: int, count: int) -> Iterator[tuple[Tensor, ...]]:
    """Random triples of bytes: degraded patch, its undegraded reduction, the truth."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    share = np.array([p.shape[1] * p.shape[2] for p in pictures], float) ** 0.5
    side = 2 * PATCH + 32
    while count:
        whole = pictures[rng.choice(len(pictures), p=share / share.sum())]
        y, x = (int(rng.integers(n - side)) for n in whole.shape[1:])
        truth = whole[None, :, y : y + side, x : x + side].float() / 255
        if truth.std() < 0.03 and rng.random() < 0.9:
            continue  # sky teaches little
        noise = rng.uniform(0, 5) / 255 if rng.random() < 0.35 else 0.0
        low = degrade(truth, random_kernel(rng), noise, generator)
        clean = reduce_half(truth).clamp(0, 1)
        count -= 1
        yield (
            (low[0, :, 8:-8, 8:-8] * 255).round().byte(),
            (clean[0, :, 8:-8, 8:-8] * 255).half(),
            (truth[0, :, 16:-16, 16:-16] * 255).round().byte(),
        )


def refresh(pool: list[Tensor], pictures: list[Tensor], seed: int, turn: int) -> None:
    """Replace the patches of one turn; a run that goes on rebuilds the same pool."""
    start = turn * REFRESH % POOL
    made = list(patches(pictures, seed * 1_000_003 + turn, REFRESH))
    for slot, new in zip(pool, zip(*made, strict=True), strict=True):
        slot[start : start + REFRESH] = torch.stack(new)


# ------------------------------------------------------------------- training


def rate(step: int, steps: int) -> float:
    """Rise over 200 steps, stay, fall linearly over the last two fifths."""
    return min(1.0, (step + 1) / 200, max(0.0, (steps - step) / (0.4 * steps)) + 0.002)


def save(path: Path, state: dict[str, object]) -> None:
    """Replace a checkpoint, complete or not at all."""
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def train(network: Network, pictures: list[Tensor], run: Path, steps: int, seed: int) -> Network:
    """Train to ``steps``, from the run's checkpoint if there is one; the averaged network."""
    basis = [p for n, p in network.named_parameters() if n == "corrector.basis"]
    others = [p for n, p in network.named_parameters() if n != "corrector.basis"]
    groups = [{"params": others, "top": 2e-3}, {"params": basis, "top": 3e-4}]
    optimiser = torch.optim.Adam([g for g in groups if g["params"]], lr=1e-3, betas=(0.9, 0.99))
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998)
    )
    checkpoint, step, spent = run / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimiser.load_state_dict(kept["optimiser"])
        average.load_state_dict(kept["average"])
        step, spent = kept["step"], kept["spent"]
    shapes = [(3, PATCH, PATCH), (3, PATCH, PATCH), (3, 2 * PATCH, 2 * PATCH)]
    types = (torch.uint8, torch.float16, torch.uint8)
    pool = [torch.zeros((POOL, *s), dtype=t) for s, t in zip(shapes, types, strict=True)]
    began, turn = time.time(), step // CHECKPOINT
    for old in range(max(0, turn - POOL // REFRESH + 1), turn + 1):
        refresh(pool, pictures, seed, old)
    loss_shown = 0.0
    while step < steps:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        filled = min(POOL, (step // CHECKPOINT + 1) * REFRESH)
        picks = torch.randint(filled, (BATCH,), generator=generator)
        batch = [part[picks].float() / 255 for part in pool]
        flips = torch.rand(3, generator=generator) < 0.5
        for chosen, change in zip(
            flips.tolist(),
            (lambda t: t.flip(-1), lambda t: t.flip(-2), lambda t: t.transpose(-1, -2)),
            strict=True,
        ):
            batch = [change(t) for t in batch] if chosen else batch
        low, clean, truth = batch
        enlarged, corrected, _ = network(low)
        loss = (enlarged - truth)[..., 4:-4, 4:-4].abs().mean()
        loss_shown = 0.99 * loss_shown + 0.01 * loss.item() if loss_shown else loss.item()
        if corrected is not None:
            loss = loss + 0.3 * (corrected - clean)[..., 7:-7, 7:-7].abs().mean()
        for group in optimiser.param_groups:
            group["lr"] = group["top"] * rate(step, steps)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(network)
        step += 1
        if step % CHECKPOINT == 0 or step == steps:
            total = spent + time.time() - began
            save(
                checkpoint,
                {
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "average": average.state_dict(),
                    "step": step,
                    "spent": total,
                },
            )
            print(f"step {step} loss {loss_shown:.5f} after {total:.0f} s", flush=True)
            refresh(pool, pictures, seed, step // CHECKPOINT)
    kept = average.module
    return kept if isinstance(kept, Network) else network


def write(network: Network, out: Path) -> None:
    """The weights as arrays of half precision by name, in one .npz file."""
    state = network.state_dict()
    np.savez_compressed(out, **{n: v.numpy().astype(np.float16) for n, v in state.items()})


def main() -> None:
    """Run the training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=("lce", "plain", "plain-cost"), default="lce")
    parser.add_argument("--out", type=Path, help="write the weights here (.npz)")
    chosen = parser.parse_args()
    chosen.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(chosen.seed)
    network = Network(chosen.kind)
    print(sum(p.numel() for p in network.parameters()), "parameters", flush=True)
    trained = train(network, load(chosen.pictures), chosen.run, chosen.steps, chosen.seed)
    if chosen.out:
        write(trained, chosen.out)


if __name__ == "__main__":
    main()
