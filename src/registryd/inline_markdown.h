// The marks inside of a paragraph: code, emphasis, links. Internal to markdown.
#pragma once

#include <string_view>

#include "registryd/html.h"

namespace berth::registryd {

Html render_inline(std::string_view text);

}  // namespace berth::registryd
