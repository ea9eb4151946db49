"""An OpenAI-compatible embedding endpoint as a dense model.

What belongs here: dividing texts into requests and checking every answer before its vectors are used. How a
request is made is in `ingest_assets/json_client.py`, and how many at once in `at_once`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np

from ingest_assets import json_client
from ingest_assets.embedding.at_once import Concurrency
from ingest_assets.embedding.spec import DenseSpec
from ingest_assets.embedding.texts import PREPROCESSING, clean_all, unit_rows
from ingest_assets.model import ConfigurationError, Float32Array, ItemError
from ingest_assets.stopping import part_done
from ingest_assets.timings import timed

_MATRIX_NDIM = 2


class EndpointModel:
    """`POST {url}/v1/embeddings`, in requests bounded by texts and characters, several at once.

    `embed` raises, for its whole batch: ItemError when the server refuses a request with 400, 413 or 422, or
    answers with too few, zero or non-finite vectors: the caller bisects and finds the text; UnavailableError
    when it does not answer after all attempts (429, 5xx, timeouts, broken connections); ConfigurationError
    when the address, key, certificate, dimension or kind of server is wrong.
    """

    def __init__(self, spec: DenseSpec, *, backoff_s: float = 0.5) -> None:
        """Raises ConfigurationError when the URL or the model's name is missing or cannot be used."""
        if not spec.model:
            raise ConfigurationError("An embedding endpoint needs a model: set the dense model's name.")
        self._model = spec.model
        self._spec = spec
        peer = json_client.Peer(
            what="embedding endpoint",
            url=spec.url or "",
            api_key=spec.api_key,
            verify_tls=spec.verify_tls,
            ca_file=spec.ca_file,
            timeout_s=spec.timeout_s,
            max_attempts=spec.max_attempts,
            max_body=json_client.MAX_BODY,
            if_too_long="send fewer texts at once",
        )
        self._at_once = Concurrency(spec.concurrency)
        self._client = json_client.JsonClient(peer, backoff_s=backoff_s, refused=self._at_once.refused)

    @property
    def identity(self) -> str:
        """Model and dimension. Not the address: moving the server must not embed everything again."""
        return f"endpoint:{self._model}:{self.dimension}:{PREPROCESSING}"

    @cached_property
    def dimension(self) -> int:
        """The dimension set, or else the endpoint's, which takes one request. Raises the same as `embed`."""
        return self._spec.dimension or self._request(["dimension"], None).shape[1]

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """(len(texts), dimension), unit length, in order. Raises what the class documents."""
        dimension = self.dimension
        requests = list(batches(clean_all(texts), self._spec.batch_count, self._spec.batch_chars))
        begins = [0, *accumulate(map(len, requests))]
        parts = self._at_once.each(
            lambda batch: self._request(batch, dimension),
            requests,
            lambda place: part_done(begins[place], begins[place + 1]),
        )
        return np.concatenate([np.empty((0, dimension), dtype=np.float32), *parts])

    def embed_query(self, text: str) -> Float32Array:
        """(dimension,), unit length. Raises what the class documents."""
        vector: Float32Array = self.embed([text])[0]
        return vector

    def list_endpoints(self) -> list[dict[str, object]]:
        """What `GET {url}/api/endpoints` lists, one dict per endpoint; a bare name becomes {"name": name}.

        Not every server has such a list. Raises ConfigurationError if this one does not.
        """
        answer = self._client.request("GET", "/api/endpoints")
        if isinstance(answer, dict):
            answer = answer.get("endpoints", answer.get("data"))
        if not isinstance(answer, list):
            raise ConfigurationError(f"{self._client.base}/api/endpoints does not answer with a list.")
        return [item if isinstance(item, dict) else {"name": item} for item in answer]

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        self._client.close()

    def _request(self, texts: list[str], dimension: int | None) -> Float32Array:
        with timed("embed", texts=len(texts)):
            answer = self._client.request("POST", "/v1/embeddings", {"model": self._model, "input": texts})
        return unit_rows(self._vectors(answer, len(texts), dimension))

    def _vectors(self, answer: object, count: int, dimension: int | None) -> Float32Array:
        url = f"{self._client.base}/v1/embeddings"
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(map(_is_vector, data)):
            raise ConfigurationError(
                f"{url} does not answer like an embedding endpoint: is it the right URL?"
            )
        if len(data) != count:
            raise ItemError(f"{url} answered with {len(data)} vectors for {count} texts.")
        places = [item.get("index", place) for place, item in enumerate(data)]
        if not all(isinstance(place, int) for place in places) or sorted(places) != list(range(count)):
            raise ItemError(f"{url} answered with vectors that do not belong to the texts one to one.")
        rows = [data[i]["embedding"] for i in np.argsort(places)]
        wanted = dimension or len(rows[0])
        wrong = next((len(row) for row in rows if len(row) != wanted), None)
        if wrong is not None or wanted == 0:
            raise ConfigurationError(
                f"{url} gives {wrong or 0} dimensions where {wanted} are expected: "
                "set the right dimension or the right model."
            )
        try:
            vectors = np.array(rows, dtype=np.float64)  # null becomes NaN
        except (TypeError, ValueError, OverflowError) as error:
            raise ItemError(f"{url} answered with a vector of something other than numbers.") from error
        # The limit keeps out what overflows float32; no real model comes near it.
        if vectors.ndim != _MATRIX_NDIM or not (np.abs(vectors) < np.finfo(np.float32).max).all():
            raise ItemError(f"{url} answered with a vector that holds NaN, infinity or null.")
        if not vectors.astype(np.float32).any(axis=1).all():
            raise ItemError(f"{url} answered with a vector of zeros, which has no direction.")
        return vectors.astype(np.float32)


def _is_vector(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("embedding"), list)


def batches(texts: Sequence[str], count: int, chars: int) -> Iterator[list[str]]:
    """The texts in order, in lists of at most `count` texts and `chars` characters.

    A text longer than that gets a list of its own.
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) >= count or size + len(text) > chars):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
