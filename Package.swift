// swift-tools-version: 6.2
import PackageDescription

/// Every target: language mode 6 (set below for the package), warnings as errors, and the upcoming features that make
/// existential types, imports and isolation explicit.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The core consists of plain values; each unsafe expression in it is marked and its reason is stated.
let core: [SwiftSetting] = strict + [.strictMemorySafety()]

let package = Package(
    name: "fynlo-server",
    products: [
        .executable(name: "fynlo-server", targets: ["FynloServer"]),
        .executable(name: "fynlo", targets: ["FynloCLI"]),
        .library(name: "FynloClient", targets: ["FynloClient"]),
    ],
    targets: [
        // The C libraries, from the distribution. hiredis has no pkgConfig entry, since SwiftPM rejects its flags.
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CLinux"),

        // FynloCore: the rules, as values. FynloIO: the kernel and OpenSSL. The others use both.
        .target(name: "FynloCore", swiftSettings: core),
        .target(name: "FynloIO", dependencies: ["FynloCore", "CLinux", "COpenSSL"], swiftSettings: strict),
        .target(name: "FynloClient", dependencies: ["FynloCore", "FynloIO"], swiftSettings: strict),
        .executableTarget(
            name: "FynloServer",
            dependencies: ["FynloCore", "FynloIO", "CPostgres", "CHiredis"],
            swiftSettings: strict,
            plugins: ["EmbedFiles"]),
        .executableTarget(
            name: "FynloCLI", dependencies: ["FynloCore", "FynloIO", "FynloClient"], swiftSettings: strict),

        // Compiles the SQL files, the API descriptions and the console into the program: the binary needs no other files.
        .executableTarget(name: "embed-files", path: "Plugins/embed-files", swiftSettings: strict),
        .plugin(name: "EmbedFiles", capability: .buildTool(), dependencies: ["embed-files"]),

        .testTarget(
            name: "FynloCoreTests",
            dependencies: ["FynloCore", "TestSupport"],
            // Inputs that the fuzzer found; the tests read them from the source directory.
            exclude: [
                "Fuzz/http", "Fuzz/websocket", "Fuzz/json", "Fuzz/token", "Fuzz/stack", "Fuzz/client", "Fuzz/nodes",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "FynloIOTests", dependencies: ["FynloIO", "FynloCore", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "FynloClientTests", dependencies: ["FynloClient", "FynloIO", "FynloCore", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "FynloServerTests",
            dependencies: [
                "FynloServer", "FynloClient", "FynloCLI", "FynloIO", "FynloCore", "TestSupport", "AllocationCounter",
            ],
            // Recordings of what each generation of tablets sends, read from the source directory.
            exclude: ["Connections/Recordings"],
            swiftSettings: strict),

        // Counts the allocations of the test program, for the test that a message allocates nothing.
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        // Certificates and tokens made by the openssl program, and a model of the database.
        .target(name: "TestSupport", dependencies: ["FynloCore"], path: "Tests/TestSupport", swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
