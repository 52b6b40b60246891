"""One training step of a GPT-2 in PyTorch: forward, backward, clipped gradients, AdamW. Prints one line of JSON: tokens a second and peak memory.

    python bench/torch_train.py --n_layer 4 --n_head 4 --n_embd 128 --block_size 64 --batch_size 12 --vocab_size 65 [--dtype bfloat16] [--compile]
"""

import argparse
import json
import math
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).split(width, dim=2)
        q, k, v = (t.view(batch, steps, self.heads, -1).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, steps, width))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def main():
    parser = argparse.ArgumentParser()
    for name, value in dict(n_layer=4, n_head=4, n_embd=128, block_size=64, batch_size=12, vocab_size=65).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--optimizer", default="fused", choices=["fused", "foreach"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="how long to measure")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    model = GPT(a.n_layer, a.n_head, a.n_embd, a.block_size, a.vocab_size)
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), **{a.optimizer: True})
    run = torch.compile(model) if a.compile else model
    shape = (a.batch_size, a.block_size)

    def step():
        ids, targets = torch.randint(a.vocab_size, shape), torch.randint(a.vocab_size, shape)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.dtype == "bfloat16"):
            loss = run(ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    first = step()
    for _ in range(2):
        step()
    times = []
    end = time.perf_counter() + a.seconds
    work = time.process_time()
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        last = step()
        times.append(time.perf_counter() - start)
    work = (time.process_time() - work) / len(times)
    times.sort()
    tokens = a.batch_size * a.block_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({
        "name": "torch " + torch.__version__.split("+")[0], "dtype": a.dtype, "compile": a.compile,
        "tokens_per_second": round(tokens / times[len(times) // 2], 1), "best": round(tokens / times[0], 1),
        "processor_ms": round(1000 * work, 1), "peak_mb": round(peak), "loss": [round(first, 4), round(last, 4)],
    }))


main()
