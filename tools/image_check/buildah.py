"""Builds the image by buildah from deploy/image/Containerfile, on a base from Debian's packages.

Its storage is a folder of its own, so that what this machine's buildah has is neither used nor touched.

What belongs here: calling buildah, and what its image says of itself. What does not: Debian's packages
(`rootfs`), and trying an image (`trial`).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from configparser import ConfigParser
from io import StringIO
from pathlib import Path
from typing import Any

from ingest_assets.model import IngestError
from ingest_assets.terminal import say
from tools.image_check.containerfile import Stage
from tools.image_check.rootfs import base, shown_to_steps

_BASE, _IMAGE = "localhost/image-check-base", "localhost/image-check"
_PIP = "/etc/pip.conf"


def build(stages: list[Stage], checkout: Path, folder: Path, architecture: str) -> None:
    """Leave the image in the storage below `folder`. Raises IngestError when a step fails."""
    say(f"base: {stages[0].base}, from scratch")
    container = _buildah(folder, "from", "--arch", architecture, "scratch")
    base(stages[0].base, Path(_buildah(folder, "mount", container)), architecture)
    _buildah(folder, "umount", container)
    _buildah(folder, "commit", "--rm", container, _BASE)
    say("image: buildah build")
    shown, environment = shown_to_steps()
    # In a file: what is given as environment would be the image's, too.
    given = [host for host, inside in shown.items() if inside == _PIP]
    (folder / "pip.conf").write_text(pip_settings(environment, given), encoding="utf-8")
    shown = {host: inside for host, inside in shown.items() if inside != _PIP}
    shown[str(folder / "pip.conf")] = _PIP
    mine = [word for host, inside in shown.items() for word in ("--volume", f"{host}:{inside}:ro")]
    # No runtime is needed, nor a network of the container's own. Only Docker's format has health checks.
    means = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--pull=never"]
    what = ["--arch", architecture, "--build-arg", f"BASE={_BASE}", "--tag", _IMAGE]
    file = checkout / "deploy/image/Containerfile"
    _buildah(folder, "build", *means, *mine, *what, "--file", str(file), str(checkout))


def opened(folder: Path, written: Stage) -> tuple[Stage, Path]:
    """What the image itself says of its start, and its root, mounted until this process's mounts end.

    Raises IngestError if it says something else than `written`, the Containerfile.
    """
    image = said_by(_buildah(folder, "inspect", "--type", "image", _IMAGE))
    require_same(image, written)
    say("image: environment, user, labels and start are those of the Containerfile")
    container = _buildah(folder, "from", "--pull=never", _IMAGE)
    return image, Path(_buildah(folder, "mount", container))


def said_by(inspected: str) -> Stage:
    """The start of an image, in the Containerfile's words, from what `buildah inspect` says of it."""
    config = json.loads(inspected)["Docker"]["config"]
    labels = {name: value for name, value in (config["Labels"] or {}).items() if name != "io.buildah.version"}
    start = {
        "USER": [config["User"]],
        "WORKDIR": [config["WorkingDir"]],
        "VOLUME": list(config["Volumes"] or ()),
        "EXPOSE": [port.removesuffix("/tcp") for port in config.get("ExposedPorts") or ()],
        "HEALTHCHECK": [_health(config.get("Healthcheck"))],
        "LABEL": [f'{name}="{value}"' for name, value in labels.items()],
        "ENTRYPOINT": [json.dumps(config["Entrypoint"])],
        "CMD": [json.dumps(config["Cmd"])],
    }
    environment = dict(each.split("=", 1) for each in config["Env"])
    return Stage("", _BASE, environment=environment, start=start)


def require_same(image: Stage, written: Stage) -> None:
    """Raises IngestError for an instruction that says something else in the image than in the file."""
    if image.environment != written.environment:
        made = image.environment
        raise IngestError(f"buildah made ENV {made} of the Containerfile's {written.environment}.")
    for instruction, found in image.start.items():
        wanted = written.start[instruction]
        # Written in another order, and several on a line.
        if sorted(" ".join(found).split()) != sorted(" ".join(wanted).split()):
            raise IngestError(f"buildah made {instruction} {found} of the Containerfile's {wanted}.")


def pip_settings(environment: Mapping[str, str], files: Sequence[str]) -> str:
    """Settings of pip that were given as environment (PIP_CERT) or in files, as one file has them."""
    settings = ConfigParser(interpolation=None)
    settings.read(files, encoding="utf-8")
    given = {
        name.removeprefix("PIP_"): value for name, value in environment.items() if name.startswith("PIP_")
    }
    settings.read_dict({"global": {name.lower().replace("_", "-"): value for name, value in given.items()}})
    written = StringIO()
    settings.write(written)
    return written.getvalue()


def _health(check: dict[str, Any] | None) -> str:
    if check is None:
        return ""
    times = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
    options = [f"--{name}={check[each] // 10**9}s" for name, each in times.items()]  # in nanoseconds
    word, *command = check["Test"]
    return f"{' '.join(options)} --retries={check['Retries']} {word} {json.dumps(command)}"


def _buildah(folder: Path, step: str, *arguments: str) -> str:
    """What a step of buildah printed. Raises IngestError with what it said if it fails."""
    storage = ["--root", str(folder / "storage"), "--runroot", str(folder / "storage-run")]
    ended = subprocess.run(
        ["buildah", *storage, step, *arguments],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"TMPDIR": str(folder)},  # layers on their way into the storage
    )
    if ended.returncode:
        said = f"{ended.stdout}{ended.stderr}"[-4_000:].strip()
        raise IngestError(f"buildah {step} ended with exit status {ended.returncode} on this machine: {said}")
    return ended.stdout.strip()
