// A view model that a SwiftUI view shows: what is asked, what grows, what came of it.
import Ruminate

import Observation

@available(macOS 14, iOS 17, *)
@MainActor
@Observable
final class SolverModel {
    enum Phase: Equatable {
        case loading(share: Double)
        case ready
        case thinking
        case failed(String)
    }

    private(set) var phase = Phase.loading(share: 0)
    /// The texts of the branches, by their numbers.
    private(set) var branches: [UInt64: String] = [:]
    private(set) var answer: String?
    private(set) var milliseconds = 0.0

    private var session: Session?
    private var thinking: Task<Void, Never>?

    func load(path: String) async {
        do {
            let model = try await Model.open(path: path, options: .init(packs: true)) { [weak self] progress in
                let share = Double(progress.done) / Double(max(progress.total, 1))
                Task { @MainActor in self?.show(share) }
            }
            session = try Session(model: model)
            phase = .ready
        } catch {
            phase = .failed("\(error)")
        }
    }

    private func show(_ share: Double) {
        if case .loading = phase { phase = .loading(share: share) }
    }

    /// Asks a question; a run that is under way ends first.
    func ask(_ question: String) {
        guard let session else { return }
        let before = thinking
        before?.cancel()
        thinking = Task {
            await before?.value
            await think(session, question)
        }
    }

    /// The best answer so far is shown.
    func stop() { thinking?.cancel() }

    private func think(_ session: Session, _ question: String) async {
        (phase, branches, answer) = (.thinking, [:], nil)
        do {
            let run = try await session.solve(
                .question(question), search: Search(n: 16, millisecondBudget: 10_000), options: RunOptions(device: DeviceState.current))
            for try await event in run.events {
                switch event {
                case .text(let node, let text): branches[node, default: ""] += text
                case .nodeDone(let node): answer = node.answer ?? answer
                case .nodeClosed(let node): branches[node] = nil
                default: break
                }
            }
            // A task of its own: this one may be cancelled, and the outcome is wanted all the same.
            let outcome = try await Task.detached { try await run.outcome() }.value
            (answer, milliseconds, phase) = (outcome.answer, outcome.usage.milliseconds, .ready)
        } catch {
            phase = .failed("\(error)")
        }
    }
}
