"""What `ingest doctor` finds wrong with the listener, the logs, and who is alerted."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import spool_event
from ingest_assets.sources.spool.doctor import findings
from ingest_assets.workbench import Workbench
from ingest_assets_tests.sources.spool.gate_listener import (
    TOKEN,
    Answer,
    GateListener,
    NewBench,
    announce,
    gate_bench,
    listener,
    new_bench,
    unused_port,
)
from ingest_assets_tests.support.proxies import Relay

__all__ = ["listener", "new_bench"]  # fixtures


def found(bench: Workbench, name: str) -> list[tuple[str, str]]:
    return [(each.state, each.message) for each in findings(bench) if each.name == f"spool: {name}"]


def test_nothing_is_said_without_a_spool(new_bench: NewBench) -> None:
    assert list(findings(new_bench())) == []


def test_nobody_is_told(new_bench: NewBench, tmp_path: Path) -> None:
    bench = new_bench(spool_dir=tmp_path)
    ((state, said),) = found(bench, "gate")
    assert (state, "GATE_URL" in said) == ("not configured", True)
    ((state, said),) = found(bench, "alerts")
    assert (state, "ALERT_URLS" in said) == ("not configured", True)
    assert [state for state, _ in found(bench, "logs")] == ["ok", "ok"]
    assert found(bench, "connections") == []
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (401, "ok", "refuses a wrong token"),
        (403, "ok", "refuses a wrong token"),
        (200, "wrong", "anybody can tell it of batches"),
        (204, "wrong", "anybody can tell it of batches"),
        (302, "wrong", "redirects are not followed"),
        (404, "wrong", "check GATE_URL"),
        (500, "wrong", "check GATE_URL"),
    ],
)
def test_a_wrong_token_must_be_refused(
    new_bench: NewBench, listener: GateListener, tmp_path: Path, status: int, state: str, said: str
) -> None:
    listener.usual = lambda _heard: Answer(status, {"Location": listener.url})
    ((found_state, message),) = found(new_bench(spool_dir=tmp_path, gate_url=listener.url), "gate")
    assert (found_state, said in message) == (state, True), message
    (heard,) = listener.heard
    assert heard.body["event"] == "gate.probe"
    assert set(heard.body) == {"event", "ts"}
    assert TOKEN not in str(heard.headers)


def test_a_listener_that_is_down_or_wants_a_token(
    new_bench: NewBench, listener: GateListener, tmp_path: Path
) -> None:
    down = new_bench(spool_dir=tmp_path, gate_url=f"http://127.0.0.1:{unused_port()}")
    mend = "Start it, or correct GATE_URL, or GATE_CA_FILE for its certificate."
    assert found(down, "gate") == [("wrong", f"The listener at GATE_URL could not be reached. {mend}")]
    listener.usual = lambda _heard: Answer(401)
    without = new_bench(spool_dir=tmp_path, gate_url=listener.url, gate_token=None)
    assert found(without, "gate") == [("wrong", "The listener at GATE_URL wants a token: set GATE_TOKEN.")]
    unsendable = new_bench(spool_dir=tmp_path, gate_url=listener.url, gate_token="a b c d e f g")
    ((state, said),) = found(unsendable, "gate")
    assert (state, "not allowed in a header" in said) == ("wrong", True)
    assert "a b c" not in said


def test_templates_are_checked(new_bench: NewBench, tmp_path: Path) -> None:
    assert found(new_bench(spool_dir=tmp_path), "templates")[0][0] == "ok"
    (tmp_path / "gate.open.json.j2").write_text("{% for a in [] %}{% endfor %}")
    ((state, said),) = found(new_bench(spool_dir=tmp_path, gate_templates=tmp_path), "templates")
    assert (state, "For is not allowed" in said) == ("wrong", True)


def test_the_outbox(new_bench: NewBench, tmp_path: Path) -> None:
    bench = new_bench(spool_dir=tmp_path, gate_url="http://127.0.0.1:9/")
    announce(bench, "b")
    said = "Events that wait for the listener: 1; put aside: 0."
    assert found(bench, "outbox") == [("ok", said)]
    with bench.ledger.transaction() as connection:
        connection.execute(spool_event.update().values(error="It answered 500."))
    assert found(bench, "outbox") == [("wrong", f"{said} It answered 500.")]
    with bench.ledger.transaction() as connection:
        connection.execute(spool_event.update().values(state="dead"))
    ((state, message),) = found(bench, "outbox")
    assert (state, "It answered 500. `ingest spool deliver --again`" in message) == ("wrong", True)


def test_logs_that_cannot_be_written_or_are_not_private(new_bench: NewBench, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "rag.log"
    log.parent.mkdir(mode=0o755)
    log.write_text("")
    log.chmod(0o644)
    bench = new_bench(spool_dir=tmp_path)

    def said() -> str:
        return found(bench, "logs")[0][1]

    assert said() == f"RAG_LOG_FILE: Others may read {log}: run chmod 600 on it."
    log.chmod(0o600)
    assert "can be written to" in said()
    log.parent.chmod(0o777)
    assert said() == f"RAG_LOG_FILE: Everybody may write to {log.parent}: run chmod o-w on it."
    log.parent.chmod(0o755)
    log.unlink()
    log.symlink_to("/dev/null")
    assert said() == f"RAG_LOG_FILE: {log} is no file: remove it."


def test_who_is_alerted(new_bench: NewBench, tmp_path: Path) -> None:
    chat = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
    good = new_bench(spool_dir=tmp_path, alert_urls=chat, alert_webhook_url="https://hooks.example.com/1")
    assert found(good, "alerts") == [("ok", "2 recipients are alerted of failures.")]
    unknown = new_bench(spool_dir=tmp_path, alert_urls=f"{chat}, nonsense://secret-12345")
    ((state, said),) = found(unknown, "alerts")
    assert (state, "number 2" in said) == ("wrong", True)
    assert "secret-12345" not in said
    wrong = new_bench(spool_dir=tmp_path, alert_webhook_url="hooks.example.com/secret-12345")
    ((state, said),) = found(wrong, "alerts")
    assert (state, "no URL" in said, "secret" in said) == ("wrong", True, False)


def test_plaintext_to_the_internet(
    new_bench: NewBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"gate.example.com": "93.184.215.14", "mail.example.com": "93.184.215.15", "inside": "10.0.0.9"}

    def look_up(host: str, port: int, **_: Any) -> Iterable[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known.get(host, host), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def names(**given: Any) -> list[str]:
        bench = new_bench(spool_dir=tmp_path, **given)
        return [said.split(" leads")[0] for _, said in found(bench, "connections")]

    assert names(alert_webhook_url="http://gate.example.com/x") == ["ALERT_WEBHOOK_URL"]
    assert names(alert_webhook_url="https://gate.example.com/x") == []
    assert names(alert_webhook_url="http://inside/x", alert_urls="json://127.0.0.1/x") == []
    assert names(qdrant_url="http://gate.example.com:6333") == ["QDRANT_URL"]
    assert names(embed_base_url="http://gate.example.com/v1") == ["EMBED_BASE_URL"]
    assert names(spark_control_url="http://inside", qdrant_url="https://gate.example.com") == []
    mail = (
        "mailto://user:word@mail.example.com, mailtos://user:word@mail.example.com, json://gate.example.com"
    )
    assert names(alert_urls=mail) == ["ALERT_URLS, number 1", "ALERT_URLS, number 3"]
    assert names(alert_urls="slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general") == []


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_a_ledger_on_the_internet_without_encryption(
    ledger_url: str, new_bench: NewBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_bench().ledger.reading() as connection:
        about = connection.connection.driver_connection.info  # type: ignore[union-attr]
    relay = Relay(socket.create_server(("127.0.0.1", 0)), lambda: _connected(about.host, about.port))
    url = sa.make_url(ledger_url).difference_update_query(["host", "port"])
    over_tcp = url.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
    bench = gate_bench(tmp_path, over_tcp, spool_dir=tmp_path)
    try:
        assert not found(bench, "connections")  # of this host
        public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", relay.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: public)
        ((state, said),) = found(bench, "connections")
        assert state == "wrong"
        assert said.endswith("_URL leads to the internet without encryption: add sslmode=verify-full to it.")
        assert not found(new_bench(spool_dir=tmp_path), "connections")  # a socket of Unix
    finally:
        bench.close()
        relay.close()


def _connected(folder: str, port: int) -> socket.socket:
    to = socket.socket(socket.AF_UNIX)
    to.connect(f"{folder}/.s.PGSQL.{port}")
    return to


def test_a_spool_that_cannot_be_created(new_bench: NewBench, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "spool", Path("/proc/nope"), Path("/proc/nope/spool")):
        ((state, said),) = found(new_bench(spool_dir=place), "folders")
        assert (state, "Set SPOOL_DIR" in said) == ("wrong", True)
    before = sorted(tmp_path.iterdir())
    ((state, said),) = found(new_bench(spool_dir=tmp_path / "a" / "b"), "folders")
    assert (state, "the first refresh creates it" in said) == ("ok", True)
    assert sorted(tmp_path.iterdir()) == before
