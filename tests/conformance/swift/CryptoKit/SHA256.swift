import Foundation

/// Stands in for CryptoKit, which exists only for Apple's systems, with `sha256sum`.
public enum SHA256 {
  public static func hash(data: Data) -> [UInt8] {
    let (process, input, output) = (Process(), Pipe(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
    (process.standardInput, process.standardOutput) = (input, output)
    try! process.run()
    DispatchQueue.global().async {
      input.fileHandleForWriting.write(data)
      input.fileHandleForWriting.closeFile()
    }
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let digits = Array(text.prefix(64))
    return stride(from: 0, to: 64, by: 2).map { UInt8(String(digits[$0...($0 + 1)]), radix: 16)! }
  }
}
