"""Writes test/golden/tensor/values.json: what ops give, computed with NumPy (float64) and Python's math module from the formulas of the
papers, in whole arrays where the project's reference goes number by number. Run from the repository root: python3 test/oracles/make_tensor_values.py
"""
import json
import math
import pathlib
import struct

import numpy as np

rng = np.random.default_rng(20261124)
cases = []


def f32(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def case(op, inputs, output, **attrs):
    def tensor(x):
        if x is None:
            return None
        x = np.asarray(x)
        dtype = "i32" if np.issubdtype(x.dtype, np.integer) else "f32"
        return {"dtype": dtype, "shape": list(x.shape), "data": [numeral(v) for v in x.reshape(-1).tolist()]}

    cases.append({"op": op, "attrs": attrs, "inputs": [tensor(x) for x in inputs], "output": [numeral(v) for v in np.asarray(output).reshape(-1).tolist()]})


def numeral(v):
    """JSON has no infinities; floats keep 9 digits of float32 inputs and 15 of float64 results."""
    if isinstance(v, float) and not math.isfinite(v):
        return str(v)
    return v


def each(function, x):
    return [function(float(v)) for v in x]


points = np.array([-9, -5.5, -3, -1.25, -0.5, -1e-3, 0, 1e-3, 0.4, 0.75, 1, 1.9, 2.4, 2.6, 3.5, 5.9, 8], dtype=np.float32)
case("erf", [points], each(math.erf, points))
case("gelu", [points], each(lambda v: v * 0.5 * math.erfc(-v / math.sqrt(2)), points))
case("geluTanh", [points], each(lambda v: v / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))), points))
case("silu", [points], each(lambda v: v / (1 + math.exp(-v)), points))
case("sigmoid", [points], each(lambda v: 1 / (1 + math.exp(-v)), points))
case("tanh", [points], np.tanh(points.astype(np.float64)))
case("exp", [points], np.exp(points.astype(np.float64)))
case("log", [points[7:]], np.log(points[7:].astype(np.float64)))
case("rsqrt", [points[7:]], points[7:].astype(np.float64) ** -0.5)

halves = np.array([1.00048828125, 1.00146484375, 0.1, -0.3, 65504, 65519, 65520, -7e4, 1e-8, 2.98e-8, 2.99e-8, 5.97e-8, 6.1e-5, 2049, 2051, 3.14159265], dtype=np.float32)
with np.errstate(over="ignore"):
    case("cast", [halves], halves.astype(np.float16).astype(np.float64), dtype="f16")


def bfloat16(v):
    """The nearest number whose float32 pattern ends in sixteen zeros; ties to the even pattern."""
    pattern = struct.unpack("<I", struct.pack("<f", v))[0]
    low = struct.unpack("<f", struct.pack("<I", pattern & 0xFFFF0000))[0]
    high = struct.unpack("<f", struct.pack("<I", (pattern & 0xFFFF0000) + 0x10000))[0]
    if abs(v - low) != abs(high - v):
        return low if abs(v - low) < abs(high - v) else high
    return low if pattern & 0x10000 == 0 else high


bf = np.array([1.00390625, 1.01171875, 0.1, -0.3, 257, 259, 3.14159265, 1e-40, 1e38], dtype=np.float32)
case("cast", [bf], each(bfloat16, bf), dtype="bf16")

x, w, b = f32(3, 7), f32(7), f32(7)
d = x.astype(np.float64)
case("normalize", [x, w, b], (d - d.mean(1, keepdims=True)) / np.sqrt(d.var(1, keepdims=True) + 1e-5) * w + b, kind="layer", eps=1e-5, weightOffset=0)
case("normalize", [x, w], d / np.sqrt((d**2).mean(1, keepdims=True) + 1e-6) * (1 + w.astype(np.float64)), kind="rms", eps=1e-6, weightOffset=1)
softmax = lambda s: np.exp(s - s.max(-1, keepdims=True)) / np.exp(s - s.max(-1, keepdims=True)).sum(-1, keepdims=True)
case("softmax", [x], softmax(d))
case("logSoftmax", [x], np.log(softmax(d)))
targets = np.array([6, -100, 2], dtype=np.int32)
losses = [-np.log(softmax(d))[0, 6], 0, -np.log(softmax(d))[2, 2]]
case("crossEntropy", [x, targets], losses, ignoreIndex=-100)
g = f32(3)
onehot = np.eye(7)[[6, 0, 2]] * np.array([[1], [0], [1]])
case("crossEntropyGrad", [x, targets, g], g.astype(np.float64)[:, None] * (softmax(d) * np.array([[1], [0], [1]]) - onehot), ignoreIndex=-100)
case("sum", [f := f32(2, 3, 4)], f.astype(np.float64).sum((0, 1)), **{"from": 0, "to": 2})
case("topk", [x], np.argsort(-d, axis=1, kind="stable")[:, :3].astype(np.int32), k=3)

a, m, bias, r = f32(2, 3, 5), f32(4, 5), f32(4), f32(2, 3, 4)
case("matmul", [a, m, bias, r], a.astype(np.float64) @ m.astype(np.float64).T + bias + r, transposeA=False, transposeB=True)
a, m = f32(2, 5, 3), f32(2, 5, 4)
case("matmul", [a, m], np.einsum("bkm,bkn->bmn", a.astype(np.float64), m.astype(np.float64)), transposeA=True, transposeB=False)
x, w, idx = f32(3, 5), f32(4, 2, 5), np.array([[1, 3], [0, 1], [2, 2]], dtype=np.int32)
case("expertMatmul", [x, w, idx], np.einsum("nk,njok->njo", x.astype(np.float64), w.astype(np.float64)[idx]), transposeB=True)
x, idx = f32(4, 3), np.array([2, 0, 2, 5], dtype=np.int32)
scattered = np.zeros((6, 3))
np.add.at(scattered, idx, x.astype(np.float64))
case("scatterAdd", [x, idx], scattered, rows=6)

# rotary embedding as multiplication of complex numbers
positions, freqs = np.array([0, 3, 1000], dtype=np.int32), np.array([1, 0.1, 0.01], dtype=np.float32)
angle = (positions[:, None].astype(np.float32) * freqs[None]).astype(np.float64)
case("ropeTable", [positions, freqs], np.concatenate([np.cos(angle), np.sin(angle)], 1) * 1.5, scale=1.5)
table = np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
x = f32(3, 2, 8)
turn = (table[:, :3].astype(np.float64) + 1j * table[:, 3:])[:, None, :]
for interleaved in (False, True):
    for inverse in (False, True):
        y = x.astype(np.float64)
        first, second = (slice(0, 6, 2), slice(1, 6, 2)) if interleaved else (slice(0, 3), slice(3, 6))
        z = (y[..., first] + 1j * y[..., second]) * (turn.conj() if inverse else turn)
        y[..., first], y[..., second] = z.real, z.imag
        case("rope", [x, table], y, interleaved=interleaved, inverse=inverse)


def attend(q, k, v, sinks, scale, window, softcap):
    """q (B,T,H,D), k and v (B,S,G,D), by masks over the whole square of scores."""
    B, T, H, D = q.shape
    S, G = k.shape[1:3]
    k, v = (np.repeat(z, H // G, axis=2) for z in (k, v))
    scores = np.einsum("bthd,bshd->bhts", q, k) * scale
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    behind = (np.arange(T)[:, None] + S - T) - np.arange(S)[None]
    visible = (behind >= 0) & ((behind < window) if window else True)
    scores = np.where(visible, scores, -np.inf)
    extra = np.zeros((B, H, T, 0)) if sinks is None else np.broadcast_to(sinks[None, :, None, None], (B, H, T, 1))
    weights = softmax(np.concatenate([scores, extra], -1))[..., :S]
    return np.einsum("bhts,bshd->bthd", weights, v)


settings = [(0, 0.0, False), (2, 0.0, True), (3, 1.5, False)]
for window, softcap, with_sinks in settings:
    q, k, v = f32(2, 3, 4, 5), f32(2, 6, 2, 5), f32(2, 6, 2, 5)
    sinks = f32(4) if with_sinks else None
    wide = [z.astype(np.float64) for z in (q, k, v)]
    y = attend(*wide, None if sinks is None else sinks.astype(np.float64), 0.45, window, softcap)
    case("attention", [q, k, v] + ([sinks] if with_sinks else []), y, scale=0.45, window=window, softcap=softcap)
    # the same keys and values in pages of two: sequence b, position s lies in page order[b][s // 2]
    order = np.array([[4, 1, 6], [0, 5, 2]], dtype=np.int32)
    caches = [np.full((7, 2, 2, 5), 99, dtype=np.float32) for _ in range(2)]
    for cache, source in zip(caches, (k, v)):
        for batch in range(2):
            for s in range(6):
                cache[order[batch][s // 2], :, s % 2] = source[batch, s]
    rows, at = np.repeat([0, 1], 3).astype(np.int32), np.tile([3, 4, 5], 2).astype(np.int32)
    inputs = [q.reshape(6, 4, 5), *caches, order, rows, at] + ([sinks] if with_sinks else [])
    case("pagedAttention", inputs, y, scale=0.45, window=window, softcap=softcap)

path = pathlib.Path("test/golden/tensor/values.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
