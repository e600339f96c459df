"""transfer: from registry to registry, with mounts, indexes and referrers."""

import json
import subprocess

import berthlab
import pytest

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def second(folder):
    (folder / "s").mkdir()
    running = berthlab.Registry(folder / "s")
    yield running
    running.close()


@pytest.fixture
def published(berth, registry, tiny):
    reference = f"{registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", tiny, reference)
    berth.run("push", reference)
    return reference


def oras(*args, **kwargs):
    return subprocess.run([berthlab.part("oras"), *map(str, args)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **kwargs).stdout


def test_between_registries(berth, other, registry, second, published):
    target = f"{second.host}/team/tiny:2"
    done = other.run("transfer", published, target)
    digest = berthlab.sha256(registry.manifest("ai/tiny", "1"))
    assert done.stdout == f"{target}@{digest}\n"
    assert f"{second.host} checked each digest" in done.stderr
    assert second.manifest("team/tiny", "2") == registry.manifest("ai/tiny", "1")
    # Nothing stays here, and what is there does not travel twice.
    assert other.json("list", "--json") == []
    assert other.json("df", "--json")["models_disk_usage"] == 0
    again = other.json("copy", published, target, "--json", "--progress", "none")
    assert again["transferred"] == 0 and again["digest"] == digest


def test_within_a_registry_blobs_are_taken_over(other, registry, published):
    result = other.json("copy", published, f"{registry.host}/other/name:1", "--json", "--progress", "none")
    assert result["transferred"] == 0 and result["mounted"] > 0
    assert registry.manifest("other/name", "1") == registry.manifest("ai/tiny", "1")


def test_by_digest(other, registry, second, published):
    digest = berthlab.sha256(registry.manifest("ai/tiny", "1"))
    name = f"{registry.host}/ai/tiny"
    other.run("transfer", f"{name}@{digest}", f"{second.host}/team/tiny@{digest}")
    assert berthlab.sha256(second.manifest("team/tiny", digest)) == digest
    wrong = "sha256:" + "0" * 64
    refused = other.run("transfer", published, f"{second.host}/team/tiny@{wrong}", ok=False)
    assert refused.returncode == 2 and wrong in refused.stderr


def make_index(registry, folder, berth):
    """An index of two models for two platforms; their digests."""
    manifests = []
    for number, platform in enumerate(("amd64", "arm64")):
        model = berthlab.gguf(folder / f"{platform}.gguf", seed=100 + number)
        reference = f"{registry.host}/ai/multi:{platform}"
        berth.run("package", "--gguf", model, reference)
        berth.run("push", reference)
        body = registry.manifest("ai/multi", platform)
        manifests.append({"mediaType": json.loads(body)["mediaType"], "digest": berthlab.sha256(body), "size": len(body),
                          "platform": {"os": "linux", "architecture": platform}})
    index = folder / "index.json"
    index.write_text(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    oras("manifest", "push", "--plain-http", f"{registry.host}/ai/multi:both", index)
    return [one["digest"] for one in manifests]


def test_an_index_goes_whole_or_one_platform(berth, other, registry, second, folder):
    amd64, arm64 = make_index(registry, folder, berth)
    source = f"{registry.host}/ai/multi:both"
    other.run("transfer", source, f"{second.host}/ai/multi:both")
    assert second.manifest("ai/multi", "both") == registry.manifest("ai/multi", "both")
    for digest in (amd64, arm64):
        assert berthlab.sha256(second.manifest("ai/multi", digest)) == digest
    one = other.json("copy", source, f"{second.host}/ai/single:1", "--platform", "linux/arm64", "--json", "--progress", "none")
    assert one["digest"] == arm64
    assert berthlab.sha256(second.manifest("ai/single", "1")) == arm64
    none = other.run("copy", source, f"{second.host}/ai/none:1", "--platform", "linux/s390x", ok=False)
    assert none.returncode == 3 and "linux/amd64, linux/arm64" in none.stderr


def test_pull_takes_the_platform_that_is_asked_for(berth, other, registry, folder):
    amd64, arm64 = make_index(registry, folder, berth)
    reference = f"{registry.host}/ai/multi:both"
    other.run("pull", reference, "--platform", "linux/arm64")
    assert other.json("inspect", reference)["id"] == arm64
    refused = other.run("pull", reference, "--platform", "linux/s390x", ok=False)
    assert refused.returncode == 3 and "linux/s390x" in refused.stderr
    refused = other.run("pull", reference, "--platform", "linux", ok=False)
    assert refused.returncode == 2
    single = other.run("pull", f"{registry.host}/ai/multi:amd64", "--platform", "linux/amd64", ok=False)
    assert single.returncode == 3 and "leave --platform out" in single.stderr


def test_referrers_go_with_it(berth, other, registry, second, published, folder):
    (folder / "sbom.json").write_text('{"components": []}')
    (folder / "note.txt").write_text("about the sbom")
    sbom = oras("attach", "--plain-http", "--artifact-type", "application/sbom", "--format", "go-template={{.digest}}",
                published, "sbom.json", cwd=folder).strip()
    name = f"{registry.host}/ai/tiny"
    note = oras("attach", "--plain-http", "--artifact-type", "application/note", "--format", "go-template={{.digest}}",
                f"{name}@{sbom}", "note.txt", cwd=folder).strip()
    target = f"{second.host}/team/tiny:1"
    other.run("transfer", published, target)
    assert json.loads(oras("discover", "--plain-http", "--format", "json", target)).get("referrers") in (None, [])
    result = other.json("transfer", "--referrers", published, target, "--json", "--progress", "none")
    assert result["referrers"] == 2
    tree = oras("discover", "--plain-http", "--format", "tree", target)
    assert sbom in tree and note in tree


@pytest.mark.parametrize("form", ["referrer", "tag"])
def test_cosigns_signature_goes_with_it(other, registry, second, published, folder, form):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "COSIGN_PASSWORD": ""}
    digest = berthlab.sha256(registry.manifest("ai/tiny", "1"))
    bundle = f"--new-bundle-format={'true' if form == 'referrer' else 'false'}"

    def cosign(*args):
        return subprocess.run([berthlab.part("cosign"), *args], cwd=folder, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)

    assert cosign("generate-key-pair").returncode == 0
    signed = cosign("sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", bundle,
                    "--allow-insecure-registry", "-y", f"{registry.host}/ai/tiny@{digest}")
    assert signed.returncode == 0, signed.stdout
    target = f"{second.host}/team/tiny"
    verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", bundle, "--allow-insecure-registry", f"{target}@{digest}"]
    other.run("transfer", published, f"{target}:1")
    assert cosign(*verify).returncode != 0
    result = other.json("transfer", "--referrers", published, f"{target}:1", "--json", "--progress", "none")
    assert result["referrers"] == 1
    verified = cosign(*verify)
    assert verified.returncode == 0, verified.stdout


def test_what_is_missing_is_said(other, registry, second):
    done = other.run("transfer", f"{registry.host}/ai/absent:1", f"{second.host}/ai/absent:1", ok=False)
    assert done.returncode == 3
    assert "ai/absent" in done.stderr
    done = other.run("transfer", "--host", "http://127.0.0.1:1", "ai/a", "ai/b", ok=False)
    assert done.returncode == 69 and "without --host" in done.stderr


def test_a_cut_transfer_goes_on_with_what_is_missing(other, registry, second, published):
    killed = other.run("transfer", published, f"{second.host}/team/tiny:1", ok=False,
                       env={"BERTH_FAILPOINT": "content.copy.after_blob"})
    assert killed.returncode == -9
    assert second.get("/v2/team/tiny/manifests/1")[0] == 404
    other.run("transfer", published, f"{second.host}/team/tiny:1")
    assert second.manifest("team/tiny", "1") == registry.manifest("ai/tiny", "1")
