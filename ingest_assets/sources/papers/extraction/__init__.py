"""Pass 1: an article becomes a bundle. What all extractors have in common.

What belongs here: the interface, the digest of what extraction depends on, and the form of the provenance.
What does not: an extractor (`rules` needs nothing but its dictionaries, `endpoint` asks a model).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.bundles import Bundle, BundlePaper

# What an extractor reads of an article. Authors and references may be corrected without another extraction.
_READ = ("paper_id", "title", "abbreviations", "sections")


class Extractor(Protocol):
    """Makes the bundle of a paper: the same one for the same article, as far as the extractor can promise."""

    @property
    def identity(self) -> str:
        """Name, version and everything that an answer depends on: a prompt, a model, dictionaries."""
        ...

    def extract(self, article: Article) -> Bundle:
        """The bundle of this article. Ids in it are derived from its content, never drawn.

        Raises:
            ItemError: this paper cannot be extracted as it is; it is parked.
            UnavailableError: what the extractor asks did not answer; the same call may work later.
            ConfigurationError: a setting of the extractor is wrong. After these two it is not asked again in
                this run.
        """
        ...

    def close(self) -> None:
        """Let go of what it has open. It may be used again."""
        ...


def content_digest(article: Article) -> str:
    """A digest of everything of an article that extraction depends on: 64 hexadecimal digits."""
    read = Article(**{name: getattr(article, name) for name in _READ})
    # A dict of abbreviations has the order of the list in the paper, which says nothing.
    ordered = read.model_copy(update={"abbreviations": dict(sorted(read.abbreviations.items()))})
    return hashlib.sha256(ordered.model_dump_json().encode()).hexdigest()


def bundle_paper(article: Article) -> BundlePaper:
    """What a bundle says about its paper."""
    return BundlePaper(
        doi=article.doi or None,
        pmcid=article.pmcid or None,
        title=article.title,
        authors=tuple(author.name for author in article.authors),
        journal=article.journal or None,
        year=article.year,
        study_type=article.study_type or None,
    )


def provenance(
    article: Article,
    extractor: Extractor,
    *,
    pipeline: tuple[str, str],
    models: Mapping[str, Any] | None = None,
    prompt: Mapping[str, Any] | None = None,
    model_info: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Who made a bundle, and from what. It holds neither a clock nor a host, so that it can be compared.

    Args:
        article: what the bundle is made from.
        extractor: who makes it.
        pipeline: the extractor's name and version.
        models: of a model's answers, {"llm": {"name": ..., "version": ...}}.
        prompt: version, template and checksum of what a model was asked.
        model_info: what else is known of the model.
    """
    name, version = pipeline
    return {
        "extraction_pipeline": {"name": name, "version": version},
        "models": dict(models or {}),
        "prompt": dict(prompt or {}),
        "execution": {},
        "entity_resolution": None,
        "model_info": dict(model_info) if model_info else None,
        "extractor": extractor.identity,
        "content_digest": content_digest(article),
    }
