#include "control/registry_view.h"

#include "base/text.h"

namespace berth::control {
namespace {

json::Array array_of(const std::vector<std::string>& texts) {
  return json::Array(texts.begin(), texts.end());
}

Result<Time> time_in(const json::View& view, std::string_view key) {
  TRY(const std::string text, view.string(key));
  const auto time = parse_rfc3339(text);
  if (!time) return fail(Code::kInvalid, "{}.{}: expected a time", view.path(), key);
  return *time;
}

}  // namespace

json::Object to_json(const RegistryModel& model) {
  return {{"repository", model.repository},
          {"digest", model.digest},
          {"tags", array_of(model.tags)},
          {"pushed", format_rfc3339(model.pushed)},
          {"name", model.name},
          {"format", model.format},
          {"architecture", model.architecture},
          {"quantization", model.quantization},
          {"license", model.license},
          {"parameters", model.parameters},
          {"context_length", model.context_length},
          {"size", model.size},
          {"findings", array_of(model.findings)}};
}

json::Object to_json(const RegistryTag& tag) {
  return {{"tag", tag.tag}, {"digest", tag.digest}, {"moved", format_rfc3339(tag.moved)}};
}

json::Object to_json(const RegistryMove& move) {
  return {{"tag", move.tag},
          {"before", move.before},
          {"after", move.after},
          {"at", format_rfc3339(move.at)},
          {"actor", move.actor}};
}

json::Object to_json(const RegistryUsage& usage) {
  return {{"name", usage.name},
          {"tags", array_of(usage.tags)},
          {"bytes", usage.bytes},
          {"shared", usage.shared},
          {"own", usage.bytes - usage.shared}};
}

json::Object to_json(const RegistryCollection& collection) {
  return {
      {"dry_run", collection.dry_run}, {"blobs", collection.blobs}, {"bytes", collection.bytes}};
}

json::Object to_json(const RegistryPruned& pruned) {
  return {{"repository", pruned.repository},
          {"tag", pruned.tag},
          {"digest", pruned.digest},
          {"why", pruned.why}};
}

json::Object to_json(const RegistryVerification& seen) {
  json::Array damages;
  for (const RegistryDamage& damage : seen.damages) {
    json::Array repositories;
    for (const RegistryDamage::Hurt& hurt : damage.repositories) {
      repositories.push_back(
          json::Object{{"repository", hurt.repository}, {"tags", array_of(hurt.tags)}});
    }
    damages.push_back(json::Object{{"digest", damage.digest},
                                   {"size", damage.size},
                                   {"fault", damage.fault},
                                   {"repositories", std::move(repositories)}});
  }
  return {{"blobs", seen.blobs},     {"bytes", seen.bytes},
          {"checked", seen.checked}, {"checked_bytes", seen.checked_bytes},
          {"damaged", seen.damaged}, {"damages", std::move(damages)}};
}

json::Object to_json(const RegistryEvents& events) {
  json::Array endpoints;
  for (const RegistryEndpoint& one : events.endpoints) {
    endpoints.push_back(
        json::Object{{"endpoint", one.name}, {"waiting", one.waiting}, {"dead", one.dead}});
  }
  json::Array letters;
  for (const RegistryDeadLetter& letter : events.dead_letters) {
    letters.push_back(json::Object{{"endpoint", letter.endpoint},
                                   {"event", letter.event},
                                   {"repository", letter.repository},
                                   {"tag", letter.tag},
                                   {"digest", letter.digest},
                                   {"at", format_rfc3339(letter.at)},
                                   {"attempts", letter.attempts},
                                   {"fault", letter.fault}});
  }
  return {{"endpoints", std::move(endpoints)}, {"dead_letters", std::move(letters)}};
}

Result<RegistryModel> registry_model_from(const json::View& view) {
  RegistryModel model;
  TRY(model.repository, view.string("repository"));
  TRY(model.digest, view.string("digest"));
  TRY(model.tags, view.strings_or_empty("tags"));
  TRY(model.pushed, time_in(view, "pushed"));
  TRY(model.name, view.string_or("name", ""));
  TRY(model.format, view.string_or("format", ""));
  TRY(model.architecture, view.string_or("architecture", ""));
  TRY(model.quantization, view.string_or("quantization", ""));
  TRY(model.license, view.string_or("license", ""));
  TRY(model.parameters, view.u64_or("parameters", 0));
  TRY(model.context_length, view.u64_or("context_length", 0));
  TRY(model.size, view.u64_or("size", 0));
  TRY(model.findings, view.strings_or_empty("findings"));
  return model;
}

Result<RegistryTag> registry_tag_from(const json::View& view) {
  RegistryTag tag;
  TRY(tag.tag, view.string("tag"));
  TRY(tag.digest, view.string("digest"));
  TRY(tag.moved, time_in(view, "moved"));
  return tag;
}

Result<RegistryMove> registry_move_from(const json::View& view) {
  RegistryMove move;
  TRY(move.tag, view.string("tag"));
  TRY(move.before, view.string("before"));
  TRY(move.after, view.string("after"));
  TRY(move.at, time_in(view, "at"));
  TRY(move.actor, view.string_or("actor", ""));
  return move;
}

Result<RegistryUsage> registry_usage_from(const json::View& view) {
  RegistryUsage usage;
  TRY(usage.name, view.find("name") ? view.string("name") : view.string("digest"));
  TRY(usage.tags, view.strings_or_empty("tags"));
  TRY(usage.bytes, view.u64("bytes"));
  TRY(usage.shared, view.u64("shared"));
  if (usage.shared > usage.bytes)
    return fail(Code::kInvalid, "{}: shares more bytes than it has", view.path());
  return usage;
}

Result<RegistryCollection> registry_collection_from(const json::View& view) {
  RegistryCollection collection;
  TRY(collection.dry_run, view.boolean_or("dry_run", false));
  TRY(collection.blobs, view.u64("blobs"));
  TRY(collection.bytes, view.u64("bytes"));
  return collection;
}

Result<RegistryPruned> registry_pruned_from(const json::View& view) {
  RegistryPruned pruned;
  TRY(pruned.repository, view.string("repository"));
  TRY(pruned.tag, view.string_or("tag", ""));
  TRY(pruned.digest, view.string_or("digest", ""));
  TRY(pruned.why, view.string_or("why", ""));
  return pruned;
}

namespace {

Result<RegistryDamage> damage_from(const json::View& view) {
  RegistryDamage damage;
  TRY(damage.digest, view.string("digest"));
  TRY(damage.size, view.u64("size"));
  TRY(damage.fault, view.string("fault"));
  TRY(const auto repositories, view.array_or_empty("repositories"));
  for (const json::View& one : repositories) {
    RegistryDamage::Hurt hurt;
    TRY(hurt.repository, one.string("repository"));
    TRY(hurt.tags, one.strings_or_empty("tags"));
    damage.repositories.push_back(std::move(hurt));
  }
  return damage;
}

}  // namespace

Result<RegistryVerification> registry_verification_from(const json::View& view) {
  RegistryVerification seen;
  TRY(seen.pass, view.u64("pass"));
  TRY(seen.running, view.boolean_or("running", false));
  TRY(seen.blobs, view.u64("blobs"));
  TRY(seen.bytes, view.u64("bytes"));
  TRY(seen.checked, view.u64("checked"));
  TRY(seen.checked_bytes, view.u64("checked_bytes"));
  TRY(seen.damaged, view.u64("damaged"));
  TRY(const auto damages, view.array_or_empty("damages"));
  for (const json::View& one : damages) {
    TRY(RegistryDamage damage, damage_from(one));
    seen.damages.push_back(std::move(damage));
  }
  return seen;
}

Result<RegistryEndpoint> registry_endpoint_from(const json::View& view) {
  RegistryEndpoint endpoint;
  TRY(endpoint.name, view.string("endpoint"));
  TRY(endpoint.waiting, view.u64("waiting"));
  TRY(endpoint.dead, view.u64("dead"));
  return endpoint;
}

Result<RegistryDeadLetter> registry_dead_letter_from(const json::View& view) {
  RegistryDeadLetter letter;
  TRY(letter.endpoint, view.string("endpoint"));
  TRY(letter.event, view.string("event"));
  TRY(letter.repository, view.string("repository"));
  TRY(letter.tag, view.string_or("tag", ""));
  TRY(letter.digest, view.string_or("digest", ""));
  TRY(letter.at, time_in(view, "at"));
  TRY(letter.attempts, view.u64_or("attempts", 0));
  TRY(letter.fault, view.string_or("fault", ""));
  return letter;
}

}  // namespace berth::control
