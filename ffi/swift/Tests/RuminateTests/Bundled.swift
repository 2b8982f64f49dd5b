import Foundation
import XCTest

import Ruminate

/// What the tests share: the bundled model, by the path in `RUMINATE_TEST_MODEL`.
enum Bundled {
    static let question = "Leah has $45 and buys 2 toys for $9 each. She saves a third of the money. How many dollars does Leah save?"
    static let answer = "9"

    static func path() throws -> String { try XCTUnwrap(ProcessInfo.processInfo.environment["RUMINATE_TEST_MODEL"]) }

    static func model() async throws -> Model { try await Model.open(path: try path()) }

    static func session() async throws -> Session { try Session(model: try await model()) }
}

/// A file's path that is gone with the test.
final class Scratch {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

    func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    deinit { try? FileManager.default.removeItem(at: folder) }
}

/// Counts from several threads.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var n = 0

    var count: Int { lock.withLock { n } }

    func add() { lock.withLock { n += 1 } }
}

/// The code that `body` fails with.
func failure(_ body: () async throws -> Void, file: StaticString = #filePath, line: UInt = #line) async -> RuminateError.Code? {
    do {
        try await body()
        XCTFail("nothing was thrown", file: file, line: line)
        return nil
    } catch {
        return (error as? RuminateError)?.code
    }
}
