"""A Qdrant server or cluster, through qdrant-client.

A generation is a collection named `<name>__<number>`; the name itself is an alias, switched in one step.
Marks are metadata of collections (Qdrant 1.16): a generation carries its own, and that of the name is carried
by an empty collection `<name>-owner`, because of several who create a collection, only one succeeds.
The client's in-process mode (`location=":memory:"`) stands in for a server in tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ingest_assets.collection.base import DENSE, SPARSE, Leg, Payload, Points, ScoredPoint, payload_indexes
from ingest_assets.collection.marks import NAME, Mark, mark_from
from ingest_assets.fields import Condition, Conditions, FilterField
from ingest_assets.model import ConfigurationError, ItemError, NotPublishedError, UnavailableError
from ingest_assets.quoting import NOT_SHOWN, quotes_allowed
from ingest_assets.redaction import redact, without_secrets

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

P = ParamSpec("P")
R = TypeVar("R")

METADATA = "ingest_assets"  # the key of a mark in a collection's metadata
UPSERT_BATCH = 250
SCAN_BATCH = 1_000
HTTP_UNAUTHORISED = {401, 403}
HTTP_SERVER_ERROR = 500
HTTP_TOO_MANY = 429
_MAX_READ, _EXCERPT = 20_000, 300  # bytes of an answer that are looked at, and characters that are shown
_NOT_QDRANT = "What answers at QDRANT_URL is not Qdrant: is it the right URL?"


def _answers(method: Callable[P, R]) -> Callable[P, R]:
    """Turn the client's exceptions into ours."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # classified by _ours, which returns other exceptions as they are
            mine = _ours(error)
            if mine is error:
                raise
            # The client's own error repeats the beginning of the answer.
            raise mine from without_secrets(error)

    return call


def _ours(error: Exception) -> Exception:  # noqa: PLR0911 - a table of what the client may raise
    from pydantic import ValidationError
    from qdrant_client.http.exceptions import (
        ResponseHandlingException,
        UnexpectedResponse,
    )

    if isinstance(error, ResponseHandlingException):
        if isinstance(error.source, ValidationError):
            return ConfigurationError(_NOT_QDRANT)
        return UnavailableError(f"Qdrant does not answer ({error}). Check QDRANT_URL.")
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 0
        # Redacted before it is shortened: a part of a secret could not be recognised.
        shown = redact(error.content[:_MAX_READ].decode(errors="replace"))[:_EXCERPT]
        detail = f"Qdrant answered {status}: {shown if quotes_allowed() else NOT_SHOWN}"
        if status in HTTP_UNAUTHORISED:
            return ConfigurationError(f"{detail}. Check QDRANT_API_KEY.")
        if status >= HTTP_SERVER_ERROR or status == HTTP_TOO_MANY:
            return UnavailableError(detail)
        return ItemError(detail)
    # Not UTF-8, not JSON, nested too deeply, of another form; where a result is missing the client asserts.
    if isinstance(
        error, UnicodeDecodeError | json.JSONDecodeError | RecursionError | ValidationError | AssertionError
    ):
        return ConfigurationError(_NOT_QDRANT)
    if type(error).__module__.startswith("grpc"):
        said = error.details() if hasattr(error, "details") else error  # the error itself fills five lines
        said = said if quotes_allowed() else NOT_SHOWN
        code = error.code().name if hasattr(error, "code") else ""
        if code in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            return ConfigurationError(f"Qdrant denied access: {said}. Check QDRANT_API_KEY.")
        if code in {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE"}:
            return ItemError(f"Qdrant answered {code}: {said}")
        return UnavailableError(f"Qdrant does not answer ({said}). Check QDRANT_URL and QDRANT_GRPC_PORT.")
    return error


class ServerStore:
    """Collections on a server."""

    # When an upsert returns, the server has stored it durably: each batch counts at once.
    commit_every: int | None = UPSERT_BATCH

    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    @classmethod
    @_answers
    def connect(
        cls, url: str, *, api_key: str | None, verify_tls: bool, timeout_s: float, grpc_port: int | None
    ) -> ServerStore:
        """Connect lazily; the first call finds out whether the server answers. gRPC if a port is given."""
        from qdrant_client import QdrantClient

        client = QdrantClient(
            url=url,
            api_key=api_key,
            timeout=int(timeout_s),
            prefer_grpc=grpc_port is not None,
            grpc_port=grpc_port or 6334,
            verify=verify_tls,
            check_compatibility=False,  # it would warn if the server is down; our own calls report it better
        )
        return cls(client)

    @_answers
    def live(self, collection: str) -> int | None:
        for alias in self._client.get_aliases().aliases:
            if alias.alias_name == collection:
                base, _, number = alias.collection_name.rpartition("__")
                if base != collection or not number.isdigit():
                    raise ConfigurationError(
                        f"Qdrant's alias {collection} points to {alias.collection_name}, which was not "
                        "created by Ingest Assets. Remove the alias; the index is then built beside that "
                        "collection."
                    )
                return int(number)
        return None

    def revision(self, collection: str) -> str:  # noqa: ARG002 - a server counts no revisions
        return ""

    @_answers
    def generations(self, collection: str) -> list[int]:
        names = [entry.name for entry in self._client.get_collections().collections]
        parts = [name.rpartition("__") for name in names]
        return sorted(int(number) for base, _, number in parts if base == collection and number.isdigit())

    @_answers
    def create(
        self,
        collection: str,
        generation: int,
        dimension: int,
        fields: Sequence[FilterField] = (),
        mark: Mark | None = None,
    ) -> None:
        from qdrant_client import models

        name = _name(collection, generation)
        present = {entry.name for entry in self._client.get_collections().collections}
        if collection in present:
            raise ConfigurationError(
                f"Qdrant has a collection {collection} that was not created by Ingest Assets, and its name "
                "is needed for an alias. Back it up if it matters, delete it, and build again."
            )
        if name in present:
            self._client.delete_collection(name)
        self._client.create_collection(
            name,
            vectors_config={
                DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE, on_disk=True)
            },
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            on_disk_payload=True,
            metadata=_metadata(mark) if mark else None,
        )
        kinds = {
            "keyword": models.PayloadSchemaType.KEYWORD,
            "number": models.PayloadSchemaType.FLOAT,
            "time": models.PayloadSchemaType.DATETIME,
            "flag": models.PayloadSchemaType.BOOL,
        }
        for field, kind in payload_indexes(fields).items():
            self._client.create_payload_index(name, field, kinds[kind], wait=True)

    @contextmanager
    def writer(self, collection: str, generation: int) -> Iterator[_ServerWriter]:
        yield _ServerWriter(self._client, _name(collection, generation))

    @contextmanager
    def reader(self, collection: str, generation: int | None = None) -> Iterator[_ServerReader]:
        if generation is None:
            generation = self.live(collection)
        if generation is None:
            raise NotPublishedError(f"Nothing has been published as {collection} yet. Run `ingest build`.")
        yield _ServerReader(self._client, _name(collection, generation), generation)

    @_answers
    def publish(self, collection: str, generation: int) -> None:
        from qdrant_client import models

        changes: list[Any] = []
        if self.live(collection) is not None:
            changes.append(
                models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=collection))
            )
        create = models.CreateAlias(collection_name=_name(collection, generation), alias_name=collection)
        changes.append(models.CreateAliasOperation(create_alias=create))
        self._client.update_collection_aliases(changes)

    @_answers
    def drop(self, collection: str, generation: int) -> None:
        self._client.delete_collection(_name(collection, generation))

    @_answers
    def mark(self, collection: str, generation: int) -> Mark | None:
        name = _marked(collection, generation)
        try:
            metadata = self._client.get_collection(name).config.metadata or {}
        except Exception:  # the client has no type of its own for a collection that does not exist
            if self._client.collection_exists(name):
                raise
            return None
        if METADATA in metadata or generation == NAME:
            return mark_from(metadata.get(METADATA))
        return None

    @_answers
    def set_mark(self, collection: str, generation: int, mark: Mark) -> None:
        if generation == NAME:
            self.claim(collection, mark)
        self._client.update_collection(_marked(collection, generation), metadata=_metadata(mark))

    @_answers
    def claim(self, collection: str, mark: Mark) -> Mark:
        name = _marked(collection, NAME)
        try:
            self._client.create_collection(name, vectors_config={}, metadata=_metadata(mark))
        except Exception:  # nor one for a name that is taken
            if (held := self.mark(collection, NAME)) is None:
                raise
            return held
        held = self.mark(collection, NAME)
        if held is None or not held.owner.id:
            self._client.delete_collection(name)
            raise ConfigurationError(
                "This Qdrant server cannot record whose a collection is: it is older than 1.16. Upgrade it, "
                "or unset QDRANT_URL to use the engine in this process."
            )
        return held

    def close(self) -> None:
        self._client.close()


class _ServerWriter:
    def __init__(self, client: QdrantClient, name: str) -> None:
        self._client, self._name = client, name

    @_answers
    def upsert(self, points: Points) -> None:
        from qdrant_client import models

        for start in range(0, len(points.ids), UPSERT_BATCH):
            stop = min(start + UPSERT_BATCH, len(points.ids))
            batch = [_point(points, i, models) for i in range(start, stop)]
            self._client.upsert(self._name, batch, wait=True)

    @_answers
    def delete(self, ids: Sequence[str]) -> None:
        from qdrant_client import models

        if ids:
            self._client.delete(self._name, models.PointIdsList(points=list(ids)), wait=True)

    def commit(self) -> None:
        """Every call was acknowledged when it returned."""


class _ServerReader:
    def __init__(self, client: QdrantClient, name: str, generation: int) -> None:
        self._client, self._name, self.generation = client, name, generation

    @_answers
    def query(self, legs: Sequence[Leg], limit: int, where: Conditions = ()) -> list[list[ScoredPoint]]:
        from qdrant_client import models

        condition = _filter(where, models)
        requests = [
            models.QueryRequest(
                query=_nearest(leg, models),
                using=leg.using,
                limit=limit,
                filter=condition,
                with_payload=False,
            )
            for leg in legs
        ]
        answers = self._client.query_batch_points(self._name, requests)
        return [[ScoredPoint(str(point.id), point.score) for point in answer.points] for answer in answers]

    @_answers
    def payloads(self, ids: Sequence[str]) -> dict[str, Payload]:
        records = self._client.retrieve(self._name, list(ids), with_payload=True, with_vectors=False)
        return {str(record.id): record.payload or {} for record in records}

    @_answers
    def count(self) -> int:
        return self._client.count(self._name, exact=True).count

    def scan(self) -> Iterator[tuple[str, str]]:
        for record in self._scroll(with_payload=["digest"]):
            yield str(record.id), (record.payload or {}).get("digest", "")

    def without_sparse(self) -> list[str]:
        from qdrant_client import models

        missing = models.Filter(must_not=[models.HasVectorCondition(has_vector=SPARSE)])
        return [str(record.id) for record in self._scroll(with_payload=False, scroll_filter=missing)]

    def _scroll(self, **request: Any) -> Iterator[Any]:
        offset = None
        while True:
            records, offset = self._page(offset=offset, **request)
            yield from records
            if offset is None:
                return

    @_answers
    def _page(self, **request: Any) -> tuple[list[Any], Any]:
        return self._client.scroll(self._name, limit=SCAN_BATCH, with_vectors=False, **request)


def _name(collection: str, generation: int) -> str:
    return f"{collection}__{generation}"


def _marked(collection: str, generation: int) -> str:
    """The collection that carries a mark. No source's collection has a dash in its name."""
    return f"{collection}-owner" if generation == NAME else _name(collection, generation)


def _metadata(mark: Mark) -> dict[str, Any]:
    return {METADATA: mark.to_json()}


def _point(points: Points, i: int, models: Any) -> Any:
    indices, values = points.sparse.row(i)
    sparse = models.SparseVector(indices=indices.tolist(), values=values.tolist())
    vector = {DENSE: points.dense[i].tolist(), SPARSE: sparse}
    return models.PointStruct(id=points.ids[i], vector=vector, payload=points.payloads[i])


def _nearest(leg: Leg, models: Any) -> Any:
    if leg.dense is not None:
        return leg.dense.tolist()
    assert leg.sparse is not None
    indices, values = leg.sparse.row(0)
    return models.SparseVector(indices=indices.tolist(), values=values.tolist())


def _filter(where: Conditions, models: Any) -> Any:
    if not where:
        return None
    return models.Filter(
        must=[_condition(each, models) for each in where if not each.negated],
        must_not=[_condition(each, models) for each in where if each.negated],
    )


def _condition(condition: Condition, models: Any) -> Any:
    """Any of the values or ranges of a condition."""
    field, range_of = condition.field, models.DatetimeRange if condition.type == "time" else models.Range
    if condition.type == "keyword":
        return models.FieldCondition(key=field, match=models.MatchAny(any=list(condition.values)))
    choices = [
        models.FieldCondition(key=field, match=models.MatchValue(value=value)) for value in condition.values
    ]
    choices += [
        models.FieldCondition(key=field, range=range_of(gte=each.low, lte=each.high))
        for each in condition.ranges
    ]
    return choices[0] if len(choices) == 1 else models.Filter(should=choices)
