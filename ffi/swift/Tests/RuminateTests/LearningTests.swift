import XCTest

import Ruminate

final class LearningTests: XCTestCase {
    func testJudgesOfTheAppAreAsked() async throws {
        let asked = Counter()
        let judge = try Judge(named: "length") { (step: Judge.Step) in
            asked.add()
            return step.text.isEmpty ? 0 : 1 / Float(step.text.count)
        }
        let outcome = try await Bundled.session().answer(
            .question(Bundled.question), search: Search(.beam, n: 4), options: RunOptions(judge: judge))
        XCTAssertNotNil(outcome.answer)
        XCTAssertGreaterThan(asked.count, 0)
        let right = try Judge(named: "right") { (solution: Judge.Solution) in solution.answer == Bundled.answer }
        let verified = try await Bundled.session().answer(
            .question(Bundled.question), search: Search(n: 8, vote: .best), options: RunOptions(judge: right))
        XCTAssertEqual(verified.answer, Bundled.answer)
        let values = try Judge(.arithmetic).score(question: "", steps: ["2 + 2 = 4", "2 + 2 = 5"], isComplete: true)
        XCTAssertGreaterThan(values[0], values[1])
    }

    func testWhatAJudgeThrowsEndsTheRun() async throws {
        struct Broken: Error {}
        let judge = try Judge(named: "broken") { (_: Judge.Step) in throw Broken() }
        let session = try await Bundled.session()
        let code = await failure {
            _ = try await session.answer(.question(Bundled.question), options: RunOptions(judge: judge))
        }
        XCTAssertEqual(code, .callback)
    }

    func testAnAdapterIsTrainedSavedAndUsed() async throws {
        let model = try await Bundled.model()
        let preferences = try Preferences(for: model)
        try preferences.add(.question("Omar has 3 pens and buys 5 more. How many pens?"), chosen: "#### 8", rejected: "#### 2")
        try preferences.add(.question("Ana has 9 pens and loses 5. How many pens?"), chosen: "#### 4", rejected: "#### 14")
        XCTAssertEqual(try preferences.count(), 2)
        let run = try preferences.train(Training(rank: 2, epochs: 3, batch: 2, learningRate: 1e-3))
        var losses: [Double] = []
        for try await case .step(let step) in run.events { losses.append(step.loss) }
        XCTAssertEqual(losses.count, 3)
        XCTAssertLessThan(try XCTUnwrap(losses.last), try XCTUnwrap(losses.first))
        let adapter = try run.adapter()
        let scratch = try Scratch()
        try adapter.save(to: scratch.path("adapter.gguf"))
        let opened = try Adapter(path: scratch.path("adapter.gguf"), for: model)
        XCTAssertEqual(try opened.info().digest, try adapter.info().digest)
        let session = try Session(model: model)
        try await session.setAdapters([(opened, 1)])
        let outcome = try await session.answer(.question(Bundled.question), search: Search(n: 2))
        XCTAssertNotNil(outcome.answer)
    }

    func testAHeadIsFittedOnSamples() async throws {
        let model = try await Bundled.model()
        let (session, scratch) = (try Session(model: model), try Scratch())
        let questions = (0..<24).map { i in
            Question(
                number: UInt64(i), text: "Leah has $\(i + 40) and buys 2 toys for $9 each. How many dollars does Leah have left?",
                answer: "\(i + 22)")
        }
        let rows = scratch.path("steps.rows")
        let run = try await session.collect(questions, as: Sampling(data: "toys", n: 8, maxTokens: 64, rows: rows))
        _ = try await run.outcome()
        let head = scratch.path("head.gguf")
        _ = try await fitHead(files: [rows], to: head).outcome()
        let judge = try Judge(headAt: head, for: model)
        let outcome = try await session.answer(.question(Bundled.question), options: RunOptions(judge: judge))
        XCTAssertNotNil(outcome.answer)
    }
}
