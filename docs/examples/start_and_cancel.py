"""Start a background job, and cancel it."""

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
answer = api.post(f"/jobs/{job['job_id']}/cancel")
if answer.status_code == httpx.codes.CONFLICT:
    sys.exit("Too late: the job has ended.")
job = answer.raise_for_status().json()
while job["status"] == "running":  # its worker stops within 5 s
    time.sleep(0.5)
    job = api.get(f"/jobs/{job['job_id']}").raise_for_status().json()
print(f"{job['status']} at {job['cancelled_at']}")
