"""The peer of lora_step.mjs: one LoRA step of peft over transformers. Prints one JSON object."""
import argparse
import json
import resource
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--batch", type=int, default=4)
parser.add_argument("--block", type=int, default=256)
parser.add_argument("--rank", type=int, default=16)
parser.add_argument("--targets", default="all-linear")
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--dtype", default="bfloat16")
parser.add_argument("--checkpointing", action="store_true")
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype))
config = LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules=args.targets, task_type="CAUSAL_LM")
model = get_peft_model(model, config)
if args.checkpointing:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
ids = torch.randint(0, model.config.vocab_size, (args.batch, args.block + 1))
seconds, losses = [], []
for step in range(args.steps + 1):
    start = time.perf_counter()
    # Tokens and the ones that follow, as the other side has them.
    logits = model(input_ids=ids[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    losses.append(loss.item())
    if step > 0:
        seconds.append(time.perf_counter() - start)
print(
    json.dumps(
        {
            "seconds_per_step": sorted(seconds)[len(seconds) // 2],
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "losses": losses,
        }
    )
)
