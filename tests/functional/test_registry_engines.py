"""Container engines and `berth registry serve`: their request sequences replayed, and the real ones where they can start.

The sequences are in tests/support/engine_clients.py, read from the engines' sources (August 2026): moby
daemon/internal/distribution/{push_v2,pull_v2,registry}.go over distribution's client (repository.go, blob_writer.go,
transport/http_reader.go, auth/session.go); containerd core/remotes/docker/{resolver,fetcher,pusher,referrers,authorizer}.go and
auth/fetch.go; containers/image docker/{docker_client,docker_image_src,docker_image_dest}.go (podman, CRI-O, skopeo, buildah).
Kubernetes pulls images and image volumes through containerd or CRI-O. `docker buildx imagetools create` pushes with containerd's
pusher.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import berthlab
from engine_clients import INDEX, LIST, MANIFEST, SCHEMA2, Containerd, Containers, Docker, Image, digest_of

USER = ("alice", "s3cret-canary")
ENGINES = [Docker, Containerd, Containers]
every_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)


@pytest.fixture(scope="module", params=[None, "basic", "token"], ids=["open", "basic", "token"])
def access(request, tmp_path_factory):
    users = {} if request.param is None else {"htpasswd": [USER]}
    registry = berthlab.OwnRegistry(tmp_path_factory.mktemp("r") / "r", **users)
    yield registry, request.param
    registry.close()


def client(access, engine, repository, actions="pull,push", **more):
    registry, how = access
    return engine(registry.port, repository, actions, how, USER if how else None, **more)


def name_of(access, engine, what):
    return f"{engine.__name__.lower()}/{access[1] or 'open'}/{what}"


@every_engine
@pytest.mark.parametrize("type", [SCHEMA2, MANIFEST], ids=["docker", "oci"])
def test_an_image_is_pushed_and_pulled(access, engine, type):
    image = Image(f"{engine.__name__} {type} {access[1]}", type)
    repository = name_of(access, engine, "docker" if type == SCHEMA2 else "oci")
    assert client(access, engine, repository).push("v1", image) == ["pushed", "pushed"]
    digest, layers = client(access, engine, repository, "pull").pull("v1")
    assert digest == digest_of(image.manifest) and layers == image.layers
    # Again: nothing is sent twice.
    assert client(access, engine, repository).push("v2", image) == ["exists", "exists"]


@every_engine
def test_layers_are_mounted_from_where_they_are(access, engine):
    image = Image(f"mount {engine.__name__} {access[1]}")
    source, target = name_of(access, engine, "source"), name_of(access, engine, "target")
    client(access, engine, source).push("v1", image)
    assert client(access, engine, target).push("v1", image, mount_from=source) == ["mounted", "mounted"]
    assert client(access, engine, target, "pull").pull("v1")[1] == image.layers
    # A source that has it not: an upload begins, and nothing is left of it.
    other = Image(f"not there {engine.__name__} {access[1]}")
    assert client(access, engine, target).push("v2", other, mount_from=source) == ["pushed", "pushed"]
    assert not list((access[0].root / "ingest").iterdir())


@every_engine
@pytest.mark.parametrize("type", [LIST, INDEX], ids=["list", "index"])
def test_an_index_is_pushed_and_a_platform_of_it_pulled(access, engine, type):
    """As `docker buildx imagetools create` does: what exists is only looked at, the index is put by tag."""
    image = Image(f"index {engine.__name__} {type} {access[1]}", SCHEMA2 if type == LIST else MANIFEST)
    repository = name_of(access, engine, "index-" + ("list" if type == LIST else "oci"))
    index = Image.list_of(image, type=type)
    buildx = client(access, Containerd, repository)
    client(access, engine, repository).push("one", image)
    assert buildx.push_manifest(digest_of(image.manifest), image.manifest) == "exists"
    assert buildx.push_manifest("all", index) == "pushed"
    digest, layers = client(access, engine, repository, "pull").pull("all")
    assert digest == digest_of(index) and layers == image.layers


@every_engine
def test_every_engine_pulls_what_another_pushed(access, engine):
    image = Image(f"shared {engine.__name__} {access[1]}")
    repository = name_of(access, engine, "shared")
    client(access, engine, repository).push("v1", image)
    for other in ENGINES:
        assert client(access, other, repository, "pull").pull(digest_of(image.manifest))[1] == image.layers


def test_containerd_asks_for_referrers(access):
    image = Image(f"referrers {access[1]}", MANIFEST)
    one = client(access, Containerd, name_of(access, Containerd, "referrers"))
    assert one.referrers(digest_of(image.manifest)) == []
    one.push("v1", image)
    signature = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-signature",
                            "config": Image.describe(image.config, image.config_type), "layers": [],
                            "subject": Image.describe(image.manifest, MANIFEST)}).encode()
    assert one.push_manifest(digest_of(signature), signature) == "pushed"
    for type in (None, "application/x-signature"):
        assert [found["digest"] for found in one.referrers(digest_of(image.manifest), type)] == [digest_of(signature)]
    assert one.referrers(digest_of(image.manifest), "application/x-other") == []


def test_a_namespace_says_nothing_where_nothing_is_mirrored(access):
    """containerd adds ?ns= when it takes a host for a mirror of another, to every request."""
    image = Image(f"ns {access[1]}")
    one = client(access, Containerd, name_of(access, Containerd, "ns"), ns="docker.io")
    assert one.push("v1", image) == ["pushed", "pushed"]
    assert one.pull("v1")[1] == image.layers


def test_containerd_pulls_through_a_mirror(registry, tmp_path):
    image = Image("mirror")
    upstream = Containerd(registry.port, "library/image", "pull,push")
    upstream.push("v1", image)
    mirror = berthlab.OwnRegistry(tmp_path / "m", "--mirror", f"up=http://{registry.host}")
    try:
        assert Containerd(mirror.port, "library/image", "pull", ns=registry.host).pull("v1")[1] == image.layers
        assert Containers(mirror.port, "up/library/image", "pull").pull("v1")[1] == image.layers
        assert Docker(mirror.port, "up/library/image", "pull").pull("v1")[1] == image.layers
        foreign = Containerd(mirror.port, "library/image", "pull", ns="elsewhere.example")
        foreign.ask("HEAD", foreign.v2("manifests/v1"), expect=(404,))
    finally:
        mirror.close()


def test_who_may_only_pull_is_refused_in_the_middle_of_a_push(tmp_path):
    """The token that was asked for with push has pull only: no loop of logins, but a 403 that says so."""
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=[USER], env={"BERTH_REGISTRY_SERVER_RULES": "alice pull **"})
    try:
        for engine in ENGINES:
            one = engine(registry.port, "a/b", "pull,push", "token", USER)
            answer = one.ask("POST", one.v2("blobs/uploads/"), expect=(403,))
            assert answer.json()["errors"][0]["code"] == "DENIED"
            wrong = engine(registry.port, "a/b", "pull", "token", (USER[0], "wrong"))
            with pytest.raises(AssertionError):
                wrong.ask("HEAD", wrong.v2("manifests/v1"))
    finally:
        registry.close()


# --- the real ones

UNPACKED = berthlab.PARTS / "debian/containers"  # by tools/parts containers
ROOT = os.environ.get("CONTAINER_ENGINES") or (str(UNPACKED) if UNPACKED.exists() else None)
FOLDERS = [f"{ROOT}/usr/bin", f"{ROOT}/usr/sbin"] if ROOT else []
PATH = os.pathsep.join([*FOLDERS, os.environ["PATH"], "/usr/sbin"])


def engine_env(folder):
    env = {"PATH": PATH, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    if ROOT:
        env["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, pathlib.Path(ROOT).glob("usr/lib/*-linux-gnu")))
    return env


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program, path=PATH)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not here: install them, or run tools/parts containers")
    if os.geteuid() != 0:
        pytest.skip("engines that store images need root")


def run(*args, env, ok=True):
    done = subprocess.run([str(arg) for arg in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, env=env)
    assert not ok or done.returncode == 0, (args, done.stdout)
    return done


@contextlib.contextmanager
def daemon(folder, name, *args, probe, env):
    """A daemon in this folder, once `probe` succeeds; a machine that cannot run it is a reason to skip."""
    log = folder / f"{name}.log"
    process = subprocess.Popen([name, *map(str, args)], stdout=open(log, "w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
    try:
        berthlab.until(lambda: process.poll() is not None or run(*probe, env=env, ok=False).returncode == 0, f"{name} to start", 60)
        if process.poll() is not None:
            pytest.skip(f"{name} cannot start here: {log.read_text()[-500:]}")
        yield
    finally:
        berthlab.stop(process, 60)


@pytest.fixture
def engines(folder):
    needs("containerd", "ctr")
    env = engine_env(folder)
    config = folder / "containerd.toml"
    config.write_text(f'version = 2\nroot = "{folder}/cr"\nstate = "{folder}/cs"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                      f'[grpc]\n  address = "{folder}/c.sock"\n')
    with daemon(folder, "containerd", "-c", config, probe=("ctr", "-a", folder / "c.sock", "version"), env=env):
        yield env


@pytest.fixture
def dockerd(engines, folder):
    needs("dockerd", "docker")
    env = {**engines, "DOCKER_HOST": f"unix://{folder}/d.sock"}
    with daemon(folder, "dockerd", "--containerd", folder / "c.sock", "--data-root", folder / "dr", "--exec-root", folder / "de",
                "--pidfile", folder / "d.pid", "-H", env["DOCKER_HOST"], "--bridge=none", "--iptables=false", "--ip6tables=false",
                "--ip-forward=false", "--ip-masq=false", "--storage-driver=vfs", probe=("docker", "version"), env=env):
        yield env


def tarball(folder, text):
    (folder / "content").mkdir(exist_ok=True)
    (folder / "content/file").write_text(text)
    subprocess.run(["tar", "-cf", folder / "content.tar", "-C", folder / "content", "file"], check=True)
    return folder / "content.tar"


@pytest.fixture(params=["open", "users"])
def one(request, folder):
    registry = berthlab.OwnRegistry(folder / "r", **({"htpasswd": [USER]} if request.param == "users" else {}))
    registry.users = request.param == "users"
    yield registry
    registry.close()


def test_dockerd_pushes_mounts_and_pulls(dockerd, one, folder):
    image = f"{one.host}/docker/image:1"
    run("docker", "import", tarball(folder, "hello" * 10_000), image, env=dockerd)
    if one.users:
        assert run("docker", "push", image, env=dockerd, ok=False).returncode != 0
        run("docker", "login", "-u", USER[0], "-p", USER[1], one.host, env=dockerd)
    run("docker", "push", image, env=dockerd)
    other = f"{one.host}/docker/other:1"
    run("docker", "tag", image, other, env=dockerd)
    assert "Mounted from docker/image" in run("docker", "push", other, env=dockerd).stdout
    digest = one.request("HEAD", "/v2/docker/other/manifests/1", user=USER if one.users else None)[1]["docker-content-digest"]
    run("docker", "rmi", image, other, env=dockerd)
    run("docker", "pull", f"{one.host}/docker/other@{digest}", env=dockerd)
    run("docker", "pull", other, env=dockerd)
    assert digest in run("docker", "images", "--digests", env=dockerd).stdout


def test_containerd_pulls_and_pushes(engines, one, folder):
    login = ["--user", ":".join(USER)] if one.users else []
    ctr = ("ctr", "-a", folder / "c.sock", "images")
    image = Image("real containerd", MANIFEST)
    Containerd(one.port, "ctr/image", "pull,push", "token" if one.users else None, USER).push("1", image)
    name, other = f"{one.host}/ctr/image:1", f"{one.host}/ctr/other:1"
    run("ctr", "-a", folder / "c.sock", "content", "fetch", "--plain-http", *login, name, env=engines)
    run(*ctr, "tag", name, other, env=engines)
    run(*ctr, "push", "--plain-http", *login, other, env=engines)
    found = Containerd(one.port, "ctr/other", "pull", "token" if one.users else None, USER).pull("1")
    assert found == (digest_of(image.manifest), image.layers)


def test_podman_pulls_and_pushes(one, folder):
    needs("podman")
    env = engine_env(folder)
    config = folder / ".config/containers"
    config.mkdir(parents=True)
    (config / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    podman = ("podman", "--root", folder / "pr", "--runroot", folder / "ps", "--tmpdir", folder / "pt", "--storage-driver", "vfs")
    started = run(*podman, "info", env=env, ok=False)
    if started.returncode:
        pytest.skip(f"podman cannot start here: {started.stdout[-500:]}")
    image = f"{one.host}/podman/image:1"
    run(*podman, "import", tarball(folder, "hello" * 10_000), image, env=env)
    if one.users:
        run(*podman, "login", "--tls-verify=false", "-u", USER[0], "-p", USER[1], one.host, env=env)
    run(*podman, "push", "--tls-verify=false", image, env=env)
    run(*podman, "rmi", image, env=env)
    run(*podman, "pull", "--tls-verify=false", image, env=env)
    assert image in run(*podman, "images", "--format", "{{.Repository}}:{{.Tag}}", env=env).stdout
