#pragma once

#include <string>

namespace varve {

struct PemPair {
  std::string cert;
  std::string key;
};

/// A self-signed authority, made now, good for a day.
PemPair MakeTestAuthority(const std::string& common_name);
/// A certificate of `authority` for a DNS name or an IP address.
PemPair MakeTestCertificate(const PemPair& authority, const std::string& name);

}  // namespace varve
