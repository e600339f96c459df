// Reads the progress of a pull, push or load: Docker Model Runner's lines of JSON, HTML-escaped or
// not. Private to client.
//
// A line has at most 64 KiB. Lines of unknown type are passed over. Without any valid line the text
// itself is the error.
#pragma once

#include <string>

#include "control/records.h"
#include "http/message.h"
#include "json/json.h"

namespace berth::client {

// The success line, whole. Its "result" is there when the server is Berth.
rt::Task<Result<json::Value>> read_progress(rt::Op& op, http::Body body, control::Events& events);

}  // namespace berth::client
