"""Float32 products in PyTorch: prints GFLOP/s for the sizes of bench/gemm.mjs. Arguments: threads."""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
for n in (1024, 2048):
    a, b = torch.rand(n, n), torch.rand(n, n)
    torch.mm(a, b)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    print(f"torch {torch.__version__} {n} {2 * n**3 / best / 1e9:.1f}")
