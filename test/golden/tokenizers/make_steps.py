"""Records what Hugging Face `tokenizers` does with each kind of normalizer, pre-tokenizer and decoder.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3
    python make_steps.py > steps.json

For the first two the model knows only the unknown token, so that every piece comes out as one token that shows its
text and its offsets (code points). `texts[i]` belongs to `cases[...]["pieces"][i]`: [text, start, end, text, start, ...].
"""
import base64, io, json, tempfile
import sentencepiece as spm
from tokenizers import Regex, Tokenizer, decoders as D, models, normalizers as N, pre_tokenizers as P, processors as PP

TEXTS = [
    "", " ", "  ", "a", " a", "Hello, world!", "  two  spaces ", "I'm sure THEY'LL don't", "year 1984, 3.14 & 0x1F", "a1b22c333",
    "foo_bar(baz)[0] += {'k': 1};", "tab\tnew\nline\r\n\n end", "你好，世界！", "中文 and English", "Привет, мир", "ΑΣ σς Σ", "İstanbul ǅ ß ﬁ",
    "é e\u0301 A\u030a\u0323 \u212b", "\u0344x \u1112\u1161\u11ab \u3131\u314f", "ｶﾞ ﾊﾟ ＡＢＣ１２ ½ ² ①", "😀 👩‍🚀 🇨🇳 a😀b", "𝒜𝓑 𠀀", "a\u0000b\u0001c\u007f",
    "nb\u00a0sp\u3000wide\u2003em", "x\u0085y\ufeffz\u200bw", "soft\u00adhy \ufffd", "▁a▁ ▁▁b", "e\u200de \u0bc6\u0bbe \u09cb", "aaa bbb  e ee", "!!??--…—",
    "$5 €6 +7 ~8 `9", "'ſ 'S K\u212a", "\u0301lead", "٣٤ ௧", "Ⅳ ㎏ ﷺ", "\U000e0041tag", "e", "ee e", "end  ", "\n\n", "word‿word",
]
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4O = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
PATTERNS = [GPT4, GPT4O, r"\s+$", r"[A-Z]\w+|\d", r"(?<=a)b|\bthe\b", r"[^\S\n]+", r"\p{Han}|[[:alpha:]]+", r"(?:ab|a)c?", r"x*",
            r"(?=(\d{3})+(?!\d))", r"e{2,3}?|.", r"(?>\s+)\S?", r"^\s|\S$", r"[a-z&&[^e]]+", r"\h+|[[:punct:]]", r"(?i)they|[^\w\s]++"]


def character_map():
    """A small precompiled map: what sentencepiece's trainer makes of a handful of rules."""
    rules = "\n".join("\t".join((" ".join(f"{ord(c):X}" for c in a), " ".join(f"{ord(c):X}" for c in b))) for a, b in [
        ("é", "e"), ("ﬁ", "fi"), ("e\u0301", "é"), ("\t", " "), ("\n", " "), ("\u0001", ""), ("１", "1"), ("①", "1"), ("你好", "您好"), ("😀", ":)"), ("\u3000", " ")])
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as f:
        f.write(rules + "\n"); f.flush()
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d e"] * 9), model_writer=out, model_type="char", vocab_size=9, normalization_rule_tsv=f.name, minloglevel=2)
    def fields(b):
        i = 0
        def number():
            nonlocal i
            v = s = 0
            while True:
                c = b[i]; i += 1; v |= (c & 127) << s; s += 7
                if c < 128: return v
        while i < len(b):
            k = number()
            if k & 7 == 0: v = number()
            elif k & 7 == 2: n = number(); v = b[i:i + n]; i += n
            elif k & 7 == 5: v = b[i:i + 4]; i += 4
            else: v = b[i:i + 8]; i += 8
            yield k >> 3, v
    return next(v for f, x in fields(out.getvalue()) if f == 3 for g, v in fields(x) if g == 2)


normalizers = [
    N.NFC(), N.NFD(), N.NFKC(), N.NFKD(), N.Lowercase(), N.Strip(), N.Strip(left=True, right=False), N.Strip(left=False, right=True), N.StripAccents(),
    N.Sequence([N.NFD(), N.StripAccents()]), N.Nmt(), N.BertNormalizer(), N.BertNormalizer(lowercase=False), N.BertNormalizer(lowercase=False, strip_accents=True),
    N.BertNormalizer(clean_text=False, handle_chinese_chars=False), N.Replace("e", "EE"), N.Replace(Regex(r"\s+"), "_"), N.Replace(Regex("[aeiou]"), ""),
    N.Prepend("▁"), N.ByteLevel(), N.Sequence([N.Nmt(), N.NFKC(), N.Lowercase(), N.Replace(Regex(" {2,}"), " "), N.Strip()]), N.Precompiled(character_map()),
    N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]),
]
pre_tokenizers = [
    P.Whitespace(), P.WhitespaceSplit(), P.BertPreTokenizer(), P.Digits(), P.Digits(individual_digits=True), P.Metaspace(), P.Metaspace(prepend_scheme="first"),
    P.Metaspace(prepend_scheme="never", split=False), P.CharDelimiterSplit("e"), P.ByteLevel(), P.ByteLevel(add_prefix_space=False), P.ByteLevel(use_regex=False),
    P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(), P.Split(Regex("[0-9][0-9][0-9]"), "isolated")]),
    P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]),
]
for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
    pre_tokenizers.append(P.Punctuation(behavior))
    for invert in (False, True):
        pre_tokenizers.append(P.Split(Regex(r"\s+|[aeiou]|\p{N}"), behavior, invert=invert))
        pre_tokenizers.append(P.Split("e", behavior, invert=invert))
pre_tokenizers += [P.Split(Regex(p), b) for p in PATTERNS for b in ("isolated", "removed")]

cases = []
for normalizer, pre in [(n, None) for n in normalizers] + [(None, p) for p in pre_tokenizers] + [(normalizers[-3], P.Metaspace(prepend_scheme="first"))]:
    t = Tokenizer(models.Unigram([("<unk>", 0.0)], 0, False))
    if normalizer: t.normalizer = normalizer
    if pre: t.pre_tokenizer = pre
    j = json.loads(t.to_str())
    encodings = [t.encode(x) for x in TEXTS]
    cases.append({"normalizer": j["normalizer"], "pre_tokenizer": j["pre_tokenizer"], "pieces": [[v for x, o in zip(e.tokens, e.offsets) for v in (x, *o)] for e in encodings]})

TOKENS = ["<unk>", "▁Hello", "▁", "▁▁", "wor", "##ld", "ld</w>", "!", ".", "▁a▁b", "<0xE4>", "<0xBD>", "<0xA0>", "<0xFF>", "Ġthe", "Ċ", "ä½", "ł", "é", "ab", "aab", "aa", "do", "not", "n't", "'", "s", "", " ", "<pad>", "|", "你"]
TOKENS = [t for t in TOKENS if t]
LISTS = [[], [1, 4, 5, 7], [2, 1], [3, 3, 1, 2], [2, 2, 9], [10, 11, 12], [10, 11, 4], [10, 11, 12, 13], [13, 1, 10], [4, 10, 11, 12, 10, 11, 12, 2, 12], [14, 15, 16, 17], [16, 1], [14, 18, 14], [16, 16, 17],
         [19, 20, 21, 19], [21, 21, 21], [20, 19], [4, 6, 4, 6], [6, 6], [22, 23], [4, 24, 25, 26], [1, 8, 7, 25], [27, 4, 27], [28, 4, 4, 28, 4, 29, 29, 26], [30, 10, 11, 12, 30], [0, 1, 28, 2]]
LISTS = [[i for i in l if i < len(TOKENS)] for l in LISTS]
steps = [None, D.ByteLevel(), D.Metaspace(), D.Metaspace(prepend_scheme="never"), D.WordPiece(), D.WordPiece(cleanup=False), D.BPEDecoder(), D.CTC(), D.CTC(cleanup=False), D.Fuse(), D.ByteFallback(),
         D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]), D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()]),
         D.Sequence([D.Fuse(), D.Replace("aa", "X"), D.Strip("X", 1, 0)]), D.Sequence([D.Strip("a", 1, 0), D.Fuse()]), D.Sequence([D.Replace(Regex("[a-e]+"), "_"), D.Fuse()])]
decoding = []
for step in steps:
    t = Tokenizer(models.WordLevel({x: i for i, x in enumerate(TOKENS)}, "<unk>"))
    if step: t.decoder = step
    decoding.append({"decoder": json.loads(t.to_str())["decoder"], "texts": [t.decode(l, skip_special_tokens=False) for l in LISTS]})
print(json.dumps({"texts": TEXTS, "cases": cases, "tokens": TOKENS, "lists": LISTS, "decoding": decoding}, ensure_ascii=False, separators=(",", ":")).replace('{"normalizer"', '\n{"normalizer"').replace('{"decoder"', '\n{"decoder"'))
