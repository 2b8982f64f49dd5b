#!/usr/bin/env bash
# Builds ffi/swift/build/CRuminate.xcframework: dynamic frameworks, because two Rust static libraries in one app clash.
#
# Usage: ffi/swift/build-xcframework.sh [PROFILE], on macOS with Xcode and rustup. PROFILE is that of cargo: dist without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PROFILE=${1:-dist}
BUILD=$PWD/ffi/swift/build
VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# A slice is named by its platform; the targets in it become one library.
SLICES=("macos aarch64-apple-darwin x86_64-apple-darwin" "ios aarch64-apple-ios" "ios-simulator aarch64-apple-ios-sim x86_64-apple-ios")
export MACOSX_DEPLOYMENT_TARGET=12.0 IPHONEOS_DEPLOYMENT_TARGET=15.0

[ "$(uname)" = Darwin ] || { echo "an XCFramework is made on macOS, with Xcode" >&2; exit 2; }
rm -rf "$BUILD" && mkdir -p "$BUILD"

# framework FOLDER LIBRARY PLATFORM: the library as CRuminate.framework, with headers, module map and privacy manifest.
framework() {
    local at="$1/CRuminate.framework" library=$2 platform=$3 top=$1/CRuminate.framework resources=$1/CRuminate.framework
    if [ "$platform" = macos ]; then
        # A framework of macOS has versions.
        at="$top/Versions/A" resources="$top/Versions/A/Resources"
    fi
    mkdir -p "$at/Headers" "$at/Modules" "$resources"
    cp "$library" "$at/CRuminate"
    cp include/ruminate.h "$at/Headers/"
    cp ffi/swift/PrivacyInfo.xcprivacy "$resources/"
    printf 'framework module CRuminate {\n    header "ruminate.h"\n    export *\n}\n' >"$at/Modules/module.modulemap"
    plist "$platform" >"$resources/Info.plist"
    if [ "$platform" = macos ]; then
        ln -s A "$top/Versions/Current"
        for name in CRuminate Headers Modules Resources; do ln -s "Versions/Current/$name" "$top/$name"; done
        install_name_tool -id @rpath/CRuminate.framework/Versions/A/CRuminate "$at/CRuminate"
    else
        install_name_tool -id @rpath/CRuminate.framework/CRuminate "$at/CRuminate"
    fi
    dsymutil "$at/CRuminate" -o "$1/CRuminate.framework.dSYM"
    strip -x "$at/CRuminate"
    # Its signature is gone with the names; the app's build signs it again.
    codesign --force --sign - "$at/CRuminate"
}

plist() {
    local least=MinimumOSVersion version=$IPHONEOS_DEPLOYMENT_TARGET
    [ "$1" = macos ] && least=LSMinimumSystemVersion version=$MACOSX_DEPLOYMENT_TARGET
    cat <<END
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>CFBundleExecutable</key><string>CRuminate</string>
<key>CFBundleIdentifier</key><string>dev.ruminate.CRuminate</string>
<key>CFBundleName</key><string>CRuminate</string>
<key>CFBundlePackageType</key><string>FMWK</string>
<key>CFBundleShortVersionString</key><string>$VERSION</string>
<key>CFBundleVersion</key><string>$VERSION</string>
<key>$least</key><string>$version</string>
</dict></plist>
END
}

arguments=()
for slice in "${SLICES[@]}"; do
    read -r platform targets <<<"$slice"
    libraries=()
    for target in $targets; do
        rustup target add "$target"
        # Names stay until the debug symbols are out.
        CARGO_PROFILE_DIST_STRIP=none CARGO_PROFILE_DIST_DEBUG=line-tables-only \
            cargo build --package ruminate-ffi --profile "$PROFILE" --target "$target"
        libraries+=("target/$target/$PROFILE/libruminate.dylib")
    done
    mkdir -p "$BUILD/$platform"
    lipo -create "${libraries[@]}" -output "$BUILD/$platform/libruminate.dylib"
    framework "$BUILD/$platform" "$BUILD/$platform/libruminate.dylib" "$platform"
    arguments+=(-framework "$BUILD/$platform/CRuminate.framework" -debug-symbols "$BUILD/$platform/CRuminate.framework.dSYM")
done
xcodebuild -create-xcframework "${arguments[@]}" -output "$BUILD/CRuminate.xcframework"
echo "made $BUILD/CRuminate.xcframework"
