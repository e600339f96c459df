// One streamed answer from an engine that speaks OpenAI's chat completions.
//
// Loop thread. Failures: kInvalid (the engine refused the request), kUnavailable (it died in the
// middle), kCancelled: the engine stops generating when the connection closes.
#pragma once

#include "control/records.h"
#include "http/message.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::local {

rt::Task<Result<control::ChatStats>> stream_chat(rt::Op& op, http::Service& engine,
                                                 control::ChatRequest request,
                                                 control::ChatSink& sink);

}  // namespace berth::local
