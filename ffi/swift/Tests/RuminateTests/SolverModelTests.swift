import XCTest

/// The view model of the examples, which is compiled with the tests.
@available(macOS 14, iOS 17, *)
final class SolverModelTests: XCTestCase {
    @MainActor
    func testItLoadsAsksAndStops() async throws {
        let solver = SolverModel()
        await solver.load(path: "/no/such/file")
        guard case .failed = solver.phase else { return XCTFail("\(solver.phase)") }
        await solver.load(path: try Bundled.path())
        XCTAssertEqual(solver.phase, .ready)
        solver.ask("What is 2 + 2?")
        solver.ask(Bundled.question)
        try await wait { solver.phase == .ready && solver.branches.values.contains { $0.contains("####") } }
        XCTAssertNotNil(solver.answer)
        XCTAssertGreaterThan(solver.branches.count, 1)
        XCTAssertGreaterThan(solver.milliseconds, 0)
        let before = solver.milliseconds
        solver.ask(Bundled.question)
        try await wait { solver.phase == .thinking || solver.milliseconds != before }
        solver.stop()
        try await wait { solver.phase == .ready }
    }

    @MainActor
    private func wait(for condition: () -> Bool) async throws {
        for _ in 0..<10_000 {
            if condition() { return }
            try await Task.sleep(nanoseconds: 1_000_000)
        }
        XCTFail("ten seconds have passed")
    }
}
