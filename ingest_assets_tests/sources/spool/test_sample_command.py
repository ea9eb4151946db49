"""`ingest sample spool` writes batches to try, and says which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ingest_assets.interfaces.cli import main


def _said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["sample", "spool", *arguments])
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out + printed.err


def test_into_a_folder_or_into_that_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out = _said(capsys, str(tmp_path / "given"), "--records", "3", "--json")
    assert status == 0
    written = json.loads(out)
    assert {Path(each["path"]) for each in written} == set((tmp_path / "given" / "incoming").iterdir())
    monkeypatch.setenv("SPOOL_DIR", str(tmp_path / "set"))
    status, out = _said(capsys)
    assert (status, len(list((tmp_path / "set" / "incoming").iterdir()))) == (0, 5)
    assert "personal: it waits until its gate is opened" in out


def test_without_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out = _said(capsys)
    assert status == 2
    assert "SPOOL_DIR is not set" in out


def test_a_folder_that_others_can_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    status, out = _said(capsys, str(tmp_path / "open"))
    assert status == 2
    assert "chmod go-w" in out.replace("\n", " ")
    assert not any((tmp_path / "open").iterdir())
