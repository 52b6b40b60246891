"""The log-probabilities of given ids by PyTorch and transformers, in float32: what `inkstone eval` is compared with.

    python bench/eval_reference.py MODEL requests.jsonl reference.jsonl [--threads 1] [--batch 16]

MODEL is a GGUF file (its blocks are dequantised) or a Hugging Face directory. A line of requests.jsonl has `context` and `continuation`, lists
of ids; the same line of reference.jsonl gets `logprob`, the sum over the continuation, and `is_greedy`. Lines that are there already are not
computed again, so an interrupted run goes on. The tokenizer is not used: transformers leaves out how some GGUF files split digits.
"""
import argparse
import json
import os
import time

import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument('model')
parser.add_argument('requests')
parser.add_argument('reference')
parser.add_argument('--threads', type=int, default=1)
parser.add_argument('--batch', type=int, default=16)
options = parser.parse_args()
torch.set_num_threads(options.threads)

folder, name = os.path.split(os.path.abspath(options.model))
source = {'gguf_file': name} if name.endswith('.gguf') else {}
model = AutoModelForCausalLM.from_pretrained(folder if source else options.model, dtype=torch.float32, **source).eval()

with open(options.requests, encoding='utf-8') as file:
    requests = [json.loads(line) for line in file]
done = 0
if os.path.exists(options.reference):
    with open(options.reference, encoding='utf-8') as file:
        done = sum(1 for _ in file)
start = time.time()
with open(options.reference, 'a', encoding='utf-8') as out, torch.inference_mode():
    for at in range(done, len(requests), options.batch):
        batch = requests[at : at + options.batch]
        ids = [one['context'] + one['continuation'] for one in batch]
        width = max(map(len, ids)) - 1
        # Padding stands at the right, where a causal model never looks.
        inputs = torch.tensor([each[:-1] + [0] * (width - len(each) + 1) for each in ids])
        mask = torch.tensor([[1] * (len(each) - 1) + [0] * (width - len(each) + 1) for each in ids])
        hidden = model.model(input_ids=inputs, attention_mask=mask).last_hidden_state if hasattr(model, 'model') else None
        for row, one in enumerate(batch):
            first = len(one['context']) - 1
            rows = slice(first, first + len(one['continuation']))
            if hidden is None:
                logits = model(input_ids=inputs[row : row + 1]).logits[0, rows]
            else:
                logits = model.lm_head(hidden[row, rows])
            logprobs = torch.log_softmax(logits.float(), dim=-1)
            target = torch.tensor(one['continuation'])
            total = logprobs.gather(-1, target[:, None]).double().sum().item()
            greedy = bool((logprobs.argmax(-1) == target).all())
            out.write(json.dumps({'logprob': total, 'is_greedy': greedy}) + '\n')
        out.flush()
        if (at // options.batch) % 20 == 0:
            print(f'{at + len(batch)} of {len(requests)}, {time.time() - start:.0f} s', flush=True)
