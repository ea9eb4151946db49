"""The extractor that the settings select.

What belongs here: the choice. What does not: the extractors (`extraction`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.settings import PaperSettings

if TYPE_CHECKING:
    from ingest_assets.sources.papers.extraction import Extractor


def extractor_of(settings: PaperSettings) -> Extractor | None:
    """None if only bundles that others make are wanted. Raises ConfigurationError for incomplete settings."""
    if settings.pass1_llm_backend == "none":
        return None
    if settings.pass1_llm_backend == "rules":
        from ingest_assets.sources.papers.extraction.rules import RulesExtractor

        return RulesExtractor()
    if settings.pass1_llm_url is None or not settings.pass1_llm_model:
        raise ConfigurationError(
            "PASS1_LLM_BACKEND=openai needs PASS1_LLM_URL and PASS1_LLM_MODEL: set both, or use rules."
        )
    from ingest_assets.sources.papers.extraction.endpoint import EndpointExtractor, EndpointSpec

    return EndpointExtractor(
        EndpointSpec(
            url=settings.pass1_llm_url,
            model=settings.pass1_llm_model,
            api_key=settings.pass1_llm_api_key,
            ca_file=settings.pass1_llm_ca_file,
            timeout_s=settings.pass1_llm_timeout_s,
            temperature=settings.pass1_llm_temperature,
            max_tokens=settings.pass1_llm_max_answer_tokens,
            max_input_chars=settings.pass1_llm_max_input_chars,
            max_run_tokens=settings.pass1_llm_max_run_tokens,
        )
    )
