"""Start a background job, show its progress, and end with its outcome."""

import os
import sys
import time

import httpx

token = os.environ.get("INGEST_TOKEN")
api = httpx.Client(
    base_url=os.environ.get("INGEST_URL", "http://127.0.0.1:8765"),
    headers={"Authorization": f"Bearer {token}"} if token else {},
)

job = api.post("/jobs", json={"repo_path": sys.argv[1]}).raise_for_status().json()
while job["status"] in {"pending", "running"}:
    time.sleep(1)
    job = api.get(f"/jobs/{job['job_id']}").raise_for_status().json()
    print(f"{job['progress_percentage']:3} % {job['progress_message']}")
print(f"{job['status']}: {job['files_indexed']} files, {job['chunks_created']} chunks")
if job["status"] != "completed":
    sys.exit(job["error_message"] or "The job was cancelled.")
