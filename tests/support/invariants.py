"""What must hold of a store whatever happened to the programs that wrote it, checked without them where that can be.

The digests are computed here, over the files, from nothing but the names that the store gives them.
"""

import hashlib
import json
import os
import time

KNOWN = {"oci-layout", "index.json", "blobs", "berth.db", "berth.db-wal", "berth.db-shm", "refs.log", "ingest", "locks"}


def file_digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, path.parent.name).hexdigest()


def blob(store, digest):
    return store / "blobs" / digest.replace(":", "/")


def blob_files(store):
    return {f"{path.parent.name}:{path.name}": path for path in (store / "blobs").glob("*/*")}


def children(store, digest):
    """The digests below a manifest, with the sizes that it claims."""
    manifest = json.loads(blob(store, digest).read_bytes())
    return {one["digest"]: one["size"] for one in [manifest["config"], *manifest["layers"]]}


def left_out(berth, model):
    """The digests that `pull --include` did not bring."""
    if "partial" not in model:
        return set()
    return {file["digest"] for file in berth.json("inspect", model["id"])["files"] if file.get("left_out")}


def closure(berth, models):
    found = set()
    for model in models:
        found |= {model["id"], *children(berth.store, model["id"])} - left_out(berth, model)
    return found


def check_blobs(store):
    """Nothing unverified has a name under blobs/."""
    for digest, path in blob_files(store).items():
        assert path.is_file() and not path.is_symlink(), path
        assert path.name == file_digest(path), f"{path} is not what its name says"


def check_models(berth):
    """Every model that is listed is whole but for what was left out; its tags, by name."""
    models = berth.json("list", "--json")
    tags = {}
    for model in models:
        assert blob(berth.store, model["id"]).is_file(), f"{model['id']} is listed and its manifest is not here"
        missing = left_out(berth, model)
        for digest, size in children(berth.store, model["id"]).items():
            if digest in missing:
                continue
            path = blob(berth.store, digest)
            assert path.is_file(), f"{model['id']} is listed and {digest} is not here"
            assert path.stat().st_size == size, f"{digest} has not the size that {model['id']} says"
        for tag in model["tags"]:
            assert tag not in tags, f"{tag} is listed twice"
            tags[tag] = model["id"]
    return tags


def check_visible(berth):
    """The state right after a crash; the tags."""
    check_blobs(berth.store)
    tags = check_models(berth)
    json.loads((berth.store / "index.json").read_bytes())
    check_names(berth.store, allowed=(".",))
    return tags


def check_names(store, allowed=()):
    """Nothing lies in the store's folder but its own. `allowed`: how unfinished files may begin."""
    unknown = {path.name for path in store.iterdir()} - KNOWN
    assert all(name.startswith(allowed) for name in unknown), f"{unknown} lie in the store"


def check_view(berth):
    """index.json names the same tags as the catalogue."""
    index = json.loads((berth.store / "index.json").read_bytes())
    seen = {one["annotations"]["org.opencontainers.image.ref.name"]: one["digest"] for one in index["manifests"]
            if "annotations" in one}
    assert seen == check_models(berth), f"index.json says {seen}"


def age(store, seconds=2 * 3600):
    """Files without a row are left alone for an hour; this is after it."""
    then = time.time() - seconds
    for path in [*blob_files(store).values(), *(store / "locks").glob("session-*"), *store.glob(".*.new.*")]:
        os.utime(path, (then, then))


def check_reclaimed(berth):
    """After a prune the disk holds the models and nothing else, and df says so."""
    age(berth.store)
    berth.run("prune")
    files = blob_files(berth.store)
    assert set(files) == closure(berth, berth.json("list", "--json")), "blobs that no model needs, or the reverse"
    assert list((berth.store / "ingest").iterdir()) == [], "unfinished transfers are left"
    check_names(berth.store)
    sessions = list((berth.store / "locks").glob("session-*"))
    assert sessions == [], f"{sessions} are left"
    usage = berth.json("df", "--json")
    assert usage["unfinished"] == 0 and usage["reclaimable"] == 0, usage
    allocated = sum(path.stat().st_blocks * 512 for path in files.values())
    assert usage["models_disk_usage"] == allocated, (usage, allocated)
