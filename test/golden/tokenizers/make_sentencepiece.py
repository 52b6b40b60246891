"""Records what sentencepiece itself does with small models of its two kinds, as GGUF metadata and ids.

    pip install sentencepiece==0.2.3
    python make_sentencepiece.py > sentencepiece.json

`models[m]["cases"][i]` is about texts[i] of texts.json: the ids, and the text that they decode to.
"""
import io, json, os
import sentencepiece as spm

here = os.path.dirname(os.path.abspath(__file__))
texts = json.load(open(f"{here}/texts.json", encoding="utf-8"))
models = []
for kind in ("bpe", "unigram"):
    for options in ({}, {"add_dummy_prefix": False}):
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 3), model_writer=out, model_type=kind, vocab_size=1300, character_coverage=0.98, byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1, minloglevel=2, **options)
        sp = spm.SentencePieceProcessor(model_proto=out.getvalue())
        size = range(sp.get_piece_size())
        kinds = [6 if sp.is_byte(i) else 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 5 if sp.is_unused(i) else 1 for i in size]
        models.append({
            "model": "llama" if kind == "bpe" else "t5", "add_space_prefix": options.get("add_dummy_prefix", True), "tokens": [sp.id_to_piece(i) for i in size],
            "scores": [sp.get_score(i) for i in size], "token_type": kinds, "cases": [[ids, sp.decode(ids)] for ids in map(sp.encode, texts)]})
print(json.dumps({"models": models}, ensure_ascii=False, separators=(",", ":")).replace('{"model"', '\n{"model"'))
