"""Tries a root file system as an engine would run it: as its user, its root read-only, with no rights."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.terminal import say
from tools.image_check.containerfile import Stage, words

MAX_MB = 900
RECORDS = 200
WRONG = 2  # exit status for wrong usage
STATE = "/var/lib/ingest"
COMPILERS = "cc gcc g++ c++ clang tcc rustc go make ld as pip pip3"
# What runs before the entry point, in namespaces of its own: $1 the root, $2 the folder of its state.
_PREPARE = r"""
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$1/dev"
for each in null zero random urandom; do
    touch "$1/dev/$each"
    mount --bind "/dev/$each" "$1/dev/$each"
done
mkdir -m 1777 "$1/dev/shm"
ln -s /proc/self/fd "$1/dev/fd"
mount --bind "$2" "$1/var/lib/ingest"
mount -o remount,bind,ro "$1"
python3 -c '
import fcntl, socket, struct
with socket.socket() as lo:  # the loopback interface of the new network, up
    fcntl.ioctl(lo, 0x8914, struct.pack("16sh", b"lo", 1))
'
root=$1
shift 2
exec chroot "$root" "$@"
"""
# The health of roles that serve: started, asked until it is well, ended by SIGTERM.
_SERVE = r"""
ingest-entrypoint "$1" 2> /tmp/log & pid=$!
for second in $(seq "$2"); do
    if ingest-health "$1" 2> /tmp/said; then
        kill -TERM $pid; status=0; wait $pid || status=$?
        echo "healthy; ended with $status"
        exit 0
    fi
    kill -0 $pid 2> /dev/null || break
    sleep 1
done
cat /tmp/said /tmp/log >&2
exit 1
"""
_NO_BROKER = """
from celery import Celery
from ingest_assets.model import UnavailableError
from ingest_assets.orchestration.celery_runs.launcher import asking_the_broker, require_broker
app = Celery(broker="redis://127.0.0.1:9/0")
try:
    with asking_the_broker(app):
        require_broker(app)
except UnavailableError as error:
    print(error)
"""
TOKENS = {
    "INGEST_API_TOKENS": "check:image-check-token-of-no-use:read",
    "INGEST_UI_TOKENS": "check:image-check-token-of-no-use",
}


class Trial:
    """One image and the state that it works on."""

    def __init__(self, image: Stage, root: Path, state: Path, patience: int) -> None:
        """`patience`: how many times as long as usual things may take."""
        self._image, self._root, self._state, self._patience = image, root, state, patience
        self._user = image.start["USER"][-1].split(":")
        self._entrypoint = words(image, "ENTRYPOINT")

    def all(self) -> Iterator[str]:
        """A line for each thing that was tried and is right. Raises IngestError for the first that is not."""
        yield self._size()
        yield self._no_compiler()
        yield self._no_rights()
        yield self._labels()
        yield self._bill()
        yield from self._index()
        yield self._wrong_role()
        yield self._worker()
        for role in ("serve", "web", "daemon", "all-in-one"):
            yield f"{role}: {self._healthy(role)}"
        yield self._serverless()
        yield self._libraries()

    def _size(self) -> str:
        # As engines count: the files' lengths.
        size = sum(found.lstat().st_size for found in self._root.rglob("*") if not found.is_dir())
        _require(size < MAX_MB * 1_000_000, f"it has {size / 1e6:.0f} MB, and may have {MAX_MB}")
        return f"size: {size / 1e6:.0f} MB"

    def _no_compiler(self) -> str:
        found = self._shell(f"for each in {COMPILERS}; do command -v $each || true; done")
        _require(not found, f"it has {found}")
        self._shell("! python3 -m pip --version 2> /dev/null && ! python -m pip --version 2> /dev/null")
        return "no compiler, linker or pip"

    def _no_rights(self) -> str:
        raised = self._shell(r"find / -xdev -type f \( -perm -4000 -o -perm -2000 \) 2> /dev/null || true")
        _require(not raised, f"these files give rights: {raised}")
        user = self._shell("id -u")
        _require(user == self._user[0] != "0", f"it runs as {user}")
        self._shell("! touch /opt/ingest/x 2>&1 && ! touch /etc/x 2>&1 && ! touch /usr/x 2>&1")
        writable = self._shell(
            f"find / -xdev -writable ! -type l ! -path /tmp ! -path {STATE} 2> /dev/null || true"
        )
        _require(not writable, f"user {user} may write {writable}")
        return f"user {user}, no setuid or setgid file, nothing to write but its volume"

    def _labels(self) -> str:
        labels = [each.split("=")[0] for each in self._image.start["LABEL"]]
        needed = {f"org.opencontainers.image.{each}" for each in ("title", "licenses", "base.name")}
        _require(needed <= set(labels), f"labels are missing: {sorted(needed - set(labels))}")
        return f"labels: {', '.join(labels)}"

    def _bill(self) -> str:
        """What the bill of materials lists is what is installed, neither more nor less."""
        listed = json.loads(self._shell("cat /opt/ingest/share/sbom.cdx.json"))["components"]
        lister = (
            "import importlib.metadata as m, json;"
            "print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
        )
        installed = {
            (_normal(name), version)
            for name, version in json.loads(self._shell(f"python -c {shlex.quote(lister)}"))
            if name != "ingest-assets"
        }
        bill = {(_normal(each["name"]), each["version"]) for each in listed}
        _require(bill == installed, f"bill of materials and packages differ: {sorted(bill ^ installed)}")
        return f"bill of materials: {len(bill)} packages, those that are installed"

    def _index(self) -> Iterator[str]:
        """Build, refresh, search and audit of a sample CRM, without a network."""
        self._job("sample", "crm", "--documents", str(RECORDS), "--seed", "5")
        built = self._job("build", "--json")
        _require(_success(built), f"the build said {built}")
        again = self._job("refresh", "--json")
        _require(_success(again), f"the refresh said {again}")
        status = json.loads(self._job("status", "--json"))
        yield f"build and refresh of {RECORDS} records: {_counts(status)}"
        for mode in ("dense", "sparse", "hybrid"):
            hits = json.loads(self._job("search", "renewal of the contract", "--mode", mode, "--json"))
            _require(bool(hits), f"the {mode} search found nothing")
        yield "dense, sparse and hybrid search: hits each"
        audited = self._job("audit", "--json")
        yield f"audit: {' '.join(audited.split())[:200]}"

    def _wrong_role(self) -> str:
        ended = self._inside([*self._entrypoint, "wrong"])
        _require(ended.returncode == WRONG and "no role wrong" in ended.stderr, f"a wrong role said {ended}")
        return "a wrong role: exit status 2 and the roles there are"

    def _worker(self) -> str:
        """It has Celery and a client for its broker, and says what it lacks here."""
        ended = self._inside([*self._entrypoint, "worker"])
        said = "sends runs to no Celery worker"
        _require(ended.returncode == WRONG and said in ended.stderr, f"the role worker said {ended}")
        broker = self._shell(f"python -c {shlex.quote(_NO_BROKER)}")
        _require("The broker does not answer" in broker, f"without a broker it said {broker}")
        return f"worker: exit status {WRONG} and what it needs; without a broker, a sentence"

    def _healthy(self, role: str) -> str:
        return self._shell(f"set -- {role} {60 * self._patience}\n{_SERVE}").splitlines()[-1]

    def _serverless(self) -> str:
        self._shell("python -c 'import runpod, deploy.serverless.runpod_worker'")
        return "serverless: its worker can be imported"

    def _libraries(self) -> str:
        """What was left out of the dependencies is missed by nothing that is used."""
        names = (
            "onnxruntime fastembed pyarrow.compute pyarrow.parquet psycopg2 pymysql qdrant_client dagster_k8s"
        )
        names += " dagster_postgres phonenumbers apprise asyncssh grpc redis"
        self._shell(f"python -c 'import {', '.join(names.split())}; onnxruntime.SessionOptions()'")
        return f"libraries: {len(names.split())} more are imported"

    def _job(self, *arguments: str) -> str:
        ended = self._inside([*self._entrypoint, "job", *arguments])
        _require(
            ended.returncode == 0,
            f"ingest {' '.join(arguments)}: {ended.stdout[-2_000:]}{ended.stderr[-4_000:]}",
        )
        return ended.stdout

    def _shell(self, script: str) -> str:
        ended = self._inside(["/bin/sh", "-c", script])
        _require(ended.returncode == 0, f"{script}: {ended.stdout[-2_000:]}{ended.stderr[-4_000:]}")
        return ended.stdout.strip()

    def _inside(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """As the image's user, without any capability, in namespaces of its own."""
        user, group = self._user
        rights = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        become = ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *rights]
        environment = [f"{name}={value}" for name, value in (self._image.environment | TOKENS).items()]
        into = ["/usr/bin/env", "-i", f"--chdir={STATE}", *environment, *command]
        spaces = ["unshare", "--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*spaces, "/bin/sh", "-c", _PREPARE, "sh", str(self._root), str(self._state), *become, *into],
            check=False,
            capture_output=True,
            text=True,
            timeout=600 * self._patience,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )


def try_image(image: Stage, root: Path, folder: Path, patience: int = 1) -> None:
    """Say what was tried. Raises IngestError for what is not as it should be."""
    with tempfile.TemporaryDirectory(dir=folder) as state:
        user, group = (int(each) for each in image.start["USER"][-1].split(":"))
        os.chown(state, user, group)
        for line in Trial(image, root, Path(state), patience).all():
            say(f"ok  {line}")


def _success(answer: str) -> bool:
    return bool(json.loads(answer)["success"])


def _counts(status: object) -> str:
    return " ".join(json.dumps(status).split())[:200]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _require(holds: object, message: str) -> None:
    if not holds:
        raise IngestError(f"The image is not right: {message}")
