// Codes as HTTP statuses, and errors in the forms that callers expect. Private to api.
#pragma once

#include "api/route.h"

namespace berth::api {

// Never 503: Docker's client takes that for a server that is not there and reads no further.
int http_status(Code code);
Response error_response(const Error& error, ErrorForm form);
// The JSON object of an error, as it also goes into an event stream.
json::Object error_object(const Error& error, ErrorForm form);

}  // namespace berth::api
