"""pull --include: only some files of a model, from a real registry that has no more than those."""

import contextlib
import json
import sqlite3
import struct
import subprocess

import pytest

import berthlab
from berthlab import sha256

ENGINE = berthlab.PARTS / "engine"


def safetensors(path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1024], "data_offsets": [0, 4096]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(range(256)) * 16)


@pytest.fixture(params=["docker", "modelpack"])
def model(request, berth, registry, folder):
    """A model of several files at the registry, and its layers by file."""
    source = folder / "model"
    source.mkdir()
    safetensors(source / "model.safetensors")
    for name in ("config.json", "tokenizer.json"):
        (source / name).write_text(json.dumps({"name": name, "architectures": ["LlamaForCausalLM"]}))
    (source / "README.md").write_text("# A model\n")
    reference = f"{registry.host}/team/model:1"
    berth.run("package", "--safetensors-dir", source, "--format", request.param, reference)
    berth.run("push", reference)
    return reference


def layers(registry):
    manifest = json.loads(registry.manifest("team/model", "1"))
    return {layer["annotations"]["org.cncf.model.filepath"]: layer["digest"] for layer in manifest["layers"]}


def blob_at(registry, digest):
    return registry.folder / "data/docker/registry/v2/blobs/sha256" / digest[7:9] / digest[7:] / "data"


def hide(registry, digest):
    """As if the registry had lost it; undone by the function that is returned."""
    path = blob_at(registry, digest)
    data = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(data)


def files(user, reference):
    return {f["path"]: not f.get("left_out", False) for f in user.json("inspect", reference)["files"]}


def test_only_what_matches_is_fetched(model, other, registry):
    blobs = layers(registry)
    restore = hide(registry, blobs["model.safetensors"])
    pulled = other.run("pull", "--include", "*.json", "--include", "none-*", model)
    assert pulled.stdout.strip() == f"{model}@{sha256(registry.manifest('team/model', '1'))}"
    assert "no file of the model matches none-*" in pulled.stderr
    assert f"The model is partial: 2 of its files are not here; get them with: berth pull {model}" in pulled.stderr
    assert files(other, model) == {
        "model.safetensors": False, "README.md": False, "config.json": True, "tokenizer.json": True,
    }
    for path, here in files(other, model).items():
        assert (blobs[path][7:] in other.blobs()) == here
    assert other.json("list", "--json")[0]["partial"] is True
    assert "(partial)" in other.run("list").stdout
    # Asked for again, it is here; asked for whole, it is not.
    again = other.run("pull", "--include", "*.json", model)
    assert "Using cached model" in again.stderr
    assert other.run("pull", model, ok=False).returncode != 0
    assert files(other, model)["config.json"]
    restore()


def test_later_pulls_fetch_what_is_missing(model, other, registry):
    blobs = layers(registry)
    other.run("pull", "--include", "config.json", model)
    # What came before does not have to be there again.
    restore = hide(registry, blobs["config.json"])
    other.run("pull", "--include", "[Rt]*", model)
    assert files(other, model) == {
        "model.safetensors": False, "README.md": True, "config.json": True, "tokenizer.json": True,
    }
    whole = other.run("pull", model)
    assert "partial" not in whole.stderr
    restore()
    assert all(files(other, model).values())
    assert "partial" not in other.json("list", "--json")[0]
    assert "partial" not in other.run("list").stdout
    # Whole, whatever is asked for.
    assert "Using cached model" in other.run("pull", "--include", "*.json", model).stderr
    assert "partial" not in other.json("list", "--json")[0]
    other.run("tag", model, f"{registry.host}/team/copy:1")
    other.run("push", f"{registry.host}/team/copy:1")
    assert registry.manifest("team/copy", "1") == registry.manifest("team/model", "1")
    for digest in blobs.values():
        crane = [berthlab.part("crane"), "blob", "--insecure", f"{registry.host}/team/copy@{digest}"]
        assert sha256(subprocess.run(crane, check=True, stdout=subprocess.PIPE).stdout) == digest


def test_what_needs_the_whole_model_says_what_is_missing(model, other, folder):
    other.run("pull", "--include", "*.json", model)
    for words in (
        ("push", model),
        ("package", "--from", model, "--context-size", "512", "ai/made:1"),
        ("export", model, "-o", folder / "model.tar"),
        ("run", model, "hello"),
    ):
        refused = other.run(*words, ok=False)
        assert refused.returncode == 7, (words, refused.stderr)
        line = refused.stderr.strip().splitlines()[-1]
        assert "model.safetensors" in line and f"berth pull {model}" in line, line
    assert not (folder / "model.tar").exists()
    assert [m["tags"] for m in other.json("list", "--json")] == [[model]]


def test_the_store_is_in_order(model, other):
    other.run("pull", "--include", "*.md", model)
    checked = other.run("fsck", "--read-data")
    assert "missing" not in checked.stdout + checked.stderr
    before = other.blobs().keys()
    other.run("prune")
    assert other.blobs().keys() == before
    other.run("df")
    other.run("tag", model, "ai/other:1")
    assert files(other, "ai/other:1")["README.md"]
    other.run("rm", model)
    other.run("rm", "ai/other:1")
    assert not other.blobs()
    other.run("fsck", "--read-data")


def test_fsck_tells_a_loss_from_a_choice(model, other, registry):
    other.run("pull", "--include", "*.json", model)
    other.blobs()[layers(registry)["config.json"][7:]].unlink()
    found = other.run("fsck", ok=False)
    assert found.returncode != 0
    other.run("fsck", "--repair")
    assert files(other, model)["config.json"] and not files(other, model)["model.safetensors"]


def test_a_store_of_the_first_version_is_brought_up(model, other):
    other.run("pull", model)
    database = sqlite3.connect(other.store / "berth.db")
    with database:
        database.executescript("DROP TABLE left_out; PRAGMA user_version = 1")
    database.close()
    assert "partial" not in other.json("list", "--json")[0]
    other.run("fsck", "--read-data")
    other.run("rm", model)
    other.run("pull", "--include", "*.json", model)
    assert other.json("list", "--json")[0]["partial"] is True


@pytest.mark.parametrize("point", [
    "content.copy.before_manifest", "content.copy.after_manifest", "store.commit.after_rename:4",
    "store.catalog.before_commit:4", "local.settle.before_tag",
])
def test_a_death_on_the_way_is_mended_by_the_same_command(model, other, point):
    died = other.run("pull", "--include", "*.json", model, ok=False, env={"BERTH_FAILPOINT": point})
    assert died.returncode == -9, died.stderr
    other.run("fsck")
    other.run("pull", "--include", "*.json", model)
    other.run("fsck", "--read-data")
    assert files(other, model) == {
        "model.safetensors": False, "README.md": False, "config.json": True, "tokenizer.json": True,
    }


def test_nothing_that_matches_is_a_mistake(model, other):
    refused = other.run("pull", "--include", "*.onnx", model, ok=False)
    assert refused.returncode == 2, refused.stderr
    for name in ("*.onnx", "model.safetensors", "README.md", "config.json", "tokenizer.json"):
        assert name in refused.stderr, refused.stderr
    assert not other.blobs()
    malformed = other.run("pull", "--include", "a[b", model, ok=False)
    assert malformed.returncode == 2 and "a[b" in malformed.stderr, malformed.stderr
    many = other.run("pull", *["--include=x"] * 65, model, ok=False)
    assert many.returncode == 2 and "64" in many.stderr, many.stderr


def test_a_server_pulls_some_files_too(model, other, berth, registry):
    restore = hide(registry, layers(registry)["model.safetensors"])
    with contextlib.closing(berthlab.Daemon(other)) as server:
        pulled = berth.run("--host", server.url, "pull", "--include", "*.json", model)
        assert "The model is partial: 2 of its files are not here" in pulled.stderr
        assert berth.json("--host", server.url, "list", "--json")[0]["partial"] is True
        assert server.json("GET", "/models")[0]["partial"] is True
        refused = berth.run("--host", server.url, "pull", "--include", "*.onnx", model, ok=False)
        assert refused.returncode == 2 and "model.safetensors" in refused.stderr, refused.stderr
        restore()
        berth.run("--host", server.url, "pull", model)
        assert "partial" not in server.json("GET", "/models")[0]


def test_an_engine_runs_what_it_needs(folder, berth, registry, tiny):
    licence = folder / "LICENSE"
    licence.write_text("Do as you like.\n")
    template = folder / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    reference = f"{registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", tiny, "--license", licence, "--chat-template", template, reference)
    berth.run("push", reference)
    user = berthlab.Berth(folder / "e", engine=ENGINE)
    user.run("pull", "--include", "LICENSE", reference)
    refused = user.run("run", reference, "hello", ok=False)
    assert refused.returncode == 7 and "tiny.gguf" in refused.stderr, refused.stderr
    user.run("pull", "--include", "*.gguf", reference)
    refused = user.run("run", reference, "hello", ok=False)
    assert refused.returncode == 7 and "chat.jinja" in refused.stderr, refused.stderr
    assert "LICENSE" not in refused.stderr and "tiny.gguf" not in refused.stderr
    user.run("rm", reference)
    user.run("pull", "--include", "*.gguf", "--include", "*.jinja", reference)
    assert not files(user, reference)["LICENSE"]
    user.run("run", "--max-tokens", "4", reference, "hello")
