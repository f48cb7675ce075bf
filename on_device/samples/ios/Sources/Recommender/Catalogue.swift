import Foundation

/// The items that a model knows, in the order of popularity, with lookup by id and by title.
public struct Catalogue {
  public let items: [Item]
  // By bytes, because Swift strings are equal if they differ only in their Unicode normalization.
  private let byId: [[UInt8]: Item]
  private let byTitle: [String: Item]
  private let words: [String]

  init(_ items: [Item]) {
    self.items = items
    words = items.map { " " + normalized($0.title) }
    byId = Dictionary(items.map { (Array($0.id.utf8), $0) }, uniquingKeysWith: { first, _ in first })
    byTitle = Dictionary(zip(words, items), uniquingKeysWith: { first, _ in first })
  }

  func at(_ index: Int32) -> Item {
    items[Int(index - firstIndex)]
  }

  public func find(_ id: String) -> Item? {
    byId[Array(id.utf8)]
  }

  /// Returns the index of an item, or 1 for an id that the catalogue lacks.
  func index(_ id: String) -> Int32 {
    find(id)?.index ?? unknown
  }

  /// Returns the most popular item with the given title; case, accents and punctuation are ignored.
  public func titled(_ title: String) -> Item? {
    byTitle[" " + normalized(title)]
  }

  /// Returns the items whose titles have, for each word of the text, a word that begins with it; popular first.
  public func search(_ text: String) -> [Item] {
    let prefixes = normalized(text).split(separator: " ").map { " " + $0 }
    return zip(items, words).filter { _, words in prefixes.allSatisfy { words.contains($0) } }.map { $0.0 }
  }
}

/// Returns the words of a text in lower case, without accents, apostrophes or punctuation, one space apart.
func normalized(_ text: String) -> String {
  var words = ""
  for scalar in text.decomposedStringWithCompatibilityMapping.lowercased().unicodeScalars {
    switch scalar.properties.generalCategory {
    case .nonspacingMark: continue
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
      .decimalNumber, .letterNumber, .otherNumber:
      words.unicodeScalars.append(scalar)
    default:
      if scalar != "'" && scalar != "\u{2019}" { words += " " }
    }
  }
  return words.split(separator: " ").joined(separator: " ")
}
