// swift-tools-version: 5.9
import PackageDescription

// Google publishes TensorFlow Lite's Swift API as a pod only. The dependency below is a third party's package of the same
// frameworks: read it before you ship it, or replace it with one of your own.
let package = Package(
  name: "Recommender",
  platforms: [.iOS(.v13)],
  products: [.library(name: "Recommender", targets: ["Recommender"])],
  dependencies: [.package(url: "https://github.com/tareksabry1337/TensorFlowLiteSwift", branch: "main")],
  targets: [
    .target(
      name: "Recommender",
      dependencies: [.product(name: "TensorFlowLite", package: "TensorFlowLiteSwift")]
    )
  ]
)
