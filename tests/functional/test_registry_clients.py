"""`berth registry serve` with its real clients: berth, oras, skopeo, crane and cosign, plain, with users and with TLS."""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import threading

import pytest

import berthlab

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def run(*args, **kwargs):
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **kwargs)
    assert done.returncode == 0, (args, done.stdout)
    return done.stdout


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_a_model_goes_there_and_comes_back(own_registry, berth, tmp_path):
    model = f"{own_registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
    id = berth.json("inspect", model)["id"]
    berth.run("push", model)
    berth.run("rm", model)
    berth.run("pull", model)
    assert berth.json("inspect", model)["id"] == id
    berth.run("fsck", "--read-data")


def test_a_model_goes_over_ipv6(tmp_path, berth):
    registry = berthlab.OwnRegistry(tmp_path / "r", address="[::1]")
    try:
        model = f"{registry.host}/ai/tiny:1"
        berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
        berth.run("push", model)
        berth.run("rm", model)
        berth.run("pull", model)
    finally:
        registry.close()


class AsksForCertificates(socketserver.ThreadingTCPServer):
    """TLS in front of a plain port; who shows no certificate of the CA is not let in."""

    daemon_threads = True

    def __init__(self, tls, to):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(tls.certificate, tls.key)
        self.context.load_verify_locations(tls.ca)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.to = to
        super().__init__(("127.0.0.1", 0), None)

    def finish_request(self, connection, client):
        with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as inside, \
                socket.create_connection(("127.0.0.1", self.to)) as outside:
            back = threading.Thread(target=self.pass_on, args=(outside, inside))
            back.start()
            self.pass_on(inside, outside)
            back.join()

    @staticmethod
    def pass_on(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_a_client_certificate_of_one_registry(own_registry, berth, tmp_path):
    tls = berthlab.Tls(tmp_path)
    with AsksForCertificates(tls, own_registry.port) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        host = f"localhost:{front.server_address[1]}"
        berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), f"{host}/ai/tiny:1")
        config = tmp_path / "config.toml"
        config.write_text(f'[registry.host."{host}"]\nca_file = "{tls.ca}"\n')
        assert berth.run("--config", config, "push", f"{host}/ai/tiny:1", ok=False).returncode != 0
        with open(config, "a") as file:
            file.write(f'client_certificate = "{tls.certificate}"\nclient_key = "{tls.key}"\n')
        berth.run("--config", config, "push", f"{host}/ai/tiny:1")
        assert own_registry.request("GET", "/v2/ai/tiny/manifests/1")[0] == 200
        front.shutdown()


def test_oras_pushes_and_pulls(own_registry, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("hello")
    run(berthlab.part("oras"), "push", "--plain-http", f"{own_registry.host}/o/a:1", "a.txt", cwd=tmp_path / "in")
    (tmp_path / "sbom.json").write_text("{}")
    run(berthlab.part("oras"), "attach", "--plain-http", "--artifact-type", "application/sbom", f"{own_registry.host}/o/a:1", "sbom.json", cwd=tmp_path)
    assert "application/sbom" in run(berthlab.part("oras"), "discover", "--plain-http", f"{own_registry.host}/o/a:1")
    run(berthlab.part("oras"), "pull", "--plain-http", "-o", tmp_path / "out", f"{own_registry.host}/o/a:1")
    assert (tmp_path / "out/a.txt").read_text() == "hello"
    assert run(berthlab.part("oras"), "repo", "tags", "--plain-http", f"{own_registry.host}/o/a").split() == ["1"]


def image_layout(folder):
    """A small image with real layers, as an OCI layout."""
    (folder / "blobs/sha256").mkdir(parents=True)

    def blob(data):
        (folder / "blobs/sha256" / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return {"digest": sha256(data), "size": len(data)}

    tar = run_bytes("tar", "--sort=name", "--mtime=@0", "-cf", "-", "-C", str(folder), "blobs")
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(tar)]}, "config": {}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **blob(gzip.compress(tar, mtime=0))}]}).encode()
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({
        "schemaVersion": 2, "manifests": [{"mediaType": MANIFEST, **blob(manifest), "annotations": {"org.opencontainers.image.ref.name": "x"}}]}))
    return sha256(manifest)


def run_bytes(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("format", ["oci", "v2s2"])
def test_skopeo_copies_images_of_both_types(own_registry, tmp_path, format):
    image_layout(tmp_path / "in")
    skopeo = berthlab.part("skopeo")
    place = f"docker://{own_registry.host}/s/image:{format}"
    run(skopeo, "copy", "--dest-tls-verify=false", "--format", format, f"oci:{tmp_path}/in:x", place)
    run(skopeo, "copy", "--src-tls-verify=false", place, f"oci:{tmp_path}/out:x")
    raw = json.loads(run(skopeo, "inspect", "--raw", "--tls-verify=false", place))
    assert ("docker" in raw["mediaType"]) == (format == "v2s2")
    run(skopeo, "delete", "--tls-verify=false", place)
    assert own_registry.request("GET", f"/v2/s/image/manifests/{format}")[0] == 404


def test_crane_pushes_copies_lists_and_deletes(own_registry, tmp_path):
    digest = image_layout(tmp_path / "in")
    crane = berthlab.part("crane")
    run(crane, "push", tmp_path / "in", f"{own_registry.host}/c/image:1")
    run(crane, "validate", "--remote", f"{own_registry.host}/c/image:1")
    run(crane, "cp", f"{own_registry.host}/c/image:1", f"{own_registry.host}/c/copy:1")
    assert run(crane, "digest", f"{own_registry.host}/c/copy:1").strip() == digest
    assert sorted(run(crane, "catalog", own_registry.host).split()) == ["c/copy", "c/image"]
    run(crane, "tag", f"{own_registry.host}/c/copy:1", "2")
    assert run(crane, "ls", f"{own_registry.host}/c/copy").split() == ["1", "2"]
    run(crane, "delete", f"{own_registry.host}/c/copy@{digest}")
    assert run(crane, "ls", f"{own_registry.host}/c/copy").split() == []


def test_cosign_signs_and_verifies(own_registry, berth, tmp_path):
    model = f"{own_registry.host}/ai/signed:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
    berth.run("push", model)
    digest = own_registry.request("HEAD", "/v2/ai/signed/manifests/1")[1]["docker-content-digest"]
    name = f"{own_registry.host}/ai/signed@{digest}"
    quiet = {**os.environ, "COSIGN_PASSWORD": "", "HOME": str(tmp_path)}
    cosign = berthlab.part("cosign")
    run(cosign, "generate-key-pair", cwd=tmp_path, env=quiet)
    run(cosign, "sign", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry=true", "-y", name, cwd=tmp_path, env=quiet)
    run(cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry=true", name, cwd=tmp_path, env=quiet)


USERS = [("alice", "s3cret-canary"), ("bob", "b0b-canary")]


@pytest.fixture
def guarded(tmp_path):
    rules = "alice * team/**; bob pull team/shared; bob pull,push team/bob"
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=USERS, env={"BERTH_REGISTRY_SERVER_RULES": rules})
    yield registry
    registry.close()


def test_every_client_logs_in(guarded, berth, tmp_path):
    alice, password = USERS[0]
    model = f"{guarded.host}/team/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
    refused = berth.run("push", model, ok=False)
    assert refused.returncode != 0 and "log" in refused.stderr.lower(), refused.stderr
    berth.run("login", guarded.host, "-u", alice, "--password-stdin", input=password)
    berth.run("push", model)
    berth.run("rm", model)
    berth.run("pull", model)
    image_layout(tmp_path / "in")
    home = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "docker"), "HOME": str(tmp_path)}
    run(berthlab.part("crane"), "auth", "login", guarded.host, "-u", alice, "-p", password, env=home)
    run(berthlab.part("crane"), "push", tmp_path / "in", f"{guarded.host}/team/image:1", env=home)
    run(berthlab.part("oras"), "repo", "tags", "--plain-http", "-u", alice, "-p", password, f"{guarded.host}/team/image")
    run(berthlab.part("skopeo"), "copy", "--src-tls-verify=false", "--src-creds", f"{alice}:{password}",
        f"docker://{guarded.host}/team/image:1", f"oci:{tmp_path}/out:x")
    log = (guarded.folder / "log").read_text()
    assert "canary" not in log


def test_a_wrong_password_and_a_forged_token_are_401(guarded):
    status, headers, _ = guarded.request("GET", "/v2/")
    assert status == 401 and headers["www-authenticate"].startswith(f'Bearer realm="http://{guarded.host}/v2/_berth/token"')
    for headers in ({"Authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}, {"Authorization": "Basic x"},
                    {"Authorization": "Bearer a.b.c"}, {"Authorization": "Negotiate x"}):
        assert guarded.request("GET", "/v2/", headers=headers)[0] == 401, headers
        assert guarded.request("GET", "/v2/team/x/tags/list", headers=headers)[0] == 401, headers
    assert guarded.request("GET", "/v2/_berth/token", user=("alice", "wrong"))[0] == 401


def token(registry, user, *scopes):
    query = "&".join(f"scope={s}" for s in scopes)
    status, _, body = registry.request("GET", f"/v2/_berth/token?service=x&{query}", user=user)
    assert status == 200, body
    return {"Authorization": "Bearer " + json.loads(body)["token"]}


def test_rules_and_scopes_decide(guarded):
    alice, bob = USERS
    shared = guarded.push_blob("team/shared", b"shared", user=alice)
    image = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()
    other = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "x": 1}).encode()

    def put(repository, tag, data, **kwargs):
        return guarded.request("PUT", f"/v2/{repository}/manifests/{tag}", data, {"Content-Type": MANIFEST, **kwargs.pop("headers", {})}, **kwargs)[0]

    assert put("team/shared", "1", image, user=alice) == 201
    assert put("team/secret", "1", image, user=alice) == 201
    # bob: reads one repository, writes another, but may not move tags there, and sees no more than that.
    assert guarded.request("GET", "/v2/team/shared/manifests/1", user=bob)[0] == 200
    assert guarded.request("GET", "/v2/team/secret/manifests/1", user=bob)[0] == 403
    assert put("team/shared", "2", image, user=bob) == 403
    assert guarded.request("DELETE", "/v2/team/shared/manifests/1", user=bob)[0] == 403
    assert put("team/bob", "1", image, user=bob) == 201
    assert put("team/bob", "1", image, user=bob) == 201
    assert put("team/bob", "1", other, user=bob) == 403
    assert put("team/bob", "1", other, user=alice) == 201
    assert json.loads(guarded.request("GET", "/v2/_catalog", user=bob)[2]) == {"repositories": ["team/bob", "team/shared"]}
    assert json.loads(guarded.request("GET", "/v2/_catalog", headers=token(guarded, bob, "registry:catalog:*"))[2]) == {
        "repositories": ["team/bob", "team/shared"]}
    assert json.loads(guarded.request("GET", "/v2/_catalog")[2]) == {"repositories": []}
    # Mounting takes the right to read the source.
    secret = guarded.push_blob("team/secret", b"secret", user=alice)
    for blob, source, status in ((shared, "&from=team/shared", 201), (secret, "&from=team/secret", 202), (secret, "", 202)):
        assert guarded.request("POST", f"/v2/team/bob/blobs/uploads/?mount={blob}{source}", user=bob)[0] == status
    # A token grants what it was made for, and no more than its user may.
    pulls = token(guarded, alice, "repository:team/shared:pull")
    assert guarded.request("GET", "/v2/team/shared/manifests/1", headers=pulls)[0] == 200
    assert put("team/shared", "1", image, headers=pulls) == 401
    assert guarded.request("GET", "/v2/team/secret/manifests/1", headers=pulls)[0] == 401
    assert put("team/shared", "2", image, headers=token(guarded, bob, "repository:team/shared:pull,push")) == 403
    assert guarded.request("GET", "/v2/team/shared/manifests/1")[0] == 401


def test_anonymous_pull(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r", "--anonymous-pull", htpasswd=USERS)
    try:
        blob = registry.push_blob("a", b"x", user=USERS[1])
        assert registry.request("GET", f"/v2/a/blobs/{blob}")[0] == 200
        assert registry.request("DELETE", f"/v2/a/blobs/{blob}")[0] == 401
        assert registry.request("POST", "/v2/a/blobs/uploads/")[0] == 401
        assert registry.request("GET", "/v2/")[0] == 401  # so that clients log in where they have a login
    finally:
        registry.close()


def test_strangers_pull_and_users_push_where_nothing_was_yet(tmp_path, berth):
    """The base answers 401 to strangers though they may pull: docker, skopeo, crane and oras learn there how to log in for a push."""
    registry = berthlab.OwnRegistry(tmp_path / "r", "--anonymous-pull", htpasswd=USERS)
    image_layout(tmp_path / "in")
    (tmp_path / "home").mkdir()
    stranger = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "docker"), "HOME": str(tmp_path / "home"),
                "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    name, password = USERS[0]
    skopeo, crane, oras = (berthlab.part(tool) for tool in ("skopeo", "crane", "oras"))

    def missing(*args):
        done = subprocess.run([str(a) for a in args], env=stranger, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        said = done.stdout.lower()
        assert done.returncode != 0 and "unauthorized" not in said and ("unknown" in said or "not found" in said), done.stdout

    try:
        assert registry.request("GET", "/")[0] == 200
        missing(crane, "manifest", f"{registry.host}/t/none:1")
        missing(skopeo, "inspect", "--tls-verify=false", "--raw", f"docker://{registry.host}/t/none:1")
        missing(oras, "manifest", "fetch", "--plain-http", f"{registry.host}/t/none:1")
        assert berth.run("pull", f"{registry.host}/t/none:1", ok=False).returncode == 3
        run(skopeo, "copy", "--dest-tls-verify=false", "--dest-creds", f"{name}:{password}", f"oci:{tmp_path / 'in'}:x",
            f"docker://{registry.host}/t/skopeo:1", env=stranger)
        refused = subprocess.run([crane, "push", str(tmp_path / "in"), f"{registry.host}/t/crane:1"], env=stranger, stderr=subprocess.PIPE)
        assert refused.returncode != 0
        run(crane, "auth", "login", registry.host, "-u", name, "-p", password, env=stranger)
        run(crane, "push", tmp_path / "in", f"{registry.host}/t/crane:1", env=stranger)
        (tmp_path / "docker/config.json").unlink()
        (tmp_path / "a.txt").write_text("hello")
        run(oras, "push", "--plain-http", "-u", name, "-p", password, f"{registry.host}/t/oras:1", "a.txt", cwd=tmp_path, env=stranger)
        berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), f"{registry.host}/t/berth:1")
        berth.run("login", registry.host, "-u", name, "--password-stdin", input=password)
        berth.run("push", f"{registry.host}/t/berth:1")
        berth.run("logout", registry.host)
        berth.run("rm", f"{registry.host}/t/berth:1")
        berth.run("pull", f"{registry.host}/t/berth:1")
        run(crane, "manifest", f"{registry.host}/t/skopeo:1", env=stranger)
        run(skopeo, "inspect", "--tls-verify=false", "--raw", f"docker://{registry.host}/t/crane:1", env=stranger)
        run(oras, "pull", "--plain-http", "-o", tmp_path / "out", f"{registry.host}/t/oras:1", env=stranger)
    finally:
        registry.close()


def test_tls_serves_any_name_to_those_who_log_in(tmp_path, berth):
    tls = berthlab.Tls(tmp_path)
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=USERS, tls=tls)
    try:
        assert registry.request("GET", "/v2/", user=USERS[0], headers={"Host": "models.example"})[0] == 200
        assert registry.request("GET", "/v2/", user=USERS[0], headers={"Origin": "https://evil.example"})[0] == 403
        assert registry.request("GET", "/metrics", headers={"Host": "models.example"})[0] == 403
        model = f"localhost:{registry.port}/ai/tiny:1"
        berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
        ca = {"SSL_CERT_FILE": str(tls.ca), "BERTH_REGISTRY_CA_FILE": str(tls.ca)}
        image_layout(tmp_path / "in")
        home = {**os.environ, **ca, "DOCKER_CONFIG": str(tmp_path / "docker"), "HOME": str(tmp_path)}
        run(berthlab.part("crane"), "auth", "login", f"localhost:{registry.port}", "-u", "alice", "-p", "s3cret-canary", env=home)
        run(berthlab.part("crane"), "push", tmp_path / "in", f"localhost:{registry.port}/team/image:1", env=home)
    finally:
        registry.close()


@pytest.mark.parametrize("args, says", [
    (("--listen", "0.0.0.0:0"), "it needs TLS and users"),
    (("--listen", "https://0.0.0.0:0"), "--tls-cert"),
    (("--listen", "nonsense:x"), "not an address"),
    (("--tls-cert", "x"), "belong together"),
    (("--htpasswd", "/nonexistent"), "/nonexistent"),
])
def test_what_is_not_safe_is_not_started(berth, args, says):
    done = berth.run("registry", "serve", *args, ok=False)
    assert done.returncode != 0 and says in done.stderr, done.stderr


def test_serve_with_a_registry_that_would_be_open_is_not_started(berth):
    done = berth.run("serve", "--registry", "--require-token", "--listen", "127.0.0.1:0", ok=False)
    assert done.returncode == 2 and "no users" in done.stderr, (done.returncode, done.stderr)


def test_serve_has_the_registry_beside_its_api(berth, tmp_path):
    daemon = berthlab.Daemon(berth, "--registry")
    try:
        model = f"127.0.0.1:{daemon.port}/ai/tiny:1"
        berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
        berth.run("push", model)
        assert daemon.request("GET", "/v2/ai/tiny/manifests/1")[0] == 200
        assert daemon.request("GET", "/models")[0] == 200
        assert daemon.request("GET", "/v2/", headers={"Host": "evil.example"})[0] == 403
    finally:
        daemon.close()


def test_an_upload_goes_on_after_kill_9(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r")
    data = os.urandom(3_000_000)
    place = registry.request("POST", "/v2/a/blobs/uploads/")[1]["location"]
    assert registry.request("PATCH", place, data[:2_000_000], {"Content-Range": "0-1999999"})[0] == 202
    done = registry.push_blob("a", b"acknowledged")
    registry.kill()
    again = berthlab.OwnRegistry(tmp_path / "r")
    try:
        status, headers, _ = again.request("GET", place)
        assert (status, headers["range"]) == (204, "0-1999999")
        assert again.request("PATCH", place, data[2_000_000:], {"Content-Range": "2000000-2999999"})[0] == 202
        assert again.request("PUT", f"{place}?digest={sha256(data)}")[0] == 201
        assert again.request("GET", f"/v2/a/blobs/{sha256(data)}")[2] == data
        assert again.request("GET", f"/v2/a/blobs/{done}")[2] == b"acknowledged"
    finally:
        again.close()


def test_a_manifest_of_more_than_4_mib_takes_a_setting(own_registry, berth, other, tmp_path):
    model = f"{own_registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
    berth.run("push", model)
    _, headers, body = own_registry.request("GET", "/v2/ai/tiny/manifests/1")
    large = json.dumps({**json.loads(body), "annotations": {"much": "x" * (5 << 20)}}).encode()
    assert own_registry.request("PUT", "/v2/ai/tiny/manifests/large", large, {"Content-Type": headers["content-type"]})[0] == 201
    name = f"{own_registry.host}/ai/tiny:large"
    assert "more than the 4.19 MB allowed" in other.run("pull", name, ok=False).stderr
    other.run("pull", name, env={"BERTH_REGISTRY_MAX_MANIFEST": "16MiB"})
    assert other.json("inspect", name)["id"] == sha256(large)


@pytest.mark.parametrize("format", ["json", "human"])
def test_the_access_log_names_each_request_and_no_secret(tmp_path, format):
    registry = berthlab.OwnRegistry(tmp_path / "r", "--log-format", format, htpasswd=USERS, env={"BERTH_REGISTRY_SERVER_ACCESS_LOG": "true"})
    _, headers, _ = registry.request("GET", "/v2/", user=USERS[0], headers={"User-Agent": "test agent"})
    token(registry, USERS[0], "repository:a:pull")
    registry.close()
    log = (registry.folder / "log").read_text()
    assert headers["x-request-id"] in log and "/v2/_berth/token" in log and "test agent" in log
    assert "canary" not in log and "Bearer" not in log
    if format == "json":
        line = json.loads(log.splitlines()[0])
        assert (line["method"], line["path"], line["status"]) == ("GET", "/v2/", 200)


def test_sigterm_ends_it_and_sighup_reads_users_again(tmp_path):
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=USERS[:1])
    assert registry.request("GET", "/v2/", user=USERS[1])[0] == 401
    line = subprocess.run([berthlab.part("htpasswd"), "-nbB", *USERS[1]], check=True, stdout=subprocess.PIPE, text=True).stdout
    with open(registry.folder / "htpasswd", "a") as file:
        file.write(line)
    registry.process.send_signal(signal.SIGHUP)
    berthlab.until(lambda: registry.request("GET", "/v2/", user=USERS[1])[0] == 200, "the new user", 10)
    registry.close()
    assert registry.process.returncode == 0
