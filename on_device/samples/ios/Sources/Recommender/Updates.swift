import Foundation

/// Keeps a pushed model up to date: a new version replaces the one in use only when it is complete and can be used.
public final class Updates {
  /// Copies the file at an address to a place.
  public typealias Fetch = (_ address: String, _ to: URL) throws -> Void

  private let folder: URL
  private let address: String
  private let fetch: Fetch
  private let files = FileManager.default

  /// - Parameters:
  ///   - folder: in the app's own files. It holds the version in use and the one before; `latest` names the one in use.
  ///   - address: of the pipeline's folder as the Pusher leaves it, https.
  ///   - fetch: by default a download.
  public init(folder: URL, address: String, fetch: @escaping Fetch) {
    self.folder = folder
    self.address = address
    self.fetch = fetch
  }

  /// The folder of the version in use; nil before the first update.
  public func current() -> URL? {
    guard let text = try? String(contentsOf: folder.appendingPathComponent("latest"), encoding: .utf8) else { return nil }
    let version = text.trimmingCharacters(in: .whitespacesAndNewlines)
    let used = folder.appendingPathComponent(version)
    return isVersion(version) && files.fileExists(atPath: used.appendingPathComponent(infoFile).path) ? used : nil
  }

  /// Downloads and checks the newest version, and puts it into use. Call it from one thread that is not the main one.
  ///
  /// - Returns: the folder of the new version; nil where the newest is in use already.
  /// - Throws: `RecommenderError`: it cannot be downloaded or used. Nothing has changed then.
  public func update() throws -> URL? {
    let staging = folder.appendingPathComponent(".staging")
    try writing(staging) {
      try? files.removeItem(at: staging)
      try files.createDirectory(at: staging, withIntermediateDirectories: true)
    }
    defer { try? files.removeItem(at: staging) }
    let pointer = staging.appendingPathComponent("latest")
    try download("latest", pointer)
    let version = ((try? String(contentsOf: pointer, encoding: .utf8)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
    guard isVersion(version) else { throw RecommenderError("\(address)/latest: names no version, but \(version)") }
    let used = current()
    if used?.lastPathComponent == version { return nil }
    let next = staging.appendingPathComponent(version)
    try writing(next) { try files.createDirectory(at: next, withIntermediateDirectories: true) }
    for name in [infoFile, itemsFile, modelFile] { try download("\(version)/\(name)", next.appendingPathComponent(name)) }
    _ = try Recommender(folder: next)  // Refuses what is damaged, unknown or too new.
    let target = folder.appendingPathComponent(version)
    try writing(target) {
      try? files.removeItem(at: target)  // An update was killed before `latest` named it.
      try files.moveItem(at: next, to: target)
      try Data("\(version)\n".utf8).write(to: folder.appendingPathComponent("latest"), options: .atomic)
    }
    for name in (try? files.contentsOfDirectory(atPath: folder.path)) ?? [] {
      let kept = ["latest", ".staging", version, used?.lastPathComponent]
      if !kept.contains(name) { try? files.removeItem(at: folder.appendingPathComponent(name)) }
    }
    return target
  }

  private func download(_ name: String, _ file: URL) throws {
    do {
      try fetch("\(address)/\(name)", file)
    } catch {
      throw RecommenderError("\(address)/\(name): cannot be downloaded (\(error))")
    }
  }

  private func writing(_ file: URL, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch {
      throw RecommenderError("\(file.path): cannot be written (\(error.localizedDescription))")
    }
  }
}

func isVersion(_ text: String) -> Bool {
  !text.isEmpty && text.allSatisfy { $0.isLetter || $0.isNumber }
}
