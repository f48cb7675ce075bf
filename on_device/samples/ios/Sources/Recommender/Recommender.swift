import Foundation
import TensorFlowLite

let excluded: Float32 = -30_000  // The bias of an item that is not wanted: far below any score.
let largestBoost: Float32 = 1000

/// A recommended item. Scores of `recommend` compare within one answer only; those of `similar` are cosines.
public struct Recommendation {
  public let item: Item
  public let score: Float32
}

/// An item of a history, and by how much the score of a recommended item falls without it.
public struct Reason {
  public let item: Item
  public let contribution: Float32
}

/// Which items may be answered.
public struct Choice {
  /// How many items, from 1 to `topK`; nil for 10.
  public var k: Int?
  /// Ids of the only items that may be answered, such as those in stock; nil allows all.
  public var allow: [String]?
  /// Ids of items that are not wanted.
  public var deny: [String] = []
  /// Added to the scores of some items, by id.
  public var boost: [String: Float32] = [:]

  public init() {}
}

/// Values of what a model looks at besides the items of a history: numbers, words or seconds since 1970; nil if unknown.
public typealias Activity = [String: [Any?]]

/// Recommends with a pushed model. Threads may share one: their calls wait for each other.
public final class Recommender {
  public let catalogue: Catalogue
  /// Number of items N of a history that the model looks at.
  public let historyLength: Int
  /// Most items K of an answer.
  public let topK: Int
  private let interpreter: Interpreter
  private let recommendsSeen: Bool
  private let wordIndices: [String: [String: Int32]]
  private var runners: [String: SignatureRunner] = [:]
  private let lock = NSRecursiveLock()

  public convenience init(folder: URL) throws {
    try self.init(Artifact(folder: folder))
  }

  public init(_ artifact: Artifact) throws {
    let info = artifact.info
    if let needed = info.min_runtime, isOlder(Runtime.version, than: needed) {
      throw RecommenderError("\(artifact.model.path): needs TensorFlow Lite \(needed), the app has \(Runtime.version)")
    }
    catalogue = Catalogue(artifact.items)
    recommendsSeen = info.recommends_seen ?? false
    let inputs = (info.activity_inputs ?? []).filter { $0.words != nil }
    wordIndices = Dictionary(uniqueKeysWithValues: inputs.map { input in
      (input.input, Dictionary(zip(input.words!, firstIndex...), uniquingKeysWith: { first, _ in first }))
    })
    var options = Interpreter.Options()
    options.isXNNPackEnabled = true  // Off by default here; an answer then takes several times as long.
    do {
      interpreter = try Interpreter(modelPath: artifact.model.path, options: options)
      let runner = try interpreter.signatureRunner(with: "recommend")
      historyLength = try runner.input(named: "history").shape.dimensions[1]
      topK = try runner.output(named: "ids").shape.dimensions[1]
      runners["recommend"] = runner
    } catch {
      throw RecommenderError("\(artifact.model.path): not a model file that this app can run (\(error))")
    }
    guard historyLength == info.history_length, topK == info.top_k else {
      throw RecommenderError("\(artifact.model.path): its shapes are not those that \(infoFile) says")
    }
  }

  /// The best items for a user, best first, without those of the history.
  ///
  /// - Parameters:
  ///   - history: ids, oldest first; none for the popular items.
  ///   - diversity: from 0, the best items, to 1, different ones among the best K.
  public func recommend(
    _ history: [String], _ choice: Choice = Choice(), diversity: Double = 0, activity: Activity = [:]
  ) throws -> [Recommendation] {
    try locked {
      let length = try self.length(choice)
      guard (0...1).contains(diversity) else {
        throw RecommenderError("diversity is \(diversity); expected a number from 0 to 1")
      }
      let indices = history.map(catalogue.index)
      var bias = try self.bias(choice)
      // The model leaves out the items that it sees; older ones are left out here.
      if !recommendsSeen { for index in indices.dropLast(historyLength) { bias[Int(index)] = excluded } }
      var inputs = try histories(indices, activity)
      inputs["bias"] = bytes(bias)
      let ranked = try self.ranked("recommend", inputs)
      return diversity == 0 ? Array(ranked.prefix(length)) : try diversified(ranked, length, diversity)
    }
  }

  /// The items that users choose in the same situations as an item, the most similar first.
  public func similar(_ id: String, _ choice: Choice = Choice()) throws -> [Recommendation] {
    try locked {
      let length = try self.length(choice)
      let inputs = ["item": bytes([try known(id)]), "bias": bytes(try bias(choice))]
      return Array(try ranked("similar", inputs).prefix(length))
    }
  }

  /// The ten latest items of a history by their contribution to the score of an item, the largest first.
  public func because(_ history: [String], _ id: String, activity: Activity = [:]) throws -> [Reason] {
    try locked {
      let indices = history.map(catalogue.index)
      var inputs = try histories(indices, activity)
      inputs["item"] = bytes([try known(id)])
      let contributions: [Float32] = values(of: try run("explain", inputs).output(named: "contributions"))
      return zip(indices.suffix(historyLength), contributions)
        .filter { index, contribution in index >= firstIndex && contribution != 0 }
        .map { index, contribution in Reason(item: catalogue.at(index), contribution: contribution) }
        .sorted { $0.contribution > $1.contribution }
    }
  }

  private func locked<Answer>(_ body: () throws -> Answer) rethrows -> Answer {
    lock.lock()
    defer { lock.unlock() }
    return try body()
  }

  private func length(_ choice: Choice) throws -> Int {
    let length = choice.k ?? min(10, topK)
    guard (1...topK).contains(length) else {
      throw RecommenderError("k is \(length); this model answers 1 to \(topK)")
    }
    return length
  }

  private func known(_ id: String) throws -> Int32 {
    guard let item = catalogue.find(id) else { throw RecommenderError("\(itemsFile): no item with the id \(id)") }
    return item.index
  }

  private func bias(_ choice: Choice) throws -> [Float32] {
    var bias = [Float32](repeating: 0, count: catalogue.items.count + Int(firstIndex))
    for (id, value) in choice.boost {
      guard abs(value) <= largestBoost else {
        throw RecommenderError("boost of \(id) is \(value); expected a number up to \(largestBoost)")
      }
      bias[Int(catalogue.index(id))] = value
    }
    if let allow = choice.allow {
      let allowed = Set(allow.map { Int(catalogue.index($0)) })
      for index in bias.indices where !allowed.contains(index) { bias[index] = excluded }
    }
    for id in choice.deny { bias[Int(catalogue.index(id))] = excluded }
    return bias
  }

  /// Each input of a history, [1, N]: the last N values, then padding.
  private func histories(_ indices: [Int32], _ activity: Activity) throws -> [String: Data] {
    let runner = runners["recommend"]!
    let names = runner.inputs.filter { $0 != "history" && $0 != "bias" }
    for (name, column) in activity {
      guard names.contains(name) || name == "ratings" || name == "times" else {
        throw RecommenderError("\(modelFile): does not look at \(name)")
      }
      guard column.count == indices.count else {
        throw RecommenderError("\(name): \(column.count) values for a history of \(indices.count) items")
      }
    }
    var inputs = ["history": bytes(padded(indices, with: padding))]
    for name in names {
      let column = activity[name] ?? []
      if try runner.input(named: name).dataType == .float32 {
        inputs[name] = bytes(padded(column.map { number($0).map(Float32.init) ?? .nan }, with: .nan))
      } else {
        inputs[name] = bytes(padded(column.map { coded(name, $0) }, with: 0))
      }
    }
    return inputs
  }

  private func padded<Value>(_ column: [Value], with padding: Value) -> [Value] {
    let recent = column.suffix(historyLength)
    return recent + Array(repeating: padding, count: historyLength - recent.count)
  }

  /// A time, or the index of a word; 0 where nothing is known.
  private func coded(_ name: String, _ value: Any?) -> Int32 {
    guard let words = wordIndices[name] else {
      return number(value).map { Int32(truncatingIfNeeded: Int64($0)) } ?? 0
    }
    let word = (value as? String ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
    return word.isEmpty ? padding : words[word] ?? unknown
  }

  private func number(_ value: Any?) -> Double? {
    (value as? NSNumber)?.doubleValue ?? value as? Double ?? (value as? Int).map(Double.init)
  }

  private func ranked(_ signature: String, _ inputs: [String: Data]) throws -> [Recommendation] {
    let runner = try run(signature, inputs)
    let ids: [Int32] = values(of: try runner.output(named: "ids"))
    let scores: [Float32] = values(of: try runner.output(named: "scores"))
    // -1 marks the places of an answer that stay empty.
    return zip(ids, scores).filter { id, _ in id >= firstIndex }
      .map { id, score in Recommendation(item: catalogue.at(id), score: score) }
  }

  private func run(_ signature: String, _ inputs: [String: Data]) throws -> SignatureRunner {
    guard interpreter.signatureKeys.contains(signature) else {
      throw RecommenderError("\(modelFile): has no signature \(signature); push it with it among pusher.signatures")
    }
    let runner = try runners[signature] ?? interpreter.signatureRunner(with: signature)
    runners[signature] = runner
    try runner.invoke(with: inputs)
    return runner
  }

  /// Maximal marginal relevance (Carbonell and Goldstein, 1998): on_device/diversity.py describes it.
  private func diversified(_ ranked: [Recommendation], _ length: Int, _ diversity: Double) throws -> [Recommendation] {
    guard let first = ranked.first, let last = ranked.last else { return [] }
    let (least, span) = (Double(last.score), Double(first.score) - Double(last.score))
    let relevance = ranked.map { span > 0 ? (Double($0.score) - least) / span : 1 }
    var nearest = [Double](repeating: -1, count: ranked.count)
    var left = Array(ranked.indices)
    var chosen: [Int] = []
    while chosen.count < length, !left.isEmpty {
      func gain(_ place: Int) -> Double { (1 - diversity) * relevance[place] - diversity * nearest[place] }
      var best = left[0]
      if !chosen.isEmpty { for place in left where gain(place) > gain(best) { best = place } }
      chosen.append(best)
      left.removeAll { $0 == best }
      if left.isEmpty || chosen.count == length { break }
      let cosines = try self.cosines(ranked, best)
      for place in left { nearest[place] = max(nearest[place], cosines[ranked[place].item.index] ?? 1) }
    }
    return chosen.map { ranked[$0] }
  }

  /// The cosines between one of K items and the others, by index.
  private func cosines(_ ranked: [Recommendation], _ place: Int) throws -> [Int32: Double] {
    var bias = [Float32](repeating: excluded, count: catalogue.items.count + Int(firstIndex))
    for entry in ranked { bias[Int(entry.item.index)] = 0 }
    let others = try self.ranked("similar", ["item": bytes([ranked[place].item.index]), "bias": bytes(bias)])
    return Dictionary(uniqueKeysWithValues: others.map { ($0.item.index, Double($0.score)) })
  }
}

/// Whether a version of TensorFlow Lite is older. LiteRT 1.0 continues 2.17, which runs every file of format 2.
func isOlder(_ installed: String, than needed: String) -> Bool {
  let contained = installed.hasPrefix("1.") ? "2.17.0" : installed
  return contained.compare(needed, options: .numeric) == .orderedAscending
}

private func bytes<Value>(_ values: [Value]) -> Data {
  values.withUnsafeBufferPointer { Data(buffer: $0) }
}

private func values<Value>(of tensor: Tensor) -> [Value] {
  let size = MemoryLayout<Value>.stride
  return Array(unsafeUninitializedCapacity: tensor.data.count / size) { buffer, count in
    count = tensor.data.copyBytes(to: buffer) / size
  }
}
