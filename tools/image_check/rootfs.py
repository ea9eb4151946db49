"""Makes the image's root file system without an engine: mmdebstrap for the base, chroot for each RUN.

Packages come from where this machine gets them: its apt sources and proxies, its pip settings and its
certificates are shown to the steps while they run, and are not part of what is made.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.terminal import say
from tools.image_check.containerfile import Copy, Stage

# Debian's names of the architectures that there are images for, and the emulator of each.
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
# What Debian's slim images leave out.
SLIM = ("doc/*", "man/*", "locale/*", "info/*", "lintian/*")
# Settings of pip, and of whatever else goes through this machine's proxy; not its folders.
_PASSED_ON = re.compile(r"(PIP_(?!FIND_LINKS|CERT$).*|.*_proxy|.*_PROXY)")
_CERTIFICATES = "/run/build-certificates.pem"
_HOST_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def make(stages: list[Stage], checkout: Path, folder: Path, architecture: str) -> None:
    """Leave the root of the last stage in `folder`/image. Raises IngestError when a step fails."""
    roots: dict[str, Path] = {}
    for number, stage in enumerate(stages):
        root = folder / (stage.name or "image")
        say(f"stage {number + 1} of {len(stages)}: {stage.name or 'image'}")
        if stage.base in roots:
            run(["cp", "-a", "--reflink=auto", str(roots[stage.base]), str(root)])
        else:
            base(stage.base, root, architecture)
        for step in stage.steps:
            if isinstance(step, Copy):
                _copy(step, roots.get(step.stage, checkout), root)
            else:
                say(f"  {step}")
                with this_machine(root) as environment:
                    run(["chroot", str(root), "/bin/sh", "-c", step], environment)
        roots[stage.name] = root


def base(image: str, root: Path, architecture: str, packages: Sequence[str] = ()) -> None:
    """What `debian:SUITE-slim` has, and packages. Raises IngestError if it cannot be made."""
    suite = re.fullmatch(r"debian:([a-z]+)-slim", image)
    if suite is None:
        raise IngestError(f"Containerfile: the base {image} cannot be made from Debian's packages here.")
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{each}" for each in SLIM]
    fetching = [f"--aptopt={line}" for line in _apt_settings()]
    merged = [
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f"--include={','.join(('usr-is-merged', *packages))}",
    ]
    options = [
        "--mode=root",
        "--variant=minbase",
        *merged,
        f"--architectures={architecture}",
        *excluded,
        *fetching,
    ]
    run(["mmdebstrap", "--quiet", *options, suite[1], str(root), *_sources(suite[1])])


def _sources(suite: str) -> list[str]:
    """This machine's, if it is of the same suite; else mmdebstrap's own."""
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.*")]
    used = [each for each in lists if each.is_file() and each.suffix in (".list", ".sources")]
    return [str(each) for each in used if f"{suite}-security" in each.read_text(encoding="utf-8")]


def _apt_settings() -> list[str]:
    """How this machine's apt fetches: its proxies and whether dates are checked. No hooks, no folders."""
    dumped = subprocess.run(
        ["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True
    ).stdout
    return re.findall(r'^Acquire::(?:https?::|Check|Retries)[^\n]* "[^"\n]+";$', dumped, re.MULTILINE)


def _copy(step: Copy, source: Path, root: Path) -> None:
    target = root / step.target.lstrip("/")
    # Of a folder, its contents, as COPY does; into a folder, if the target is one.
    for name in step.sources:
        found = source / name.lstrip("/")
        if found.is_dir():
            run(["cp", "-a", "--no-preserve=ownership", f"{found}/.", str(_folder(target))])
        else:
            folder = step.target.endswith("/")
            into = _folder(target) / found.name if folder else _folder(target.parent) / target.name
            run(["cp", "-a", "--no-preserve=ownership", str(found), str(into)])
    for cache in target.rglob("__pycache__") if not step.stage else ():
        shutil.rmtree(cache)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def shown_to_steps() -> tuple[dict[str, str], dict[str, str]]:
    """This machine's certificates and settings of pip: files and where they are shown, and variables."""
    environment = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    shown: dict[str, str] = {}
    if Path(_HOST_CERTIFICATES).exists():
        shown[_HOST_CERTIFICATES] = _CERTIFICATES
        environment |= {"PIP_CERT": _CERTIFICATES, "SSL_CERT_FILE": _CERTIFICATES}
    for settings in ("/etc/pip.conf", os.environ.get("PIP_CONFIG_FILE", "")):
        if settings and Path(settings).is_file():
            shown[settings] = "/etc/pip.conf"
    return shown, environment


@contextmanager
def this_machine(root: Path) -> Iterator[dict[str, str]]:
    """For a step: /proc, names of hosts, certificates, settings of pip. Nothing of it stays in the root."""
    shown, passed_on = shown_to_steps()
    shown |= {"/etc/resolv.conf": "/etc/resolv.conf", "/etc/hosts": "/etc/hosts"}
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **passed_on}
    with ExitStack() as undo:
        run(["mount", "-t", "proc", "proc", str(root / "proc")])
        undo.callback(run, ["umount", "--lazy", str(root / "proc")])
        for host, inside in shown.items():
            place = root / inside.lstrip("/")
            if not place.exists():
                place.touch()
                undo.callback(place.unlink)
            run(["mount", "--bind", host, str(place)])
            undo.callback(run, ["umount", "--lazy", str(place)])
        yield environment


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command. Raises IngestError with what it said if it fails."""
    with tempfile.TemporaryFile() as log:
        ended = subprocess.run(command, check=False, env=environment, stdout=log, stderr=subprocess.STDOUT)
        if ended.returncode:
            log.seek(0)
            said = log.read().decode(errors="replace")[-4_000:]
            raise IngestError(
                f"{' '.join(command)[:300]}\nended with exit status {ended.returncode}:\n{said}"
            )
