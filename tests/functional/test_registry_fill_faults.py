"""A registry's disk fails while it takes in what comes otherwise than by a plain upload: what a mirror fetches, and Ollama's push
in pieces. Every call that either makes fails once, and then stays failed."""

import http.client
import shutil

import pytest

import berthlab
import ollama_client
import registry_faults
from registry_faults import MANIFEST, NEW, digest_of, one_sentence, random_bytes

MODEL = registry_faults.manifest(NEW)
PIECES = random_bytes("pieces", 3 * ollama_client.PART + 77)
ERRORS = ("EIO", "ENOSPC", "EDQUOT")


class Fill:
    """A mirror is asked for a manifest and its blob."""

    name = "fill"

    def __init__(self, folder):
        self.upstream = berthlab.OwnRegistry(folder / "upstream")
        self.upstream.push_blob("ai/x", NEW)
        assert self.upstream.request("PUT", "/v2/ai/x/manifests/1", MODEL, {"Content-Type": MANIFEST})[0] == 201

    def start(self, folder, fault=None):
        return registry_faults.start(folder, fault, "--mirror", f"up={self.upstream.host}", BERTH_REGISTRY_SERVER_MIRROR_CHECK="0s")

    def ask(self, registry):
        """Statuses of refusals. A mirror may also pass on what it cannot keep, and may break off; what came as whole is right."""
        refused = []
        for path, right in (("manifests/1", MODEL), (f"blobs/{digest_of(NEW)}", NEW)):
            try:
                status, _, body = registry.request("GET", f"/v2/up/ai/x/{path}")
            except (http.client.IncompleteRead, ConnectionError):
                refused.append(None)
                continue
            assert status in (200, 500, 502, 503, 507), (path, status, body[:300])
            if status == 200:
                assert body == right, path
            else:
                one_sentence(body, registry)
                refused.append(status)
        return refused

    def holds(self, registry):
        assert self.ask(registry) == []

    def close(self):
        self.upstream.close()


class Pieces:
    """Ollama pushes a blob in four pieces, one after another, each asked for again when it was refused."""

    name = "pieces"

    def start(self, folder, fault=None):
        return registry_faults.start(folder, fault)

    def ask(self, registry):
        client, refused = ollama_client.Push(registry), []

        def step(do, well):
            status = None
            for _ in range(2):
                status = do()
                if status == well:
                    return True
                assert status in (404, 500, 507), status
                refused.append(status)
            return False

        def begin():
            status, headers, body = client.ask("POST", "/v2/t/new/blobs/uploads/")
            if status == 202:
                client.next, client.sums = client.path_of(headers["location"]), {}
            else:
                one_sentence(body, registry)
            return status

        def place():
            size = len(PIECES[number * ollama_client.PART:][:ollama_client.PART])
            first = number * ollama_client.PART
            status, headers, body = client.ask("PATCH", client.next, {
                "X-Redirect-Uploads": "1", "Content-Range": f"{first}-{first + size - 1}"}, PIECES[first:first + size])
            if status == 307:
                client.next = client.path_of(headers["docker-upload-location"])
                places[number] = client.path_of(headers["location"]), PIECES[first:first + size]
            else:
                one_sentence(body, registry)
            return status

        places = {}
        if not step(begin, 202):
            return refused
        for number in range(ollama_client.parts_of(PIECES)):
            if not step(place, 307) or not step(lambda: client.put(*places[number], number), 201):
                return refused
        step(lambda: client.end(PIECES), 201)
        return refused

    def holds(self, registry):
        path = f"/v2/t/new/blobs/{digest_of(PIECES)}"
        if registry.request("HEAD", path)[0] == 404:
            assert self.ask(registry) == []
        status, _, body = registry.request("GET", path)
        assert status == 200 and body == PIECES

    def close(self):
        pass


@pytest.fixture(scope="module", params=["fill", "pieces"])
def way(request, tmp_path_factory):
    made = Fill(tmp_path_factory.mktemp("fill")) if request.param == "fill" else Pieces()
    yield made
    made.close()


@pytest.fixture(scope="module")
def places(way, tmp_path_factory):
    """(operation, which): every call that it makes."""
    folder = tmp_path_factory.mktemp("trace")
    before = registry_faults.end_of_trace(way.start(folder / "1", "trace"))
    registry = way.start(folder / "2", "trace")
    assert way.ask(registry) == []
    found = registry_faults.places_between(before, registry_faults.end_of_trace(registry))
    assert {"open", "write", "sync"} <= {operation for operation, _ in found}, found
    return found


def check(way, folder, fault):
    """How it was refused under this fault; after it, and after a kill, all is right."""
    registry = way.start(folder, fault)
    try:
        refused = way.ask(registry)
        if not fault.endswith(":sticky"):
            way.holds(registry)
        registry.kill()
        registry = way.start(folder)
        way.holds(registry)
        registry.kill()
        registry = way.start(folder)
        way.holds(registry)
    except AssertionError as failed:
        raise AssertionError(f"{way.name}: {fault}: {failed}") from failed
    finally:
        registry.close()
        shutil.rmtree(folder)
    return refused


def test_a_call_that_fails_once(way, places, tmp_path):
    refused = 0
    for number, (operation, turn) in enumerate(places):
        error = ERRORS[number % 3] if operation != "open" else ("EROFS", "ENOSPC")[number % 2]
        refused += len(check(way, tmp_path / "r", f"{operation}:{turn}:{error}"))
    assert refused, "no fault was ever told"


def test_a_disk_that_stays_full(way, places, tmp_path):
    for operation in sorted({operation for operation, _ in places} - {"open"}):  # what is full can be read
        turn = min(turn for other, turn in places if other == operation)
        check(way, tmp_path / "r", f"{operation}:{turn}:ENOSPC:sticky")
