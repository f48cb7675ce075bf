import Foundation

/// Stands in for TensorFlow Lite's Swift API, which exists only for Apple's systems: the parent process runs the model.
/// Each call is a line of JSON.

public enum Runtime {
  public static let version = "2.17.0"
}

public struct InterpreterError: Error {
  let message: String
}

public struct Tensor {
  public enum DataType { case float32, int32 }

  public struct Shape {
    public let dimensions: [Int]
  }

  public let shape: Shape
  public let dataType: DataType
  public var data = Data()

  init(_ about: [String: Any]) {
    shape = Shape(dimensions: about["shape"] as! [Int])
    dataType = about["dtype"] as! String == "float32" ? .float32 : .int32
  }
}

public final class Interpreter {
  public struct Options {
    public var isXNNPackEnabled = false

    public init() {}
  }

  private let signatures: [String: [String: [String: [String: Any]]]]
  private let path: String

  public init(modelPath: String, options: Options) throws {
    path = modelPath
    signatures = try call(["open": modelPath])["signatures"] as! [String: [String: [String: [String: Any]]]]
  }

  public var signatureKeys: [String] { Array(signatures.keys) }

  public func signatureRunner(with name: String) throws -> SignatureRunner {
    SignatureRunner(path, name, signatures[name]!)
  }
}

public final class SignatureRunner {
  private let path: String
  private let name: String
  private let about: [String: [String: [String: Any]]]
  private var results: [String: Tensor] = [:]

  init(_ path: String, _ name: String, _ about: [String: [String: [String: Any]]]) {
    (self.path, self.name, self.about) = (path, name, about)
  }

  public var inputs: [String] { Array(about["inputs"]!.keys) }

  public func input(named name: String) throws -> Tensor { Tensor(about["inputs"]![name]!) }

  public func output(named name: String) throws -> Tensor { results[name] ?? Tensor(about["outputs"]![name]!) }

  public func invoke(with inputs: [String: Data]) throws {
    for (key, data) in inputs {
      let tensor = try input(named: key)
      guard data.count == 4 * tensor.shape.dimensions.reduce(1, *) else { throw InterpreterError(message: "size of \(key)") }
    }
    let encoded = inputs.mapValues { $0.base64EncodedString() }
    let outputs = try call(["run": path, "signature": name, "inputs": encoded])["outputs"] as! [String: String]
    for (key, text) in outputs {
      var tensor = Tensor(about["outputs"]![key]!)
      tensor.data = Data(base64Encoded: text)!
      results[key] = tensor
    }
  }
}

func call(_ request: [String: Any]) throws -> [String: Any] {
  let line = try JSONSerialization.data(withJSONObject: request)
  FileHandle.standardOutput.write(line + Data("\n".utf8))
  guard let text = readLine() else { throw InterpreterError(message: "no response") }
  return try JSONSerialization.jsonObject(with: Data(text.utf8)) as! [String: Any]
}
