"""package, push, pull, tag, list, inspect, rm against a real registry process."""

import json
import subprocess

import berthlab
from berthlab import sha256


def packaged(berth, registry, tiny, name="ai/tiny:1"):
    reference = f"{registry.host}/{name}"
    berth.run("package", "--gguf", tiny, reference)
    return reference


def test_round_trip_is_byte_identical(berth, other, registry, tiny):
    reference = packaged(berth, registry, tiny)
    berth.run("push", reference)
    pulled = other.run("pull", reference)
    digest = sha256(registry.manifest("ai/tiny", "1"))
    assert digest in pulled.stdout + pulled.stderr
    manifest = json.loads((other.store / "blobs/sha256" / digest[7:]).read_bytes())
    weights = [layer for layer in manifest["layers"] if layer["mediaType"].endswith("gguf.v3")]
    assert len(weights) == 1
    assert (other.store / "blobs/sha256" / weights[0]["digest"][7:]).read_bytes() == tiny.read_bytes()
    assert other.json("inspect", reference)["id"] == digest


def test_quiet_pull_prints_only_the_digest_reference(berth, other, registry, tiny):
    reference = packaged(berth, registry, tiny)
    berth.run("push", reference)
    digest = sha256(registry.manifest("ai/tiny", "1"))
    assert other.run("pull", "--quiet", reference).stdout.strip() == f"{reference}@{digest}"


def test_pull_by_digest_takes_that_digest(berth, other, registry, tiny, folder):
    reference = packaged(berth, registry, tiny)
    berth.run("push", reference)
    first = sha256(registry.manifest("ai/tiny", "1"))
    second = berthlab.gguf(folder / "second.gguf", seed=2)
    berth.run("package", "--gguf", second, reference)
    berth.run("push", reference)
    assert sha256(registry.manifest("ai/tiny", "1")) != first
    other.run("pull", f"{registry.host}/ai/tiny@{first}")
    assert other.json("inspect", first)["id"] == first


def test_same_bytes_give_the_same_digest(berth, other, folder, tiny):
    moved = folder / "elsewhere" / tiny.name
    moved.parent.mkdir()
    moved.write_bytes(tiny.read_bytes())
    moved.chmod(0o600)
    ids = []
    for user, path in ((berth, tiny), (other, moved)):
        user.run("package", "--gguf", path, "ai/same")
        ids.append(user.json("inspect", "ai/same")["id"])
    assert ids[0] == ids[1]


def test_relative_paths_are_allowed(berth, tiny):
    berth.run("package", "--gguf", tiny.name, "ai/relative", cwd=tiny.parent)
    assert berth.json("inspect", "ai/relative")["id"].startswith("sha256:")


def test_a_second_pull_moves_nothing(berth, other, registry, tiny):
    reference = packaged(berth, registry, tiny)
    berth.run("push", reference)
    other.run("pull", reference)
    before = {p: p.stat().st_mtime_ns for p in other.blobs().values()}
    other.run("pull", reference)
    assert before == {p: p.stat().st_mtime_ns for p in other.blobs().values()}


def test_tag_list_rm(berth, tiny):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    berth.run("tag", "ai/tiny:1", "ai/tiny:2")
    rows = berth.json("list", "--json")
    assert sorted(t for m in rows for t in m["tags"]) == ["docker.io/ai/tiny:1", "docker.io/ai/tiny:2"]
    table = berth.run("list").stdout
    assert table.splitlines()[0].split("  ")[0] == "MODEL NAME"
    assert "tiny:1" in table and "tiny:2" in table and "docker.io" not in table
    identity = rows[0]["id"]
    refused = berth.run("rm", identity[7:19], ok=False)
    assert refused.returncode != 0 and "forced" in refused.stderr
    assert "Untagged" in berth.run("rm", "ai/tiny:1").stdout
    gone = berth.run("rm", "ai/tiny:2").stdout
    assert "Untagged" in gone and "Deleted" in gone
    assert berth.json("list", "--json") == []
    assert not berth.blobs()


def test_a_missing_model_suggests_pull(berth):
    missing = berth.run("inspect", "ai/nothing", ok=False)
    assert missing.returncode == 3
    assert "berth pull ai/nothing" in missing.stderr
    assert missing.stdout == ""


def test_removing_what_is_not_there_does_not_suggest_pull(berth):
    missing = berth.run("rm", "ai/nothing", ok=False)
    assert missing.returncode == 3
    assert "pull" not in missing.stderr and "berth list" in missing.stderr


def test_package_says_what_it_made_or_what_is_wrong(berth, tiny, folder):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    made = berth.run("package", "--from", "ai/tiny:1", "--context-size", "512", "ai/tiny:small").stdout.strip()
    inspected = berth.json("inspect", "ai/tiny:small")
    assert made == f"docker.io/ai/tiny:small@{inspected['id']}"
    text = folder / "text.gguf"
    text.write_text("this is no model")
    refused = berth.run("package", "--gguf", text, "ai/text", ok=False)
    assert refused.returncode == 2 and "part 1" not in refused.stderr, refused.stderr


def test_sizes_and_counts_are_written_one_way(berth, tiny):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    berth.run("package", "--gguf", tiny, "--format", "modelpack", "ai/pack:1")
    listed = {m["tags"][0]: m["config"] for m in berth.json("list", "--json")}
    for name, config in listed.items():
        inspected = berth.json("inspect", name)["config"]
        for key in ("size", "parameters"):
            assert config[key] == inspected[key], (name, key)
    assert len({config["parameters"] for config in listed.values()}) == 1, listed


def test_pull_of_a_missing_tag_leaves_nothing(berth, registry):
    missing = berth.run("pull", f"{registry.host}/ai/none:1", ok=False)
    assert missing.returncode == 3, missing.stderr
    assert berth.json("list", "--json") == []


def test_no_registry_is_a_network_error(berth):
    refused = berth.run("pull", "127.0.0.1:1/ai/x", ok=False)
    assert refused.returncode == 5, refused.stderr
    *waits, last = refused.stderr.strip().splitlines()
    assert last.startswith("berth: ") and "127.0.0.1" in last, refused.stderr
    assert all(line.startswith("warning: trying again in ") for line in waits), refused.stderr


def test_private_registry_needs_login(berth, private_registry, tiny):
    reference = f"{private_registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", tiny, reference)
    refused = berth.run("push", reference, ok=False)
    assert refused.returncode == 4, refused.stderr
    assert f"berth login {private_registry.host}" in refused.stderr
    wrong = berth.run("login", private_registry.host, "-u", "alice", "--password-stdin", input="wrong", ok=False)
    assert wrong.returncode == 4, wrong.stderr
    assert not (berth.docker_config / "config.json").exists()
    berth.run("login", private_registry.host, "-u", "alice", "--password-stdin", input="s3cret-canary\n")
    pushed = berth.run("push", reference)
    assert "s3cret-canary" not in pushed.stdout + pushed.stderr + refused.stderr
    assert "s3cret-canary" not in (berth.docker_config / "config.json").read_text()
    berth.run("logout", private_registry.host)
    assert berth.run("push", reference, ok=False).returncode == 4


def test_tls_registry_needs_its_ca(berth, other, tls_registry, tiny, folder):
    """Loopback is plain HTTP by rule; a registry that answers it as TLS servers do is spoken to with TLS."""
    reference = f"localhost:{tls_registry.port}/ai/tiny:1"
    berth.run("package", "--gguf", tiny, reference)
    (folder / "x").mkdir()
    stranger = berthlab.Tls(folder / "x").ca
    for trusted in ({}, {"SSL_CERT_FILE": str(stranger)}):
        refused = berth.run("push", reference, ok=False, env=trusted)
        assert refused.returncode == 5, refused.stderr
        assert f"cannot trust the TLS certificate of localhost:{tls_registry.port}" in refused.stderr
        assert "SSL_CERT_FILE" in refused.stderr and "ca_file" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) <= 2, refused.stderr
    berth.env["SSL_CERT_FILE"] = str(tls_registry.ca)
    berth.run("push", reference)
    # The other user trusts it by the configuration.
    config = folder / "config.toml"
    config.write_text(f'[registry]\nca_file = "{tls_registry.ca}"\n')
    other.run("pull", "--config", config, reference)
    assert other.json("inspect", reference)["id"] == berth.json("inspect", reference)["id"]


def test_private_tls_registry_on_loopback(berth, other, private_tls_registry, tiny):
    registry = private_tls_registry
    reference = f"{registry.host}/ai/tiny:1"
    for user in (berth, other):
        user.env["SSL_CERT_FILE"] = str(registry.ca)
    berth.run("package", "--gguf", tiny, reference)
    wrong = berth.run("login", registry.host, "-u", "alice", "--password-stdin", input="wrong", ok=False)
    assert wrong.returncode == 4, wrong.stderr
    assert not (berth.docker_config / "config.json").exists()
    done = berth.run("login", registry.host, "-u", "alice", "--password-stdin", input="s3cret-canary\n")
    assert "Login Succeeded" in done.stdout
    assert f"unencrypted in {berth.docker_config / 'config.json'}" in done.stderr
    berth.run("push", reference)
    assert other.run("pull", reference, ok=False).returncode == 4
    other.run("login", registry.host, "-u", "alice", "--password-stdin", input="s3cret-canary\n")
    other.run("pull", reference)
    assert other.json("inspect", reference)["id"] == berth.json("inspect", reference)["id"]


def test_no_login_goes_out_before_tls(berth, folder, tiny):
    """A server that speaks TLS sees plain text of Berth, and in it no credential."""
    import base64
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    seen = []

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                seen.append(connection.recv(65536))
                if seen[-1].startswith(b"\x16"):  # a TLS handshake
                    continue
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    login = base64.b64encode(b"alice:s3cret-canary").decode()
    (berth.docker_config / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
    berth.run("package", "--gguf", tiny, f"{host}/ai/tiny:1")
    assert berth.run("push", f"{host}/ai/tiny:1", ok=False).returncode != 0
    refused = berth.run("login", host, "-u", "alice", "--password-stdin", input="s3cret-canary\n", ok=False)
    assert refused.returncode != 0
    listener.close()
    assert any(data.startswith(b"\x16\x03") for data in seen), seen
    assert any(data.startswith((b"GET", b"HEAD")) for data in seen), seen
    assert not any(b"uthorization" in data or login.encode() in data for data in seen), seen


def test_push_straight_from_the_files_keeps_nothing_here(berth, other, registry, tiny):
    reference = f"{registry.host}/ai/direct:1"
    berth.run("package", "--gguf", tiny, "--push", reference)
    assert berth.json("list", "--json") == []
    assert not berth.blobs()
    berth.run("package", "--gguf", tiny, reference)
    assert berth.json("inspect", reference)["id"] == sha256(registry.manifest("ai/direct", "1"))
    other.run("pull", reference)


def test_a_container_image_is_refused_before_its_layers_move(berth, registry, folder):
    image = folder / "image"
    image.mkdir()
    (image / "layer.tar").write_bytes(bytes(1 << 20))
    subprocess.run(
        [berthlab.part("oras"), "push", "--plain-http", f"{registry.host}/lib/img:1", "--config",
         "/dev/null:application/vnd.oci.image.config.v1+json", "layer.tar:application/vnd.oci.image.layer.v1.tar"],
        check=True, cwd=image, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    refused = berth.run("pull", f"{registry.host}/lib/img:1", ok=False)
    assert refused.returncode == 69, refused.stderr
    assert "not a model" in refused.stderr
    assert not berth.blobs()


def test_link_takes_no_copy_and_a_changed_file_is_found_out(berth, registry, tiny):
    reference = f"{registry.host}/ai/linked:1"
    done = berth.run("package", "--link", "--gguf", tiny, reference)
    assert "linked" in done.stdout + done.stderr
    assert any(p.stat().st_ino == tiny.stat().st_ino for p in berth.blobs().values())
    berth.run("push", reference)
    data = bytearray(tiny.read_bytes())
    data[-1] ^= 1
    tiny.chmod(0o644)
    with open(tiny, "r+b") as file:
        file.write(data)
    refused = berth.run("push", reference, ok=False)
    assert refused.returncode == 6, refused.stderr
    assert str(tiny) in refused.stderr


def test_peers_pull_what_berth_pushed(berth, registry, tiny, folder):
    reference = f"{registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", tiny, reference)
    berth.run("push", reference)
    subprocess.run([berthlab.part("oras"), "pull", "--plain-http", "-o", folder / "oras", reference], check=True,
                   stdout=subprocess.DEVNULL)
    assert (folder / "oras" / tiny.name).read_bytes() == tiny.read_bytes()
    subprocess.run([berthlab.part("skopeo"), "copy", "--src-tls-verify=false", f"docker://{reference}", f"oci:{folder}/skopeo:1"],
                   check=True, stdout=subprocess.DEVNULL)
    digest = sha256(registry.manifest("ai/tiny", "1"))
    assert (folder / "skopeo/blobs/sha256" / digest[7:]).read_bytes() == registry.manifest("ai/tiny", "1")
    manifest = subprocess.run([berthlab.part("crane"), "manifest", "--insecure", reference], check=True, stdout=subprocess.PIPE).stdout
    assert sha256(manifest.rstrip(b"\n")) == digest or sha256(manifest) == digest


def test_berth_pulls_what_peers_pushed(berth, other, registry, tiny, folder):
    berth.run("package", "--gguf", tiny, f"{registry.host}/ai/tiny:1")
    berth.run("push", f"{registry.host}/ai/tiny:1")
    for number, copy in enumerate((
        [berthlab.part("skopeo"), "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
         f"docker://{registry.host}/ai/tiny:1", f"docker://{registry.host}/by/skopeo:1"],
        [berthlab.part("crane"), "copy", "--insecure", f"{registry.host}/ai/tiny:1", f"{registry.host}/by/crane:1"],
        [berthlab.part("oras"), "cp", "--from-plain-http", "--to-plain-http", f"{registry.host}/ai/tiny:1", f"{registry.host}/by/oras:1"],
    )):
        subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)
        name = copy[-1].removeprefix("docker://")
        other.run("pull", name)
        assert other.json("inspect", name)["id"] == sha256(registry.manifest("ai/tiny", "1"))


def test_the_store_is_an_image_layout_for_skopeo(berth, tiny, folder):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    index = json.loads((berth.store / "index.json").read_text())
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "docker.io/ai/tiny:1"
    subprocess.run([berthlab.part("skopeo"), "copy", f"oci:{berth.store}:docker.io/ai/tiny:1", f"oci:{folder}/copy:1"],
                   check=True, stdout=subprocess.DEVNULL)


def test_export_and_import(berth, other, tiny, folder):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    tar = folder / "tiny.tar"
    berth.run("export", "ai/tiny:1", "-o", tar)
    subprocess.run([berthlab.part("skopeo"), "copy", f"oci-archive:{tar}", f"oci:{folder}/copy:1"], check=True,
                   stdout=subprocess.DEVNULL)
    other.run("import", tar)
    assert other.json("inspect", "ai/tiny:1")["id"] == berth.json("inspect", "ai/tiny:1")["id"]


def test_modelpack_and_its_context_size(berth, other, registry, tiny):
    reference = f"{registry.host}/ai/pack:1"
    berth.run("package", "--gguf", tiny, "--format", "modelpack", reference)
    berth.run("push", reference)
    manifest = json.loads(registry.manifest("ai/pack", "1"))
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["layers"][0]["mediaType"] == "application/vnd.cncf.model.weight.v1.raw"
    other.run("pull", reference)
    assert other.json("inspect", reference)["config"]["format"] == "gguf"


def test_two_pulls_at_once(berth, other, registry, folder):
    big = berthlab.gguf(folder / "big.gguf", embedding=256, layers=4)
    reference = f"{registry.host}/ai/big:1"
    berth.run("package", "--gguf", big, reference)
    berth.run("push", reference)
    racers = [other.start("pull", "--quiet", reference) for _ in range(4)]
    for racer in racers:
        out, err = racer.communicate(timeout=120)
        assert racer.returncode == 0, err
    assert other.json("inspect", reference)["id"] == sha256(registry.manifest("ai/big", "1"))
    assert [m["tags"] for m in other.json("list", "--json")] == [[reference]]


def test_prune_says_what_it_would_free(berth, tiny):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    assert berth.json("prune", "--dry-run", "--json")["freed"] == 0
    berth.run("df", "--json")
