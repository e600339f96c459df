#include "registryd/page_views.h"

#include <algorithm>

#include "base/text.h"
#include "crypto/hash.h"
#include "http/message.h"
#include "registryd/page_style.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kMostName = 300;    // bytes of a name or a type
constexpr std::size_t kMostValue = 2000;  // of an annotation
constexpr std::size_t kMostParts = 500;   // rows of a table
constexpr std::size_t kMostAnnotations = 100;

std::string path_of(std::string_view repository) { return "/r/" + std::string(repository); }
std::string tag_path(std::string_view repository, std::string_view tag) {
  return fmt::format("/r/{}:{}", repository, tag);
}
std::string digest_path(std::string_view repository, std::string_view digest) {
  return fmt::format("/r/{}@{}", repository, digest);
}

// "sha256:0123456789ab…": enough for a person.
std::string short_digest(std::string_view digest) {
  const std::size_t end = digest.find(':');
  if (end == std::string_view::npos || digest.size() <= end + 13) return std::string(digest);
  return std::string(digest.substr(0, end + 13)) + "…";
}

Html cell(std::string_view text) { return Html().element("<td>", text, "</td>"); }
Html size_cell(std::uint64_t size) {
  return Html().element("<td class=\"number\">", format_size(size), "</td>");
}
Html name_cell(std::string_view path, std::string_view name) {
  return Html("<th scope=\"row\" class=\"name\">").link(path, name).markup("</th>");
}
Html digest_cell(std::string_view repository, std::string_view digest) {
  if (digest.empty()) return cell("—");
  return Html("<td class=\"fixed\"><a href=\"")
      .text(digest_path(repository, digest))
      .element("\"><code title=\"", digest, "\">")
      .text(short_digest(digest))
      .markup("</code></a></td>");
}
Html age_cell(const Frame& frame, std::chrono::sys_seconds time) {
  const std::string exact = format_rfc3339(time);
  return Html("<td class=\"fixed\"><time datetime=\"")
      .text(exact)
      .element("\" title=\"", exact, "\">")
      .text(format_ago(time, frame.now))
      .markup("</time></td>");
}

// A table scrolls in itself, by keyboard as well.
Html table(std::string_view label, Markup head, const Html& rows) {
  return Html("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"")
      .text(label)
      .markup("\"><table><thead><tr>")
      .markup(head)
      .markup("</tr></thead><tbody>\n")
      .add(rows)
      .markup("</tbody></table></div>\n");
}

Html head(const Frame& frame, std::string_view title) {
  return Html("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
      .markup("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
      .element("<title>", title, " · ")
      .text(frame.host)
      .markup("</title><style>")
      .markup(kPageStyle)
      .markup("</style></head>\n");
}

Html who(const Frame& frame) {
  if (!frame.user.empty()) return Html().element("<span class=\"who\">", frame.user, "</span>");
  if (frame.may_log_in) return Html("<a class=\"who\" href=\"/?login\">Log in</a>");
  return {};
}

Html banner(const Frame& frame) {
  return Html("<header class=\"site\"><div><a class=\"brand\" href=\"/\">Berth registry ")
      .element("<span class=\"host\">", frame.host, "</span></a>")
      .markup("<form role=\"search\" action=\"/\"><input type=\"search\" name=\"q\" ")
      .element("aria-label=\"Name of a repository\" placeholder=\"Find a repository\" value=\"",
               frame.query, "\"><button>Find</button></form>")
      .add(who(frame))
      .markup("</div></header>\n");
}

Html page(const Frame& frame, std::string_view title, const Html& content) {
  return head(frame, title)
      .markup("<body>\n")
      .add(banner(frame))
      .markup("<main>\n")
      .add(content)
      .markup("</main>\n<footer>What this page shows can also be asked of ")
      .markup("<code>/v2/</code>; it changes nothing.</footer>\n</body></html>\n");
}

Html trail(std::string_view repository) {
  return Html("<nav class=\"trail\" aria-label=\"Place\"><a href=\"/\">Repositories</a> / ")
      .link(path_of(repository), repository)
      .markup("</nav>\n");
}

Html repository_row(const Frame& frame, const RepositoryLine& line) {
  Html row = Html("<tr>").add(name_cell(path_of(line.name), line.name));
  if (!line.newest) return row.markup("<td class=\"quiet\" colspan=\"4\">no tag</td></tr>\n");
  return row.markup("<td>")
      .link(tag_path(line.name, line.newest->name), line.newest->name)
      .markup("</td>")
      .add(size_cell(line.newest->size))
      .add(age_cell(frame, line.newest->moved))
      .element("<td class=\"number\">", fmt::format("{}", line.tags), "</td></tr>\n");
}

Html nothing_here(const Frame& frame, const HomeView& view) {
  if (!frame.query.empty()) {
    return Html("<p>No repository ")
        .markup(view.next.empty() ? Markup("has") : Markup("so far has"))
        .element(" <strong>", frame.query, "</strong> in its name.</p>\n");
  }
  if (!view.is_first) return Html("<p>There are no more repositories.</p>\n");
  return Html("<p>There is nothing here yet. Push a model:</p>\n<pre><code>")
      .element("berth push ", frame.host, "/NAME:TAG</code></pre>\n");
}

Html tag_row(const Frame& frame, const std::string& repository, const depot::Tag& tag) {
  return Html("<tr>")
      .add(name_cell(tag_path(repository, tag.name), tag.name))
      .add(size_cell(tag.size))
      .add(age_cell(frame, tag.moved))
      .add(digest_cell(repository, tag.digest))
      .markup("</tr>\n");
}

Html page_links(const RepositoryView& view) {
  if (view.pages <= 1) return {};
  const auto path = [&](std::size_t number) {
    return fmt::format("{}?page={}", path_of(view.name), number);
  };
  Html links("<nav class=\"pages\" aria-label=\"Pages\">");
  if (view.page > 1) links.link(path(view.page - 1), "Newer");
  links.element("<span class=\"quiet\">", fmt::format("{} of {}", view.page, view.pages),
                "</span>");
  if (view.page < view.pages) links.link(path(view.page + 1), "Older");
  return links.markup("</nav>\n");
}

Html pull_lines(const Frame& frame, std::string_view reference, Artifact::Kind kind) {
  const std::string name = fmt::format("{}/{}", frame.host, reference);
  std::string lines;
  const bool model = kind == Artifact::Kind::kModel || kind == Artifact::Kind::kUnknown;
  if (model || kind == Artifact::Kind::kIndex) lines += "berth pull " + name + "\n";
  if (model) lines += "docker model pull " + name + "\n";
  if (kind == Artifact::Kind::kImage) lines += "docker pull " + name + "\n";
  if (kind == Artifact::Kind::kOther) lines += "oras pull " + name + "\n";
  lines.pop_back();
  return Html("<h2>Pull</h2>\n").element("<pre tabindex=\"0\"><code>", lines, "</code></pre>\n");
}

Html fact(std::string_view name, std::string_view value) {
  return Html()
      .element("<div><dt>", name, "</dt>")
      .element("<dd>", printable(value, kMostName), "</dd></div>\n");
}

Html facts_of(const ManifestView& view) {
  const Artifact& artifact = view.artifact;
  Html list("<dl class=\"facts\">\n");
  list.add(fact("Kind", artifact.what));
  for (const Fact& known : artifact.facts) list.add(fact(known.name, known.value));
  // An index only knows the sizes of its manifests, which is not what anybody pulls.
  const bool sized = artifact.kind != Artifact::Kind::kIndex && artifact.size > 0;
  if (sized) list.add(fact("Size", format_size(artifact.size)));
  return list.markup("</dl>\n");
}

Html part_row(const ManifestView& view, const Part& part) {
  const bool index = view.artifact.kind == Artifact::Kind::kIndex;
  const std::string name = printable(part.name, kMostName);
  Html row("<tr><th scope=\"row\" class=\"name\">");
  row.text(name.empty() ? "—" : name).markup("</th>");
  row.add(cell(printable(part.role, kMostName)));
  row.add(size_cell(part.descriptor.size));
  row.add(cell(printable(part.descriptor.media_type, kMostName)));
  if (index)
    return row.add(digest_cell(view.repository, part.descriptor.digest.string())).markup("</tr>\n");
  const std::string& digest = part.descriptor.digest.string();
  return row.element("<td class=\"fixed\"><code title=\"", digest, "\">")
      .text(short_digest(digest))
      .markup("</code></td></tr>\n");
}

Html left_out(std::size_t total, std::size_t most) {
  if (total <= most) return {};
  return Html().element("<p class=\"quiet\">… and ", fmt::format("{}", total - most),
                        " more.</p>\n");
}

Html parts_of(const ManifestView& view) {
  const std::vector<Part>& parts = view.artifact.parts;
  if (parts.empty()) return {};
  Html rows;
  for (std::size_t i = 0; i < std::min(parts.size(), kMostParts); ++i)
    rows.add(part_row(view, parts[i]));
  const bool index = view.artifact.kind == Artifact::Kind::kIndex;
  return Html(index ? Markup("<h2>Manifests</h2>\n") : Markup("<h2>Files</h2>\n"))
      .add(table(index ? "Manifests" : "Files",
                 index ? Markup("<th>Platform</th><th>Type</th><th class=\"number\">Size</th>"
                                "<th>Media type</th><th>Digest</th>")
                       : Markup("<th>Name</th><th>Role</th><th class=\"number\">Size</th>"
                                "<th>Media type</th><th>Digest</th>"),
                 rows))
      .add(left_out(parts.size(), kMostParts));
}

Html annotations_of(const oci::Annotations& annotations) {
  if (annotations.empty()) return {};
  Html rows;
  std::size_t shown = 0;
  for (const auto& [key, value] : annotations) {
    if (shown++ == kMostAnnotations) break;
    rows.element("<tr><th scope=\"row\" class=\"name\">", printable(key, kMostName), "</th>")
        .element("<td class=\"value\">", printable(value, kMostValue), "</td></tr>\n");
  }
  return Html("<h2>Annotations</h2>\n")
      .add(table("Annotations", "<th>Name</th><th>Value</th>", rows))
      .add(left_out(annotations.size(), kMostAnnotations));
}

Html referrers_of(const ManifestView& view) {
  Html html("<h2>Signatures, SBOMs and other referrers</h2>\n");
  if (view.referrers.empty()) return html.markup("<p class=\"quiet\">None.</p>\n");
  Html rows;
  for (const ReferrerLine& line : view.referrers) {
    rows.element("<tr><th scope=\"row\" class=\"name\">",
                 printable(line.type.empty() ? "untyped" : line.type, kMostName), "</th>")
        .add(size_cell(line.size))
        .add(digest_cell(view.repository, line.digest))
        .markup("</tr>\n");
  }
  return html.add(
      table("Referrers", "<th>Type</th><th class=\"number\">Size</th><th>Digest</th>", rows));
}

Html history_of(const Frame& frame, const ManifestView& view) {
  if (view.history.empty()) return {};
  Html rows;
  for (const depot::TagMove& move : view.history) {
    rows.markup("<tr>")
        .add(age_cell(frame, move.at))
        .add(digest_cell(view.repository, move.before))
        .add(digest_cell(view.repository, move.after))
        .add(cell(printable(move.actor, 100)))
        .markup("</tr>\n");
  }
  return Html()
      .element("<h2>History of the tag ", view.tag, "</h2>\n")
      .add(table("History", "<th>When</th><th>From</th><th>To</th><th>By</th>", rows));
}

Html identity(const ManifestView& view) {
  Html rows;
  const auto row = [&](Markup name, std::string_view value) {
    rows.markup(name).element("<td class=\"value\"><code>", value, "</code></td></tr>\n");
  };
  row("<tr><th scope=\"row\">Digest</th>", view.digest.string());
  row("<tr><th scope=\"row\">Media type</th>", printable(view.media_type, kMostName));
  if (view.artifact.config)
    row("<tr><th scope=\"row\">Config</th>",
        printable(view.artifact.config->media_type, kMostName));
  if (view.artifact.subject) {
    rows.markup("<tr><th scope=\"row\">Refers to</th>")
        .add(digest_cell(view.repository, view.artifact.subject->string()))
        .markup("</tr>\n");
  }
  return Html("<h2>Manifest</h2>\n").add(table("Manifest", "<th>What</th><th>Value</th>", rows));
}

Html card_of(const Html& card) {
  if (card.empty()) return {};
  return Html("<h2>Model card</h2>\n<article class=\"card\">\n").add(card).markup("</article>\n");
}

}  // namespace

Html home_page(const Frame& frame, const HomeView& view) {
  Html content("<h1>Repositories</h1>\n");
  Html rows;
  for (const RepositoryLine& line : view.repositories) rows.add(repository_row(frame, line));
  if (rows.empty()) {
    content.add(nothing_here(frame, view));
  } else {
    content.add(table("Repositories",
                      "<th>Name</th><th>Newest tag</th><th class=\"number\">Size</th>"
                      "<th>Pushed</th><th class=\"number\">Tags</th>",
                      rows));
  }
  if (!view.next.empty())
    content.markup("<nav class=\"pages\" aria-label=\"Pages\">")
        .link(view.next, "Next")
        .markup("</nav>\n");
  return page(frame, "Repositories", content);
}

Html repository_page(const Frame& frame, const RepositoryView& view) {
  Html content("<nav class=\"trail\" aria-label=\"Place\"><a href=\"/\">Repositories</a></nav>\n");
  content.element("<h1>", view.name, "</h1>\n");
  if (view.list.tags.empty()) {
    content.markup("<p>No tag stands for anything here.</p>\n");
    return page(frame, view.name, content);
  }
  content.add(pull_lines(frame, fmt::format("{}:{}", view.name, view.list.tags.front().name),
                         Artifact::Kind::kUnknown));
  Html rows;
  for (const depot::Tag& tag : view.list.tags) rows.add(tag_row(frame, view.name, tag));
  content.markup("<h2>Tags</h2>\n")
      .add(table("Tags", "<th>Tag</th><th class=\"number\">Size</th><th>Pushed</th><th>Digest</th>",
                 rows))
      .add(page_links(view));
  return page(frame, view.name, content);
}

Html manifest_page(const Frame& frame, const ManifestView& view) {
  const std::string mark = view.tag.empty() ? short_digest(view.digest.string()) : view.tag;
  const std::string reference = view.tag.empty()
                                    ? fmt::format("{}@{}", view.repository, view.digest.string())
                                    : fmt::format("{}:{}", view.repository, view.tag);
  Html content = trail(view.repository).element("<h1>", view.repository, "");
  content.element(view.tag.empty() ? Markup("@") : Markup(":"), mark, "</h1>\n");
  content.add(facts_of(view));
  if (!view.artifact.note.empty())
    content.element("<p class=\"note\">", view.artifact.note, "</p>\n");
  content.add(pull_lines(frame, reference, view.artifact.kind))
      .add(card_of(view.card))
      .add(parts_of(view))
      .add(annotations_of(view.artifact.annotations))
      .add(referrers_of(view))
      .add(history_of(frame, view))
      .add(identity(view));
  return page(frame, reference, content);
}

Html message_page(const Frame& frame, std::string_view heading, std::string_view sentence) {
  Html content;
  content.element("<h1>", heading, "</h1>\n").element("<p>", sentence, "</p>\n");
  return page(frame, heading, content);
}

const std::string& content_security_policy() {
  static const std::string policy = [] {
    const auto hash =
        hex_decode(crypto::hash_hex(crypto::Algorithm::kSha256, as_bytes(kPageStyle)));
    return fmt::format(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'",
        base64_encode(*hash));
  }();
  return policy;
}

}  // namespace berth::registryd
