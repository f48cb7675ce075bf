import CryptoKit
import Foundation

let modelFile = "model.tflite"
let itemsFile = "items.json"
let infoFile = "model_info.json"
let format = 2
let padding: Int32 = 0
let unknown: Int32 = 1
let firstIndex: Int32 = 2

/// A pushed model, its runtime or a request cannot be used. The message is one line.
public struct RecommenderError: Error, CustomStringConvertible {
  public let description: String

  init(_ description: String) {
    self.description = description
  }
}

/// An item of the catalogue. `index` is valid only for this version of the model: store a history as ids.
public struct Item: Decodable {
  public let index: Int32
  public let id: String
  public let title: String
  public let genres: [String]
  public let year: Int?
}

struct ItemList: Decodable {
  let format: Int
  let items: [Item]
}

struct ActivityInput: Decodable {
  let input: String
  let words: [String]?
}

struct ModelInfo: Decodable {
  let format: Int
  let history_length: Int
  let top_k: Int
  let num_items: Int
  let min_runtime: String?
  let recommends_seen: Bool?
  let activity_inputs: [ActivityInput]?
  let sha256: [String: String]
}

/// The folder of a version, read and compared with its checksums.
public struct Artifact {
  let model: URL
  let info: ModelInfo
  public let items: [Item]

  public init(folder: URL) throws {
    func content(_ name: String) throws -> Data {
      let file = folder.appendingPathComponent(name)
      do {
        return try Data(contentsOf: file, options: .mappedIfSafe)
      } catch {
        throw RecommenderError("\(file.path): cannot be read (\(error.localizedDescription))")
      }
    }
    func decoded<Value: Decodable>(_ name: String, _ data: Data) throws -> Value {
      do {
        return try JSONDecoder().decode(Value.self, from: data)
      } catch {
        throw RecommenderError("\(folder.path)/\(name): not a file of the Pusher (\(error)); update the app or push again")
      }
    }
    let info: ModelInfo = try decoded(infoFile, content(infoFile))
    guard info.format == format else {
      throw RecommenderError("\(folder.path)/\(infoFile): format \(info.format), this app reads \(format); update the app")
    }
    for name in [itemsFile, modelFile] {
      let digest = SHA256.hash(data: try content(name)).map { String(format: "%02x", $0) }.joined()
      guard digest == info.sha256[name] else {
        throw RecommenderError("\(folder.path)/\(name): not the file that was pushed, or incomplete")
      }
    }
    let list: ItemList = try decoded(itemsFile, content(itemsFile))
    guard list.format == format, list.items.count == info.num_items else {
      throw RecommenderError("\(folder.path)/\(itemsFile): \(list.items.count) items, \(infoFile) says \(info.num_items)")
    }
    for (item, index) in zip(list.items, firstIndex...) where item.index != index {
      throw RecommenderError("\(folder.path)/\(itemsFile): index \(item.index) where \(index) is expected")
    }
    self.info = info
    items = list.items
    model = folder.appendingPathComponent(modelFile)
  }
}
