// Shows a search's tree as it grows: tree MODEL QUESTION
#include <cstdio>
#include <map>
#include <string>

#include "ruminate.hpp"

namespace {

// A step, indented by how deep it lies.
void show(std::size_t depth, const rum::event &event) {
    const bool is_whole = rum::view(event.end) == "answer" || rum::view(event.end) == "eog";
    std::string text(event.text_view());
    for (char &c : text) {
        if (c == '\n') c = ' ';
    }
    std::printf("%*s#%llu %.2f %s%s\n", static_cast<int>(2 * depth), "", static_cast<unsigned long long>(event.node), event.value,
                text.c_str(), is_whole ? "  <- a whole solution" : "");
}

void stream(const char *path, const char *question) {
    rum::model model = rum::model::open(path);
    rum::session session = rum::session::make(model);
    rum::judge judge = rum::judge::make(RUM_JUDGE_ARITHMETIC);
    rum::search search;
    search.algo = RUM_ALGO_BEAM;
    search.n = 4;
    search.budget_ms = 5000;
    rum::run run = session.solve(rum::prompt::question(question), search, rum::run_options().with(judge));
    std::map<std::uint64_t, std::size_t> depths{{0, 0}};
    for (const rum::event &event : run.events()) {
        if (event.is(RUM_EVENT_NODE_STARTED)) depths[event.node] = depths[event.parent] + 1;
        if (event.is(RUM_EVENT_NODE_DONE)) show(depths[event.node], event);
        if (event.is(RUM_EVENT_NODE_CLOSED)) std::printf("#%llu pruned\n", static_cast<unsigned long long>(event.node));
    }
    rum_result outcome = run.outcome();
    std::printf("answer: %s\n", std::string(rum::maybe(outcome.answer).value_or("none")).c_str());
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: tree MODEL QUESTION\n");
        return 2;
    }
    try {
        rum::check_abi();
        stream(argv[1], argv[2]);
    } catch (const rum::error &e) {
        std::fprintf(stderr, "%s: %s\n", rum_status_name(e.status()), e.what());
        return 1;
    }
    return 0;
}
