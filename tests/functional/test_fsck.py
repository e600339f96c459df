"""fsck and df through the binary: what is wrong is found, told in one line, mended or fetched again."""

import json
import os
import pathlib
import random
import sqlite3

import berthlab


def blob(berth, digest):
    return berth.store / "blobs" / digest.replace(":", "/")


def layer_of(berth, reference):
    return max(berth.json("inspect", reference)["files"], key=lambda one: one["size"])["digest"]


def flip(path, bit):
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))
    os.chmod(path, 0o444)


def fsck(berth, *flags, status=0):
    done = berth.run("fsck", "--json", *flags, ok=False)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def wrong(result):
    return {(one["kind"], one["what"]) for one in result["findings"] if not one["harmless"] and not one["repaired"]}


def test_a_whole_store(berth, tiny):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    result = fsck(berth, "--read-data")
    assert result["findings"] == []
    assert result["blobs"] == 3
    done = berth.run("fsck")
    assert done.stdout == ""
    assert "nothing is wrong" in done.stderr


def test_every_flipped_bit_is_found_and_fetched_again(berth, other, registry, tiny):
    reference = f"{registry.host}/ai/tiny:1"
    other.run("package", "--gguf", tiny, reference)
    other.run("push", reference)
    berth.run("pull", reference)
    detail = berth.json("inspect", reference)
    digests = [detail["id"], detail["config_digest"], layer_of(berth, reference)]
    choice = random.Random(11)
    for digest in digests * 2:
        path = blob(berth, digest)
        flip(path, choice.randrange(path.stat().st_size * 8))
        assert ("damaged", digest) in wrong(fsck(berth, "--read-data", status=6))
        repaired = fsck(berth, "--read-data", "--repair")
        assert [one["repaired"] for one in repaired["findings"] if one["what"] == digest] == [True]
        assert berthlab.sha256(path.read_bytes()) == digest
        assert fsck(berth, "--read-data")["findings"] == []


def test_what_no_registry_has_stays_lost_and_is_told(berth, tiny):
    berth.run("package", "--gguf", tiny, "127.0.0.1:1/ai/tiny:1")
    berth.run("tag", "127.0.0.1:1/ai/tiny:1", "127.0.0.1:1/ai/tiny:2")
    layer = layer_of(berth, "127.0.0.1:1/ai/tiny:1")
    blob(berth, layer).unlink()
    done = berth.run("fsck", "--repair", ok=False)
    assert done.returncode == 6
    lines = done.stdout.splitlines()
    assert any(line.startswith(f"wrong: {layer}: its file is not there; needed by 127.0.0.1:1/ai/tiny:1") for line in lines), lines
    assert any(line.startswith("wrong: 127.0.0.1:1/ai/tiny:2: the model is damaged") for line in lines), lines
    # The blob comes back with its file; what the vain try left is no fault.
    berth.run("package", "--gguf", tiny, "127.0.0.1:1/ai/tiny:3")
    assert wrong(fsck(berth, "--read-data")) == set()


def test_records_are_mended_without_a_registry(berth, tiny):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    layer = layer_of(berth, "ai/tiny:1")
    with sqlite3.connect(berth.store / "berth.db") as database:
        database.execute("DELETE FROM blobs WHERE digest = ?", (layer,))
        database.execute("DELETE FROM edges")
    (berth.store / "index.json").write_text("{}")
    kinds = {kind for kind, _ in wrong(fsck(berth, status=6))}
    assert kinds == {"record", "index"}
    assert wrong(fsck(berth, "--repair")) == set()
    assert fsck(berth, "--read-data")["findings"] == []
    berth.run("inspect", "ai/tiny:1")


def test_a_lost_catalogue_comes_from_the_layout_and_the_log(berth, other, tiny, folder):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    berth.run("tag", "ai/tiny:1", "ai/second:2")
    berth.run("tag", "ai/tiny:1", "ai/third:3")
    berth.run("rm", "ai/third:3")
    before = berth.json("list", "--json")
    for path in berth.store.glob("berth.db*"):
        path.unlink()
    assert berth.json("list", "--json") == before
    assert fsck(berth, "--read-data")["findings"] == []


def test_a_newer_catalogue_is_refused_with_a_sentence(berth, tiny):
    berth.run("package", "--gguf", tiny, "ai/tiny:1")
    with sqlite3.connect(berth.store / "berth.db") as database:
        database.execute("PRAGMA user_version = 99")
    done = berth.run("list", ok=False)
    assert done.returncode == 69
    assert "made by a newer Berth (catalogue version 99" in done.stderr and "upgrade Berth" in done.stderr


def test_fsck_is_for_this_machine(berth):
    done = berth.run("--host", "http://127.0.0.1:1", "fsck", ok=False)
    assert done.returncode == 69
    assert "leave --host out" in done.stderr


def on_disk(folder):
    """Allocated bytes of every file below, hard links once."""
    seen = {}
    for path in pathlib.Path(folder).rglob("*"):
        info = path.lstat()
        if path.is_file():
            seen[info.st_ino] = info.st_blocks * 512
    return sum(seen.values())


def test_df_accounts_for_every_file(berth, registry, tiny):
    reference = f"{registry.host}/ai/tiny:1"
    berth.run("package", "--gguf", tiny, reference)
    berth.run("package", "--link", "--gguf", tiny, "ai/linked:1")
    (berth.store / f"ingest/sha256-{'a' * 64}").mkdir()
    (berth.store / f"ingest/sha256-{'a' * 64}/data").write_bytes(b"x" * 100_000)
    # With the catalogue open elsewhere its -wal stays, and what df itself writes into it is little.
    holder = sqlite3.connect(berth.store / "berth.db")
    holder.execute("SELECT COUNT(*) FROM tags").fetchall()
    usage = berth.json("df", "--json")
    assert usage["models_disk_usage"] == on_disk(berth.store / "blobs")
    assert usage["unfinished"] == on_disk(berth.store / "ingest") > 0
    parts = usage["models_disk_usage"] + usage["unfinished"] + usage["catalogue"]
    assert abs(parts - on_disk(berth.store)) <= 64 * 1024, (usage, on_disk(berth.store))
    holder.close()
