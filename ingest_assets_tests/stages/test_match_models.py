"""Models of matching in the ledger: what they were trained on, and what another version changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.entities import comparisons, default_model, training
from ingest_assets.entities.decisions import Decisions
from ingest_assets.entities.model import MatchModel, method
from ingest_assets.ledger import tables
from ingest_assets.model import Identity, IdentityKind
from ingest_assets.queries.directory import view
from ingest_assets.reconcile import reconcile
from ingest_assets.stages.match_models import MatchModels, models_in_use
from ingest_assets.stages.origins import Origin, record_origin
from ingest_assets.stages.resolution.checks import RESOLUTION_CHECKS
from ingest_assets.stages.shapes import CheckResult
from ingest_assets_tests.stages.test_entities import entities, events, resolve
from ingest_assets_tests.support.small_parts import ToyBench, document

_RUN = {check.name: check.run for check in RESOLUTION_CHECKS}


def _fits(bench: ToyBench) -> CheckResult:
    return _RUN["models_fit"](bench, "crm")


def _reads(bench: ToyBench, system: str, *, kept: bool = True) -> None:
    with bench.ledger.transaction() as connection:
        record_origin(connection, "crm", Origin(system, kept=kept))


@pytest.mark.parametrize("trained_on", ["the old CRM", ""])
def test_a_model_of_another_system_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained_on: str
) -> None:
    monkeypatch.setattr(training, "MIN_RECORDS", 3)
    with ToyBench(tmp_path) as bench:
        bench.toy.put(
            *(
                document(
                    f"people/{n}",
                    "About.",
                    identity=Identity("person", f"Ann Lee{n}", emails=(f"a{n}@x{n}.example",)),
                )
                for n in range(4)
            )
        )
        if trained_on:
            _reads(bench, trained_on)
        resolve(bench)
        with bench.ledger.reading() as connection:
            model = models_in_use(connection, "crm")["person"]
        assert (model.origin, model.trained_on, model.system) == ("trained", 4, trained_on)
        assert _fits(bench).passed
        _reads(bench, "the new CRM")
        found = _fits(bench)
        assert not found.passed
        assert "`ingest entity train`" in found.sentence
        assert (
            f"trained on {trained_on or 'sample data'}, and the records are from the new CRM"
            in found.sentence
        )
        # Nothing but a request trains again; then it fits.
        bench.do("match_models")
        assert not _fits(bench).passed
        stage = bench.stage("crm", "match_models")
        assert isinstance(stage, MatchModels)
        reconcile(replace(stage, retrain=True), bench.ledger)
        assert _fits(bench).passed


def test_an_upgrade_splits_whom_the_new_comparisons_tell_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now: dict[IdentityKind, MatchModel] = {
        "person": default_model("person"),
        "organisation": default_model("organisation"),
    }
    people = [
        ("Jon Marsh", "jon.marsh"),
        ("Joan Marsh", "joan.marsh"),
        ("Ira Vance", "ira.vance"),
        ("Ira Vance", "ira"),
    ]
    with ToyBench(tmp_path) as bench:
        bench.toy.put(
            *(
                document(
                    f"people/{n}",
                    "About.",
                    title=name,
                    identity=Identity(
                        "person",
                        name,
                        emails=(f"{box}@firm{n // 2}.example",),
                        phones=(f"+44 20 7946 000{n // 2}",),
                    ),
                )
                for n, (name, box) in enumerate(people)
            )
        )
        with monkeypatch.context() as before:
            before.setattr(comparisons, "VERSION", "before")
            # A model to which everything that is compared speaks for a match.
            lenient = {
                kind: replace(
                    model,
                    compared_by=method(),
                    levels={
                        name: tuple((0.9, 0.01) for _ in levels) for name, levels in model.levels.items()
                    },
                )
                for kind, model in now.items()
            }
            before.setattr(training, "default_model", lenient.__getitem__)
            resolve(bench)
        first = entities(bench)
        assert first["people/0"] == first["people/1"]
        assert first["people/2"] == first["people/3"]
        resolve(bench)
        after = entities(bench)
        # The oldest record keeps the id, the other one gets a new one; what still holds is untouched.
        new = after["people/1"]
        assert after == first | {"people/1": new}
        assert new not in first.values()
        assert events(bench)[-1] == ("split", new, first["people/0"], None)
        [split] = [e for e in view(bench.ledger, "crm", "people/1", Decisions()).history if e.kind == "split"]
        assert f"by version {method()} of the comparisons" in split.reason["because"]
        with bench.ledger.reading() as connection:
            newest = connection.scalar(sa.select(sa.func.max(tables.match_model.c.number)))
        assert newest == 2
