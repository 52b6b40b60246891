"""python tokenizer_training.py VOCAB_SIZE PATTERN FILE...: trains with Hugging Face tokenizers; prints seconds and merges as JSON."""
import json, sys, time

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
vocab_size, pattern = int(sys.argv[1]), sys.argv[2]
texts = [open(name, encoding="utf-8", newline="").read() for name in sys.argv[3:]]
tokenizer = Tokenizer(models.BPE())
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
tokenizer.pre_tokenizer = (
    byte_level
    if pattern == "gpt2"
    else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level])
)
trainer = trainers.BpeTrainer(
    vocab_size=vocab_size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
)
wall, cpu = time.time(), time.process_time()
tokenizer.train_from_iterator(texts, trainer)
wall, cpu = time.time() - wall, time.process_time() - cpu
print(json.dumps({"seconds": cpu, "wall": wall, "merges": json.loads(tokenizer.to_str())["model"]["merges"]}))
