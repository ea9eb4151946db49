"""Tries the units of deploy/systemd in a booted container: what they do, survive, and may not do.

What belongs here: trials, each a line. What does not: how the container is made and asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from ingest_assets.model import IngestError
from tools.units_check.guest import Guest
from tools.units_check.installed import STATE

RECORDS = 200
SERVING = {"daemon": "3001/health", "ui": "3000/login", "serve": "8765/health"}
START_S, REFRESH_S, STOP_S = 120, 240, 120  # how long things may take
WRONG = "2"  # exit status for wrong settings
INGEST = "/opt/ingest/bin/ingest"
# What a service must not be able to do: a command each, which fails.
FORBIDDEN = {
    "write /etc": "touch /etc/x",
    "write /usr": "touch /usr/x",
    "write the program": "touch /opt/ingest/x",
    "see home folders": "ls /root /home/somebody",
    "see other users' processes": "kill -0 1",
    "make a namespace": "unshare --user true",
    "mount": "mount -t tmpfs none /tmp",
    "set the clock": "date --set=@0",
    "trace": "/opt/ingest/bin/python -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)'",
    "open a raw socket": "/opt/ingest/bin/python -c 'import socket; socket.socket(socket.AF_PACKET)'",
    "read the settings' file": "cat /etc/ingest/ingest.env",
}
_PAPER = """# Telmisartan in the clinic

## Results

Telmisartan lowered blood pressure in forty patients. Telmisartan treats hypertension.
"""
_BATCH = """
from ingest_assets.sources.spool import write_batch
records = [{{"text": "The parcel {tag} came late.", "metadata": {{}}}}]
write_batch("{state}/spool", records, source="helpdesk", batch_tag="{tag}")
"""
_BROKEN = "umask 077; echo broken > spool/incoming/.b; mv spool/incoming/.b spool/incoming/broken.msgpack"
_VERIFY = "find /etc/systemd/system -name 'ingest-*' -type f -exec systemd-analyze verify --man=no {} + 2>&1"


class Trial:
    """What is tried, in order: later trials use what earlier ones left."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def all(self) -> Iterator[str]:
        """A line for each thing that is right. Raises IngestError for the first that is not."""
        yield self._systemd()
        yield self._sample()
        yield self._confined()
        yield self._forbidden()
        yield self._daemons()
        yield self._refreshed()
        yield self._sources()
        for name in SERVING:
            yield self._killed(name)
        yield self._killed_run()
        yield self._rotated()
        yield self._wrong_settings()
        yield self._stopped()
        yield self._spool_by_path()
        yield self._spool_by_timer()
        yield self._spool_by_watch()
        yield self._worker()
        yield self._audited()

    def _systemd(self) -> str:
        found = self._guest.run("sh", "-c", _VERIFY)
        _require(not found, f"systemd-analyze verify says {found}")
        return f"{self._guest.run('systemctl', '--version').splitlines()[0]}: it finds no fault in the units"

    def _sample(self) -> str:
        said = self._ingest("sample", "crm", "--path", f"{STATE}/crm.sqlite", "--documents", str(RECORDS))
        return f"a command with the units' user, settings and hardening: {said.split('.sqlite')[0]}.sqlite"

    def _confined(self) -> str:
        findings = json.loads(self._ingest("doctor", "--json"))["findings"]
        states = {each["name"]: each for each in findings}
        parsers = states["parsers"]
        _require(parsers["state"] == "ok", f"the parsers are not confined: {parsers['message']}")
        wrong = [each["message"] for each in findings if each["state"] == "wrong"]
        _require(not wrong, f"the doctor finds {wrong}")
        return f"parsers below the hardening: {parsers['message']}"

    def _forbidden(self) -> str:
        for what, command in FORBIDDEN.items():
            ended = self._guest.asked(*_AS_A_SERVICE, "/bin/sh", "-c", command)
            _require(ended.returncode, f"a service can {what}: {command}")
        return f"a service cannot {', '.join(FORBIDDEN)}"

    def _daemons(self) -> str:
        self._systemctl("enable", "--now", *(f"ingest-{name}.service" for name in SERVING))
        took = {name: self._healthy(name) for name in SERVING}
        return "healthy after " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())

    def _refreshed(self) -> str:
        took = self._guest.wait("the daemon has the CRM indexed", self._found, REFRESH_S)
        return f"the daemon's own refresh of {RECORDS} records is found over HTTP after {took:.0f} s"

    def _found(self) -> bool:
        url = "http://127.0.0.1:8765/search?query=renewal&source=crm"
        ended = self._guest.asked("curl", "-fsS", url)
        return ended.returncode == 0 and bool(json.loads(ended.stdout)["hits"])

    def _sources(self) -> str:
        """What parses files of others: a paper, and a repository without any git installed."""
        self._as_user("cat > paper.md", given=_PAPER)
        self._ingest("paper", "add", f"{STATE}/paper.md")
        self._ingest("repository", "add", f"{STATE}/repository")
        for source in ("papers", "repositories"):
            self._ingest("refresh", "--source", source)
        hits = {
            source: len(json.loads(self._ingest("search", query, "--source", source, "--json"))["hits"])
            for source, query in (("papers", "telmisartan"), ("repositories", "greeting"))
        }
        _require(all(hits.values()), f"searches find {hits}")
        return f"a paper and a repository, parsed below the hardening: hits {hits}"

    def _killed(self, name: str) -> str:
        before = self._shown(name, "MainPID")
        self._systemctl("kill", "--kill-whom=main", "--signal=KILL", f"ingest-{name}.service")
        self._guest.wait(
            f"{name} has another process", lambda: self._shown(name, "MainPID") not in ("0", before), START_S
        )
        took = self._healthy(name)
        restarts = self._shown(name, "NRestarts")
        _require(restarts == "1", f"{name} was started again {restarts} times")
        return f"{name}, killed by SIGKILL: started again, healthy {took:.0f} s later"

    def _killed_run(self) -> str:
        """A run of the daemon that is killed with it leaves nothing that the next one does not mend."""
        steps = self._steps()
        larger = ("--documents", str(RECORDS * 10), "--overwrite")
        self._ingest("sample", "crm", "--path", f"{STATE}/crm.sqlite", *larger)
        self._guest.wait("the daemon runs the next refresh", lambda: self._steps() > steps, REFRESH_S)
        self._systemctl("kill", "--kill-whom=all", "--signal=KILL", "ingest-daemon.service")
        self._healthy("daemon")
        said = self._ingest("refresh", "--source", "crm", "--json")
        _require(json.loads(said)["success"], f"the refresh after it said {said}")
        audited = self._ingest("audit")
        _require("All points agree" in audited, audited)
        return "the daemon and its run, killed in a refresh: the next one completes it, audit agrees"

    def _steps(self) -> int:
        """How many steps of runs the daemon has begun."""
        journal = self._guest.run("journalctl", "--unit=ingest-daemon.service", "--output=cat")
        return journal.count("STEP_START")

    def _rotated(self) -> str:
        self._guest.run("journalctl", "--rotate", "--vacuum-time=1s")
        self._systemctl("restart", "ingest-serve.service")
        self._healthy("serve")
        lines = self._guest.run("journalctl", "--unit=ingest-serve.service", "--output=cat")
        _require("Serving at" in lines, f"after a rotation the journal has {lines}")
        return "the journal, rotated: a service goes on writing to it"

    def _wrong_settings(self) -> str:
        """A sentence, exit status 2, and no further start."""
        drop_in = "/run/systemd/system/ingest-serve.service.d/wrong.conf"
        self._guest.run("sh", "-c", f"mkdir -p $(dirname {drop_in}); cat > {drop_in}", given=_WRONG_PORT)
        self._systemctl("daemon-reload")
        self._systemctl("restart", "ingest-serve.service")
        self._guest.wait("serve gives up", lambda: self._shown("serve", "ActiveState") == "failed", START_S)
        status, restarts = self._shown("serve", "ExecMainStatus"), self._shown("serve", "NRestarts")
        _require((status, restarts) == (WRONG, "0"), f"exit status {status}, {restarts} starts more")
        said = self._guest.run("journalctl", "--unit=ingest-serve.service", "--lines=20", "--output=cat")
        [sentence] = [line for line in said.splitlines() if "INGEST_HTTP_PORT" in line]
        self._guest.run("rm", drop_in)
        self._systemctl("daemon-reload")
        self._systemctl("restart", "ingest-serve.service")
        self._healthy("serve")
        return f"a wrong setting: exit status 2, not started again: {sentence.strip()}"

    def _stopped(self) -> str:
        names = [f"ingest-{name}.service" for name in SERVING]
        self._systemctl("stop", *names)
        results = {name: self._shown(name, "Result") for name in SERVING}
        _require(set(results.values()) == {"success"}, f"stopped with {results}")
        left = self._guest.run("find", "/proc", "-maxdepth", "1", "-user", "ingest")
        _require(not left, f"these processes are left: {left}")
        self._systemctl("disable", *names)
        return "daemon, ui and serve, stopped: success, and no process is left"

    def _spool_by_path(self) -> str:
        self._systemctl("enable", "--now", "ingest-spool.path", "ingest-spool.timer")
        self._systemctl(
            "start", "ingest-spool.service"
        )  # it makes the folders, which the timer would in a minute
        self._batch("by-path")
        took = self._archived("by-path")
        self._as_user(_BROKEN)
        self._guest.wait(
            "the broken file is put aside", lambda: "broken" in self._listed("failed"), REFRESH_S
        )
        self._batch("after-it")
        self._archived("after-it")
        return f"ingest-spool.path: a batch is archived after {took:.0f} s, a broken one is put aside"

    def _spool_by_timer(self) -> str:
        """What no file tells of, such as a gate that was opened, is the timer's."""
        waits = self._guest.run("systemctl", "list-timers", "--no-legend", "ingest-spool.timer")
        _require("ingest-spool.service" in waits, f"the timer waits for nothing: {waits}")
        return "ingest-spool.timer: it waits for its next refresh"

    def _spool_by_watch(self) -> str:
        self._systemctl("start", "ingest-watch.service")
        for unit in ("ingest-spool.path", "ingest-spool.timer"):
            self._guest.wait(f"{unit} is stopped", partial(self._inactive, unit), STOP_S)
        self._batch("by-watch")
        took = self._archived("by-watch")
        self._systemctl("stop", "ingest-watch.service")
        _require(self._shown("watch", "Result") == "success", "ingest-watch.service did not stop well")
        return f"ingest-watch.service: stops path unit and timer; a batch is archived after {took:.0f} s"

    def _worker(self) -> str:
        """Where runs are not sent through Celery it says so, and is not started again."""
        self._guest.run("cp", "/source/deploy/celery/ingest-worker.service", "/etc/systemd/system/")
        self._systemctl("daemon-reload")
        self._systemctl("start", "ingest-worker.service")
        self._guest.wait(
            "the worker gives up", lambda: self._shown("worker", "ActiveState") == "failed", START_S
        )
        status, restarts = self._shown("worker", "ExecMainStatus"), self._shown("worker", "NRestarts")
        _require((status, restarts) == (WRONG, "0"), f"worker: exit status {status}, {restarts} starts more")
        return "ingest-worker.service without a broker's settings: exit status 2, not started again"

    def _audited(self) -> str:
        audited = self._ingest("audit")
        _require(
            audited.count("All points agree") == len(("crm", "papers", "repositories", "spool")), audited
        )
        return "audit: all points of four sources agree"

    def _batch(self, tag: str) -> None:
        self._as_user(f"umask 077; /opt/ingest/bin/python -c '{_BATCH.format(state=STATE, tag=tag)}'")

    def _archived(self, tag: str) -> float:
        return self._guest.wait(f"{tag} is archived", lambda: tag in self._listed("archive"), REFRESH_S)

    def _listed(self, folder: str) -> str:
        return self._guest.asked("ls", "-R", f"{STATE}/spool/{folder}").stdout

    def _ingest(self, *arguments: str) -> str:
        """A command of the program, below the hardening of the units."""
        return self._guest.run(*_AS_A_SERVICE, INGEST, *arguments)

    def _as_user(self, script: str, given: str = "") -> str:
        shell = ["runuser", "--user", "ingest", "--", "env", f"--chdir={STATE}", "/bin/sh", "-c", script]
        return self._guest.run(*shell, given=given)

    def _systemctl(self, *arguments: str) -> str:
        return self._guest.run("systemctl", *arguments)

    def _shown(self, name: str, what: str) -> str:
        return self._guest.run("systemctl", "show", f"--property={what}", "--value", f"ingest-{name}.service")

    def _inactive(self, unit: str) -> bool:
        return self._guest.asked("systemctl", "is-active", "--quiet", unit).returncode != 0

    def _healthy(self, name: str) -> float:
        url = f"http://127.0.0.1:{SERVING[name]}"
        return self._guest.wait(
            f"{name} is healthy", lambda: self._guest.asked("curl", "-fsS", url).returncode == 0, START_S
        )


# A unit of its own; as its name begins with `ingest-`, systemd adds the hardening.
_AS_A_SERVICE = ("systemd-run", "--quiet", "--unit=ingest-command", "--wait", "--pipe", "--collect")
_WRONG_PORT = "[Service]\nEnvironment=INGEST_HTTP_PORT=many\n"


def _require(holds: object, message: str) -> None:
    if not holds:
        raise IngestError(f"The units are not right: {message}")
