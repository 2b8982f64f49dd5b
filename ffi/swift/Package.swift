// swift-tools-version:5.9
// On Apple systems the library comes as an XCFramework that build-xcframework.sh makes; on Linux from an installed libruminate
// (scripts/install-ffi.sh), found by pkg-config.
import PackageDescription

#if os(Linux)
let library: Target = .systemLibrary(name: "CRuminate", pkgConfig: "ruminate")
#else
let library: Target = .binaryTarget(name: "CRuminate", path: "build/CRuminate.xcframework")
#endif

let package = Package(
    name: "Ruminate",
    platforms: [.macOS(.v12), .iOS(.v15)],
    products: [.library(name: "Ruminate", targets: ["Ruminate"])],
    targets: [
        library,
        .target(name: "Ruminate", dependencies: ["CRuminate"], swiftSettings: [.enableExperimentalFeature("StrictConcurrency")]),
        .testTarget(name: "RuminateTests", dependencies: ["Ruminate"]),
    ]
)
