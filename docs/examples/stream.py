"""Index a repository in the foreground: every event as it is made, resumed after a lost connection."""

import json
import os
import sys
import time

import httpx

token = os.environ.get("INGEST_TOKEN")
api = httpx.Client(
    base_url=os.environ.get("INGEST_URL", "http://127.0.0.1:8765"),
    headers={"Authorization": f"Bearer {token}"} if token else {},
    timeout=httpx.Timeout(10, read=60),  # a keep-alive comes every 15 s
)

last = None
while True:
    resume = {} if last is None else {"Last-Event-ID": str(last)}
    try:
        with api.stream("GET", "/ingest", params={"repo_url": sys.argv[1]}, headers=resume) as answer:
            answer.raise_for_status()
            if answer.status_code == httpx.codes.NO_CONTENT:
                sys.exit("There are no further events.")
            for line in answer.iter_lines():
                if not line.startswith("data: "):
                    continue
                event = json.loads(line.removeprefix("data: "))
                last = event["sequence"]
                print(last, event["event_type"], event["payload"].get("file_path", ""), flush=True)
                if event["event_type"] == "ingest.completed.v1":
                    print(event["status"])
                    sys.exit(event["status"] != "success")
    except httpx.TransportError as error:
        print(f"The connection was lost ({error}); resuming.", file=sys.stderr)
        time.sleep(1)
