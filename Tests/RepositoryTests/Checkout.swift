import FoundationEssentials
import TestSupport

/// The files of the checkout, build products left out.
enum Checkout {
  static let root = TestFiles.root

  /// Folders that hold what the repository holds.
  static let folders = [".ci", "Fixtures", "Sources", "Tests", "docs", "proto"]

  /// Paths relative to the root, sorted.
  static let files: [String] = {
    let top = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    return (top.filter { !isFolder($0) && $0 != ".git" && $0 != "Package.resolved" } + folders.flatMap(walk)).sorted()
  }()

  static func files(in folder: String, ending suffix: String) -> [String] {
    files.filter { $0.hasPrefix(folder + "/") && $0.hasSuffix(suffix) }
  }

  static func text(_ path: String) -> String {
    String(decoding: FileManager.default.contents(atPath: root + "/" + path) ?? Data(), as: UTF8.self)
  }

  static func lines(_ path: String) -> [Substring] {
    text(path).split(separator: "\n", omittingEmptySubsequences: false)
  }

  static func size(_ path: String) -> Int? {
    (try? FileManager.default.attributesOfItem(atPath: root + "/" + path))?[.size] as? Int
  }

  private static func isFolder(_ path: String) -> Bool {
    var isFolder = false
    return FileManager.default.fileExists(atPath: root + "/" + path, isDirectory: &isFolder) && isFolder
  }

  private static func walk(_ folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root + "/" + folder)) ?? []
    return names.filter { $0 != "__pycache__" && $0 != ".build" }.flatMap { name -> [String] in
      let path = folder + "/" + name
      return isFolder(path) ? walk(path) : [path]
    }
  }
}
