"""The same measurement of llama.cpp through llama-cpp-python, compiled on this machine: prints a JSON line.

Arguments: model file, threads. The library's own C interface is called, so that Python's share is a call for each step.
    pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36
"""

import ctypes
import json
import resource
import sys
import time

import llama_cpp
import numpy as np

path, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
started = time.perf_counter()
llama_cpp.llama_backend_init()
silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
model_params = llama_cpp.llama_model_default_params()
model_params.n_gpu_layers = 0
model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
ready = time.perf_counter() - started


def prompt(n, seed):
    return [(i * 7919 + seed * 104729 + 13) % vocabulary for i in range(n)]


class Context:
    """`count` sequences of at most `length` tokens."""

    def __init__(self, count, length):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = count * length
        params.n_batch = params.n_ubatch = 512
        params.n_seq_max = count
        params.n_threads = params.n_threads_batch = threads
        self.pointer = llama_cpp.llama_init_from_model(model, params)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.pointer), True)

    def step(self, tokens, positions, sequences, wanted):
        """Computes the tokens; the greedy choice after each of the places `wanted`."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(zip(tokens, positions, sequences)):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, i in wanted
            batch.seq_id[i][0] = sequence
        if llama_cpp.llama_decode(self.pointer, batch) != 0:
            raise RuntimeError("llama_decode failed")
        logits = (llama_cpp.llama_get_logits_ith(self.pointer, i) for i in wanted)
        return [int(np.ctypeslib.as_array(row, (vocabulary,)).argmax()) for row in logits]

    def close(self):
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.pointer)


def best(runs, work):
    return min(work(i) for i in range(runs))


def decode(context, prompts, steps):
    """Seconds for `steps` greedy tokens of each prompt, from the first token on."""
    context.clear()
    latest = []
    for sequence, tokens in enumerate(prompts):
        length = len(tokens)
        latest += context.step(tokens, range(length), [sequence] * length, [length - 1])
    length, every = len(prompts[0]), list(range(len(prompts)))
    start = time.perf_counter()
    for step in range(steps):
        latest = context.step(latest, [length + step] * len(every), every, every)
    return time.perf_counter() - start


def prompt_512(i):
    one.clear()
    start = time.perf_counter()
    one.step(prompt(512, i), range(512), [0] * 512, [511])
    return time.perf_counter() - start


one = Context(1, 1024)
prompt_seconds = best(4, prompt_512)
decode_seconds = best(4, lambda i: decode(one, [prompt(8, 50 + i)], 128))
one.close()
eight = Context(8, 256)
eight_seconds = best(3, lambda i: decode(eight, [prompt(8, 100 + 8 * i + j) for j in range(8)], 64))
eight.close()
print(
    json.dumps(
        {
            "name": "llama-cpp-python",
            "backend": "compiled here",
            "threads": threads,
            "ready_ms": round(ready * 1000),
            "prompt_512": round(512 / prompt_seconds),
            "decode_128": round(128 / decode_seconds, 1),
            "eight_sequences": round(8 * 64 / eight_seconds, 1),
            "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        }
    )
)
