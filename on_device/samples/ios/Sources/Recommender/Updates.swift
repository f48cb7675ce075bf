import Foundation

/// Keeps a pushed model up to date: a new version replaces the version in use only if it is complete and loads.
public final class Updates {
  /// Copies the file at an address to a local file.
  public typealias Fetch = (_ address: String, _ to: URL) throws -> Void

  private let folder: URL
  private let address: String
  private let fetch: Fetch
  private let files = FileManager.default

  /// - Parameters:
  ///   - folder: Folder in the app's files. It holds the version in use, which `latest` names, and the version before.
  ///   - address: https address of the pipeline's folder as the Pusher writes it.
  ///   - fetch: Downloads a file.
  public init(folder: URL, address: String, fetch: @escaping Fetch) {
    self.folder = folder
    self.address = address
    self.fetch = fetch
  }

  /// Returns the folder of the version in use, or nil before the first update.
  public func current() -> URL? {
    guard let text = try? String(contentsOf: folder.appendingPathComponent("latest"), encoding: .utf8) else { return nil }
    let version = text.trimmingCharacters(in: .whitespacesAndNewlines)
    let inUse = folder.appendingPathComponent(version)
    return isVersion(version) && files.fileExists(atPath: inUse.appendingPathComponent(infoFile).path) ? inUse : nil
  }

  /// Downloads and checks the newest version, and puts it into use. Call it from one background thread.
  ///
  /// - Returns: The folder of the new version, or nil if the newest version is already in use. If its files are damaged,
  ///   they are downloaded again.
  /// - Throws: `RecommenderError` if the version cannot be downloaded or used. The version in use has not changed.
  public func update() throws -> URL? {
    let staging = folder.appendingPathComponent(".staging")
    try writing(staging) {
      try? files.removeItem(at: staging)
      try files.createDirectory(at: staging, withIntermediateDirectories: true)
    }
    defer { try? files.removeItem(at: staging) }
    let latest = staging.appendingPathComponent("latest")
    try download("latest", latest)
    let version = ((try? String(contentsOf: latest, encoding: .utf8)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
    guard isVersion(version) else { throw RecommenderError("\(address)/latest: \(version) is not a version") }
    let inUse = current()
    let previous = inUse?.lastPathComponent
    if let inUse = inUse, previous == version, (try? Artifact(folder: inUse)) != nil { return nil }
    let next = staging.appendingPathComponent(version)
    try writing(next) { try files.createDirectory(at: next, withIntermediateDirectories: true) }
    for name in [infoFile, itemsFile, modelFile] { try download("\(version)/\(name)", next.appendingPathComponent(name)) }
    _ = try Recommender(folder: next)  // Throws an error if the version is damaged or too new.
    let target = folder.appendingPathComponent(version)
    try writing(target) {
      try? files.removeItem(at: target)  // An earlier update may have been killed before it wrote `latest`.
      try files.moveItem(at: next, to: target)
      try Data("\(version)\n".utf8).write(to: folder.appendingPathComponent("latest"), options: .atomic)
    }
    if previous == nil || previous == version { return target }
    for name in (try? files.contentsOfDirectory(atPath: folder.path)) ?? [] {
      let old = folder.appendingPathComponent(name)
      let isOld = isVersion(name) && name != version && name != previous
      if isOld && files.fileExists(atPath: old.appendingPathComponent(infoFile).path) { try? files.removeItem(at: old) }
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
