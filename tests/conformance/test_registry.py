"""The distribution API of `berth registry serve`, as a table of facts (facts/oci.md A1-A4 and G): what the conformance
program of distribution-spec demands, in our own words, and what it does not ask."""

import hashlib
import json
import pathlib
import tempfile

import pytest

import berthlab

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"


@pytest.fixture(scope="module")
def registry():
    with tempfile.TemporaryDirectory() as folder:
        registry = berthlab.OwnRegistry(pathlib.Path(folder) / "r")
        yield registry
        registry.close()


@pytest.fixture
def repository(request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())
    return "t/" + "-".join(part for part in name.split("-") if part)


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def code(body):
    return json.loads(body)["errors"][0]["code"]


def begin(registry, repository):
    status, headers, _ = registry.request("POST", f"/v2/{repository}/blobs/uploads/")
    assert status == 202 and headers["range"] == "0-0", (status, headers)
    assert headers["location"].count("/") == len(repository.split("/")) + 4, headers
    return headers["location"]


def image(layers=(), **more):
    value = {"schemaVersion": 2, "mediaType": MANIFEST,
             "config": {"mediaType": EMPTY, "digest": digest(b"{}"), "size": 2},
             "layers": [{"mediaType": "application/x", "digest": digest(x), "size": len(x)} for x in layers], **more}
    return json.dumps(value).encode()


def put(registry, repository, reference, data, type=MANIFEST, query=""):
    return registry.request("PUT", f"/v2/{repository}/manifests/{reference}{query}", data, {"Content-Type": type})


def test_base(registry):
    status, headers, body = registry.request("GET", "/v2/")
    assert (status, json.loads(body)) == (200, {})
    assert headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_ways_to_push_a_blob(registry, repository, algorithm):
    def check(status, headers, data):
        assert status == 201 and headers["docker-content-digest"] == digest(data, algorithm), (status, headers)
        assert registry.request("GET", headers["location"])[2] == data

    data = b"one request"
    status, headers, _ = registry.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest(data, algorithm)}", data)
    check(status, headers, data)

    data = b"post and put"
    place = begin(registry, repository)
    check(*registry.request("PUT", f"{place}?digest={digest(data, algorithm)}", data)[:2], data)

    data = b"chunk by chunk and the last on the put"
    place = begin(registry, repository)
    for start, end in ((0, 10), (10, 20)):
        status, headers, _ = registry.request("PATCH", place, data[start:end], {"Content-Range": f"{start}-{end - 1}"})
        assert status == 202 and headers["range"] == f"0-{end - 1}", (status, headers)
        place = headers["location"]
    status, headers, _ = registry.request("GET", place)
    assert status == 204 and headers["range"] == "0-19" and headers["location"] == place
    check(*registry.request("PUT", f"{place}?digest={digest(data, algorithm)}", data[20:],
                            {"Content-Range": f"20-{len(data) - 1}"})[:2], data)

    data = b"a stream of unknown length"
    place = begin(registry, repository)
    status, headers, _ = registry.request("PATCH", place, iter([data[:5], data[5:]]))
    assert status == 202 and headers["range"] == f"0-{len(data) - 1}"
    check(*registry.request("PUT", f"{place}?digest={digest(data, algorithm)}")[:2], data)

    place = begin(registry, repository)
    check(*registry.request("PUT", f"{place}?digest={digest(b'', algorithm)}")[:2], b"")


@pytest.mark.parametrize("wrong", ["sha256:baddigeststring", "sha256:" + "A" * 64, "md5:" + "0" * 32, "x"])
def test_a_bad_digest_is_400(registry, repository, wrong):
    assert registry.request("POST", f"/v2/{repository}/blobs/uploads/?digest={wrong}", b"x")[0] == 400
    place = begin(registry, repository)
    assert registry.request("PUT", f"{place}?digest={wrong}", b"x")[0] == 400
    assert registry.request("GET", f"/v2/{repository}/blobs/{wrong}")[0] == 400
    assert registry.request("GET", f"/v2/{repository}/referrers/{wrong}")[0] == 400
    assert registry.request("GET", f"/v2/{repository}/manifests/{wrong}")[0] == 404


def test_a_digest_that_is_another_is_400_and_ends_the_upload(registry, repository):
    wrong = digest(b"else")
    status, _, body = registry.request("POST", f"/v2/{repository}/blobs/uploads/?digest={wrong}", b"x")
    assert (status, code(body)) == (400, "DIGEST_INVALID")
    place = begin(registry, repository)
    assert registry.request("PUT", f"{place}?digest={wrong}", b"x")[0] == 400
    assert registry.request("GET", place)[0] == 404
    assert put(registry, repository, wrong, image())[0] == 400


def test_what_is_out_of_order_is_416_and_the_upload_survives(registry, repository):
    place = begin(registry, repository)
    assert registry.request("PATCH", place, b"0123456789", {"Content-Range": "0-9"})[0] == 202
    for start in (0, 5, 11):
        status, headers, body = registry.request("PATCH", place, b"x" * 5, {"Content-Range": f"{start}-{start + 4}"})
        assert status == 416 and headers["range"] == "0-9" and headers["location"] == place, (status, headers)
    status, _, _ = registry.request("PUT", f"{place}?digest={digest(b'x')}", b"x" * 5, {"Content-Range": "3-7"})
    assert status == 416
    assert registry.request("PATCH", place, b"abc", {"Content-Range": "10-14"})[0] == 400  # says five, brings three
    data = b"0123456789abc"
    assert registry.request("PUT", f"{place}?digest={digest(data)}", b"abc", {"Content-Range": "10-12"})[0] == 201


def test_cancel(registry, repository):
    place = begin(registry, repository)
    assert registry.request("DELETE", place)[0] == 204
    for method in ("GET", "PATCH", "DELETE"):
        status, _, body = registry.request(method, place, b"x" if method == "PATCH" else None)
        assert (status, code(body)) == (404, "BLOB_UPLOAD_UNKNOWN"), method


def test_an_upload_belongs_to_its_repository(registry, repository):
    place = begin(registry, repository)
    other = place.replace(repository, repository + "/other")
    assert registry.request("GET", other)[0] == 404
    assert registry.request("GET", place)[0] == 204


def test_mount(registry, repository):
    blob = registry.push_blob(f"{repository}/a", b"to be mounted " + repository.encode())
    post = f"/v2/{repository}/b/blobs/uploads/?mount={blob}"
    status, headers, _ = registry.request("POST", f"{post}&from={repository}/none")
    assert status == 202 and "uploads" in headers["location"]
    status, headers, _ = registry.request("POST", f"{post}&from={repository}/a")
    assert status == 201 and registry.request("HEAD", headers["location"])[0] == 200
    status, _, _ = registry.request("POST", f"/v2/{repository}/c/blobs/uploads/?mount={blob}")
    assert status == 201
    status, headers, _ = registry.request("POST", f"/v2/{repository}/c/blobs/uploads/?mount={digest(b'nobody has it')}")
    assert status == 202
    assert registry.request("PUT", f"{headers['location']}?digest={digest(b'it')}", b"it")[0] == 201


def test_ranges_of_a_blob(registry, repository):
    data = bytes(range(256)) * 8
    path = f"/v2/{repository}/blobs/{registry.push_blob(repository, data)}"
    status, headers, body = registry.request("HEAD", path)
    assert (status, headers["content-length"], body) == (200, "2048", b"")
    for asked, begins, ends in (("500-1499", 500, 1500), ("500-", 500, 2048), ("-500", 1548, 2048), ("2000-5000", 2000, 2048)):
        status, headers, body = registry.request("GET", path, headers={"Range": f"bytes={asked}"})
        assert (status, body) == (206, data[begins:ends]), asked
        assert headers["content-range"] == f"bytes {begins}-{ends - 1}/2048"
        assert headers["content-length"] == str(ends - begins)
    for asked in ("500-0", "5000-10000"):
        status, headers, body = registry.request("GET", path, headers={"Range": f"bytes={asked}"})
        assert status == 416 and headers["content-range"] == "bytes */2048" and code(body), asked
    tag = registry.request("HEAD", path)[1]["etag"]
    assert registry.request("GET", path, headers={"If-None-Match": tag})[0] == 304
    assert registry.request("GET", path, headers={"If-Range": '"x"', "Range": "bytes=1-2"})[0] == 200


def test_a_blob_is_deleted_in_one_repository_at_once(registry, repository):
    for name in ("a", "b"):
        blob = registry.push_blob(f"{repository}/{name}", b"in two")
    assert registry.request("DELETE", f"/v2/{repository}/a/blobs/{blob}")[0] == 202
    assert registry.request("HEAD", f"/v2/{repository}/a/blobs/{blob}")[0] == 404
    assert registry.request("GET", f"/v2/{repository}/b/blobs/{blob}")[2] == b"in two"
    assert registry.request("DELETE", f"/v2/{repository}/a/blobs/{blob}")[0] == 404


def test_a_manifest_comes_back_byte_for_byte(registry, repository):
    data = image([b"missing"], annotations={str(i): "x" * 10_000 for i in range(390)}, unknown={"kept": [1, 2]})
    status, headers, _ = put(registry, repository, "v1", data)
    assert status == 201 and headers["docker-content-digest"] == digest(data)
    assert "1 of what" not in headers["warning"] and headers["warning"].startswith("299 - "), headers
    for reference in ("v1", digest(data)):
        status, headers, body = registry.request("GET", f"/v2/{repository}/manifests/{reference}")
        assert (status, headers["content-type"], body) == (200, MANIFEST, data)
        status, head, body = registry.request("HEAD", f"/v2/{repository}/manifests/{reference}")
        assert (status, head["content-length"], body) == (200, str(len(data)), b"")
        assert head["docker-content-digest"] == digest(data)
    status, _, _ = registry.request("GET", f"/v2/{repository}/manifests/v1", headers={"If-None-Match": head["etag"]})
    assert status == 304


@pytest.mark.parametrize("data, type", [
    (b"", MANIFEST), (b"[]", MANIFEST), (b'"x"', MANIFEST), (b"{", MANIFEST), (b'{"a":1,"a":2}', MANIFEST),
    (image(), INDEX), (b'{"layers":[{"mediaType":"a","digest":"sha256:../../x","size":1}]}', MANIFEST),
    (b"[" * 100_000, MANIFEST),
])
def test_what_is_no_manifest_is_400(registry, repository, data, type):
    status, _, body = put(registry, repository, "v1", data, type)
    assert (status, code(body)) == (400, "MANIFEST_INVALID")
    assert registry.request("GET", f"/v2/{repository}/manifests/v1")[0] == 404


def test_a_manifest_that_is_too_large_is_413(registry, repository):
    status, _, body = put(registry, repository, "v1", image(annotations={"a": "x" * (9 << 20)}))
    assert status == 413, body


def test_tags_of_one_push(registry, repository):
    data = image()
    for algorithm in ("sha256", "sha512"):
        named = digest(data, algorithm)
        status, headers, _ = put(registry, repository, named, data, query=f"?tag={algorithm}-a&tag={algorithm}-b")
        assert status == 201 and headers["oci-tag"] == f"{algorithm}-a, {algorithm}-b", headers
        assert registry.request("HEAD", f"/v2/{repository}/manifests/{algorithm}-b")[1]["docker-content-digest"] == named
    assert put(registry, repository, digest(data), data, query="?tag=-bad")[0] == 400
    assert put(registry, repository, digest(data), data, query="?" + "&".join(f"tag=t{i}" for i in range(101)))[0] == 414


def test_lists_have_pages(registry, repository):
    assert registry.request("GET", f"/v2/{repository}/tags/list")[0] == 404
    put(registry, repository, digest(image()), image(), query="?" + "&".join(f"tag=t{i}" for i in range(5)))
    status, headers, body = registry.request("GET", f"/v2/{repository}/tags/list?n=2")
    assert json.loads(body) == {"name": repository, "tags": ["t0", "t1"]}
    seen = []
    path = f"/v2/{repository}/tags/list?n=2"
    while path:
        _, headers, body = registry.request("GET", path)
        seen += json.loads(body)["tags"]
        link = headers.get("link", "")
        path = link[link.index("<") + 1:link.index(">")] if link else None
    assert seen == [f"t{i}" for i in range(5)]
    status, headers, body = registry.request("GET", f"/v2/{repository}/tags/list?n=0")
    assert json.loads(body)["tags"] == [] and "link" not in headers
    assert registry.request("GET", f"/v2/{repository}/tags/list?n=x")[0] == 400
    assert json.loads(registry.request("GET", f"/v2/{repository}/tags/list?last=t3")[2])["tags"] == ["t4"]
    assert repository in json.loads(registry.request("GET", "/v2/_catalog?n=1000")[2])["repositories"]


def test_delete_a_tag_and_a_manifest(registry, repository):
    data = image()
    put(registry, repository, digest(data), data, query="?tag=a&tag=b")
    assert registry.request("DELETE", f"/v2/{repository}/manifests/a")[0] == 202
    assert registry.request("GET", f"/v2/{repository}/manifests/a")[0] == 404
    assert registry.request("GET", f"/v2/{repository}/manifests/b")[0] == 200
    assert registry.request("DELETE", f"/v2/{repository}/manifests/{digest(data)}")[0] == 202
    assert registry.request("GET", f"/v2/{repository}/manifests/b")[0] == 404
    assert registry.request("GET", f"/v2/{repository}/manifests/{digest(data)}")[0] == 404
    assert registry.request("DELETE", f"/v2/{repository}/manifests/{digest(data)}")[0] == 404


def test_referrers(registry, repository):
    subject = image([b"subject"])
    def referrers(query=""):
        status, headers, body = registry.request("GET", f"/v2/{repository}/referrers/{digest(subject)}{query}")
        assert (status, headers["content-type"]) == (200, INDEX)
        return headers, json.loads(body)["manifests"]
    assert referrers()[1] == []
    of = {"mediaType": MANIFEST, "digest": digest(subject), "size": len(subject)}
    sbom = image(subject=of, artifactType="application/sbom", annotations={"k": "v"})
    signature = image([b"sig"], subject=of)
    for number, data in enumerate((sbom, signature)):
        status, headers, _ = put(registry, repository, digest(data) if number else "sbom", data)
        assert status == 201 and headers["oci-subject"] == digest(subject)
    assert {x["digest"] for x in referrers()[1]} == {digest(sbom), digest(signature)}
    headers, found = referrers("?artifactType=application/sbom")
    assert headers["oci-filters-applied"] == "artifactType"
    assert found == [{"mediaType": MANIFEST, "digest": digest(sbom), "size": len(sbom),
                      "artifactType": "application/sbom", "annotations": {"k": "v"}}]
    assert referrers(f"?artifactType={EMPTY}")[1][0]["digest"] == digest(signature)
    headers, first = referrers("?n=1")
    assert len(first) == 1 and 'rel="next"' in headers["link"]
    assert put(registry, repository, "subject", subject)[0] == 201
    assert registry.request("DELETE", f"/v2/{repository}/manifests/{digest(sbom)}")[0] == 202
    assert [x["digest"] for x in referrers()[1]] == [digest(signature)]


@pytest.mark.parametrize("path", [
    "/v2/UPPER/tags/list", "/v2/../../etc/passwd/tags/list", "/v2/a%2f..%2fb/tags/list", "/v2/" + "a" * 300 + "/tags/list",
    "/v2/a/manifests/" + "t" * 129, "/v2/a/manifests/.hidden", "/v2/a/blobs/sha256:..%2f..%2fx", "/v2/nothing/here/at/all",
    "/v2/a//../b/manifests/x", "/v2/a/blobs/uploads/..%2f..%2fx", "/v2/a/manifests/x%00y",
])
def test_names_are_checked_before_anything_else(registry, path):
    status, _, body = registry.request("GET", path)
    assert status in (400, 404) and code(body), (status, body)


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"), ("PUT", "/v2/a/blobs/uploads/", "POST"),
    ("DELETE", "/v2/_catalog", "GET, HEAD"), ("PATCH", "/v2/", "GET, HEAD"),
])
def test_methods_are_told(registry, method, path, allow):
    status, headers, body = registry.request(method, path)
    assert (status, headers["allow"], code(body)) == (405, allow, "UNSUPPORTED")


def test_a_page_of_a_stranger_is_kept_out(registry):
    assert registry.request("GET", "/v2/", headers={"Host": "evil.example"})[0] == 403
    assert registry.request("POST", "/v2/a/blobs/uploads/", headers={"Origin": "https://evil.example"})[0] == 403


def test_discovery_health_and_metrics(registry):
    assert "extensions" in json.loads(registry.request("GET", "/v2/_oci/ext/discover")[2])
    assert registry.request("GET", "/healthz")[0] == 200
    assert b"berth_registry_requests_total" in registry.request("GET", "/metrics")[2]
