import XCTest

import Ruminate

final class SessionTests: XCTestCase {
    func testModelsAreOpenedAndPriced() async throws {
        let told = Counter()
        let runtime = try Runtime(threads: 2, memoryBytes: 1 << 30)
        let options = Model.Options(packs: true)
        let model = try await Model.open(path: try Bundled.path(), options: options, runtime: runtime) { _ in told.add() }
        let info = try model.info()
        XCTAssertGreaterThan(info.layers, 0)
        XCTAssertEqual(model.metadata("general.architecture"), info.architecture)
        XCTAssertNil(model.metadata("no.such.key"))
        XCTAssertGreaterThan(told.count, 0)
        XCTAssertGreaterThan(try runtime.memoryInUse(), 0)
        XCTAssertGreaterThan(try Model.estimate(path: try Bundled.path()), info.fileBytes)
        let code = await failure { _ = try await Model.open(path: "/no/such/file") }
        XCTAssertEqual(code, .io)
    }

    func testTextBecomesTokensAndText() async throws {
        let model = try await Bundled.model()
        let text = "Leah has 12 apples."
        XCTAssertEqual(try model.detokenize(try model.tokenize(text)), text)
        XCTAssertTrue(try model.render(messages: #"[{"role":"user","content":"1 + 1?"}]"#).contains("1 + 1?"))
    }

    func testASessionGoesOnAndBack() async throws {
        let session = try await Bundled.session()
        let prompt = Prompt.text("Leah has 12 apples.")
        let run = try await session.generate(prompt, generation: Generation(maxTokens: 8, temperature: 0))
        let first = try await run.outcome()
        let held = try await session.tokenCount()
        XCTAssertGreaterThan(held, 0)
        let scratch = try Scratch()
        try await session.save(to: scratch.path("session"))
        let copy = try await session.clone()
        let copied = try await copy.tokenCount()
        XCTAssertEqual(copied, held)
        try await session.rewind()
        let emptied = try await session.tokenCount()
        XCTAssertEqual(emptied, 0)
        try await session.restore(from: scratch.path("session"))
        let restored = try await session.tokenCount()
        XCTAssertEqual(restored, held)
        try await session.rewind()
        let again = try await session.generate(prompt, generation: Generation(maxTokens: 8, temperature: 0)).outcome()
        XCTAssertEqual(again.text, first.text)
        let memory = try await session.memory()
        XCTAssertGreaterThan(memory.kv, 0)
        let code = await failure { try await session.restore(from: scratch.path("nothing")) }
        XCTAssertEqual(code, .io)
    }
}
