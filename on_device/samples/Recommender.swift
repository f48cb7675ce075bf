// Recommends with a pushed model on iOS. In the Podfile:
//     pod 'TensorFlowLiteSwift', '~> 2.14'

import Foundation
import TensorFlowLite

let padding: Int32 = 0
let unknown: Int32 = 1
let firstIndex: Int32 = 2  // An id below it is no item: -1 marks the places of an answer that stay empty.

struct Item: Decodable {
  let id: String
  let title: String
}

struct Catalogue: Decodable {
  let items: [Item]
}

struct ModelInfo: Decodable {
  let min_runtime: String?
  let recommends_seen: Bool?
}

enum RecommenderError: Error {
  /// The file needs a newer TensorFlow Lite than the app has.
  case runtimeTooOld(needed: String, installed: String)
}

struct Recommendation {
  let item: Item
  let score: Float32
}

/// A version's folder, in the app's bundle or downloaded. Not for several threads at once.
final class Recommender {
  private let plain: SignatureRunner
  private let excluding: SignatureRunner
  private let length: Int
  private let recommendsSeen: Bool
  private let items: [Item]
  private let indices: [String: Int32]

  init(folder: URL) throws {
    let info = try JSONDecoder().decode(
      ModelInfo.self, from: Data(contentsOf: folder.appendingPathComponent("model_info.json")))
    if let needed = info.min_runtime, isOlder(Runtime.version, than: needed) {
      throw RecommenderError.runtimeTooOld(needed: needed, installed: Runtime.version)
    }
    recommendsSeen = info.recommends_seen ?? false
    var options = Interpreter.Options()
    options.isXNNPackEnabled = true  // Off by default here; an answer then takes several times as long.
    let interpreter = try Interpreter(
      modelPath: folder.appendingPathComponent("model.tflite").path, options: options)
    plain = try interpreter.signatureRunner(with: "recommend")
    excluding = try interpreter.signatureRunner(with: "recommend_excluding")
    length = try plain.input(named: "history").shape.dimensions[1]
    let content = try Data(contentsOf: folder.appendingPathComponent("items.json"))
    items = try JSONDecoder().decode(Catalogue.self, from: content).items
    indices = Dictionary(uniqueKeysWithValues: zip(items.map(\.id), firstIndex...))
  }

  /// The best items, best first, for somebody who chose `history`: ids, oldest first.
  func recommend(history: [String], exclude: [String] = []) throws -> [Recommendation] {
    let chosen = history.map { indices[$0] ?? unknown }
    let recent = chosen.suffix(length)
    let padded = recent + Array(repeating: padding, count: length - recent.count)
    // The model leaves out the items that it sees of the history; older ones are excluded here.
    let unwanted = exclude.compactMap { indices[$0] } + (recommendsSeen ? [] : chosen.dropLast(length))
    // A model with activity features also takes, in parallel with the history, "ratings" (Float32, NaN where nothing
    // was said and in the padding) and "times" (Int32, seconds since 1970, 0 where unknown). For columns of a log,
    // `activity_inputs` of model_info.json has the names: a `number` is as ratings are, and a `word` is its place among
    // the `words` plus 2 (Int32), 1 for another word, 0 where unknown.
    var inputs = ["history": bytes(Array(padded))]
    let runner = unwanted.isEmpty ? plain : excluding
    if !unwanted.isEmpty {
      try runner.resizeInput(named: "exclude", toShape: [1, unwanted.count])
      inputs["exclude"] = bytes(unwanted)
    }
    try runner.invoke(with: inputs)
    let ids = values(of: try runner.output(named: "ids"), as: Int32.self)
    let scores = values(of: try runner.output(named: "scores"), as: Float32.self)
    return zip(ids, scores).filter { id, _ in id >= firstIndex }
      .map { id, score in Recommendation(item: items[Int(id - firstIndex)], score: score) }
  }
}

/// Whether a version of TensorFlow Lite is older. LiteRT 1.0 continues 2.17, which runs every file.
private func isOlder(_ installed: String, than needed: String) -> Bool {
  !installed.hasPrefix("1.") && installed.compare(needed, options: .numeric) == .orderedAscending
}

private func bytes(_ values: [Int32]) -> Data {
  values.withUnsafeBufferPointer { Data(buffer: $0) }
}

private func values<Value>(of tensor: Tensor, as type: Value.Type) -> [Value] {
  let size = MemoryLayout<Value>.stride
  return Array(unsafeUninitializedCapacity: tensor.data.count / size) { buffer, count in
    count = tensor.data.copyBytes(to: buffer) / size
  }
}
