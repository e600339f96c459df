// The pure parts: paths, ranges, manifests, refusals.
#include <gtest/gtest.h>

#include "json/json.h"
#include "oci/media_types.h"
#include "registryd/naming.h"
#include "registryd/place.h"
#include "registryd/range.h"
#include "registryd/reading.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

std::string shown(std::string_view path) {
  const auto place = parse_place(path);
  if (!place) return "invalid";
  if (!*place) return "none";
  return fmt::format("{} {} {}", static_cast<int>((*place)->resource), (*place)->repository,
                     (*place)->reference);
}
std::string expected(Resource resource, std::string_view repository, std::string_view reference) {
  return fmt::format("{} {} {}", static_cast<int>(resource), repository, reference);
}

TEST(Place, NamesEveryAddressOfTheApi) {
  EXPECT_EQ(shown("/v2"), expected(Resource::kBase, "", ""));
  EXPECT_EQ(shown("/v2/"), expected(Resource::kBase, "", ""));
  EXPECT_EQ(shown("/v2/_catalog"), expected(Resource::kCatalog, "", ""));
  EXPECT_EQ(shown("/v2/_oci/ext/discover"), expected(Resource::kDiscover, "", ""));
  EXPECT_EQ(shown("/v2/a/b/_oci/ext/discover"), expected(Resource::kDiscover, "a/b", ""));
  EXPECT_EQ(shown("/v2/a/tags/list"), expected(Resource::kTags, "a", ""));
  EXPECT_EQ(shown("/v2/a/b/c/manifests/v1"), expected(Resource::kManifest, "a/b/c", "v1"));
  EXPECT_EQ(shown("/v2/a/blobs/sha256:00"), expected(Resource::kBlob, "a", "sha256:00"));
  EXPECT_EQ(shown("/v2/a/blobs/sha256%3A00"), expected(Resource::kBlob, "a", "sha256:00"));
  EXPECT_EQ(shown("/v2/a/blobs/uploads/"), expected(Resource::kUploads, "a", ""));
  EXPECT_EQ(shown("/v2/a/blobs/uploads"), expected(Resource::kUploads, "a", ""));
  EXPECT_EQ(shown("/v2/a/blobs/uploads/x.y"), expected(Resource::kUpload, "a", "x.y"));
  EXPECT_EQ(shown("/v2/a/referrers/d"), expected(Resource::kReferrers, "a", "d"));
}

TEST(Place, ARepositoryMayBeCalledLikeAPartOfTheApi) {
  EXPECT_EQ(shown("/v2/tags/list/tags/list"), expected(Resource::kTags, "tags/list", ""));
  EXPECT_EQ(shown("/v2/manifests/manifests/v1"), expected(Resource::kManifest, "manifests", "v1"));
  EXPECT_EQ(shown("/v2/blobs/uploads/blobs/uploads/"),
            expected(Resource::kUploads, "blobs/uploads", ""));
}

TEST(Place, NothingElseIsAPlace) {
  for (const char* path : {"/", "/v1/", "/v2x", "/v2/a", "/v2/a/b", "/v2/a/tags/lists",
                           "/v2/manifests/v1", "/v2/../etc", "/v2/a/blobs/uploads/x/y"})
    EXPECT_TRUE(shown(path) == "none" || shown(path) == "invalid") << path << " " << shown(path);
  for (const char* path : {"/v2/A/tags/list", "/v2/../tags/list", "/v2/a%2fb/tags/list",
                           "/v2/a/./b/manifests/x", "/v2/-a/blobs/d"})
    EXPECT_EQ(shown(path), "invalid") << path;
  EXPECT_EQ(shown("/v2/" + std::string(256, 'a') + "/tags/list"), "invalid");
}

std::string range(std::string_view header, std::uint64_t size) {
  const RangeAnswer answer = parse_range(header, size);
  if (answer.kind == RangeAnswer::Kind::kWhole) return "whole";
  if (answer.kind == RangeAnswer::Kind::kUnsatisfiable) return "416";
  return fmt::format("{}-{}", answer.span.begin, answer.span.end);
}

TEST(Range, OfABlob) {
  EXPECT_EQ(range("bytes=500-1499", 2048), "500-1500");
  EXPECT_EQ(range("bytes=500-", 2048), "500-2048");
  EXPECT_EQ(range("bytes=-500", 2048), "1548-2048");
  EXPECT_EQ(range("bytes=-5000", 2048), "0-2048");
  EXPECT_EQ(range("bytes=2000-5000", 2048), "2000-2048");
  EXPECT_EQ(range("bytes=0-18446744073709551615", 2048), "0-2048");
  EXPECT_EQ(range("bytes=500-0", 2048), "416");
  EXPECT_EQ(range("bytes=5000-10000", 2048), "416");
  EXPECT_EQ(range("bytes=2048-", 2048), "416");
  EXPECT_EQ(range("bytes=-0", 2048), "416");
  EXPECT_EQ(range("bytes=0-", 0), "416");
  for (const char* header : {"", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2,4-5", "items=1-2",
                             "bytes=18446744073709551616-", "bytes=1-x"})
    EXPECT_EQ(range(header, 2048), "whole") << header;
}

TEST(Range, OfAChunk) {
  EXPECT_EQ(parse_chunk_range("0-99"), (ByteSpan{0, 100}));
  EXPECT_EQ(parse_chunk_range("bytes 100-199/*"), (ByteSpan{100, 200}));
  for (const char* header : {"", "-", "5-4", "a-b", "0-18446744073709551615", "1"})
    EXPECT_FALSE(parse_chunk_range(header)) << header;
}

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string descriptor(std::string_view type) {
  return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":3}})", type, kDigest);
}

TEST(Reading, OfAnArtifactWithASubject) {
  const std::string text = fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{}","artifactType":"application/sbom","config":{},)"
      R"("layers":[{}],"subject":{},"annotations":{{"b":"1","a":"2"}},"more":[1]}})",
      oci::media::kManifest, descriptor("application/vnd.oci.empty.v1+json"), descriptor("x"),
      descriptor("y"));
  const auto reading = read_manifest(text, std::string(oci::media::kManifest) + "; charset=utf-8");
  ASSERT_TRUE(reading) << reading.error().message();
  EXPECT_EQ(reading->media_type, oci::media::kManifest);
  EXPECT_EQ(reading->artifact_type, "application/sbom");
  EXPECT_EQ(reading->children.size(), 2u);
  EXPECT_EQ(reading->subject->string(), kDigest);
  EXPECT_EQ(
      referrer_descriptor(*reading, *reading->subject, 5),
      fmt::format(R"({{"mediaType":"{}","digest":"{}","size":5,"artifactType":"application/sbom",)"
                  R"("annotations":{{"b":"1","a":"2"}}}})",
                  oci::media::kManifest, kDigest));
}

TEST(Reading, TheTypeIsTheHeadersOrTheBodysOrTheShapes) {
  EXPECT_EQ(read_manifest("{}", "application/x").value().media_type, "application/x");
  EXPECT_EQ(read_manifest(R"({"mediaType":"m"})", "").value().media_type, "m");
  EXPECT_EQ(read_manifest(R"({"manifests":[]})", "").value().media_type, oci::media::kIndex);
  EXPECT_EQ(read_manifest("{}", "").value().media_type, oci::media::kManifest);
}

TEST(Reading, TheConfigsTypeStandsInForTheArtifactType) {
  const auto reading = read_manifest(R"({"config":)" + descriptor("application/c") + "}", "");
  EXPECT_EQ(reading.value().artifact_type, "application/c");
}

TEST(Reading, LayersThatStayElsewhereAreNotAskedFor) {
  const auto reading = read_manifest(
      R"({"layers":[)" +
          descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip") + "," +
          descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip") + "," +
          descriptor("application/vnd.oci.image.layer.v1.tar") + "]}",
      "");
  EXPECT_EQ(reading.value().children.size(), 1u);
}

TEST(Reading, WhatIsNoManifestIsRefused) {
  for (const char* text :
       {"", "[]", "{", "\"x\"", R"({"config":1})", R"({"layers":{}})", R"({"mediaType":1})",
        R"({"layers":[{"mediaType":"a","digest":"sha256:zz","size":1}]})",
        R"({"subject":{"digest":"../../x","size":1,"mediaType":"a"}})", R"({"a":1,"a":2})"})
    EXPECT_EQ(read_manifest(text, "").error().code(), Code::kInvalid) << text;
  EXPECT_FALSE(read_manifest(R"({"mediaType":"a"})", "b"));
}

TEST(Refusal, HasTheRightStatusAndBody) {
  const auto response =
      refuse(Error(Code::kRateLimited, "slow \"down\"").with_retry_after(std::chrono::seconds(7)),
             "U", "I");
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.get("Retry-After"), "7");
  EXPECT_EQ(std::get<std::string>(response.body.content),
            R"({"errors":[{"code":"TOOMANYREQUESTS","message":"slow \"down\""}]})");
  EXPECT_EQ(refuse(Error(Code::kNotFound, "x"), "U", "I").status, 404);
  EXPECT_EQ(refuse(Error(Code::kInvalid, "x"), "U", "I").status, 400);
  EXPECT_EQ(refuse(Error(Code::kExhausted, "x"), "U", "I").status, 507);
  const auto busy =
      refuse(Error(Code::kIo, "locked").with_retry_after(std::chrono::seconds(5)), "U", "I");
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.headers.get("Retry-After"), "5");
  EXPECT_NE(std::get<std::string>(busy.body.content).find("UNAVAILABLE"), std::string::npos);
  EXPECT_EQ(refuse(Error(Code::kCancelled, "it stops"), "U", "I").status, 503);
  const auto internal = refuse(Error(Code::kIo, "secret path"), "U", "I");
  EXPECT_EQ(internal.status, 500);
  EXPECT_EQ(std::get<std::string>(internal.body.content).find("secret"), std::string::npos);
}

std::string named(const Options& options, const std::string& method, const std::string& query,
                  Resource resource = Resource::kManifest) {
  Request request{.method = method};
  request.url.query = query;
  Place place{.resource = resource, .repository = "ai/x", .reference = "1"};
  const Naming naming = name_source(options, request, place);
  return naming.refusal ? "refused" : place.repository;
}

TEST(Naming, ANamespaceIsWhereItsRepositoriesAreHere) {
  const Options options{.namespaces = {{.source = "docker.io", .prefix = "hub"}}};
  EXPECT_EQ(named(options, "GET", "ns=docker.io"), "hub/ai/x");
  EXPECT_EQ(named(options, "HEAD", "a=b&ns=docker.io", Resource::kBlob), "hub/ai/x");
  EXPECT_EQ(named(options, "GET", ""), "ai/x");
  EXPECT_EQ(named(options, "GET", "ns=quay.io"), "refused");
  // Nothing is pushed through a mirror.
  EXPECT_EQ(named(options, "PUT", "ns=docker.io"), "ai/x");
  EXPECT_EQ(named(options, "GET", "ns=docker.io", Resource::kHistory), "ai/x");
  EXPECT_EQ(named({}, "GET", "ns=quay.io"), "ai/x");
}

TEST(Refusals, AReadThatUpstreamDidNotAnswerIsNotTheCallersFault) {
  EXPECT_EQ(refuse_read(Error(Code::kUnavailable, "x")).status, 502);
  EXPECT_EQ(refuse_read(Error(Code::kTimeout, "x")).status, 504);
  EXPECT_EQ(refuse_read(Error(Code::kRateLimited, "x")).status, 429);
}

}  // namespace
}  // namespace berth::registryd
