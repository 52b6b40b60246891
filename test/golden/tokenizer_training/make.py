"""Makes the golden vectors of tokenizer training with Hugging Face tokenizers 0.23.3 (pip install tokenizers==0.23.3).

python make.py TEXT_FOLDER, the folder with tinyshakespeare.txt, 西游记.txt and the other texts; writes beside itself.
"""
import hashlib, json, os, random, sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train(texts, pattern, bytes_first=True, **options):
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
    tokenizer.pre_tokenizer = (
        byte_level
        if pattern == "gpt2"
        else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level])
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytes_first else []
    trainer = trainers.BpeTrainer(show_progress=False, initial_alphabet=alphabet, **options)
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {"tokens": tokens, "merges": [" ".join(pair) for pair in model["merges"]]}


def tied(texts, limit):
    """Which of equally frequent bytes a limited alphabet keeps is chance in that trainer."""
    counts = {}
    for byte in "".join(texts).encode():
        counts[byte] = counts.get(byte, 0) + 1
    order = sorted(counts.values(), reverse=True)
    return limit < len(order) and order[limit - 1] == order[limit]


def small(number):
    """Small random corpora of few letters: many ties, runs and pairs of equal tokens."""
    random.seed(7)
    cases = []
    while len(cases) < number:
        letters = random.choice(["ab", "abc", "abcde", "ab1 ", "aé中 ", "ab's 12\n", "a😀\r\n "])
        texts = ["".join(random.choices(letters, k=random.randint(1, 60))) for _ in range(random.randint(1, 12))]
        bytes_first = random.random() < 0.3
        options = {
            "vocab_size": random.choice([20, 30, 60]) + (256 if bytes_first else 0),
            "min_frequency": random.choice([0, 0, 2, 3]),
            "special_tokens": random.choice([[], ["<s>"], ["ab", "<x>"], ["a", "bab"]]),
        }
        limit = random.choice([None, None, None, 2, 3])
        if limit and not bytes_first:
            if tied(texts, limit):
                continue
            options["limit_alphabet"] = limit
        pattern = random.choice(["gpt2", "llama3"])
        learned = train(texts, pattern, bytes_first, **options)
        if len(learned["tokens"]) > options["vocab_size"]:
            continue
        learned["tokens"] = learned["tokens"][256:] if bytes_first else learned["tokens"]
        cases.append({"texts": texts, "pattern": pattern, "bytes_first": bytes_first, "options": options, **learned})
    return cases


folder = sys.argv[1]
read = lambda name: open(os.path.join(folder, name + ".txt"), encoding="utf-8", newline="").read()
write = lambda name, value: open(os.path.join(here, name), "w", encoding="utf-8").write(value)

write("small.json", "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in small(250)) + "\n]\n")
special = ["<|endoftext|>"]
write("tinyshakespeare.gpt2.merges.txt", "\n".join(train([read("tinyshakespeare")], "gpt2", vocab_size=1257, special_tokens=special)["merges"]) + "\n")
write("西游记.llama3.merges.txt", "\n".join(train([read("西游记")], "llama3", vocab_size=1757, special_tokens=special)["merges"]) + "\n")
novels = [read(name) for name in ["红楼梦", "西游记", "三国演义", "水浒传", "war-and-peace"]]
hashes = {}
for pattern in ["gpt2", "llama3"]:
    learned = train(novels, pattern, vocab_size=8256)
    for part in ["tokens", "merges"]:
        hashes[f"{pattern}.{part}"] = hashlib.sha256("\n".join(learned[part]).encode()).hexdigest()
write("novels.sha256.json", json.dumps(hashes, indent=2) + "\n")
