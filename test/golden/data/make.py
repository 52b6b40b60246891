"""Makes the files of this folder: the same twelve documents in every format that Inkstone reads.

python -m venv v && v/bin/pip install pyarrow==26.0.1 zstandard==0.25.0 && v/bin/python make.py
"""
import csv, gzip, hashlib, io, json, os
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

os.chdir(os.path.dirname(os.path.abspath(__file__)))
texts = [
    "春江潮水连海平,\n海上明月共潮生。",
    'She said "no", twice; then left.',
    "  leading and trailing  ",
    "tab\there, comma, here",
    "naïve café — ﬁn ½",
    "👩‍👩‍👧‍👦 and \U0010ffff",
    "line one\r\nline two",
    "",
    "it's {\"json\": [1, 2]} \\ backslash",
    "the same again " * 40,
    "x",
    "滟滟随波千万里\n\n何处春江无月明",
]
rows = [{"id": i, "text": t, "tags": ["a", "b"][: i % 3]} for i, t in enumerate(texts)]
jsonl = "".join(json.dumps(r, ensure_ascii=i % 2 == 0) + ("\r\n" if i == 3 else "\n") for i, r in enumerate(rows)) + "\n"
open("docs.jsonl", "w", encoding="utf-8", newline="").write(jsonl)


def table(dialect, bom=False):
    out = io.StringIO()
    writer = csv.DictWriter(out, ["id", "text"], dialect=dialect, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return (("\ufeff" if bom else "") + out.getvalue()).encode("utf-8")


open("docs.csv", "wb").write(table("excel", bom=True))
open("docs.tsv", "wb").write(table("excel-tab"))

data = jsonl.encode("utf-8")
half = len(data) // 2
open("docs.jsonl.gz", "wb").write(gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0))
skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
whole = zstandard.ZstdCompressor(level=19, write_checksum=True)
parts = zstandard.ZstdCompressor(level=1, write_content_size=False)
open("docs.jsonl.zst", "wb").write(whole.compress(data[:half]) + skippable + parts.compress(data[half:]))

# Text of several blocks, larger than what is read at once.
long = "".join(f"{i} {t}\n" for i in range(12000) for t in ["the ink stone 砚 dries slowly", str(i * 7919 % 10007)])
open("long.txt.zst", "wb").write(zstandard.ZstdCompressor(level=3, write_checksum=True).compress(long.encode("utf-8")))
expected = {"texts": texts, "long": {"bytes": len(long.encode()), "sha256": hashlib.sha256(long.encode()).hexdigest()}}
json.dump(expected, open("expected.json", "w", encoding="utf-8"), ensure_ascii=False, indent=1)

table_ = pa.table(
    {
        "id": pa.array(range(len(texts)), pa.int64()),
        "text": pa.array(texts, pa.string()),
        "note": pa.array([None if i % 4 == 0 else t for i, t in enumerate(texts)], pa.large_string()),
        "tags": pa.array([r["tags"] for r in rows], pa.list_(pa.string())),
    }
)
for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    pq.write_table(table_, f"docs.{codec}.parquet", compression=codec, row_group_size=5)
pq.write_table(table_, "docs.v2.parquet", compression="zstd", data_page_version="2.0", use_dictionary=False,
               column_encoding={"text": "DELTA_BYTE_ARRAY", "note": "DELTA_LENGTH_BYTE_ARRAY", "id": "DELTA_BINARY_PACKED"}
               | {"tags.list.element": "PLAIN"}, row_group_size=4, data_page_size=64)
