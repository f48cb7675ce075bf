import Foundation

/// The items that a model knows, by id, and by title as people write it. They are in the order of popularity.
public struct Catalogue {
  public let items: [Item]
  // By bytes: Swift takes ids for equal that differ only in their Unicode normalisation.
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

  /// The index of an item; 1 for an id that the catalogue lacks.
  func index(_ id: String) -> Int32 {
    find(id)?.index ?? unknown
  }

  /// The most popular item with a title, whatever its case, accents and punctuation.
  public func titled(_ title: String) -> Item? {
    byTitle[" " + normalized(title)]
  }

  /// The items with a word in their title that begins with each word of a text, popular ones first.
  public func search(_ text: String) -> [Item] {
    let prefixes = normalized(text).split(separator: " ").map { " " + $0 }
    return zip(items, words).filter { _, words in prefixes.allSatisfy { words.contains($0) } }.map { $0.0 }
  }
}

/// The words of a text in lower case, without accents, apostrophes and punctuation, with spaces between.
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
