#include "tests/support/test_certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <memory>

#include "storage/check.h"

namespace varve {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Cert = std::unique_ptr<X509, decltype(&X509_free)>;

std::string Take(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

PemPair ToPem(X509* cert, EVP_PKEY* key) {
  BIO* cert_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(cert_bio, cert);
  BIO* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  return {Take(cert_bio), Take(key_bio)};
}

Cert NewCert(const std::string& common_name, EVP_PKEY* key) {
  static std::atomic<long> serial{1};
  Cert cert(X509_new(), X509_free);
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 24L * 3600);
  X509_set_pubkey(cert.get(), key);
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(cert.get()), "CN", MBSTRING_ASC,
      reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  return cert;
}

void Extend(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  VARVE_CHECK(extension != nullptr);
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

PemPair MakeTestAuthority(const std::string& common_name) {
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Cert cert = NewCert(common_name, key.get());
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get()));
  Extend(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE");
  VARVE_CHECK(X509_sign(cert.get(), key.get(), EVP_sha256()) > 0);
  return ToPem(cert.get(), key.get());
}

PemPair MakeTestCertificate(const PemPair& authority, const std::string& name) {
  BIO* bio = BIO_new_mem_buf(authority.cert.data(),
                             static_cast<int>(authority.cert.size()));
  const Cert issuer(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr),
                    X509_free);
  BIO_free(bio);
  bio = BIO_new_mem_buf(authority.key.data(),
                        static_cast<int>(authority.key.size()));
  const Key issuer_key(PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr),
                       EVP_PKEY_free);
  BIO_free(bio);
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Cert cert = NewCert(name, key.get());
  X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer.get()));
  const bool is_ip = name.find_first_not_of("0123456789.") == std::string::npos;
  Extend(cert.get(), issuer.get(), NID_subject_alt_name,
         (is_ip ? "IP:" : "DNS:") + name);
  VARVE_CHECK(X509_sign(cert.get(), issuer_key.get(), EVP_sha256()) > 0);
  return ToPem(cert.get(), key.get());
}

}  // namespace varve
