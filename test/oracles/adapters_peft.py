"""Adapters between Inkstone and peft: python adapters_peft.py FOLDER

FOLDER/cases.json lists {name, base, config, ids}. For each case
- FOLDER/<name>/ours is an adapter that Inkstone wrote: its logits under peft go to FOLDER/<name>/ours.json;
- FOLDER/<name>/theirs becomes an adapter of the same configuration with random numbers, its logits go to FOLDER/<name>/theirs.json, those of
  the merged model to FOLDER/<name>/merged.json.
Needs torch, transformers and peft.
"""

import json
import os
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")


def base_model(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def save_logits(path, model, ids):
    logits = model(input_ids=torch.tensor(ids)).logits
    with open(path, "w") as out:
        json.dump(logits.reshape(-1).tolist(), out)


def main(folder):
    with open(os.path.join(folder, "cases.json")) as source:
        cases = json.load(source)
    for number, case in enumerate(cases):
        at = os.path.join(folder, case["name"])
        ours = PeftModel.from_pretrained(base_model(case["base"]), os.path.join(at, "ours")).eval()
        save_logits(os.path.join(at, "ours.json"), ours, case["ids"])

        torch.manual_seed(number)
        config = LoraConfig(**case["config"], task_type="CAUSAL_LM", init_lora_weights=False)
        theirs = get_peft_model(base_model(case["base"]), config).eval()
        with torch.no_grad():
            for name, parameter in theirs.named_parameters():
                if "lora_magnitude_vector" in name:
                    parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
                elif "lora_" in name:
                    parameter.mul_(0.3)
        save_logits(os.path.join(at, "theirs.json"), theirs, case["ids"])
        theirs.save_pretrained(os.path.join(at, "theirs"), safe_serialization=number % 2 == 0)
        if not case.get("tied"):
            save_logits(os.path.join(at, "merged.json"), theirs.merge_and_unload(), case["ids"])


main(sys.argv[1])
