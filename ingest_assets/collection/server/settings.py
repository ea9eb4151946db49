"""The server that the settings name."""

from __future__ import annotations

from ingest_assets.collection.server.connection import Connection, Endpoint
from ingest_assets.collection.server.layout import Layout
from ingest_assets.collection.server.store import ServerStore
from ingest_assets.collection.server.tls import Tls
from ingest_assets.settings import Settings, listed


def configured_server(s: Settings) -> ServerStore:
    """Connects when something is asked. Raises ConfigurationError if the settings contradict each other."""
    key = s.qdrant_api_key.get_secret_value().strip() if s.qdrant_api_key else None
    endpoint = Endpoint(
        urls=listed(s.qdrant_url or ""),
        api_key=key,
        key_over_http=s.qdrant_key_over_http,
        tls=Tls(s.qdrant_verify_tls, s.qdrant_ca_file, s.qdrant_client_cert_file, s.qdrant_client_key_file),
        grpc_port=s.qdrant_grpc_port,
        search_timeout_s=s.qdrant_search_timeout_s,
        write_timeout_s=s.qdrant_write_timeout_s,
        admin_timeout_s=s.qdrant_admin_timeout_s,
        retry_s=s.qdrant_retry_s,
    )
    layout = Layout(
        quantization=s.qdrant_quantization,
        on_disk=s.qdrant_on_disk,
        hnsw_m=s.qdrant_hnsw_m,
        hnsw_ef_construct=s.qdrant_hnsw_ef_construct,
        indexing_threshold_kib=s.qdrant_indexing_threshold_kib,
        shards=s.qdrant_shards,
        replicas=s.qdrant_replicas,
        write_consistency=s.qdrant_write_consistency,
    )
    consistency = s.qdrant_read_consistency
    return ServerStore(
        Connection(endpoint),
        layout,
        streams=s.qdrant_upsert_streams,
        consistency=int(consistency) if consistency.isdigit() else consistency or None,
        indexing_timeout_s=s.qdrant_indexing_timeout_s,
    )
