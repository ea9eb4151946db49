"""What users may give as a repository, what it becomes, and what is refused in one clear sentence."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.internet import is_public
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.repositories.local import git_folder
from ingest_assets.sources.repositories.mirror import Mirror, remote_heads
from ingest_assets.sources.repositories.origin import Origin, checked_ref, parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.repos import TestRepo, bodies

OPEN = Policy()
OVER_SSH = Policy(protocols=frozenset({"ssh"}), known_hosts=Path("/known_hosts"))


@pytest.mark.parametrize(
    ("given", "expected_id", "url"),
    [
        ("https://github.com/Owner/Name", "github.com/owner/name", "https://github.com/Owner/Name"),
        ("https://github.com/Owner/Name.git", "github.com/owner/name", "https://github.com/Owner/Name.git"),
        ("https://gitlab.com/a/b/c", "gitlab.com/a/b/c", "https://gitlab.com/a/b/c"),
        ("HTTPS://GitHub.com:443/Owner/Name/", "github.com/owner/name", "https://github.com/Owner/Name"),
        ("  https://gitlab.com/a/b/c  ", "gitlab.com/a/b/c", "https://gitlab.com/a/b/c"),
        ("https://git.example.org:8443/A/b", "git.example.org:8443/A/b", "https://git.example.org:8443/A/b"),
        (
            "https://git.example.org/My%20Team/x",
            "git.example.org/My Team/x",
            "https://git.example.org/My%20Team/x",
        ),
        ("https://git.example.org./x", "git.example.org/x", "https://git.example.org/x"),
        ("https://8.8.8.8/x", "8.8.8.8/x", "https://8.8.8.8/x"),
        (
            "https://bücher.example.org/x",
            "xn--bcher-kva.example.org/x",
            "https://xn--bcher-kva.example.org/x",
        ),
    ],
)
def test_urls(given: str, expected_id: str, url: str) -> None:
    origin = parse_origin(given, OPEN)
    assert (origin.id, origin.url, origin.path) == (expected_id, url, None)


@pytest.mark.parametrize(
    ("given", "expected_id", "url", "web"),
    [
        (
            "git@github.com:Owner/Name.git",
            "ssh:github.com/owner/name",
            "ssh://git@github.com/Owner/Name.git",
            "https://github.com/Owner/Name",
        ),
        (
            "ssh://git@github.com/Owner/Name",
            "ssh:github.com/owner/name",
            "ssh://git@github.com/Owner/Name",
            "https://github.com/Owner/Name",
        ),
        ("git.acme.example:team/app.git", "ssh:git.acme.example/~/team/app",
         "ssh://git@git.acme.example/~/team/app.git", None),
        ("git.acme.example:/srv/app", "ssh:git.acme.example/srv/app",
         "ssh://git@git.acme.example/srv/app", None),
        ("ssh://alice@git.acme.example:2222/srv/app", "ssh:alice@git.acme.example:2222/srv/app",
         "ssh://alice@git.acme.example:2222/srv/app", None),
        ("ssh://git@[2606:4700:4700::1111]:2222/app", "ssh:[2606:4700:4700::1111]:2222/app",
         "ssh://git@[2606:4700:4700::1111]:2222/app", None),
        ("git@[2606:4700:4700::1111]:/app", "ssh:[2606:4700:4700::1111]/app",
         "ssh://git@[2606:4700:4700::1111]/app", None),
        ("git.acme.example:~alice/app", "ssh:git.acme.example/~alice/app",
         "ssh://git@git.acme.example/~alice/app", None),
    ],
)  # fmt: skip
def test_ssh_addresses(given: str, expected_id: str, url: str, web: str | None) -> None:
    origin = parse_origin(given, OVER_SSH)
    assert (origin.id, origin.url, origin.web, origin.path) == (expected_id, url, web, None)
    assert parse_origin(url, OVER_SSH) == origin


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ssh://git:s3cret@github.com/a/b", "credentials"),
        ("git:s3cret@github.com:a/b", "credentials"),
        ("ssh://-oProxyCommand=x@github.com/a/b", "user"),
        ("-oProxyCommand=x@github.com:a/b", "hyphen"),
        ("ssh://-oProxyCommand=x/a/b", "no host"),
        ("a@b@github.com:a/b", "user"),
        ("alice:s3cret@github.com/a/b", "credentials"),
        ("https:/github.com/a/b", "must begin with https://"),
        ("github.com:a/../b", "path"),
        ("github.com:", "path"),
        ("github.com:a'b", "path"),
        ("github.com:$(touch x)`id`", "path"),
        ("ssh://github.com/a?b", "no query"),
        ("10.0.0.8:a/b", "private or reserved"),
        ("localhost:a/b", "private name"),
        ("ext::ssh git@github.com a/b", "remote helper"),
        ("https://github.com/a/b", "by https"),
    ],
)
def test_refused_ssh_addresses(given: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        parse_origin(given, OVER_SSH)
    assert "s3cret" not in str(caught.value)


REFUSED = [
    ("", "empty"),
    ("http://github.com/a/b", "by http"),
    ("ssh://git@github.com/a/b", "by ssh"),
    ("ssh://git:s3cret@github.com/a/b", "credentials"),
    ("ssh://github.com/a/b", "by ssh"),
    ("git://github.com/a/b", "by git"),
    ("git@github.com:a/b.git", "by ssh"),
    ("github.com:a/b.git", "by ssh"),
    ("ext::sh -c touch% /tmp/x", "remote helper"),
    ("fd::17/foo", "remote helper"),
    ("file:///etc", "by file"),
    ("--upload-pack=touch /tmp/x", "begin with a hyphen"),
    ("javascript://x/y", "by javascript"),
    ("https://user:s3cret@github.com/a/b", "credentials"),
    ("https://s3cret@github.com/a/b", "credentials"),
    ("https://github.com/a/b?token=s3cret", "no query"),
    ("https://github.com/a/b#s3cret", "no fragment"),
    ("https://github.com", "path"),
    ("https:///a/b", "no host"),
    ("https://github.com/a", "names no repository"),
    ("https://github.com/a/b/tree/main/src", "which is https://github.com/a/b "),
    ("https://gitlab.com/a/b/c/-/blob/main/x.py", "which is https://gitlab.com/a/b/c "),
    ("https://github.com/a/../b", "path"),
    ("https://github.com/a/%2e%2e/b", "encoded dot"),
    ("https://github.com/a/%252e%252e/b", "encoded"),
    ("https://github.com/a%2fb", "encoded"),
    ("https://github.com/a%00b", "encoded"),
    ("https://github.com/a%0ab", "encoded"),
    ("https://github.com/a\\b", "path"),
    ("https://github.com/a\u2062b", "path"),
    ("https://github.com/a\0b", "control"),
    ("https://github.com/a\nb", "control"),
    ("https://github.com:99999/a/b", "host and port"),
    ("https://github.com:0/a/b", "port"),
    ("https://[::1/a", "cannot be read"),
    ("https://-x.example.org/a", "no host"),
    ("https://ex ample.org/a", "no host"),
    ("https://git%68ub.com/a/b", "no host"),
    ("https://github.com/" + "a" * 5_000, "5,0"),
    ("https://localhost/a", "private name"),
    ("https://x.localhost/a", "private name"),
    ("https://git.corp.internal/a", "private name"),
    ("https://127.0.0.1/a", "private or reserved"),
    ("https://127.1/a", "is a number"),
    ("https://2130706433/a", "is a number"),
    ("https://0x7f000001/a", "is a number"),
    ("https://0177.0.0.1/a", "is a number"),
    ("https://10.0.0.8/a", "private or reserved"),
    ("https://169.254.169.254/latest", "private or reserved"),
    ("https://100.64.0.1/a", "private or reserved"),
    ("https://0.0.0.0/a", "private or reserved"),
    ("https://[::1]/a", "private or reserved"),
    ("https://[::ffff:127.0.0.1]/a", "private or reserved"),
    ("https://[::ffff:a9fe:a9fe]/a", "private or reserved"),
    ("https://[fd00::1]/a", "private or reserved"),
    ("https://[fe80::1]/a", "private or reserved"),
    ("https://[64:ff9b::7f00:1]/a", "private or reserved"),
    ("https://[2002:7f00:1::]/a", "private or reserved"),
    ("/etc", "no folder for them is set"),
    ("relative/path", "no folder for them is set"),
]


@pytest.mark.parametrize(("given", "words"), REFUSED)
def test_refused_urls_and_paths(given: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        parse_origin(given, OPEN)
    message = str(caught.value)
    assert "s3cret" not in message
    assert message.endswith(".")
    assert len(message) < 200
    assert "\n" not in message


@given(st.text(max_size=60).map(lambda text: "https://" + text) | st.text(max_size=60))
def test_any_input_is_an_origin_or_a_refusal(given: str) -> None:
    _is_an_origin_or_a_refusal(given, OPEN)


@given(
    st.text(max_size=60).map(lambda text: "ssh://" + text)
    | st.text(max_size=60).map(lambda text: "git.example.org:" + text)
    | st.text(max_size=60)
)
def test_any_ssh_input_is_an_origin_or_a_refusal(given: str) -> None:
    _is_an_origin_or_a_refusal(given, OVER_SSH)


def _is_an_origin_or_a_refusal(given: str, policy: Policy) -> None:
    try:
        origin = parse_origin(given, policy)
    except ConfigurationError:
        return
    assert origin.url is not None
    assert parse_origin(origin.url, policy) == origin
    assert origin.id.isprintable()
    assert ".." not in origin.id.split("/")


def test_an_allow_list_of_hosts() -> None:
    policy = Policy(hosts=frozenset({"github.com", "*.example.org"}))
    parse_origin("https://github.com/a/b", policy)
    parse_origin("https://git.example.org/a", policy)
    for host in ("example.org", "github.com.evil.net", "evilgithub.com", "evilexample.org"):
        with pytest.raises(ConfigurationError, match="not an allowed host"):
            parse_origin(f"https://{host}/a", policy)


def test_a_policy_cannot_allow_what_cannot_be_fetched() -> None:
    with pytest.raises(ConfigurationError, match="by git"):
        Policy(protocols=frozenset({"https", "git"}))
    with pytest.raises(ConfigurationError, match="INGEST_REPOSITORY_KNOWN_HOSTS"):
        Policy(protocols=frozenset({"https", "ssh"}))
    with pytest.raises(ConfigurationError, match="must be absolute"):
        Policy(local_roots=(Path("here"),))


def test_a_long_path_has_a_short_id() -> None:
    one, other = (parse_origin(f"https://example.org/{'a' * 300}{x}", OPEN).id for x in "12")
    assert len(one) == len(other) == 200
    assert one != other


def test_private_and_unknown_names_are_refused() -> None:
    origin = Origin(id="x", name="x", url="https://localhost:1/x")
    with pytest.raises(ConfigurationError, match="private name"):
        remote_heads(origin, Policy())
    with pytest.raises(UnavailableError, match="not known"):
        Policy().resolve("no-such-host.invalid", 443, 5)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True),
        ("192.168.1.1", False), ("172.16.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("198.18.0.1", False), ("192.0.2.1", False), ("::", False), ("ff02::1", False), ("fec0::1", False),
        ("2001:db8::1", False), ("64:ff9b::a00:1", False), ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("ref", [None, "", "HEAD"])
def test_no_ref_is_the_default_branch(ref: str | None) -> None:
    assert checked_ref(ref) is None


@pytest.mark.parametrize(
    "ref", ["main", "v1.0", "feature/x", "refs/tags/v1", "a" * 40, "später", "a@b", "x#1"]
)
def test_refs(ref: str) -> None:
    assert checked_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch /tmp/x", "-x", "a..b", "a b", "a\0b", "a\nb", "/a", "a/", "a//b", ".a", "a/.b",
        "a.lock", "a.lock/b", "a.", "a@{1}", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b",
        "x" * 5_000, "\ud800",
    ],
)  # fmt: skip
def test_refused_refs(ref: str) -> None:
    with pytest.raises(ConfigurationError, match="ref"):
        checked_ref(ref)


@pytest.mark.parametrize(
    ("url", "ref", "link"),
    [
        ("https://github.com/a/b.git", None, "https://github.com/a/b/blob/HEAD/src/x%20y.py"),
        ("https://github.com/a/b", "v1", "https://github.com/a/b/blob/v1/src/x%20y.py"),
        ("https://github.com/a/b", "refs/heads/f/x", "https://github.com/a/b/blob/f/x/src/x%20y.py"),
        ("https://gitlab.com/a/b", None, "https://gitlab.com/a/b/-/blob/HEAD/src/x%20y.py"),
        ("https://bitbucket.org/a/b", None, "https://bitbucket.org/a/b/src/HEAD/src/x%20y.py"),
        ("https://git.example.org/a/b.git", None, "https://git.example.org/a/b#src/x%20y.py"),
    ],
)
def test_links(url: str, ref: str | None, link: str) -> None:
    assert parse_origin(url, OPEN).link("src/x y.py", ref) == link


def _policy(root: Path) -> Policy:
    return Policy(local_roots=(root,), protocols=frozenset({"https", "file"}))


def _repository_at(given: str, policy: Policy) -> None:
    """As what is committed is read: a folder that is read as it stands need not be a repository."""
    origin = parse_origin(given, policy)
    assert origin.path is not None
    git_folder(origin.path, policy.roots_for(origin.path))


def test_folders_that_are_no_repositories_and_those_of_people_here(tmp_path: Path) -> None:
    root, own = tmp_path / "root", tmp_path / "own"
    for folder in (root / "plain", own):
        folder.mkdir(parents=True)
    assert parse_origin(str(root / "plain"), _policy(root)).name == "plain"
    with pytest.raises(ConfigurationError, match="outside the folders"):
        parse_origin(str(own), _policy(root))
    here = replace(_policy(root), own_folders=True)
    assert parse_origin(str(own), here).path == own
    (own / "link").symlink_to(root)
    assert parse_origin(str(own / "link"), here).path == root
    for path in (f"{own}/../own", "own", f"{own}/%2e%2e/own", str(own / "nothing")):
        with pytest.raises(ConfigurationError):
            parse_origin(path, here)
    assert parse_origin(str(own), Policy(own_folders=True)).path == own  # without the protocol file


def test_local_repositories(tmp_path: Path) -> None:
    with TestRepo(tmp_path / "my repo.git") as repo:
        repo.commit({"a.py": b""})
    origin = parse_origin(str(tmp_path / "my repo.git"), _policy(tmp_path))
    assert origin.id.startswith("local/my_repo-")
    assert origin.path == tmp_path / "my repo.git"
    assert origin.link("a b.py", None) == f"repository:{origin.id}/a%20b.py"
    assert parse_origin((tmp_path / "my repo.git").as_uri(), _policy(tmp_path)) == origin
    assert parse_origin(f"{tmp_path}/./my repo.git/", _policy(tmp_path)) == origin
    (tmp_path / "link").symlink_to("my repo.git")
    assert parse_origin(str(tmp_path / "link"), _policy(tmp_path)) == origin  # one repository, one id


def test_refused_local_paths(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with TestRepo(root / "repo") as repo:
        repo.commit({"a.py": b""})
    with TestRepo(tmp_path / "outside") as other:
        other.commit({"a.py": b""})
    (root / "plain").mkdir()
    (root / "file").write_text("x")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    (root / "piped").mkdir()
    os.mkfifo(root / "piped" / "HEAD")
    cases = {
        "repo": "must be absolute",
        "./repo": "must be absolute",
        f"{root}/../root/repo": r'"\.\."',
        f"{root}/%2e%2e/root/repo": r'"\.\."',
        f"{root}/%252e%252e/root/repo": r'"\.\."',
        f"{root}/repo%2f..": r'"\.\."',
        f"{root}/plain": "not a git repository",
        f"{root}/file": "not a folder",
        f"{root}/missing": "No such file",
        f"{root}/out": "outside the folders",
        f"{root}/loop": "not a folder",
        f"{root}/pipe": "not a folder",
        f"{root}/piped": "not a git repository",
        "/dev/zero": "outside the folders",
        str(tmp_path / "outside"): "outside the folders",
        f"{root}/re\0po": "control character",
        f"{root}/{'x' * 300}": "cannot be opened",
        f"file://host{root}/repo": "may not name a host",
        f"file://{root}/%2e%2e/root/repo": "encoded dot",
    }
    for path, words in cases.items():
        with pytest.raises(ConfigurationError, match=words):
            _repository_at(path, _policy(root))


def test_a_repository_may_not_lead_out_of_the_allowed_folders(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with TestRepo(tmp_path / "secret") as secret:
        secret.commit({"secret.py": b"secret = 1\n"})
    for name, part, target in [
        ("objects-link", "objects", tmp_path / "secret" / "objects"),
        ("refs-link", "refs", tmp_path / "secret" / "refs"),
    ]:
        with TestRepo(root / name):
            pass
        (root / name / part).rename(root / name / f"{part}.own")
        (root / name / part).symlink_to(target)
    with TestRepo(root / "borrower"):
        pass
    (root / "borrower" / "objects" / "info" / "alternates").write_text(f"{tmp_path / 'secret' / 'objects'}\n")
    (root / "pointer").mkdir()
    (root / "pointer" / ".git").write_text(f"gitdir: {tmp_path / 'secret'}\n")
    (root / "worktree").mkdir()
    (root / "worktree" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "worktree" / "commondir").write_text("../../secret\n")
    for name in ("objects-link", "refs-link", "borrower", "pointer", "worktree"):
        with pytest.raises(ConfigurationError, match="outside the folders"):
            _repository_at(str(root / name), _policy(root))


def test_a_worktree_and_borrowed_objects_within_the_folders(tmp_path: Path) -> None:
    with TestRepo(tmp_path / "main.git") as repo:
        commit = repo.commit({"a.py": b"a = 1\n"})
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text("gitdir: ../main.git\n")
    policy = _policy(tmp_path)
    assert Mirror(parse_origin(str(tmp_path / "tree"), policy), tmp_path, policy).fetch().commit == commit
    with TestRepo(tmp_path / "shared.git"):
        pass
    (tmp_path / "shared.git" / "objects" / "info" / "alternates").write_text("../../main.git/objects\n")
    (tmp_path / "shared.git" / "refs" / "heads" / "main").write_text(f"{commit}\n")
    mirror = Mirror(parse_origin(str(tmp_path / "shared.git"), policy), tmp_path, policy)
    assert mirror.fetch("main").commit == commit
    assert bodies(RepositorySource("x", mirror, ref="main")) == {"a.py": b"a = 1\n"}


def test_unsupported_formats_are_reported(tmp_path: Path) -> None:
    with TestRepo(tmp_path / "new"):
        pass
    config = tmp_path / "new" / "config"
    config.write_text(config.read_text() + "[extensions]\n\tobjectFormat = sha256\n")
    with pytest.raises(ConfigurationError, match="SHA-256"):
        _repository_at(str(tmp_path / "new"), _policy(tmp_path))
