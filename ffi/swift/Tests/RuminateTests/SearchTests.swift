import XCTest

import Ruminate

final class SearchTests: XCTestCase {
    func testASearchAnswersAndTellsItsTree() async throws {
        try Library.checkABI()
        var search = Search(n: 8)
        search.earlyStop = .never
        var options = RunOptions()
        options.keepsTrace = true
        let run = try await Bundled.session().solve(.question(Bundled.question), search: search, options: options)
        var (started, done, text) = (0, 0, "")
        for try await event in run.events {
            switch event {
            case .nodeStarted: started += 1
            case .text(_, let part): text += part
            case .nodeDone(let node):
                done += 1
                XCTAssertFalse(node.text.isEmpty)
            default: break
            }
        }
        let outcome = try await run.outcome()
        XCTAssertEqual(outcome.answer, Bundled.answer)
        XCTAssertEqual(outcome.stopReason, .finished)
        XCTAssertEqual(outcome.candidates.map(\.votes).reduce(0, +), 8)
        XCTAssertEqual(started, done)
        XCTAssertTrue(text.contains("####"))
        XCTAssertGreaterThan(outcome.usage.policyTokens, 0)
        let trace = try run.trace()
        XCTAssertTrue(try convertTrace(trace, to: .html, name: "Leah").contains("<html"))
        XCTAssertTrue(try convertTrace(trace, to: .openInference).contains("openinference"))
    }

    func testEveryAlgorithmKeepsItsBudget() async throws {
        let session = try await Bundled.session()
        let judge = try Judge(.logprob)
        for algorithm in Search.Algorithm.allCases {
            let search = Search(algorithm, n: 4, maxTokens: 64, tokenBudget: 200)
            let outcome = try await session.answer(.question(Bundled.question), search: search, options: RunOptions(judge: judge))
            XCTAssertLessThanOrEqual(outcome.usage.policyTokens, 200, "\(algorithm)")
            XCTAssertFalse(outcome.text.isEmpty, "\(algorithm)")
        }
    }

    func testADeadlineIsNoError() async throws {
        var search = Search(n: 4096, millisecondBudget: 200)
        search.earlyStop = .never
        let outcome = try await Bundled.session().answer(.question(Bundled.question), search: search)
        XCTAssertEqual(outcome.stopReason, .deadline)
        XCTAssertNotNil(outcome.answer)
    }

    func testNumbersOutOfRangeAreThrownAndABudgetOfNothingIsNotNone() async throws {
        let session = try await Bundled.session()
        for search in [
            Search(n: -1), Search(maxTokens: -1), Search(tokenBudget: 0), Search(tokenBudget: -1), Search(millisecondBudget: 0),
            Search(kvByteBudget: 0), Search(jouleBudget: 0), Search(jouleBudget: -.infinity), Search(jouleBudget: .nan),
        ] {
            let code = await failure { _ = try await session.solve(.question(Bundled.question), search: search) }
            XCTAssertEqual(code, .invalidArgument)
        }
        let generating = await failure {
            _ = try await session.generate(.question(Bundled.question), generation: Generation(millisecondBudget: 0))
        }
        let collecting = await failure {
            let question = Question(number: 0, text: Bundled.question, answer: Bundled.answer)
            _ = try await session.collect([question], as: Sampling(data: "one", n: -1))
        }
        let training = await failure {
            let preferences = try Preferences(for: try await Bundled.model())
            _ = try preferences.train(Training(rank: -1))
        }
        let budgeting = await failure {
            let preferences = try Preferences(for: try await Bundled.model())
            _ = try preferences.train(Training(millisecondBudget: 0))
        }
        let threading = await failure { _ = try Runtime(threads: -1) }
        for code in [generating, collecting, training, budgeting, threading] { XCTAssertEqual(code, .invalidArgument) }
    }

    func testACancelledTaskGivesTheBestSoFar() async throws {
        let session = try await Bundled.session()
        let task = Task {
            try await session.answer(.question(Bundled.question), search: Search(n: 4096, earlyStop: .never))
        }
        try await Task.sleep(nanoseconds: 300_000_000)
        task.cancel()
        let outcome = try await task.value
        XCTAssertEqual(outcome.stopReason, .cancelled)
        XCTAssertNotNil(outcome.answer)
    }

    func testOneRunAtATime() async throws {
        let session = try await Bundled.session()
        let run = try await session.solve(.question(Bundled.question), search: Search(n: 4096, earlyStop: .never))
        let code = await failure { _ = try await session.solve(.question(Bundled.question)) }
        XCTAssertEqual(code, .busy)
        run.cancel()
        let outcome = try await run.outcome()
        XCTAssertEqual(outcome.stopReason, .cancelled)
    }

    func testHeatEndsARun() async throws {
        let asked = Counter()
        var options = RunOptions()
        options.device = {
            asked.add()
            return DeviceState(thermal: .critical)
        }
        let search = Search(n: 4096, earlyStop: .never)
        let outcome = try await Bundled.session().answer(.question(Bundled.question), search: search, options: options)
        XCTAssertEqual(outcome.stopReason, .heat)
        XCTAssertGreaterThan(asked.count, 0)
    }

    func testMethodsCallFunctionsOfTheApp() async throws {
        XCTAssertTrue(try Method.list().contains("react"))
        let tool = try Tool(
            named: "stock", about: "How many of a thing there are.",
            schema: #"{"type":"object","properties":{"thing":{"type":"string"}},"required":["thing"]}"#
        ) { arguments in arguments }
        let method = try Method("react", tools: [tool, try Tool("calculator")])
        let outcome = try await Bundled.session().answer(
            .question(Bundled.question, method: method), search: Search(n: 1, maxTokens: 64, tokenBudget: 300))
        XCTAssertLessThanOrEqual(outcome.usage.policyTokens, 300)
    }
}
