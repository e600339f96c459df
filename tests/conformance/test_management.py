"""Docker Model Runner's model management, /models…: every endpoint, by the table."""

import io
import json
import re
import tarfile

import pytest

from table import Row, check, like

JSON, TEXT, TAR = "application/json", "text/plain", "application/x-tar"
ID = re.compile(r"^sha256:[0-9a-f]{64}$")
MODEL = {"id": ID, "tags": list, "created": int,
         "config": {"format": "gguf", "quantization": str, "parameters": str, "architecture": "llama", "size": str,
                    "gguf": dict}}
TINY = {**MODEL, "id": "{id}"}


def sentence(words):
    """An error of a management route: one line of text, as Go's http.Error writes it."""
    return re.compile(r"\A[^\n]*" + re.escape(words) + r"[^\n]*\n\Z")


def lines(*expected):
    """A progress stream in JSON lines: the last ones are like these, and each fits Docker's 64 KiB."""
    def holds(body):
        got = body.decode().splitlines()
        assert all(len(line) < 65536 for line in got)
        events = [json.loads(line) for line in got]
        for shape, event in zip(expected, events[-len(expected):], strict=True):
            like(shape, event, "line")
        return True
    return holds


def html_escaped(words):
    def holds(body):
        text = body.decode()
        return '"' not in text and "{&#34;type&#34;:&#34;" in text and words in text
    return holds


def is_models_tar(body):
    names = set(tarfile.open(fileobj=io.BytesIO(body)).getnames())
    return "oci-layout" in names and any(name.startswith("blobs/sha256/") for name in names)


def is_model_without_tags(body):
    model = json.loads(body)
    like({**MODEL, "id": ID}, {"tags": [], **model})
    return not model.get("tags")


LISTING = [
    Row("the list is an array of models", "GET", "/models", 200, JSON, [MODEL]),
    Row("doubled slashes are one", "GET", "//models", 200, JSON, [MODEL]),
    Row("the prefix of the Docker socket is taken off", "GET", "/exp/vDD4.40/models", 200, JSON, [MODEL]),
    Row("a name is in the organisation ai and has the tag latest", "GET", "/models/tiny", 200, JSON, TINY),
    Row("name:tag", "GET", "/models/tiny:1", 200, JSON, TINY),
    Row("org/name", "GET", "/models/ai/tiny", 200, JSON, TINY),
    Row("org/name:tag", "GET", "/models/ai/tiny:1", 200, JSON, TINY),
    Row("registry/org/name", "GET", "/models/docker.io/ai/tiny", 200, JSON, TINY),
    Row("registry/org/name:tag", "GET", "/models/docker.io/ai/tiny:1", 200, JSON, TINY),
    Row("the repository's case is lowered", "GET", "/models/AI/Tiny:1", 200, JSON, TINY),
    Row("name@digest", "GET", "/models/tiny@{id}", 200, JSON, TINY),
    Row("org/name@digest", "GET", "/models/ai/tiny@{id}", 200, JSON, TINY),
    Row("registry/org/name@digest", "GET", "/models/docker.io/ai/tiny@{id}", 200, JSON, TINY),
    Row("the whole id", "GET", "/models/{id}", 200, JSON, TINY),
    Row("the first 12 characters of the id", "GET", "/models/{short}", 200, JSON, TINY),
    Row("the id without its algorithm", "GET", "/models/{hex}", 200, JSON, TINY),
    Row("the last part of any tag's path", "GET", "/models/other", 200, JSON, TINY),
    Row("the same with its tag", "GET", "/models/other:v1", 200, JSON, TINY),
    Row("tags are fully qualified", "GET", "/models/ai/tiny:1", 200, JSON,
        {"tags": lambda tags: "docker.io/ai/tiny:1" in tags and "registry.example/team/other:v1" in tags}),
    Row("an unknown model is 404 in text", "GET", "/models/nope", 404, TEXT, sentence("nope")),
    Row("a name that is no name is 400", "GET", "/models/ai/tiny:..", 400, TEXT, sentence("..")),
    Row("a model in a registry has no tags", "GET", "/models/{registry}/ai/tiny:1?remote=true", 200, JSON,
        is_model_without_tags),
    Row("an unknown one in a registry is 404", "GET", "/models/{registry}/ai/none:1?remote=true", 404, TEXT,
        sentence("ai/none")),
]

TRANSFER = [
    Row("a model is exported as a tar to save", "GET", "/models/ai/tiny:1/export", 200, TAR, is_models_tar,
        answers={"Content-Disposition": re.compile("^attachment")}),
    Row("an unknown one is not", "GET", "/models/nope/export", 404, TEXT, sentence("nope")),
    Row("pull: with Accept: application/json the lines are JSON", "POST", "/models/create", 200, JSON,
        lines({"type": "success", "message": re.compile("^(Model pulled successfully|Using cached model: .+)$")}),
        send={"from": "{registry}/ai/tiny:1"}, headers={"Accept": JSON}),
    Row("pull: else they are escaped for HTML, in text", "POST", "/models/create", 200, TEXT,
        html_escaped("&#34;success&#34;"), send={"from": "{registry}/ai/tiny:1"}),
    Row("pull: progress lines name layer and mode", "POST", "/models/create", 200, JSON,
        lines({"type": "progress", "message": str, "total": int, "mode": "pull",
               "layer": {"id": ID, "size": int, "current": int}},
              {"type": "success", "message": "Model pulled successfully", "mode": "pull"}),
        send={"from": "{registry}/{own}"}, headers={"Accept": JSON}, given="own_model_only_in_the_registry"),
    Row("pull: what is here already is said to be cached", "POST", "/models/create", 200, JSON,
        lines({"type": "success", "message": re.compile("^Using cached model: .+")}),
        send={"from": "{registry}/ai/tiny:1"}, headers={"Accept": JSON}),
    Row("pull: no body", "POST", "/models/create", 400, TEXT, sentence('"from"')),
    Row("pull: no name", "POST", "/models/create", 400, TEXT, sentence('"from"'), send={}),
    Row("pull: no JSON", "POST", "/models/create", 400, TEXT, sentence("body"), send="{"),
    Row("pull: no object", "POST", "/models/create", 400, TEXT, sentence("not a JSON object"), send="[]"),
    Row("pull: no reference", "POST", "/models/create", 400, TEXT, sentence("UP/../x"), send={"from": "UP/../x"}),
    Row("pull: not in the registry", "POST", "/models/create", 404, TEXT, sentence("ai/none"),
        send={"from": "{registry}/ai/none:1"}),
    Row("pull: credentials are missing", "POST", "/models/create", 401, TEXT, sentence("berth login"),
        send={"from": "{private}/ai/tiny:2"}),
    Row("pull: what is no model is 422 and says what it is", "POST", "/models/create", 422, TEXT, ...,
        send={"from": "{registry}/ai/text:1"}),
    Row("load: a tar", "POST", "/models/load", 200, JSON,
        lines({"type": "success", "message": "Model loaded successfully"}), send="@{tar}", headers={"Content-Type": TAR},
        given="tar_of_own_model"),
    Row("load: nothing", "POST", "/models/load", 400, TEXT, sentence("empty")),
    Row("load: no tar", "POST", "/models/load", 400, TEXT, ..., send="junk", headers={"Content-Type": TAR}),
    Row("push: the stream's mode is push", "POST", "/models/{registry}/ai/tiny:1/push", 200, JSON,
        lines({"type": "success", "message": "Model pushed successfully", "mode": "push"}), headers={"Accept": JSON}),
    Row("push: a bearer token may come in the body", "POST", "/models/{registry}/ai/tiny:1/push", 200, TEXT,
        html_escaped("Model pushed successfully"), send={"bearer-token": "t"}),
    Row("push: unknown", "POST", "/models/nope/push", 404, TEXT, sentence("nope")),
    Row("push: credentials are missing", "POST", "/models/{private}/ai/tiny:1/push", 401, TEXT, sentence("berth login")),
]

NAMING = [
    Row("tag", "POST", "/models/{own}/tag?repo=docker.io/ai/named&tag=v2", 201, JSON,
        {"message": re.compile("tagged"), "target": "docker.io/ai/named:v2"}, given="own_model"),
    Row("tag: no repository", "POST", "/models/ai/tiny:1/tag?tag=v2", 400, TEXT, sentence('"repo"')),
    Row("tag: no tag", "POST", "/models/ai/tiny:1/tag?repo=ai/n", 400, TEXT, sentence('"tag"')),
    Row("tag: no grammar", "POST", "/models/ai/tiny:1/tag?repo=ai/n&tag=a%20b", 400, TEXT, sentence("a b")),
    Row("tag: unknown", "POST", "/models/nope/tag?repo=ai/n&tag=v2", 404, TEXT, sentence("nope")),
    Row("repackage", "POST", "/models/{own}/repackage", 201, JSON,
        {"message": re.compile("repackaged"), "source": "{own}", "target": "docker.io/ai/repackaged:1"},
        send={"target": "ai/repackaged:1", "context_size": 1024}, given="own_model"),
    Row("repackage: no target", "POST", "/models/ai/tiny:1/repackage", 400, TEXT, sentence('"target"'), send={}),
    Row("repackage: unknown", "POST", "/models/nope/repackage", 404, TEXT, sentence("nope"), send={"target": "ai/n:1"}),
    Row("a tag of several: only untagged", "DELETE", "/models/{own}", 200, JSON,
        lambda body: [list(item) for item in json.loads(body)] == [["Untagged"]], given="own_model_with_two_tags"),
    Row("the last tag: untagged and deleted", "DELETE", "/models/{own}", 200, JSON,
        lambda body: [list(item) for item in json.loads(body)] == [["Untagged"], ["Deleted"]], given="own_model"),
    Row("by id with several tags: refused", "DELETE", "/models/{own_id}", 409, TEXT,
        sentence("(must be forced) due to multiple tag references"), given="own_model_with_two_tags"),
    Row("… unless forced", "DELETE", "/models/{own_id}?force=true", 200, JSON,
        lambda body: [list(item) for item in json.loads(body)] == [["Untagged"], ["Untagged"], ["Deleted"]],
        given="own_model_with_two_tags"),
    Row("by id with one tag: deleted", "DELETE", "/models/{own_id}", 200, JSON,
        lambda body: {"Deleted": json.loads(body)[-1]["Deleted"]} in json.loads(body), given="own_model"),
    Row("delete: unknown", "DELETE", "/models/nope", 404, TEXT, sentence("nope")),
]


@pytest.mark.parametrize("row", LISTING + TRANSFER + NAMING, ids=str)
def test_table(row, world):
    check(row, world, world.daemon)


def test_a_model_may_be_named_like_an_action(world):
    world.own_model()
    world.berth.run("tag", world.words["own"], "ai/thing/export:latest")
    model = world.daemon.json("GET", "/models/ai/thing/export")
    assert model["id"] == world.words["own_id"]


def test_purge_empties_the_store_and_answers_nothing(folder, world):
    import berthlab

    user = berthlab.Berth(folder / "u")
    user.run("package", "--gguf", world.file, "ai/tiny:1")
    daemon = berthlab.Daemon(user)
    try:
        status, headers, body = daemon.request("DELETE", "/models/purge")
        assert (status, body) == (200, b"")
        assert daemon.json("GET", "/models") == []
    finally:
        daemon.close()
