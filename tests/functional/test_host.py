"""--host: what is made of files is made here and streamed to a real `berth serve`."""

import hashlib
import subprocess

import pytest

import berthlab


@pytest.fixture
def server(folder):
    there = berthlab.Daemon(berthlab.Berth(folder / "s"))
    yield there
    there.close()


def leftovers(user):
    return [p for p in (user.home / "b").rglob("*") if p.is_file() and p.stat().st_size > 100_000]


def test_package_is_made_here_and_kept_there(berth, other, server, tiny, folder):
    template = folder / "t.jinja"
    template.write_text("{{ messages }}")
    made = berth.run("--host", server.url, "package", "--gguf", tiny, "--chat-template", template, "ai/far:1")
    assert "tiny.gguf: sent" in made.stderr
    digest = made.stdout.strip().split("@")[1]
    # The same bytes packaged at home have the same name.
    near = other.run("package", "--gguf", tiny, "--chat-template", template, "ai/far:1").stdout.strip()
    assert near.split("@")[1] == digest
    listed = berth.json("--host", server.url, "list", "--json")
    assert [m["id"] for m in listed] == [digest]
    assert listed[0]["tags"] == ["docker.io/ai/far:1"]
    weights = hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert weights in server.berth.blobs()
    assert not leftovers(berth)


def test_package_from_a_model_there(berth, server, tiny, folder):
    licence = folder / "LICENSE"
    licence.write_text("Do as you like.\n" * 20)
    berth.run("--host", server.url, "package", "--gguf", tiny, "ai/far:1")
    berth.run("--host", server.url, "package", "--from", "ai/far:1", "--license", licence, "ai/far:2")
    berth.run("--host", server.url, "package", "--from", "ai/far:1", "--context-size", "512", "ai/far:3")
    tags = sorted(t for m in berth.json("--host", server.url, "list", "--json") for t in m["tags"])
    assert tags == ["docker.io/ai/far:1", "docker.io/ai/far:2", "docker.io/ai/far:3"]
    files = berth.json("--host", server.url, "inspect", "ai/far:2")["files"]
    assert {"LICENSE"} <= {f["path"] for f in files}
    assert not leftovers(berth)


def test_package_push_goes_from_here(berth, other, server, registry, tiny):
    reference = f"{registry.host}/ai/far:1"
    berth.run("--host", server.url, "package", "--gguf", tiny, "--push", reference)
    assert berth.json("--host", server.url, "list", "--json") == []
    other.run("pull", reference)
    assert not leftovers(berth)


def test_import_of_tars_and_folders(berth, other, server, tiny, folder):
    other.run("package", "--gguf", tiny, "ai/near:1")
    other.run("export", "ai/near:1", "--output", folder / "m.tar")
    berth.run("--host", server.url, "import", folder / "m.tar")
    berth.run("--host", server.url, "rm", "ai/near:1")
    came = berth.run("--host", server.url, "import", other.store)
    assert came.stdout.split() == ["docker.io/ai/near:1"]
    [model] = berth.json("--host", server.url, "list", "--json")
    assert model["id"] == other.json("list", "--json")[0]["id"]
    assert not leftovers(berth)


def test_faults_have_their_sentence(berth, server, tiny, folder):
    missing = berth.run("--host", server.url, "package", "--gguf", folder / "absent.gguf", "ai/far:1", ok=False)
    assert missing.returncode == 3 and "absent.gguf" in missing.stderr
    nothing = berth.run("--host", server.url, "import", folder / "u", ok=False)
    assert nothing.returncode in (2, 3) and nothing.stderr.count("\n") <= 2
    gone = berth.run("--host", "http://127.0.0.1:1", "package", "--gguf", tiny, "ai/far:1", ok=False)
    assert gone.returncode == 5
    assert berth.json("--host", server.url, "list", "--json") == []
