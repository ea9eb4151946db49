"""Make the image's root file system from deploy/image/Containerfile, without a container engine, and try it.

    python -m tools.image_check                  # for this machine's architecture
    python -m tools.image_check --arch arm64     # under qemu-user-static, on another one: takes an hour
    python -m tools.image_check --buildah        # built by buildah, on a base from Debian's packages

Needs root (it mounts and changes roots), Debian's `mmdebstrap`, for `--buildah` its `buildah`, and for
another architecture `qemu-user-static`, `binfmt-support` and `arch-test`. Exit status 1: something is wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.terminal import complain, say
from tools.image_check import buildah
from tools.image_check.apart import CHECKOUT, apart, remove
from tools.image_check.containerfile import stages
from tools.image_check.rootfs import ARCHITECTURES, make
from tools.image_check.trial import try_image

MADE = "made"  # a file beside the root that is whole
EMULATED = 20  # how many times as long things may take under an emulator


def main() -> int:
    """Return the exit status."""
    here = next((name for name, machine in ARCHITECTURES.items() if machine == platform.machine()), "amd64")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), default=here, help="of the image")
    parser.add_argument(
        "--folder", type=Path, help="keep what is made here; what is there already is only tried"
    )
    parser.add_argument("--buildah", action="store_true", help="build by buildah, instead of step by step")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # in namespaces of its own
    asked = parser.parse_args()
    if os.geteuid() != 0:
        complain("image_check: it mounts file systems and changes roots: run it as root.")
        return 2
    needed = ["mmdebstrap", "unshare", "setpriv", *(["qemu-aarch64-static"] if asked.arch != here else [])]
    needed += ["buildah"] if asked.buildah else []
    if missing := [each for each in needed if shutil.which(each) is None]:
        packages = "mmdebstrap qemu-user-static buildah"
        complain(f"image_check: {', '.join(missing)} not found: apt-get install {packages}")
        return 2
    os.umask(0o022)
    if asked.inside:
        return _make_and_try(asked.folder, asked.arch, emulated=asked.arch != here, by_buildah=asked.buildah)
    folder = asked.folder.absolute() if asked.folder else Path(tempfile.mkdtemp(prefix="image-check-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    try:
        by = ["--buildah"] if asked.buildah else []
        return apart("tools.image_check", "--inside", "--arch", asked.arch, "--folder", str(folder), *by)
    finally:
        if not asked.folder:
            remove(folder)


def _make_and_try(folder: Path, architecture: str, *, emulated: bool, by_buildah: bool) -> int:
    began = time.monotonic()
    made = folder / (f"{MADE}-by-buildah" if by_buildah else MADE)
    build = buildah.build if by_buildah else make
    try:
        parsed = stages((CHECKOUT / "deploy/image/Containerfile").read_text(encoding="utf-8"))
        if not made.exists():
            build(parsed, CHECKOUT, folder, architecture)
            made.touch()
            say(f"made in {time.monotonic() - began:.0f} s")
        image, root = buildah.opened(folder, parsed[-1]) if by_buildah else (parsed[-1], folder / "image")
        try_image(image, root, folder, EMULATED if emulated else 1)
    except IngestError as error:
        complain(f"image_check: {error}")
        return 1
    seconds = time.monotonic() - began
    say(f"image_check: the image for {ARCHITECTURES[architecture]} is right ({seconds:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
