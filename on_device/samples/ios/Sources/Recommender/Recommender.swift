import Foundation
import TensorFlowLite

let excluded: Float32 = -30_000  // The bias that excludes an item: far below any score.
let largestBoost: Float32 = 1000

/// A recommended item. Scores of `recommend` are comparable within one answer only; those of `similar` are cosines.
public struct Recommendation {
  public let item: Item
  public let score: Float32
}

/// An item of a history, and how much the score of a recommended item falls without it.
public struct Reason {
  public let item: Item
  public let contribution: Float32
}

/// Which items may be returned, and how many.
public struct Choice {
  /// Number of items, from 1 to `topK`; nil for 10.
  public var k: Int?
  /// Ids of the only items that may be returned, such as those in stock; nil allows all.
  public var allow: [String]?
  /// Ids of items to exclude.
  public var deny: [String] = []
  /// Values to add to the scores of some items, by id.
  public var boost: [String: Float32] = [:]

  public init() {}
}

/// Values of a model's inputs besides the history: numbers, words or seconds since 1970; nil if unknown.
public typealias Activity = [String: [Any?]]

/// Recommends with a pushed model. Threads may share a recommender: calls run one at a time.
public final class Recommender {
  public let catalogue: Catalogue
  /// Number of items N of a history that the model uses.
  public let historyLength: Int
  /// Largest number of items K of an answer.
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
    options.isXNNPackEnabled = true  // Off by default. Without it, an inference takes several times as long.
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
      throw RecommenderError("\(artifact.model.path): its shapes contradict \(infoFile)")
    }
  }

  /// Returns the best items for a user, best first, without the items of the history.
  ///
  /// - Parameters:
  ///   - history: Ids, oldest first; an empty history returns popular items.
  ///   - diversity: From 0, the best items, to 1, the most diverse of the best K.
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
      // The model excludes the items that it sees; older items are excluded here.
      if !recommendsSeen { for index in indices.dropLast(historyLength) { bias[Int(index)] = excluded } }
      var inputs = try historyInputs(indices, activity)
      inputs["bias"] = bytes(bias)
      let ranked = try self.ranked("recommend", inputs)
      return diversity == 0 ? Array(ranked.prefix(length)) : try diversified(ranked, length, diversity)
    }
  }

  /// Returns the items that users choose in the same situations as an item, the most similar first.
  public func similar(_ id: String, _ choice: Choice = Choice()) throws -> [Recommendation] {
    try locked {
      let length = try self.length(choice)
      let inputs = ["item": bytes([try knownIndex(id)]), "bias": bytes(try bias(choice))]
      return Array(try ranked("similar", inputs).prefix(length))
    }
  }

  /// Returns the ten latest items of a history by their contribution to the score of an item, the largest first.
  public func because(_ history: [String], _ id: String, activity: Activity = [:]) throws -> [Reason] {
    try locked {
      let indices = history.map(catalogue.index)
      var inputs = try historyInputs(indices, activity)
      inputs["item"] = bytes([try knownIndex(id)])
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
      throw RecommenderError("k is \(length); expected an integer from 1 to \(topK)")
    }
    return length
  }

  private func knownIndex(_ id: String) throws -> Int32 {
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

  /// Returns the inputs that describe a history, each [1, N]: the last N values, then padding.
  private func historyInputs(_ indices: [Int32], _ activity: Activity) throws -> [String: Data] {
    let runner = runners["recommend"]!
    let names = runner.inputs.filter { $0 != "history" && $0 != "bias" }
    for (name, column) in activity {
      guard names.contains(name) || name == "ratings" || name == "times" else {
        throw RecommenderError("\(modelFile): has no input \(name)")
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
        inputs[name] = bytes(padded(column.map { encode(name, $0) }, with: 0))
      }
    }
    return inputs
  }

  private func padded<Value>(_ column: [Value], with padding: Value) -> [Value] {
    let recent = column.suffix(historyLength)
    return recent + Array(repeating: padding, count: historyLength - recent.count)
  }

  /// Returns a time, or the index of a word; 0 if unknown.
  private func encode(_ name: String, _ value: Any?) -> Int32 {
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
    // -1 marks empty places.
    return zip(ids, scores).filter { id, _ in id >= firstIndex }
      .map { id, score in Recommendation(item: catalogue.at(id), score: score) }
  }

  private func run(_ signature: String, _ inputs: [String: Data]) throws -> SignatureRunner {
    guard interpreter.signatureKeys.contains(signature) else {
      throw RecommenderError("\(modelFile): has no signature \(signature); add it to pusher.signatures and push again")
    }
    let runner = try runners[signature] ?? interpreter.signatureRunner(with: signature)
    runners[signature] = runner
    try runner.invoke(with: inputs)
    return runner
  }

  /// Selects items by maximal marginal relevance (Carbonell and Goldstein, 1998); see on_device/diversity.py.
  private func diversified(_ ranked: [Recommendation], _ length: Int, _ diversity: Double) throws -> [Recommendation] {
    guard let first = ranked.first, let last = ranked.last else { return [] }
    let (lowest, span) = (Double(last.score), Double(first.score) - Double(last.score))
    let relevance = ranked.map { span > 0 ? (Double($0.score) - lowest) / span : 1 }
    var nearest = [Double](repeating: -1, count: ranked.count)
    var candidates = Array(ranked.indices)
    var selected: [Int] = []
    while selected.count < length, !candidates.isEmpty {
      func gain(_ position: Int) -> Double { (1 - diversity) * relevance[position] - diversity * nearest[position] }
      var best = candidates[0]
      if !selected.isEmpty { for position in candidates where gain(position) > gain(best) { best = position } }
      selected.append(best)
      candidates.removeAll { $0 == best }
      if candidates.isEmpty || selected.count == length { break }
      let cosines = try self.cosines(ranked, best)
      for position in candidates {
        nearest[position] = max(nearest[position], cosines[ranked[position].item.index] ?? 1)
      }
    }
    return selected.map { ranked[$0] }
  }

  /// Returns the cosines between one of K items and the others, by index.
  private func cosines(_ ranked: [Recommendation], _ position: Int) throws -> [Int32: Double] {
    var bias = [Float32](repeating: excluded, count: catalogue.items.count + Int(firstIndex))
    for entry in ranked { bias[Int(entry.item.index)] = 0 }
    let others = try self.ranked("similar", ["item": bytes([ranked[position].item.index]), "bias": bytes(bias)])
    return Dictionary(uniqueKeysWithValues: others.map { ($0.item.index, Double($0.score)) })
  }
}

/// Returns whether a runtime is older than a TensorFlow Lite version. LiteRT 1.0 continues TensorFlow Lite 2.17.
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
