"""Entity resolution: precision, recall and F1 on labelled records, beside plain Splink; and its speed.

python -m benchmarks entities
python -m benchmarks entities --only febrl3 --default
python -m benchmarks entities --only colleagues --only families --only organisations-wild --seed 2
python -m benchmarks entities --csv FILE --label COLUMN --map given_name=first_name --map place=city
python -m benchmarks entities --people 50000
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.entity_baseline import documented
from benchmarks.entity_hard import colleagues, families
from benchmarks.entity_people import many, timed
from benchmarks.entity_sets import FIELDS, LAYOUTS, HardSet, LabelledSet, load, load_file
from benchmarks.entity_wild import organisations_wild
from ingest_assets.entities import Features, default_model, features_of, score, train
from ingest_assets.entities.clusters import cluster

MEASURES = ("links", "pairs", "clusters")
HARD = {"colleagues": colleagues, "families": families, "organisations-wild": organisations_wild}


def main(arguments: Sequence[str]) -> None:
    """Run it, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks entities",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*LAYOUTS, *HARD],
        help="a set in shared, all by default; or hard pairs",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the hard pairs (1)")
    parser.add_argument("--csv", type=Path, help="another labelled file")
    parser.add_argument("--label", help="its column that names the true entity")
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN", help=f"{', '.join(FIELDS)}"
    )
    parser.add_argument(
        "--kind", choices=("person", "organisation"), default="person", help="what its rows are"
    )
    parser.add_argument("--default", action="store_true", help="also with the model that ships")
    parser.add_argument("--people", type=int, help="only the time for this many people")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.people:
        print(json.dumps(many(options.people), indent=2))
        return
    results = [row for data in _sets(options) for row in measured(data, with_default=options.default)]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    titles = [title for measure in MEASURES for title in (f"{measure} P", "R", "F1")]
    print(
        ("{:15} {:10}" + "{:>11}{:>7}{:>7}" * 3 + "{:>9}{:>9}").format(
            "set", "method", *titles, "train s", "match s"
        )
    )
    for row in results:
        figures = [figure for measure in MEASURES for figure in row[measure]]
        line = "{:15} {:10}" + "{:>11.3f}{:>7.3f}{:>7.3f}" * 3 + "{:>9.1f}{:>9.1f}"
        print(line.format(row["set"], row["method"], *figures, row["train_s"], row["match_s"]))
    for row in results:
        _print_hard(row)


def _print_hard(row: Mapping[str, Any]) -> None:
    for what, share in row.get("hard", {}).items():
        print(f"\n{row['set']}, {row['method']}: {what} {share['all']:.1%}")
        print("\n".join(f"    {kind:40} {part:7.1%}" for kind, part in share.items() if kind != "all"))


def _sets(options: argparse.Namespace) -> Iterable[LabelledSet]:
    if options.csv:
        columns: dict[str, tuple[str, ...]] = defaultdict(tuple)
        for pair in options.map:
            field, _, column = pair.partition("=")
            if field not in FIELDS or not column:
                raise SystemExit(f"--map takes FIELD=COLUMN, FIELD one of {', '.join(FIELDS)}; not {pair!r}.")
            columns[field] += (column,)
        if not options.label or not columns:
            raise SystemExit("--csv needs --label, and a --map for each column that counts.")
        return [load_file(options.csv, options.kind, options.label, columns)]
    return (HARD[name](options.seed) if name in HARD else load(name) for name in options.only or LAYOUTS)


def measured(data: LabelledSet, *, with_default: bool) -> list[dict[str, Any]]:
    """Ours, with a model trained on these records; with the one that ships; and plain Splink."""
    records = [features_of(key, identity) for key, identity in data.identities.items()]
    model, train_s = timed(lambda: train(data.kind, records))
    rows = [_ours(data, records, "trained", model, train_s)]
    if with_default or isinstance(data, HardSet):
        rows.append(_ours(data, records, "as shipped", default_model(data.kind), 0.0))
    baseline, seconds = timed(lambda: documented(data))
    if baseline is not None:
        # Splink's own way: connected components of the pairs above its threshold.
        linked = cluster(data.truth, [(a, b, 0.0) for a, b, _ in baseline], join_at=-1e9).clusters
        figures = figures_of(data.truth, [(a, b) for a, b, _ in baseline], linked)
        rows.append({"set": data.name, "method": "Splink", **figures, "train_s": seconds, "match_s": 0.0})
    return rows


def _ours(
    data: LabelledSet, records: Sequence[Features], method: str, model: Any, train_s: float
) -> dict[str, Any]:
    scored, score_s = timed(lambda: score(model, records))
    found, cluster_s = timed(lambda: cluster(data.truth, scored.pairs, join_at=model.join_at).clusters)
    pairs = [(a, b) for a, b, weight in scored.pairs if weight >= model.join_at]
    return {
        "set": data.name,
        "method": method,
        **figures_of(data.truth, pairs, found),
        **({"hard": hard_shares(data, found)} if isinstance(data, HardSet) else {}),
        "train_s": train_s,
        "match_s": score_s + cluster_s,
        "candidates": dict(scored.candidates),
        "cut": dict(scored.cut),
    }


def hard_shares(data: HardSet, clusters: Iterable[Sequence[str]]) -> dict[str, dict[str, float]]:
    """The share of hard pairs that are in one cluster, by kind."""
    cluster_of = {member: number for number, found in enumerate(clusters) for member in found}
    shares = {}
    for what, kinds in (("strangers joined", data.negatives), ("people or firms found", data.positives)):
        joined = {kind: [cluster_of[a] == cluster_of[b] for a, b in pairs] for kind, pairs in kinds.items()}
        every = [one for each in joined.values() for one in each]
        shares[what] = {kind: sum(each) / len(each) for kind, each in {"all": every, **joined}.items()}
    return shares


def figures_of(
    truth: Mapping[str, str], pairs: Iterable[tuple[str, str]], clusters: Iterable[Sequence[str]]
) -> dict[str, Any]:
    """Precision, recall and F1 of the pairs that are linked, all pairs within a cluster, and whole clusters.

    A cluster is right when it holds all records of one entity and no other; records alone do not count.
    """
    clusters = list(clusters)
    wanted = _pairs_in(Counter(truth.values()).values())
    linked = Counter(truth[a] == truth[b] for a, b in pairs)
    both = Counter((number, truth[member]) for number, found in enumerate(clusters) for member in found)
    sizes: Counter[int] = Counter()
    for (number, _), members in both.items():
        sizes[number] += members
    return {
        "links": _prf(linked[True], linked.total(), wanted),
        "pairs": _prf(_pairs_in(both.values()), _pairs_in(sizes.values()), wanted),
        "clusters": _whole(truth, clusters),
    }


def _whole(truth: Mapping[str, str], clusters: Iterable[Sequence[str]]) -> tuple[float, float, float]:
    true: dict[str, set[str]] = defaultdict(set)
    for record, entity in truth.items():
        true[entity].add(record)
    wanted = {frozenset(records) for records in true.values() if len(records) > 1}
    found = {frozenset(records) for records in clusters if len(records) > 1}
    return _prf(len(wanted & found), len(found), len(wanted))


def _pairs_in(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _prf(right: int, found: int, wanted: int) -> tuple[float, float, float]:
    precision, recall = right / found if found else 1.0, right / wanted if wanted else 1.0
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0
