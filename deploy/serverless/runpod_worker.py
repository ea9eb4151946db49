"""The handler as a RunPod worker: the entry point of an image.

    pip install '.[runpod]'
    python -m deploy.serverless.runpod_worker

Without a platform around it, one call can be tried here:

    python -m deploy.serverless.runpod_worker --test_input '{"input": {"repo_url": "https://…"}}'

or an endpoint like the platform's, with `--rp_serve_api`. `python -m tools.try_serverless [URL]` tries the
handler here, or such an endpoint, against its contract.
"""

from __future__ import annotations

from deploy.serverless.handler import Response, handler


def handle(job: dict[str, object]) -> Response:
    """One call: `{"id": …, "input": {"repo_url": …, "git_ref": …}}`."""
    return handler(job)


def main() -> None:
    """Take calls until the platform stops the worker."""
    import runpod

    runpod.serverless.start({"handler": handle})


if __name__ == "__main__":
    main()
