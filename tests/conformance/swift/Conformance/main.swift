import Foundation
import Recommender

/// Runs the questions and the updates of the conformance suite with the classes of the iOS sample.

let arguments = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
let (films, work) = (arguments[0], arguments[3])

func entries(_ file: URL) throws -> [[String: Any]] {
  try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as! [[String: Any]]
}

func ask(_ recommender: Recommender, _ vector: [String: Any]) throws -> Any {
  let options = vector["options"] as? [String: Any] ?? [:]
  let activity = (options["activity"] as? [String: [Any]] ?? [:]).mapValues { $0.map { $0 is NSNull ? nil : $0 } }
  let history = vector["history"] as? [String] ?? []
  var choice = Choice()
  choice.k = options["k"] as? Int
  choice.allow = options["allow"] as? [String]
  choice.deny = options["deny"] as? [String] ?? []
  choice.boost = (options["boost"] as? [String: NSNumber] ?? [:]).mapValues { $0.floatValue }
  func pairs(_ items: [Recommendation]) -> [[Any]] { items.map { [$0.item.id, Double($0.score)] } }
  switch vector["kind"] as! String {
  case "recommend":
    let diversity = (options["diversity"] as? NSNumber)?.doubleValue ?? 0
    return pairs(try recommender.recommend(history, choice, diversity: diversity, activity: activity))
  case "similar": return pairs(try recommender.similar(vector["item"] as! String, choice))
  case "because":
    return try recommender.because(history, vector["item"] as! String, activity: activity)
      .map { [$0.item.id, Double($0.contribution)] as [Any] }
  case "search": return recommender.catalogue.search(vector["text"] as! String).map { $0.id }
  default: return recommender.catalogue.titled(vector["text"] as! String)?.id ?? NSNull()
  }
}

struct Broken: Error {}

func changed(_ content: Data, _ change: [String: Any], _ file: URL) throws {
  let at = change["at"] as? Int ?? 0
  switch change["change"] as! String {
  case "flip":
    var flipped = content
    flipped[at] ^= 1
    try flipped.write(to: file)
  case "truncate": try content.prefix(at).write(to: file)
  case "interrupt":
    try content.prefix(at).write(to: file)
    throw Broken()
  case "set":
    var info = try JSONSerialization.jsonObject(with: content) as! [String: Any]
    info[change["key"] as! String] = change["value"]
    try JSONSerialization.data(withJSONObject: info).write(to: file)
  default: throw Broken()
  }
}

/// Returns the outcome of an update whose files are changed: the error, and the version in use afterwards.
func update(_ change: [String: Any]) throws -> [String: Any] {
  let files = FileManager.default
  let folder = work.appendingPathComponent("models")
  try? files.removeItem(at: folder)
  try files.createDirectory(at: folder, withIntermediateDirectories: true)
  try files.copyItem(at: films, to: folder.appendingPathComponent("1"))
  try Data("1\n".utf8).write(to: folder.appendingPathComponent("latest"))
  let updates = Updates(folder: folder, address: "https://models.example/films") { address, file in
    let name = String(address.split(separator: "/").last!)
    let content = name == "latest" ? Data("2\n".utf8) : try Data(contentsOf: films.appendingPathComponent(name))
    if name == change["file"] as? String { try changed(content, change, file) } else { try content.write(to: file) }
  }
  var outcome: [String: Any] = [:]
  do { outcome["installed"] = try updates.update()?.lastPathComponent } catch { outcome["error"] = "\(error)" }
  let used = updates.current()!
  outcome["used"] = used.lastPathComponent
  outcome["first"] = try Recommender(folder: used).recommend([])[0].item.id
  outcome["files"] = try files.contentsOfDirectory(atPath: folder.path).sorted()
  return outcome
}

let recommender = try Recommender(folder: films)
let answers = try entries(arguments[1]).map { vector -> Any in
  do { return try ask(recommender, vector) } catch { return ["name": "Problem", "message": "\(error)"] }
}
let outcomes = try entries(arguments[2]).map(update)
let result = try JSONSerialization.data(withJSONObject: ["answers": answers, "updates": outcomes] as [String: Any])
FileHandle.standardOutput.write(result + Data("\n".utf8))
