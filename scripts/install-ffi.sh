#!/usr/bin/env bash
# Installs the C interface: library, headers, pkg-config file and CMake package. What it installs may be moved as a whole.
#
# Usage: scripts/install-ffi.sh PREFIX [PROFILE]. PROFILE is that of cargo: dist (the default: small, and slow to build) or release.
# Linux; on other systems copy the library and the headers.
set -euo pipefail

PREFIX=${1:?usage: scripts/install-ffi.sh PREFIX [PROFILE]}
case $PREFIX in
/*) ;;
*) PREFIX=$PWD/$PREFIX ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PROFILE=${2:-dist}
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
ABI=$(sed -n 's/^#define RUM_ABI_VERSION //p' include/ruminate.h)

# Wherever else the settings of cargo would put it.
cargo build --target-dir target --profile "$PROFILE" -p ruminate-ffi

install -d "$PREFIX/lib/pkgconfig" "$PREFIX/lib/cmake/ruminate" "$PREFIX/include"
install -m 755 "target/$PROFILE/libruminate.so" "$PREFIX/lib/libruminate.so.$ABI"
ln -sf "libruminate.so.$ABI" "$PREFIX/lib/libruminate.so"
install -m 644 "target/$PROFILE/libruminate.a" "$PREFIX/lib/"
install -m 644 include/ruminate.h include/ruminate.hpp "$PREFIX/include/"
sed "s/@VERSION@/$VERSION/" ffi/ruminate.pc.in >"$PREFIX/lib/pkgconfig/ruminate.pc"
sed "s/@ABI@/$ABI/g" ffi/ruminate-config.cmake.in >"$PREFIX/lib/cmake/ruminate/ruminate-config.cmake"
cat >"$PREFIX/lib/cmake/ruminate/ruminate-config-version.cmake" <<END
set(PACKAGE_VERSION "$VERSION")
# Before version 1.0 a minor version may differ in the Rust API; the C interface only grows.
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
END
echo "installed ruminate $VERSION (ABI $ABI) in $PREFIX"
