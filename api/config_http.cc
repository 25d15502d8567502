#include <algorithm>
#include <array>
#include <cctype>

#include "api/config_sections.h"
#include "storage/labels.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return out;
}

// At most one of `a` and `b` may be set.
void RefuseBoth(YamlReader* reader, std::string_view section,
                std::string_view a, const std::string& a_value,
                std::string_view b, const std::string& b_value) {
  if (a_value.empty() || b_value.empty()) return;
  reader->Problem(b, fmt::format("at most one of {} {} & {} must be configured",
                                 section, a, b));
}

// A secret that would be fetched from somewhere we cannot ask.
void RefuseRefs(YamlReader* reader, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    std::string value;
    reader->String(name, &value);
    if (!value.empty()) {
      reader->Problem(name, fmt::format("{} is not supported yet", name));
    }
  }
}

std::optional<BasicAuth> ReadBasicAuth(YamlReader* parent,
                                       const std::string& base_dir) {
  const YamlNode* node = parent->Child("basic_auth");
  if (node == nullptr || node->kind == YamlNode::Kind::kNull) return {};
  YamlReader r(*node, parent->where() + ".basic_auth", parent->problems());
  BasicAuth auth;
  r.String("username", &auth.username);
  r.String("username_file", &auth.username_file);
  r.String("password", &auth.password);
  r.String("password_file", &auth.password_file);
  RefuseRefs(&r, {"username_ref", "password_ref"});
  r.Done();
  RefuseBoth(&r, "basic_auth", "username", auth.username, "username_file",
             auth.username_file);
  RefuseBoth(&r, "basic_auth", "password", auth.password, "password_file",
             auth.password_file);
  auth.username_file = JoinDir(base_dir, auth.username_file);
  auth.password_file = JoinDir(base_dir, auth.password_file);
  return auth;
}

std::optional<Authorization> ReadAuthorization(YamlReader* parent,
                                               const std::string& base_dir) {
  const YamlNode* node = parent->Child("authorization");
  if (node == nullptr || node->kind == YamlNode::Kind::kNull) return {};
  YamlReader r(*node, parent->where() + ".authorization", parent->problems());
  Authorization auth;
  r.String("type", &auth.type);
  r.String("credentials", &auth.credentials);
  r.String("credentials_file", &auth.credentials_file);
  RefuseRefs(&r, {"credentials_ref"});
  r.Done();
  RefuseBoth(&r, "authorization", "credentials", auth.credentials,
             "credentials_file", auth.credentials_file);
  auth.type.erase(0, auth.type.find_first_not_of(' '));
  if (auth.type.empty()) auth.type = "Bearer";
  if (Lower(auth.type) == "basic") {
    r.Problem("type",
              "authorization type cannot be set to \"basic\", use "
              "\"basic_auth\" instead");
  }
  auth.credentials_file = JoinDir(base_dir, auth.credentials_file);
  return auth;
}

// The old spelling of authorization.
std::optional<Authorization> ReadBearer(YamlReader* reader,
                                        const std::string& base_dir) {
  Authorization auth;
  reader->String("bearer_token", &auth.credentials);
  reader->String("bearer_token_file", &auth.credentials_file);
  if (auth.credentials.empty() && auth.credentials_file.empty()) return {};
  if (!auth.credentials.empty() && !auth.credentials_file.empty()) {
    reader->Problem("bearer_token_file",
                    "at most one of bearer_token & bearer_token_file must be "
                    "configured");
  }
  auth.credentials_file = JoinDir(base_dir, auth.credentials_file);
  return auth;
}

void ReadTlsVersion(YamlReader* reader, std::string_view name,
                    std::string* version) {
  reader->String(name, version);
  static constexpr std::array<std::string_view, 5> kKnown = {
      "", "TLS10", "TLS11", "TLS12", "TLS13"};
  if (std::find(kKnown.begin(), kKnown.end(), *version) == kKnown.end()) {
    reader->Problem(name, fmt::format("unknown TLS version: {}", *version));
  }
}

TlsConfig ReadTls(YamlReader* parent, const std::string& base_dir) {
  TlsConfig tls;
  const YamlNode* node = parent->Child("tls_config");
  if (node == nullptr) return tls;
  YamlReader r(*node, parent->where() + ".tls_config", parent->problems());
  r.String("ca", &tls.ca);
  r.String("ca_file", &tls.ca_file);
  r.String("cert", &tls.cert);
  r.String("cert_file", &tls.cert_file);
  r.String("key", &tls.key);
  r.String("key_file", &tls.key_file);
  r.String("server_name", &tls.server_name);
  r.Bool("insecure_skip_verify", &tls.insecure_skip_verify);
  ReadTlsVersion(&r, "min_version", &tls.min_version);
  ReadTlsVersion(&r, "max_version", &tls.max_version);
  RefuseRefs(&r, {"ca_ref", "cert_ref", "key_ref"});
  r.Done();
  RefuseBoth(&r, "tls_config", "ca", tls.ca, "ca_file", tls.ca_file);
  RefuseBoth(&r, "tls_config", "cert", tls.cert, "cert_file", tls.cert_file);
  RefuseBoth(&r, "tls_config", "key", tls.key, "key_file", tls.key_file);
  const bool has_cert = !tls.cert.empty() || !tls.cert_file.empty();
  const bool has_key = !tls.key.empty() || !tls.key_file.empty();
  if (has_cert != has_key) {
    parent->Problem("tls_config",
                    has_cert ? "exactly one of key or key_file must be "
                               "configured when a client certificate is "
                               "configured"
                             : "exactly one of cert or cert_file must be "
                               "configured when a client key is configured");
  }
  tls.ca_file = JoinDir(base_dir, tls.ca_file);
  tls.cert_file = JoinDir(base_dir, tls.cert_file);
  tls.key_file = JoinDir(base_dir, tls.key_file);
  return tls;
}

// Headers that the client or another setting decides.
bool IsReservedHeader(std::string_view name) {
  static constexpr std::array<std::string_view, 20> kReserved = {
      "authorization",
      "host",
      "content-encoding",
      "content-length",
      "content-type",
      "user-agent",
      "connection",
      "keep-alive",
      "proxy-authenticate",
      "proxy-authorization",
      "www-authenticate",
      "accept-encoding",
      "x-prometheus-remote-write-version",
      "x-prometheus-remote-read-version",
      "x-prometheus-scrape-timeout-seconds",
      "x-amz-date",
      "x-amz-security-token",
      "x-amz-content-sha256",
      "transfer-encoding",
      "upgrade"};
  return std::find(kReserved.begin(), kReserved.end(), Lower(name)) !=
         kReserved.end();
}

// RFC 9110's token.
bool IsHeaderName(std::string_view name) {
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 ||
                  std::string_view("!#$%&'*+-.^_`|~").find(c) !=
                      std::string_view::npos;
         });
}

bool HasControl(const std::vector<std::string>& values) {
  return std::any_of(values.begin(), values.end(), [](const std::string& v) {
    return v.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos;
  });
}

std::vector<HttpHeaderConfig> ReadHeaders(YamlReader* parent,
                                          const std::string& base_dir) {
  std::vector<HttpHeaderConfig> headers;
  const YamlNode* node = parent->Child("http_headers");
  if (node == nullptr) return headers;
  YamlReader all(*node, parent->where() + ".http_headers", parent->problems());
  for (const auto& [key, value] : node->entries) {
    const std::string& name = key->scalar;
    YamlReader r(*value, all.where() + "." + name, parent->problems());
    HttpHeaderConfig header;
    header.name = name;
    r.Strings("values", &header.values);
    r.Strings("secrets", &header.secrets);
    r.Strings("files", &header.files);
    r.Done();
    if (IsReservedHeader(name) || !IsHeaderName(name)) {
      all.Problem(name,
                  fmt::format("setting header {} is not allowed", Quote(name)));
    }
    if (HasControl(header.values) || HasControl(header.secrets)) {
      all.Problem(name, fmt::format("header {} has a line break in its value",
                                    Quote(name)));
    }
    for (std::string& file : header.files) file = JoinDir(base_dir, file);
    headers.push_back(std::move(header));
  }
  return headers;
}

void RefuseProxies(YamlReader* reader) {
  RefuseRefs(reader, {"proxy_url", "no_proxy"});
  bool from_environment = false;
  reader->Bool("proxy_from_environment", &from_environment);
  if (from_environment) {
    reader->Problem("proxy_from_environment",
                    "proxy_from_environment is not supported yet");
  }
  for (const char* name : {"proxy_connect_header", "oauth2"}) {
    const YamlNode* node = reader->Child(name);
    if (node != nullptr && node->kind != YamlNode::Kind::kNull) {
      reader->Problem(name, fmt::format("{} is not supported yet", name));
    }
  }
}

}  // namespace

HttpClientConfig ReadHttpClientConfig(YamlReader* reader,
                                      const std::string& base_dir) {
  HttpClientConfig http;
  http.basic_auth = ReadBasicAuth(reader, base_dir);
  http.authorization = ReadAuthorization(reader, base_dir);
  const std::optional<Authorization> bearer = ReadBearer(reader, base_dir);
  http.tls = ReadTls(reader, base_dir);
  http.headers = ReadHeaders(reader, base_dir);
  reader->Bool("follow_redirects", &http.follow_redirects);
  reader->Bool("enable_http2", &http.enable_http2);
  RefuseProxies(reader);
  if (http.basic_auth && http.authorization) {
    reader->Problem("authorization",
                    "at most one of basic_auth, oauth2 & authorization must be "
                    "configured");
  }
  if (bearer) {
    const char* field =
        bearer->credentials.empty() ? "bearer_token_file" : "bearer_token";
    if (http.authorization) {
      reader->Problem(field,
                      "authorization is not compatible with bearer_token & "
                      "bearer_token_file");
    } else if (http.basic_auth) {
      reader->Problem(field,
                      "at most one of basic_auth, oauth2, bearer_token & "
                      "bearer_token_file must be configured");
    } else {
      http.authorization = bearer;
    }
  }
  return http;
}

}  // namespace varve
