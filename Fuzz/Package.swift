// swift-tools-version: 6.2
import PackageDescription

// Fuzzing of FynloCore, as a package of its own: everything in it is instrumented, the core included, which it finds
// through a symbolic link, as it does the targets that the tests share. Build and run it with scripts/fuzz.

/// Coverage for the fuzzer, and bounds and lifetimes checked where the core is `unsafe`. SwiftPM's own `--sanitize` takes
/// only one of the two.
let sanitizers = ["-sanitize=fuzzer,address"]

let instrumented: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .unsafeFlags(sanitizers),
]

let package = Package(
    name: "fuzz",
    targets: [
        .systemLibrary(name: "CLibFuzzer"),
        .target(name: "FynloCore", swiftSettings: instrumented),
        .target(name: "FuzzTargets", dependencies: ["FynloCore"], swiftSettings: instrumented),
        .executableTarget(
            name: "Fuzz",
            dependencies: ["FuzzTargets", "CLibFuzzer"],
            swiftSettings: instrumented,
            // gold, the default linker, fails on the output of the two sanitizers together.
            linkerSettings: [.unsafeFlags(sanitizers + ["-use-ld=lld"])]),
    ],
    swiftLanguageModes: [.v6]
)
