#!/bin/sh
# Start a background job and print its id.
set -eu
body=$(REPOSITORY=$1 python3 -c 'import json, os; print(json.dumps({"repo_path": os.environ["REPOSITORY"]}))')
curl --fail-with-body --silent --show-error ${INGEST_TOKEN:+--oauth2-bearer "$INGEST_TOKEN"} \
    --json "$body" "${INGEST_URL:-http://127.0.0.1:8765}/jobs" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["job_id"])'
