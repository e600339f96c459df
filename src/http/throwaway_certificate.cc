#include "http/throwaway_certificate.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/assert.h"

namespace berth::http {
namespace {

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

void add_extension(X509* certificate, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  BERTH_ASSERT(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

Certificate self_signed(EVP_PKEY* key) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 3600);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate.get(), NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
  BERTH_ASSERT(X509_sign(certificate.get(), key, EVP_sha256()) > 0);
  return certificate;
}

template <class Write>
void write_file(const std::string& path, Write write) {
  std::FILE* file = std::fopen(path.c_str(), "wx");
  BERTH_ASSERT(file != nullptr);
  BERTH_ASSERT(write(file) == 1);
  std::fclose(file);
}

}  // namespace

ThrowawayCertificate::ThrowawayCertificate() {
  const char* base = std::getenv("TMPDIR");
  folder_ = std::string(base ? base : "/tmp") + "/berth-certificate-XXXXXX";
  BERTH_ASSERT(::mkdtemp(folder_.data()) != nullptr);
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate = self_signed(key.get());
  write_file(certificate_file(),
             [&](std::FILE* f) { return PEM_write_X509(f, certificate.get()); });
  write_file(key_file(), [&](std::FILE* f) {
    return PEM_write_PrivateKey(f, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

ThrowawayCertificate::~ThrowawayCertificate() {
  ::unlink(certificate_file().c_str());
  ::unlink(key_file().c_str());
  ::rmdir(folder_.c_str());
}

}  // namespace berth::http
