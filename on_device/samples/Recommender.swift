// Recommends with a pushed model on iOS. In the Podfile:
//     pod 'TensorFlowLiteSwift', '~> 2.14'

import Foundation
import TensorFlowLite

let padding: Int32 = 0
let unknown: Int32 = 1
let excluded: Float32 = -30_000  // The bias of an item that is not wanted: far below any score.
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
  private let runner: SignatureRunner
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
    runner = try interpreter.signatureRunner(with: "recommend")
    length = try runner.input(named: "history").shape.dimensions[1]
    let content = try Data(contentsOf: folder.appendingPathComponent("items.json"))
    items = try JSONDecoder().decode(Catalogue.self, from: content).items
    indices = Dictionary(uniqueKeysWithValues: zip(items.map(\.id), firstIndex...))
  }

  /// The best items, best first, for somebody who chose `history`: ids, oldest first. Only items that `allows` are
  /// among them, and none of `deny`; `boost` is added to the scores of some.
  func recommend(
    history: [String], deny: [String] = [], boost: [String: Float32] = [:], allows: (Item) -> Bool = { _ in true }
  ) throws -> [Recommendation] {
    let chosen = history.map { indices[$0] ?? unknown }
    let recent = chosen.suffix(length)
    let padded = recent + Array(repeating: padding, count: length - recent.count)
    // The model leaves out the items that it sees of the history; older ones are excluded here.
    var bias = [Float32](repeating: 0, count: items.count + Int(firstIndex))
    for (id, value) in boost { if let index = indices[id] { bias[Int(index)] = value } }
    for (place, item) in items.enumerated() where !allows(item) { bias[place + Int(firstIndex)] = excluded }
    for index in deny.compactMap({ indices[$0] }) + (recommendsSeen ? [] : chosen.dropLast(length)) {
      bias[Int(index)] = excluded
    }
    // A model with activity features also takes, in parallel with the history, "ratings" (Float32, NaN where nothing
    // was said and in the padding) and "times" (Int32, seconds since 1970, 0 where unknown). For columns of a log,
    // `activity_inputs` of model_info.json has the names: a `number` is as ratings are, and a `word` is its place among
    // the `words` plus 2 (Int32), 1 for another word, 0 where unknown.
    try runner.invoke(with: ["history": bytes(Array(padded)), "bias": bytes(bias)])
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

private func bytes<Value>(_ values: [Value]) -> Data {
  values.withUnsafeBufferPointer { Data(buffer: $0) }
}

private func values<Value>(of tensor: Tensor, as type: Value.Type) -> [Value] {
  let size = MemoryLayout<Value>.stride
  return Array(unsafeUninitializedCapacity: tensor.data.count / size) { buffer, count in
    count = tensor.data.copyBytes(to: buffer) / size
  }
}
