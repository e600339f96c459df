"""What `berth registry serve` knows of its models, asked by `berth registry ls|show|history|search|gc|du`."""

import json

import berthlab


def push(berth, registry, file, name):
    model = f"{registry.host}/{name}"
    berth.run("package", "--gguf", file, model)
    berth.run("push", model)
    return berth.json("inspect", model)["id"]


def asked(berth, registry, *args):
    return berth.json("registry", *args, "--registry", registry.host, "--json")


def test_a_real_model_is_known_by_its_header(own_registry, berth):
    digest = push(berth, own_registry, berthlab.SMOLLM2, "ai/smollm2:latest")
    found = asked(berth, own_registry, "search", "smollm", "--architecture", "llama", "--min-parameters", "100M", "--min-context", "4096")
    assert [(model["repository"], model["tags"], model["digest"]) for model in found] == [("ai/smollm2", ["latest"], digest)]
    assert (found[0]["format"], found[0]["quantization"], found[0]["findings"]) == ("gguf", "Q4_1", [])
    assert 130e6 < found[0]["parameters"] < 170e6
    assert asked(berth, own_registry, "search", "--architecture", "qwen3") == []
    assert asked(berth, own_registry, "search", "--max-size", "1MB") == []
    text = berth.run("registry", "show", "ai/smollm2", "--registry", own_registry.host).stdout
    assert "Architecture:   llama" in text and digest in text and "Warning" not in text
    listed = berth.run("registry", "ls", "--registry", own_registry.host).stdout
    assert "ai/smollm2:latest" in listed and "(!)" not in listed
    assert asked(berth, own_registry, "ls", "ai/smollm2")[0]["tag"] == "latest"


def test_a_tag_that_moved_has_a_history(own_registry, berth, tmp_path):
    first = push(berth, own_registry, berthlab.weights(tmp_path / "1.gguf", 1 << 20, 1), "team/x:v1")
    second = push(berth, own_registry, berthlab.weights(tmp_path / "2.gguf", 1 << 20, 2), "team/x:v1")
    moves = asked(berth, own_registry, "history", "team/x:v1")
    assert [(move["before"], move["after"]) for move in moves] == [(first, second), ("", first)]
    assert moves[0]["actor"] == "anonymous"


def test_what_two_tags_share_is_told_apart_and_the_rest_can_be_freed(own_registry, berth, tmp_path):
    weights = tmp_path / "w.gguf"
    berthlab.weights(weights, 1 << 20)
    push(berth, own_registry, weights, "team/x:v1")
    berth.run("package", "--from", f"{own_registry.host}/team/x:v1", "--context-size", "2048", f"{own_registry.host}/team/x:v2")
    berth.run("push", f"{own_registry.host}/team/x:v2")
    models = asked(berth, own_registry, "du", "team/x")
    assert len(models) == 2
    for model in models:
        assert model["shared"] == weights.stat().st_size
        assert 0 < model["own"] < 10_000
    whole = asked(berth, own_registry, "du")
    assert whole[0]["name"] == "team/x" and whole[0]["shared"] == 0
    assert weights.stat().st_size < whole[0]["bytes"] < weights.stat().st_size + 20_000
    # What was uploaded just now stays, even if nothing names it: the manifest may be on its way.
    own_registry.push_blob("team/x", b"nobody names this")
    assert asked(berth, own_registry, "gc", "--dry-run") == {"dry_run": True, "blobs": 0, "bytes": 0}


def test_a_truncated_model_is_warned_of_or_refused(own_registry, berth, tmp_path):
    whole = tmp_path / "w.gguf"
    berthlab.weights(whole, 1 << 20)
    half = whole.read_bytes()[: 1 << 19]
    config = json.dumps({"config": {"format": "gguf", "architecture": "llama"}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.docker.ai.model.config.v0.1+json", "digest": berthlab.sha256(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.docker.ai.gguf.v3", "digest": berthlab.sha256(half), "size": len(half)}],
    })

    def put(there):
        there.push_blob("team/half", config)
        there.push_blob("team/half", half)
        return there.request("PUT", "/v2/team/half/manifests/v1", manifest,
                             {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})

    assert put(own_registry)[0] == 201
    shown = asked(berth, own_registry, "show", "team/half:v1")
    assert len(shown["findings"]) == 1 and "model.gguf" in shown["findings"][0]
    strict = berthlab.OwnRegistry(tmp_path / "strict", env={"BERTH_REGISTRY_SERVER_CHECK_MODELS": "refuse"})
    try:
        status, _, body = put(strict)
        assert status == 400 and json.loads(body)["errors"][0]["code"] == "MANIFEST_INVALID", body
        assert strict.request("GET", "/v2/team/half/manifests/v1")[0] == 404
    finally:
        strict.close()


def test_the_licence_of_a_modelpack_is_known(own_registry, berth, tmp_path):
    weights = berthlab.gguf(tmp_path / "w.gguf").read_bytes()
    config = json.dumps({"descriptor": {"licenses": ["Apache-2.0", "LicenseRef-team"]}, "config": {"format": "gguf"}}).encode()
    pack = "application/vnd.cncf.model"

    def described(kind, data):
        own_registry.push_blob("team/pack", data)
        return {"mediaType": f"{pack}.{kind}", "digest": berthlab.sha256(data), "size": len(data),
                "annotations": {"org.cncf.model.filepath": "w.gguf"}}

    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": f"{pack}.manifest.v1+json",
        "config": described("config.v1+json", config), "layers": [described("weight.v1.raw", weights)]})
    status, _, body = own_registry.request("PUT", "/v2/team/pack/manifests/v1", manifest,
                                           {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    assert status == 201, body
    [found] = asked(berth, own_registry, "search", "--license", "apache-2.0")
    assert (found["repository"], found["license"], found["findings"]) == ("team/pack", "Apache-2.0, LicenseRef-team", [])
    assert asked(berth, own_registry, "search", "--license", "mit") == []


def test_users_see_what_their_rules_let_them_see(berth, tmp_path):
    private = berthlab.OwnRegistry(tmp_path / "p", htpasswd=[("alice", "s3cret-canary")])
    try:
        refused = berth.run("registry", "search", "--registry", private.host, ok=False)
        assert refused.returncode != 0 and "berth login" in refused.stderr, refused.stderr
        berth.run("login", private.host, "-u", "alice", "--password-stdin", input="s3cret-canary")
        weights = tmp_path / "w.gguf"
        berthlab.weights(weights, 1 << 20)
        push(berth, private, weights, "team/x:v1")
        assert [model["repository"] for model in asked(berth, private, "search")] == ["team/x"]
        assert asked(berth, private, "history", "team/x")[0]["actor"] == "alice"
        assert asked(berth, private, "gc", "--dry-run")["dry_run"] is True
    finally:
        private.close()


def test_another_registry_is_told_apart(berth, tmp_path):
    (tmp_path / "d").mkdir()
    docker = berthlab.Registry(tmp_path / "d")
    try:
        refused = berth.run("registry", "ls", "--registry", docker.host, ok=False)
        assert refused.returncode != 0 and "no registry of Berth's" in refused.stderr, refused.stderr
    finally:
        docker.close()
