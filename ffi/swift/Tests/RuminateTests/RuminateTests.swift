import Foundation
import XCTest

import Ruminate

/// Needs a model: RUMINATE_TEST_MODEL=models/abacus-q8_0.gguf swift test
final class RuminateTests: XCTestCase {
    private static let question = "Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?"

    private func session() async throws -> Session {
        let path = try XCTUnwrap(ProcessInfo.processInfo.environment["RUMINATE_TEST_MODEL"])
        return try Session(model: try await Model.open(path: path))
    }

    func testASearchAnswers() async throws {
        try Library.checkABI()
        let run = try await session().solve(.question(Self.question))
        var done = 0
        for try await event in run.events {
            if case .nodeDone = event { done += 1 }
        }
        let outcome = try await run.outcome()
        XCTAssertGreaterThan(done, 0)
        XCTAssertEqual(outcome.answer, "27")
    }

    func testACancelledTaskGivesTheBestSoFar() async throws {
        let session = try await session()
        let task = Task { try await session.answer(.question(Self.question), search: Search(n: 4000)) }
        try await Task.sleep(nanoseconds: 300_000_000)
        task.cancel()
        let outcome = try await task.value
        XCTAssertEqual(outcome.stopReason, .cancelled)
    }

    func testFailuresAreThrown() async throws {
        do {
            _ = try await Model.open(path: "/no/such/file")
            XCTFail("there is no such file")
        } catch let error as RuminateError {
            XCTAssertEqual(error.code, .io)
        }
    }
}
