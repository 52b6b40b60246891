"""Classifiers of ours in transformers and peft: python heads_transformers.py JOB. Prints, for each folder, the greatest difference of probabilities."""
import json
import os
import sys

import torch
import transformers as T
from peft import PeftModel
from tokenizers import Tokenizer

job = json.load(open(sys.argv[1]))
found = []
for case in job["wanted"]:
    folder, base = case["folder"], case["base"]
    head = json.load(open(os.path.join(folder, "head.json")))
    tokens = head["tokens"]
    if base is None:
        model, info = T.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"], info
    else:
        model = T.AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(head["labels"]))
        model = PeftModel.from_pretrained(model, folder)
        model.config.pad_token_id = tokens["delimiter"]
    model.eval()
    tokenizer = Tokenizer.from_file(os.path.join(base or folder, "tokenizer.json"))
    size = head["block_size"]
    rows = []
    for text in job["texts"]:
        ids = [tokens["start"]] + tokenizer.encode(text, add_special_tokens=False).ids + [tokens["extract"]]
        rows.append(ids if len(ids) <= size else ids[:1] + ids[len(ids) - size + 1 :])
    longest = max(map(len, rows))
    pad = model.config.pad_token_id
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        ours = torch.tensor(case["probabilities"])
        theirs = model(input_ids=ids, attention_mask=mask).logits.softmax(-1)
    label = model.config.id2label[int(theirs[0].argmax())] if base is None else None
    found.append({"name": os.path.basename(folder), "difference": float((ours - theirs).abs().max()), "label": label})
print(json.dumps(found))
