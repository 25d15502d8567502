# Shared by the scripts of this folder; sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# as_root COMMAND...: as it is for root, else through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@" || sudo "$@"; fi
}

# What varve is built with and linked to.
build_packages=(
  g++ cmake ninja-build ccache pkg-config
  librocksdb-dev libabsl-dev libboost1.81-dev libcurl4-openssl-dev
  libsnappy-dev libzstd-dev zlib1g-dev libre2-dev libroaring-dev libxxhash-dev
  libyaml-cpp-dev libsimdjson-dev libcli11-dev libspdlog-dev libfmt-dev
  prometheus-cpp-dev libssl-dev libgtest-dev libgmock-dev libbenchmark-dev
  python3
)
# What the tests use besides.
test_packages=(curl openssl)

# install_packages PACKAGE...: installs those that are missing.
install_packages() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null | grep -q '^ii' ||
      missing+=("$p")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
    --no-remove --no-install-recommends "${missing[@]}" >/dev/null
}

# unpack_package PACKAGE: unpacks a Debian package below build/peers without
# installing it, so that no service starts on this machine.
unpack_package() {
  local package=$1 root=$top/build/peers
  [ -e "$root/.$package" ] && return 0
  mkdir -p "$root/debs"
  (cd "$root/debs" && rm -f "${package}"_*.deb &&
    { apt-get -qq download "$package" 2>/dev/null ||
      { as_root apt-get -qq update && apt-get -qq download "$package"; }; } &&
    dpkg -x "${package}"_*.deb "$root" && rm -f "${package}"_*.deb) ||
    die "cannot unpack the package $package"
  touch "$root/.$package"
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  cmake -S "$top" --preset "$preset" >"$top/build/configure.$preset.log" 2>&1 ||
    { tail -n 30 "$top/build/configure.$preset.log" >&2
      die "configuring $preset failed"; }
  local targets=()
  [ $# = 0 ] || targets=(--target "$@")
  # Precompiled headers go through ccache only when times are not compared.
  CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime \
    cmake --build "$top/build/$preset" -j "$(nproc)" "${targets[@]}"
}
