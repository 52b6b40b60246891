"""Loads each folder named on the command line with Hugging Face transformers and compares logits with those in its expected.json
({"ids": [...], "logits": [[...]]}). Prints one JSON object: per folder the largest difference, and keys that were missing or unexpected.
Run by test/checkpoints_python.test.ts where transformers and PyTorch are there.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

answer = {}
for folder in map(pathlib.Path, sys.argv[1:]):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    expected = json.loads((folder / "expected.json").read_text())
    with torch.no_grad():
        logits = model.eval()(torch.tensor([expected["ids"]])).logits[0]
    wanted = torch.tensor(expected["logits"])
    answer[folder.name] = {
        "difference": (logits - wanted).abs().max().item(),
        "largest": wanted.abs().max().item(),
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
    }
print(json.dumps(answer))
