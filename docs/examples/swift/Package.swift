// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "kitchen-display",
    // The path leads to the server's own checkout. In a package of yours, write the path or the address of yours.
    dependencies: [.package(name: "fynlo-server", path: "../../..")],
    targets: [
        .executableTarget(
            name: "KitchenDisplay", dependencies: [.product(name: "FynloClient", package: "fynlo-server")])
    ]
)
