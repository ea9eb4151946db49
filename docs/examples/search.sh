#!/bin/sh
# Search the repositories, and print the answer as JSON.
set -eu
curl --fail-with-body --silent --show-error ${INGEST_TOKEN:+--oauth2-bearer "$INGEST_TOKEN"} --get \
    --data-urlencode "query=$1" --data-urlencode "source=repositories" --data-urlencode "limit=5" \
    "${INGEST_URL:-http://127.0.0.1:8765}/search"
