// For tests: a self-signed certificate made on the spot, as files in a folder that goes with this
// object. Private to http.
#pragma once

#include <string>

namespace berth::http {

class ThrowawayCertificate {
 public:
  // For localhost, 127.0.0.1 and ::1, valid for a day.
  ThrowawayCertificate();
  ~ThrowawayCertificate();
  ThrowawayCertificate(const ThrowawayCertificate&) = delete;
  ThrowawayCertificate& operator=(const ThrowawayCertificate&) = delete;

  std::string certificate_file() const { return folder_ + "/certificate.pem"; }
  std::string key_file() const { return folder_ + "/key.pem"; }

 private:
  std::string folder_;
};

}  // namespace berth::http
