// swift-tools-version: 5.9
import PackageDescription

// Google publishes TensorFlow Lite's Swift API only as a pod. The dependency below is a third party's package of the same
// frameworks: review it before you ship it, or replace it with your own package.
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
