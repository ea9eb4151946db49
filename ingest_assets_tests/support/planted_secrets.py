"""A secret for every setting and place, and a home in which all that was put out is searched for them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ingest_assets_tests.support.built_index import Home, ingest
from ingest_assets_tests.support.spellings import spelt_in

SECRETS = {
    "qdrant_key": 'qk+Zw/9&Y<"7\\e=',
    "qdrant_user": "qdrant-user-51f0",
    "qdrant_password": 'qp/\xd6 w"rd&1%',
    "qdrant_query": "qq-5e6f7a8b9c",
    "ledger_user": "ledger-user-77a1",
    "ledger_password": "lp/'x y:z@%25",
    "ledger_query": "lq-1a2b3c4d5e",
    "crm_user": "crm-user-3b7d",
    "crm_password": "cp/'y z:@%26",
    "endpoint_key": 'sk-<Ab>/&"+9=',
    "endpoint_user": "spark-user-90c2",
    "endpoint_password": "sp w\xf6rd/&+'\\",
    "token": "tokenA1b2C3d4E5f6G7h8._~/=",
    "second_token": "secondA1b2C3d4E5f6G7h8",
    "ui_token": "uiTokenQ1w2E3r4T5y6U7i8",
    "repository_token": "rt-9f8e7d6c5b4a+/=",
    "proxy_password": "pp-0d1e2f/&x",
    "ncbi_key": "ncbi-7c8d9e0f&/=",
    "model_key": 'mk-<Xy>/&"+7=',
    "libpq_password": "pgpw-4d5e6f&7",
    "gate_user": "gate-user-31d4",
    "gate_password": "gp w/&+5\\",
    "gate_token": "gt-1f2e3d4c+/=<&",
    "alert_path": "T0AbC1dEf2/B3gHi4",
    "alert_token": "at-5a6b7c8d9e",
    "mail_password": "mp-2b3c4d5e6f",
    # No setting, and kept to itself all the same.
    "locked_text": "The caller is Zephyrine Quillfeather",
    "redis_password": 'rp-<Zz>&"/ 1%\\',
}
S = SECRETS


class Searched:
    """Everything that was put out."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.outputs: dict[str, str] = {}

    def add(self, what: str, text: str) -> None:
        assert what not in self.outputs, what
        self.outputs[what] = text

    def run(self, *arguments: str, **settings: Any) -> str:
        said = ingest(self.home.with_settings(**settings), *arguments)
        self.add(f"{' '.join(arguments)} {len(self.outputs)}", said.everything)
        return said.everything

    def places(self) -> Iterator[tuple[str, str]]:
        yield from self.outputs.items()
        for file in sorted(self.home.path.rglob("*")):
            if file.is_file():
                raw = re.sub(rb"\0{16,}", b"\0", file.read_bytes())  # the engine's files are mostly empty
                yield str(file), raw.decode("utf-8", "replace")
                if raw.startswith(b"SQLite format 3"):
                    yield f"{file}, by table", "\n".join(cells_of(file))

    def require_no_secrets(self) -> None:
        found = [
            f"{name}, {way}: {place}"
            for place, text in self.places()
            for name, secret in SECRETS.items()
            for way in spelt_in(secret, text)
        ]
        assert found == []


def cells_of(file: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'select * from "{table}"'):
                yield from (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                            for value in row)  # fmt: skip


@pytest.fixture
def searched(empty: Home) -> Searched:
    planted = {
        "ingest_api_tokens": f"ann:{S['token']}:read+ingest+write,bob:{S['second_token']}:read",
        "ingest_ui_tokens": f"eve:{S['ui_token']}",
        "ingest_repository_tokens": f"git.example.com={S['repository_token']}",
        "ingest_embed_max_attempts": 1,
        "ingest_http_port": 0,
        "https_proxy": f"http://proxy:{quote(S['proxy_password'], safe='')}@127.0.0.1:9",
        "no_proxy": "127.0.0.1",
        "pgpassword": S["libpq_password"],
    }
    return Searched(empty.with_settings(**planted))
