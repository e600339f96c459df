"""The registry's page: what was pushed with berth and oras is told there, and nothing of it comes alive."""

import json
import re
import subprocess

import berthlab

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"
CARD = f"""---
license: apache-2.0
---
# Tiny

A **small** model, see [its home](https://example.com/tiny) and [not this](javascript:alert(1)).

{HOSTILE}
"""
CONFIG = {"descriptor": {"licenses": ["Apache-2.0"]}, "modelfs": {"type": "layers", "diffIds": []},
          "config": {"architecture": "llama", "paramSize": "135M", "quantization": "Q4_K_M", "format": "gguf"}}


def oras(*args, cwd):
    subprocess.run([str(berthlab.part("oras")), *map(str, args)], check=True, stdout=subprocess.DEVNULL, cwd=cwd, timeout=60)


def page(registry, path, status=200, **kwargs):
    got, headers, body = registry.request("GET", path, **kwargs)
    assert got == status, (path, body)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
                        headers["content-security-policy"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    text = body.decode()
    assert "<script" not in text and "<img" not in text and "javascript:" not in re.sub(r">[^<]*<", "><", text)
    return text


def push_model_pack(registry, tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    berthlab.gguf(folder / "tiny.gguf")
    (folder / "README.md").write_text(CARD)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "annotations.json").write_text(json.dumps({
        "$manifest": {"org.example.note": HOSTILE, "org.example." + HOSTILE: "x"},
        "tiny.gguf": {"org.cncf.model.filepath": "tiny.gguf"}}))
    oras("push", "--plain-http", f"{registry.host}/{name}", "--artifact-type", "application/vnd.cncf.model.manifest.v1+json",
         "--config", "config.json:application/vnd.cncf.model.config.v1+json", "--annotation-file", "annotations.json",
         "tiny.gguf:application/vnd.cncf.model.weight.v1.raw", "README.md:application/vnd.cncf.model.doc.v1.raw", cwd=folder)
    oras("attach", "--plain-http", "--artifact-type", "application/spdx+json", f"{registry.host}/{name}", "README.md", cwd=folder)


def test_a_model_of_berth_is_told(own_registry, berth, tmp_path):
    assert f"berth push {own_registry.host}/NAME:TAG" in page(own_registry, "/")
    model = f"{own_registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", berthlab.gguf(tmp_path / "tiny.gguf"), model)
    berth.run("push", model)
    home = page(own_registry, "/")
    assert '<a href="/r/ai/tiny">ai/tiny</a>' in home and '<a href="/r/ai/tiny:1">1</a>' in home
    assert "ai/tiny" in page(own_registry, "/?q=TIN") and "/r/ai/tiny" not in page(own_registry, "/?q=other")
    digest = own_registry.request("HEAD", "/v2/ai/tiny/manifests/1")[1]["docker-content-digest"]
    repository = page(own_registry, "/r/ai/tiny")
    assert f"berth pull {model}" in repository and f"docker model pull {model}" in repository
    assert f"/r/ai/tiny@{digest}" in repository
    shown = page(own_registry, "/r/ai/tiny:1")
    for part in ("Model (docker.ai v0.1)", "<dd>llama</dd>", "<dd>2048 tokens</dd>", "tiny.gguf", digest, "History of the tag 1"):
        assert part in shown, part
    assert digest in page(own_registry, f"/r/ai/tiny@{digest}")


def test_a_model_pack_with_its_card_and_everything_hostile_escaped(own_registry, tmp_path):
    push_model_pack(own_registry, tmp_path, "team/tiny:1")
    shown = page(own_registry, "/r/team/tiny:1")
    for part in ("Model (ModelPack)", "<dd>135M</dd>", "<dd>Apache-2.0</dd>", "<h3>Tiny</h3>", "<strong>small</strong>",
                 '<a href="https://example.com/tiny" rel="nofollow noopener noreferrer">its home</a>', "not this", "SBOM (SPDX)"):
        assert part in shown, part
    assert shown.count(ESCAPED) >= 3  # a name, a value, the card


def test_names_that_are_none_and_methods_that_change(own_registry):
    for path in ("/r/a:%3Cscript%3E", "/r/%3Cscript%3E", "/x%22%3E%3Cscript%3E", "/r/a@sha256:0", "/r/..%2fa"):
        page(own_registry, path, 404)
    assert page(own_registry, "/?q=%3Cscript%3E%22").count("&lt;script&gt;&quot;") == 2
    status, headers, _ = own_registry.request("POST", "/", b"")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, body = own_registry.request("HEAD", "/")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 0


def test_a_link_from_elsewhere_opens_it_and_nothing_else_may(own_registry):
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    link = {**elsewhere, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    page(own_registry, "/", headers=link)
    frame = {**link, "Sec-Fetch-Dest": "iframe"}
    assert own_registry.request("GET", "/", headers=frame)[0] == 403
    assert own_registry.request("GET", "/", headers=elsewhere)[0] == 403
    assert own_registry.request("GET", "/v2/", headers=link)[0] == 403
    assert own_registry.request("GET", "/", headers={**link, "Host": "rebound.example"})[0] == 403


def test_users_see_what_they_may_pull(tmp_path):
    alice, bob = ("alice", "s3cret"), ("bob", "hunter2")
    registry = berthlab.OwnRegistry(tmp_path / "r", htpasswd=[alice, bob],
                                    env={"BERTH_REGISTRY_SERVER_RULES": "alice * **; bob pull team/**"})
    try:
        for name in ("team/x", "private/y"):
            config = registry.push_blob(name, b"{}", user=alice)
            manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
                        "config": {"mediaType": "application/vnd.example", "digest": config, "size": 2}}
            status, _, body = registry.request("PUT", f"/v2/{name}/manifests/1", json.dumps(manifest), user=alice,
                                               headers={"Content-Type": manifest["mediaType"]})
            assert status == 201, body
        for path in ("/", "/r/team/x", "/r/team/x:1", "/r/none"):
            status, headers, body = registry.request("GET", path)
            assert status == 401 and headers["www-authenticate"].startswith("Basic realm=") and b"team/x" not in body
        page(registry, "/", 401, user=("alice", "wrong"))
        assert "private/y" in page(registry, "/", user=alice)
        home = page(registry, "/", user=bob)
        assert "team/x" in home and "private" not in home
        page(registry, "/r/team/x:1", user=bob)
        page(registry, "/r/private/y", 403, user=bob)
        page(registry, "/r/private/y:1", 403, user=bob)
    finally:
        registry.close()
