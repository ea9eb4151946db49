"""Importing is cheap, and nothing uses the network. Tested in child processes, because both are global."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_choosing_models_imports_no_heavy_library() -> None:
    loaded = _run(
        "import sys\n"
        "from ingest_assets.embedding import DenseSpec, dense_model, sparse_model\n"
        "dense_model(DenseSpec()), sparse_model().identity\n"
        "dense_model(DenseSpec(kind='endpoint', model='m', url='http://127.0.0.1:9'))\n"
        "heavy = {'fastembed', 'httpx', 'tenacity', 'onnxruntime', 'tokenizers', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert loaded.strip() == "[]"


def test_bundled_models_work_with_every_connection_refused() -> None:
    out = _run(
        "import socket\n"
        "def refuse(*a, **k):\n"
        "    raise SystemExit(f'reached for the network: {a}')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        "from ingest_assets.embedding import DenseSpec, dense_model, sparse_model\n"
        "print(dense_model(DenseSpec()).embed(['an invoice']).shape)\n"
        "print(len(next(sparse_model().embed_stream([['an invoice']])).indices))\n"
    )
    assert out.split("\n")[:2] == ["(1, 384)", "1"]
