// The C++ wrapper, with exceptions and without: wrapper MODEL HEAD ACTOR
#include <cstdio>
#include <cstdlib>
#include <string>

#include "ruminate.hpp"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition, rum_last_error());     \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

#ifdef RUM_NO_EXCEPTIONS
// The value of a call that has to succeed.
template <class T> T must(rum::expected<T> value) {
    CHECK(value.has_value());
    return std::move(value).value();
}
#define FAILS(call, expected_status)                                                                                   \
    do {                                                                                                               \
        auto failed = (call);                                                                                          \
        CHECK(!failed && failed.error().status == (expected_status) && !failed.error().message.empty());               \
    } while (0)
#else
template <class T> T must(T value) { return value; }
#define FAILS(call, expected_status)                                                                                   \
    do {                                                                                                               \
        bool thrown = false;                                                                                           \
        try {                                                                                                          \
            (void)(call);                                                                                              \
        } catch (const rum::error &e) {                                                                                \
            thrown = e.status() == (expected_status) && *e.what() != 0;                                                \
        }                                                                                                              \
        CHECK(thrown);                                                                                                 \
    } while (0)
#endif

static const char QUESTION[] = "Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?";

static void models_and_tokens(const char *path) {
    FAILS(rum::model::open("/no/such/file"), RUM_ERR_IO);
    rum::model model = must(rum::model::open(path));
    CHECK(rum::view(must(model.info()).fingerprint).size() == 32);
    CHECK(model.meta("general.architecture") && !model.meta("no.such.key"));
    auto tokens = must(model.tokenize("12 + 3 = 15"));
    CHECK(must(model.detokenize(tokens)) == "12 + 3 = 15");
    FAILS(model.tokenize("\xff"), RUM_ERR_INVALID_ARGUMENT);
    rum_estimate tree{};
    CHECK(rum_estimate_init(&tree, sizeof tree) == RUM_OK);
    CHECK(must(rum::model::estimate(path, tree)).total > tree.kv);
    rum::runtime_options limits;
    limits.memory_bytes = 1;
    rum::runtime runtime = must(rum::runtime::make(limits));
    FAILS(rum::model::open(path, {}, &runtime), RUM_ERR_MEMORY);
    CHECK(must(runtime.memory()) == 0);
    CHECK(must(rum::devices()).front() == '[');
    FAILS(rum::model::estimate_devices(path, {}), RUM_ERR_UNSUPPORTED);
    rum::cancel_token cancel = must(rum::cancel_token::make());
    cancel.cancel();
    CHECK(cancel.is_cancelled());
    FAILS(rum::model::open(path, {}, nullptr, &cancel), RUM_ERR_CANCELLED);

    rum::model moved = std::move(model);
    CHECK(!model && moved);
    model = std::move(moved);
    CHECK(model && !moved);
    FAILS(moved.info(), RUM_ERR_MISUSE);
}

static void a_search_is_a_range(rum::session &session) {
    rum::search search;
    search.n = 3;
    search.early_stop = RUM_EARLY_STOP_NEVER;
    rum::run run = must(session.solve(rum::prompt::question(QUESTION), search, rum::run_options().with_trace()));
    int done = 0;
    for (const rum::event &event : run.events()) {
        CHECK(!event.is(RUM_EVENT_DONE));
        if (event.is(RUM_EVENT_NODE_DONE)) {
            done++;
            CHECK(!event.text_view().empty() && !event.judged());
        }
    }
    CHECK(done == 3);
    rum_result outcome = must(run.outcome());
    CHECK(outcome.stop_reason == RUM_STOP_FINISHED && rum::maybe(outcome.answer));
    CHECK(rum::view(must(run.candidate(0)).answer) == rum::view(outcome.answer));
    FAILS(run.candidate(99), RUM_ERR_NOT_FOUND);
    CHECK(must(run.usage()).complete);
    CHECK(must(rum::convert_trace(must(run.trace()), RUM_TRACE_HTML, "x")).find("<!") == 0);
}

static void functions_are_called_and_let_go(rum::session &session, const rum::model &model, const char *head) {
    auto counter = std::make_shared<int>(0);
    {
        std::vector<rum::judge> parts;
        parts.push_back(must(rum::judge::scorer("half", [counter](const rum_step &step) {
            CHECK(step.path.len >= step.text.len);
            return ++*counter, 0.5F;
        })));
        parts.push_back(must(rum::judge::make(RUM_JUDGE_ARITHMETIC)));
        rum::judge mixed = must(rum::judge::mix(RUM_MIX_PRODUCT, parts));
        CHECK(parts.empty());
        CHECK(must(mixed.score(QUESTION, {"2*9=18\n", "45-18=27\n"}, true)) == std::vector<float>({0.5F, 0.5F}));
        int events = 0;
        rum::run_options options;
        options.with(mixed).with_listener([counter, &events](const rum::event &) { return ++events > 0; });
        rum::run run = must(session.solve(rum::prompt::question(QUESTION), {}, options));
        CHECK(must(run.wait()) && events > 0 && *counter > 2);
    }
    CHECK(counter.use_count() == 1);
    {
        rum::judge wrong = must(rum::judge::verifier("never", [](const rum_solution &solution) { return solution.text.len == 0; }));
        rum::run run = must(session.solve(rum::prompt::question(QUESTION), {}, rum::run_options().with(wrong)));
        CHECK(must(run.wait()) && must(run.outcome()).score == 0);
        rum::judge prm = must(rum::judge::head(model, head));
        run = must(session.solve(rum::prompt::question(QUESTION), {}, rum::run_options().with(prm)));
        CHECK(must(run.wait()) && must(run.outcome()).score > 0);
    }
#ifndef RUM_NO_EXCEPTIONS
    rum::judge throws = must(rum::judge::scorer("throws", [](const rum_step &) -> float { throw 1; }));
    rum::run run = must(session.solve(rum::prompt::question(QUESTION), {}, rum::run_options().with(throws)));
    (void)run.wait();
    FAILS(run.outcome(), RUM_ERR_CALLBACK);
    run = session.solve(rum::prompt::question(QUESTION), {},
                        rum::run_options().with_listener([](const rum::event &) -> bool { throw 1; }));
    (void)run.wait();
    CHECK(run.outcome().stop_reason == RUM_STOP_CANCELLED);
#endif
    // A run that cannot start lets its listener go, too.
    rum::search nonsense;
    nonsense.n = 0;
    rum::run_options options;
    options.with_listener([counter](const rum::event &) { return true; });
    FAILS(session.solve(rum::prompt::question(QUESTION), nonsense, options), RUM_ERR_INVALID_ARGUMENT);
    CHECK(counter.use_count() == 1);
}

static void generation_and_clones(rum::session &session) {
    rum::generation greedy;
    greedy.temperature = 0;
    greedy.max_tokens = 12;
    rum::run first = must(session.generate(rum::prompt::question(QUESTION), greedy));
    CHECK(must(first.wait()));
    rum::session clone = must(session.clone());
    CHECK(must(clone.n_tokens()) == must(session.n_tokens()) && must(session.memory()).kv > 0);
    must(session.rewind(0));
    rum::run second = must(clone.generate(rum::prompt::question(QUESTION), greedy));
    CHECK(must(second.wait()));
    CHECK(rum::view(must(first.outcome()).text) == rum::view(must(second.outcome()).text));
}

static void a_run_is_cancelled(rum::session &session) {
    rum::cancel_token cancel = must(rum::cancel_token::make());
    rum::search search;
    search.n = 4000;
    search.early_stop = RUM_EARLY_STOP_NEVER;
    rum::run run = must(session.solve(rum::prompt::question(QUESTION), search, rum::run_options().with(cancel)));
    CHECK(!must(run.wait(1)));
#ifdef __cpp_lib_jthread
    std::stop_source source;
    rum::stop_link link(source.get_token(), cancel);
    source.request_stop();
#else
    cancel.cancel();
#endif
    CHECK(must(run.wait()) && must(run.outcome()).stop_reason == RUM_STOP_CANCELLED);
}

static void opening_is_watched(const char *path) {
    std::uint64_t packed = 0;
    rum::model_options options;
    options.pack = 1;
    rum::model model = must(rum::model::open_watched(path, [&](rum_load_stage stage, std::uint64_t done, std::uint64_t) {
        CHECK(stage == RUM_LOAD_STAGE_PACKING);
        return packed = done, true;
    }, options));
    CHECK(model && packed > 0);
    auto stop = [](rum_load_stage, std::uint64_t, std::uint64_t) { return false; };
    FAILS(rum::model::open_watched(path, stop, options), RUM_ERR_CANCELLED);
}

static void heat_ends_a_run(rum::session &session) {
    auto counter = std::make_shared<int>(0);
    {
        rum::run_options options;
        options.with_power([counter](rum_power &power) {
            power.thermal = RUM_THERMAL_CRITICAL;
            return true;
        });
        options.with_listener([counter](const rum::event &) { return ++*counter > 0; });
        rum::run run = must(session.solve(rum::prompt::question(QUESTION), {}, options));
        CHECK(must(run.wait()) && must(run.outcome()).stop_reason == RUM_STOP_HEAT && *counter > 0);
    }
    CHECK(counter.use_count() == 1);
}

static void an_adapter_is_trained(const rum::model &model, rum::session &session) {
    rum::preferences pairs = must(rum::preferences::make(model));
    rum::prompt asked = rum::prompt::question(QUESTION);
    must(pairs.add_pair(asked, "2*9=18\n45-18=27\n#### 27", "2*9=19\n45-19=26\n#### 26"));
    FAILS(pairs.add_jsonl("{}"), RUM_ERR_FORMAT);
    CHECK(must(pairs.count()) == 1 && must(pairs.add_jsonl(must(pairs.jsonl()))) == 1);
    rum::training training;
    training.rank = 2;
    training.layers = 1;
    training.batch = 1;
    int steps = 0;
    rum::run run = must(pairs.train(training));
    for (const rum::event &event : run.events()) steps += event.is(RUM_EVENT_STEP);
    CHECK(steps == 2);
    rum::adapter adapter = must(run.adapter());
    CHECK(must(adapter.info()).rank == 2);
    FAILS(adapter.save("/no/such/folder/file"), RUM_ERR_IO);
    FAILS(rum::adapter::open(model, "/no/such/file"), RUM_ERR_IO);
    must(session.rewind(0));
    must(session.set_adapters({{&adapter, 0.5F}}));
    CHECK(must(session.memory()).adapters > 0);
    must(session.set_adapters({}));
    // Solutions of the host's choice are right.
    auto counter = std::make_shared<int>(0);
    rum::collection how;
    how.n = 2;
    how.max_tokens = 64;
    rum::run collected = must(rum::collect(session, {{1, QUESTION, ""}}, how, {}, [counter](const rum_solution &) { return ++*counter > 0; }));
    CHECK(must(collected.wait()) && rum::view(must(collected.outcome()).text).find("\"samples\":2") != std::string_view::npos);
    CHECK(*counter > 0 && counter.use_count() == 1);
    rum::run fitted = must(rum::fit_head({"/no/such/file"}, "/no/such/head"));
    (void)fitted.wait();
    FAILS(fitted.outcome(), RUM_ERR_IO);
}

static void a_model_calls_a_function(const char *actor) {
    static const char SCHEMA[] = R"({"properties": {"n": {"type": "string"}}, "required": ["n"]})";
    rum::model model = must(rum::model::open(actor));
    rum::session session = must(rum::session::make(model));
    auto counter = std::make_shared<int>(0);
    {
        CHECK(must(rum::method::list()).find("react") != std::string::npos);
        FAILS(rum::tool::make("hammer"), RUM_ERR_INVALID_ARGUMENT);
        FAILS(rum::method::make("react"), RUM_ERR_INVALID_ARGUMENT);
        rum::tool tool = must(rum::tool::function("double", "Twice a number.", SCHEMA, [counter](std::string_view arguments) {
            CHECK(arguments == R"({"n":"21"})");
            ++*counter;
            return std::string("42");
        }));
        rum::tool units = must(rum::tool::make("units"));
        rum::method method = must(rum::method::make("react", {&tool, &units}));
        rum::search search;
        search.n = 1;
        rum::run run = must(session.solve(rum::prompt::question("What is twice 21?", method), search));
        CHECK(must(run.wait()));
        CHECK(rum::view(must(run.outcome()).text).find("Observation: 42") != std::string_view::npos && *counter == 1);
    }
#ifndef RUM_NO_EXCEPTIONS
    rum::tool tool = must(rum::tool::function("double", "Throws.", SCHEMA, [](std::string_view) -> std::string { throw 1; }));
    rum::method method = must(rum::method::make("react", {&tool}));
    rum::run run = must(session.solve(rum::prompt::question("What is twice 21?", method)));
    CHECK(must(run.wait()));
    CHECK(rum::view(must(run.outcome()).text).find("error: the function returned -1") != std::string_view::npos);
#endif
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    must(rum::check_abi());
    models_and_tokens(argv[1]);
    opening_is_watched(argv[1]);
    {
        rum::model model = must(rum::model::open(argv[1]));
        rum::session session = must(rum::session::make(model));
        a_search_is_a_range(session);
        functions_are_called_and_let_go(session, model, argv[2]);
        generation_and_clones(session);
        a_run_is_cancelled(session);
        heat_ends_a_run(session);
        an_adapter_is_trained(model, session);
    }
    a_model_calls_a_function(argv[3]);
    std::size_t live = 1;
    CHECK(rum_handle_count(&live) == RUM_OK && live == 0);
    std::puts("  wrapper");
}
