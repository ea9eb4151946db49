"""Which files of a folder are one paper, whatever their names and order."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.papers.grouping import Copy, Found, grouped

IDS = st.tuples(
    st.sampled_from(["", "PMC1", "PMC2"]),
    st.sampled_from(["", "10.1/a", "10.1/b"]),
    st.sampled_from(["", "7"]),
)


def found(number: int, ids: tuple[str, str, str], rank: int = 0) -> Found:
    pmcid, doi, pmid = ids
    paper_id = pmcid or (
        f"doi-{doi.replace('/', '-')}" if doi else f"pmid-{pmid}" if pmid else f"file-{number}"
    )
    return Found(Copy(rank, ids.count(""), Path(f"{number}"), 0, paper_id, ""), pmcid, doi, pmid)


def test_the_best_format_is_read_and_the_best_id_is_its_name() -> None:
    files = [
        found(1, ("PMC1", "", ""), 2),
        found(2, ("", "10.1/a", "7"), 1),
        found(3, ("PMC1", "10.1/a", ""), 3),
        found(4, ("", "", "7"), 0),
        found(5, ("PMC2", "10.1/b", ""), 0),
    ]
    assert [(each.paper_id, [str(one.path) for one in each.copies]) for each in grouped(files)] == [
        ("PMC1", ["4", "2", "1", "3"]),
        ("PMC2", ["5"]),
    ]


@given(st.lists(st.tuples(IDS, st.integers(0, 3)), max_size=8), st.randoms())
def test_each_file_is_in_one_group_and_their_order_does_not_matter(
    files: list[tuple[tuple[str, str, str], int]], random: Random
) -> None:
    every = [found(number, ids, rank) for number, (ids, rank) in enumerate(files)]
    groups = grouped(every)
    assert sorted(each for group in groups for each in group.copies) == sorted(each.copy for each in every)
    assert len({group.paper_id for group in groups}) == len(groups)
    ids = {each.copy: each.pmcid for each in every}
    assert all(len({ids[each] for each in group.copies} - {""}) <= 1 for group in groups)
    shuffled = list(every)
    random.shuffle(shuffled)
    assert grouped(shuffled) == groups
