"""Pass 1 by a model: an OpenAI-compatible chat endpoint that answers with a JSON schema.

What belongs here: asking, what an answer's envelope means, and what may be spent. What does not: the exchange
(`json_client`), the words that are sent (`prompt`), and what is believed of an answer (`endpoint_checks`).

vLLM, llama.cpp, Ollama and LM Studio all know `response_format: json_schema`. Some accept it and do not
enforce it; therefore the prompt says the form too, and an answer is read strictly, whoever made it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ingest_assets.json_client import JsonClient, NotJsonError, Peer, TooLongError
from ingest_assets.model import ConfigurationError, ItemError, UnavailableError
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.bundles import Bundle
from ingest_assets.sources.papers.extraction import bundle_paper, dictionaries, prompt, provenance
from ingest_assets.sources.papers.extraction.endpoint_checks import (
    Findings,
    IdsOf,
    Refused,
)
from ingest_assets.sources.papers.extraction.endpoint_schema import Answer, answer_schema, read_answer

NAME, CODE_VERSION = "endpoint", "2"  # the version is raised when the same answers give another bundle
MAX_BODY = 8 << 20  # bytes of one answer; 32,000 tokens are about 200 KB
_BYTES_PER_TOKEN = 3  # of English, at least; an estimate that is too high only waits for the next run
_WRAPPING = 1_000  # tokens of a request besides its texts: the schema
_INCOMPLETE = {
    "length": "was cut off: allow longer answers (PASS1_LLM_MAX_ANSWER_TOKENS), or send less of a "
    "paper at once (PASS1_LLM_MAX_INPUT_CHARS)",
    "content_filter": "was withheld by the server's filter",
}


class SpendingLimitError(UnavailableError):
    """As many tokens as a run may use are used, or would be by the next paper. The next run goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """Which model to ask, and how much it may be asked."""

    url: str = field(repr=False)  # base, with or without /v1; may hold a password
    model: str
    api_key: SecretStr | None = None
    temperature: float | None = 0.0  # None: the model's own, as some models demand
    max_tokens: int = 8_000  # of one answer
    max_input_chars: int = 24_000  # of a paper, in one request
    max_run_tokens: int = 5_000_000  # of all requests and answers of one extractor
    timeout_s: float = 300.0  # for one answer
    max_attempts: int = 4
    verify_tls: bool = True
    ca_file: Path | None = None


class TokenBudget:
    """The tokens of a run. Safe to share between threads and extractors."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0
        self._reserved = 0
        self._lock = threading.Lock()

    def reserve(self, tokens: int) -> None:
        """Set tokens aside for a paper, before anything is asked.

        Raises ItemError when it alone needs more than the limit, SpendingLimitError when too few are left.
        """
        setting = f"PASS1_LLM_MAX_RUN_TOKENS ({self.limit:,})"
        with self._lock:
            if tokens > self.limit:
                raise ItemError(
                    f"This paper may take {tokens:,} tokens, and a run may use fewer: raise {setting}."
                )
            if self.spent + self._reserved + tokens > self.limit:
                raise SpendingLimitError(
                    f"The next paper may take {tokens:,} tokens, and this run has used {self.spent:,} of "
                    f"{setting}: raise it, or wait for the next run, which goes on with this paper."
                )
            self._reserved += tokens

    def require(self, tokens: int) -> None:
        """Have room for one more request: answers may have cost more than was set aside for them.

        Raises SpendingLimitError.
        """
        with self._lock:
            if self.spent + tokens > self.limit:
                raise SpendingLimitError(
                    f"This run has used {self.spent:,} tokens of PASS1_LLM_MAX_RUN_TOKENS ({self.limit:,}), "
                    "answers that never came included: look at the endpoint, or raise the limit. The next "
                    "run goes on with this paper."
                )

    def release(self, tokens: int) -> None:
        """What `reserve` set aside is not needed any more."""
        with self._lock:
            self._reserved -= tokens

    def spend(self, tokens: int) -> None:
        """Tokens that were used, also for an answer that is refused."""
        with self._lock:
            self.spent += tokens


class EndpointExtractor:
    """`POST {url}/v1/chat/completions` for each part of a paper; implements `extraction.Extractor`.

    `refused` counts what the answers said and their papers do not bear out, over all papers. A paper is
    extracted as a whole: an answer that cannot be used leaves no bundle.
    """

    def __init__(
        self,
        spec: EndpointSpec,
        *,
        ids_of: IdsOf | None = None,
        budget: TokenBudget | None = None,
        backoff_s: float = 0.5,
    ) -> None:
        """`ids_of`: what says the ids of names, by default the dictionaries; no id of a model is believed.

        Raises ConfigurationError when the URL, the key, the model's name or a bound cannot be used.
        """
        if not spec.model.strip():
            raise ConfigurationError("The extraction endpoint needs a model: set its name.")
        if min(spec.max_tokens, spec.max_input_chars, spec.max_run_tokens) < 1:
            raise ConfigurationError(
                "The bounds on the extraction endpoint's tokens and texts must be positive."
            )
        self._spec = spec
        self._ids_of = ids_of
        self.budget = budget or TokenBudget(spec.max_run_tokens)
        self.refused = Refused()
        peer = Peer(
            what="extraction endpoint",
            url=spec.url,
            api_key=spec.api_key,
            verify_tls=spec.verify_tls,
            ca_file=spec.ca_file,
            timeout_s=spec.timeout_s,
            max_attempts=spec.max_attempts,
            max_body=MAX_BODY,
            if_too_long="no answer is that long",
        )
        self._client = JsonClient(peer, backoff_s=backoff_s)

    @property
    def identity(self) -> str:
        """All that an answer depends on. Not the address: a model may move to another server."""
        spec = self._spec
        return (
            f"{NAME}:{CODE_VERSION}:{spec.model}:prompt-{prompt.VERSION}-{prompt.checksum()[7:19]}"
            f":t{spec.temperature}:{spec.max_tokens}:{spec.max_input_chars}:{dictionaries.digest()[:12]}"
        )

    def extract(self, article: Article) -> Bundle:
        """The bundle of a paper, of what its text bears out.

        Raises ItemError when the model does not answer a part as it should, or refuses it; UnavailableError
        when the endpoint is down or overloaded, or the run's tokens are used up (SpendingLimitError);
        ConfigurationError when the address, key, model or server is wrong.
        """
        parts = prompt.parts(article, self._spec.max_input_chars)
        if not parts:
            raise ItemError(f"{article.paper_id} has no text to extract from.")
        texts = [prompt.user_prompt(article, part) for part in parts]
        findings = Findings(article, self._ids_of or dictionaries.load().ids_of)
        needed = sum(map(self._estimate, texts))
        self.budget.reserve(needed)
        try:
            for number, text in enumerate(texts, 1):
                findings.add(self._ask(text, f"part {number} of {len(texts)} of {article.paper_id}"))
        finally:
            self.budget.release(needed)
        self.refused.update(findings.refused)
        if findings.is_all_refused:
            raise ItemError(
                f"Nothing that the model said of {article.paper_id} is in its text: check the model."
            )
        entities, evidence, relationships = findings.bundle_parts()
        return Bundle(
            paper=bundle_paper(article),
            extraction_provenance=self._provenance(article),
            entities=entities,
            evidence_entities=evidence,
            relationships=relationships,
            notes=findings.refused.notes(),
        )

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        self._client.close()

    def _provenance(self, article: Article) -> dict[str, Any]:
        spec = self._spec
        return provenance(
            article,
            self,
            pipeline=(NAME, CODE_VERSION),
            models={"llm": {"name": spec.model, "version": ""}},
            prompt={
                "version": prompt.VERSION,
                "template": prompt.TEMPLATE,
                "checksum": prompt.checksum(),
            },
            model_info={
                "temperature": spec.temperature,
                "max_tokens": spec.max_tokens,
                "max_input_chars": spec.max_input_chars,
            },
        )

    def _ask(self, text: str, what: str) -> Answer:
        body = {
            "model": self._spec.model,
            "messages": [
                {"role": "system", "content": prompt.system_prompt()},
                {"role": "user", "content": text},
            ],
            "max_tokens": self._spec.max_tokens,
            "stream": False,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "paper_knowledge", "strict": True, "schema": answer_schema()},
            },
        }
        if self._spec.temperature is not None:
            body["temperature"] = self._spec.temperature
        needed = self._estimate(text)

        def unanswered() -> None:
            """What was sent may have been answered, and be charged for, although nothing came back."""
            self.budget.spend(needed)
            self.budget.require(needed)

        self.budget.require(needed)
        try:
            answer = self._client.request("POST", "/v1/chat/completions", body, unanswered)
        except TooLongError as error:
            self.budget.spend(needed)
            raise ItemError(f"Asked about {what}, {error}") from error
        except NotJsonError as error:
            self.budget.spend(needed)
            if not error.began:
                raise
            raise ItemError(f"Asked about {what}, the endpoint sent JSON that ends in the middle.") from error
        self.budget.spend(self._used(answer, text))
        try:
            return read_answer(_content(answer))
        except ItemError as error:
            raise ItemError(f"Asked about {what}: {error}") from error

    def _estimate(self, text: str) -> int:
        """As many tokens as a request and its answer can take."""
        return _tokens(prompt.system_prompt()) + _tokens(text) + _WRAPPING + self._spec.max_tokens

    def _used(self, answer: object, text: str) -> int:
        """What the server says was used; where it says nothing that can be, what was sent and received."""
        usage = answer.get("usage") if isinstance(answer, dict) else None
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        if isinstance(total, int) and not isinstance(total, bool) and total > 0:
            # No less than one token for twelve bytes: a server that counts nothing does not lift the bound.
            return max(total, len(text.encode()) // (4 * _BYTES_PER_TOKEN))
        return self._estimate(text)


def _content(answer: object) -> str:
    """The text of an answer that is whole. Raises ItemError otherwise; nothing of the answer is repeated."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ItemError("The endpoint does not answer like a chat endpoint: check its URL.")
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason in _INCOMPLETE:
        raise ItemError(f"The model's answer {_INCOMPLETE[reason]}.")
    if message.get("refusal"):
        raise ItemError("The model refused to answer.")
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        raise ItemError("The model's answer is empty: check that it can follow a JSON schema.")
    return content


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
