// A model card's Markdown as HTML that can do nothing: headings, paragraphs, lists, quotes, tables,
// code, emphasis, links to http(s). Raw HTML is shown as the text that it is; images become links.
//
// Pure, total; its time is linear in the text times a small bound (give it bounded text, and the
// pool). What comes out is what markdown_check.h allows. Source: a subset of CommonMark 0.31 and of
// GitHub's tables; the front matter of Hugging Face cards.
#pragma once

#include <string_view>

#include "registryd/html.h"

namespace berth::registryd {

Html render_markdown(std::string_view text);

}  // namespace berth::registryd
