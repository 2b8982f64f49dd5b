/* Searches: events, results, budgets, traces, checkpoints. */
#include <unistd.h>

#include "check.h"

static void every_algorithm_ends(rum_session *session) {
    uint32_t algo;
    for (algo = 0; algo <= RUM_ALGO_AUTO; algo++) {
        rum_prompt prompt;
        rum_search search;
        rum_run_options options;
        rum_result result;
        rum_run *run = NULL;
        rum_judge *judge = NULL;
        OK(rum_prompt_init(&prompt, sizeof prompt));
        prompt.text.ptr = QUESTION;
        prompt.text.len = NUL;
        OK(rum_search_init(&search, sizeof search));
        search.algo = algo;
        search.n = 2;
        search.budget_tokens = 200;
        OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &judge));
        OK(rum_run_options_init(&options, sizeof options));
        options.judge = judge;
        OK(rum_run_search(session, &prompt, &search, &options, &run));
        /* A run keeps its judge alive. */
        OK(rum_judge_free(judge));
        wait_for(run);
        result.struct_size = sizeof result;
        OK(rum_run_get_result(run, &result));
        CHECK(result.text.len > 0 && result.stop_reason <= RUM_STOP_TOKENS);
        /* auto names the one that it chose, or itself. */
        CHECK(result.algo == algo || algo == RUM_ALGO_AUTO);
        OK(rum_run_free(run));
    }
}

static void events_tell_the_tree(rum_session *session) {
    rum_run *run = start(session, QUESTION, 4, NULL);
    uint64_t started = 0, done = 0, progress = 0, last = 0;
    rum_event event;
    rum_result result;
    rum_usage usage;
    rum_candidate candidate;
    uint64_t votes = 0;
    size_t i;
    do {
        event.struct_size = sizeof event;
        OK(rum_run_next(run, UINT64_MAX, &event));
        switch (event.kind) {
        case RUM_EVENT_PROGRESS:
            progress++;
            CHECK(event.done <= event.total);
            break;
        case RUM_EVENT_NODE_STARTED:
            started++;
            CHECK(event.node > last && event.parent < event.node);
            last = event.node;
            break;
        case RUM_EVENT_NODE_DONE:
            done++;
            CHECK(event.text.len > 0 && event.n_tokens > 0 && event.logprob < 0 && event.end.len > 0);
            CHECK(event.policy_tokens > 0 && event.value >= 0 && event.value <= 1);
            break;
        default:
            break;
        }
    } while (event.kind != RUM_EVENT_DONE);
    CHECK(started == 4 && done == 4 && progress > 0);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_FINISHED && result.algo == RUM_ALGO_BEST_OF_N && result.seed == 0);
    CHECK(equals(event.text, result.text.ptr) && result.score > 0 && result.score <= 1);
    candidate.struct_size = sizeof candidate;
    for (i = 0; i < result.n_candidates; i++) {
        OK(rum_run_get_candidate(run, i, &candidate));
        CHECK(candidate.answer.len > 0 && candidate.votes > 0);
        CHECK(i > 0 || equals(candidate.answer, result.answer.ptr));
        votes += candidate.votes;
    }
    CHECK(votes <= 4);
    CHECK(rum_run_get_candidate(run, i, &candidate) == RUM_ERR_NOT_FOUND);
    usage.struct_size = sizeof usage;
    OK(rum_run_get_usage(run, &usage));
    CHECK(usage.complete && usage.policy_tokens == event.policy_tokens && usage.peak_bytes > usage.kv_peak_bytes);
    CHECK(usage.wall_ms > 0 && usage.joules > 0 && usage.joules_measured <= 1);
    /* The last event comes again for ever. */
    OK(rum_run_next(run, 0, &event));
    CHECK(event.kind == RUM_EVENT_DONE);
    OK(rum_run_free(run));
}

static void equal_seeds_give_equal_outcomes(rum_session *session) {
    rum_run *runs[2];
    rum_result results[2];
    int i;
    for (i = 0; i < 2; i++) {
        runs[i] = start(session, QUESTION, 3, NULL);
        wait_for(runs[i]);
        results[i].struct_size = sizeof results[i];
        OK(rum_run_get_result(runs[i], &results[i]));
    }
    CHECK(equals(results[0].text, results[1].text.ptr) && results[0].score == results[1].score);
    OK(rum_run_free(runs[0]));
    OK(rum_run_free(runs[1]));
}

static void budgets_are_results(rum_session *session) {
    rum_prompt prompt;
    rum_search search;
    rum_result result;
    rum_usage usage;
    rum_run *run = NULL;
    int i;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    for (i = 0; i < 3; i++) {
        OK(rum_search_init(&search, sizeof search));
        search.n = 4000;
        search.early_stop = RUM_EARLY_STOP_NEVER;
        if (i == 0) search.budget_tokens = 100;
        if (i == 1) search.budget_ms = 50;
        if (i == 2) search.budget_joules = 1e-9;
        OK(rum_run_search(session, &prompt, &search, NULL, &run));
        wait_for(run);
        result.struct_size = sizeof result;
        usage.struct_size = sizeof usage;
        OK(rum_run_get_result(run, &result));
        OK(rum_run_get_usage(run, &usage));
        CHECK(result.stop_reason == (i == 0 ? RUM_STOP_TOKENS : i == 1 ? RUM_STOP_DEADLINE : RUM_STOP_ENERGY));
        CHECK(i != 0 || usage.policy_tokens <= 100);
        OK(rum_run_free(run));
    }
    search.n = 0;
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
    search.n = 1;
    search.algo = 99;
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
    search.algo = 0;
    search.more = str("{\"no such parameter\": 1}");
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
    search.more = str("{\"budget\": {\"token\": 100}}");
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
    CHECK(run == NULL && strstr(rum_last_error(), "budget.token") != NULL);
}

/* Builds without grammars say so before the search starts. */
static void an_answer_is_held_to_a_grammar(rum_session *session) {
    rum_prompt prompt;
    rum_search search;
    rum_result result;
    rum_run *run = NULL;
    rum_status status;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text = str(QUESTION);
    OK(rum_search_init(&search, sizeof search));
    search.n = 1;
    search.more = str("{\"grammar\": {\"form\": {\"choice\": [\"maybe\"]}}}");
    status = rum_run_search(session, &prompt, &search, NULL, &run);
    if (status == RUM_ERR_UNSUPPORTED) {
        CHECK(run == NULL && strstr(rum_last_error(), "grammar") != NULL);
        return;
    }
    OK(status);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(equals(result.answer, "maybe"));
    OK(rum_run_free(run));
    search.more = str("{\"grammar\": {\"form\": {\"regex\": \"(\"}}}");
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
}

static void a_trace_is_kept_and_converted(rum_session *session) {
    rum_run_options options;
    rum_run *run;
    rum_str trace = {NULL, 0}, str = {NULL, 0};
    rum_text *page = NULL, *spans = NULL;
    OK(rum_run_options_init(&options, sizeof options));
    options.trace = 1;
    run = start(session, QUESTION, 2, &options);
    wait_for(run);
    OK(rum_run_get_trace(run, &trace));
    CHECK(strstr(trace.ptr, "\"event\":\"header\"") != NULL && strstr(trace.ptr, "\"event\":\"outcome\"") != NULL);
    OK(rum_trace_convert(trace.ptr, trace.len, RUM_TRACE_HTML, "mine", NUL, &page));
    OK(rum_text_get(page, &str));
    CHECK(strncmp(str.ptr, "<!", 2) == 0 && strstr(str.ptr, "mine") != NULL);
    OK(rum_trace_convert(trace.ptr, trace.len, RUM_TRACE_OPENINFERENCE, "", 0, &spans));
    OK(rum_text_get(spans, &str));
    CHECK(strstr(str.ptr, "resourceSpans") != NULL);
    OK(rum_text_free(page));
    OK(rum_text_free(spans));
    page = NULL;
    INVALID(rum_trace_convert(trace.ptr, trace.len, 9, "", 0, &page));
    CHECK(rum_trace_convert("{}", 2, RUM_TRACE_HTML, "", 0, &page) == RUM_ERR_FORMAT);
    CHECK(page == NULL);
    OK(rum_run_free(run));
    run = start(session, QUESTION, 1, NULL);
    wait_for(run);
    CHECK(rum_run_get_trace(run, &trace) == RUM_ERR_NOT_FOUND);
    OK(rum_run_free(run));
}

/* Cancels the run when its third node is done. */
static int32_t cancel_third(void *user, const rum_event *event) {
    int *nodes = user;
    if (event->kind == RUM_EVENT_NODE_DONE) ++*nodes;
    return *nodes >= 3;
}

static void a_cancelled_search_goes_on(rum_session *session, const paths *p) {
    char path[512];
    rum_run_options options;
    rum_result whole, parts;
    rum_run *one = start(session, QUESTION, 24, NULL), *two;
    int nodes = 0;
    wait_for(one);
    whole.struct_size = parts.struct_size = sizeof whole;
    OK(rum_run_get_result(one, &whole));
    snprintf(path, sizeof path, "%s/checkpoint", p->scratch);
    OK(rum_run_options_init(&options, sizeof options));
    options.checkpoint.ptr = path;
    options.checkpoint.len = NUL;
    options.on_event = cancel_third;
    options.user = &nodes;
    two = start(session, QUESTION, 24, &options);
    wait_for(two);
    OK(rum_run_get_result(two, &parts));
    CHECK(parts.stop_reason == RUM_STOP_CANCELLED && access(path, R_OK) == 0);
    OK(rum_run_free(two));
    options.on_event = NULL;
    two = start(session, QUESTION, 24, &options);
    wait_for(two);
    OK(rum_run_get_result(two, &parts));
    CHECK(parts.stop_reason == RUM_STOP_FINISHED && access(path, R_OK) != 0);
    CHECK(equals(parts.text, whole.text.ptr) && parts.n_candidates == whole.n_candidates);
    OK(rum_run_free(one));
    OK(rum_run_free(two));
}

static void options_are_checked(rum_session *session) {
    rum_run_options options;
    rum_prompt prompt;
    rum_run *run = NULL;
    rum_event event;
    rum_result result;
    int drops = 0;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_run_options_init(&options, sizeof options));
    options.user = &drops;
    options.drop = count_drop;
    options.events = 64;
    INVALID(rum_run_search(session, &prompt, NULL, &options, &run));
    CHECK(drops == 1);
    options.events = 0;
    options.trace = 1;
    INVALID(rum_run_generate(session, &prompt, NULL, &options, &run));
    CHECK(drops == 2 && run == NULL);
    INVALID(rum_run_search(session, &prompt, NULL, &options, NULL));
    CHECK(drops == 3);
    options.trace = 0;
    /* No events wanted: only the last one comes. What was given is let go with it, without a function for events, too. */
    OK(rum_run_search(session, &prompt, NULL, &options, &run));
    event.struct_size = sizeof event;
    OK(rum_run_next(run, UINT64_MAX, &event));
    CHECK(event.kind == RUM_EVENT_DONE && drops == 4);
    result.struct_size = sizeof result - 1;
    INVALID(rum_run_get_result(run, &result));
    OK(rum_run_free(run));
    run = start(session, QUESTION, 4000, &options);
    CHECK(drops == 4);
    OK(rum_run_free(run));
    CHECK(drops == 5);
}

static void a_run_is_freed_while_it_goes_on(rum_session *session) {
    rum_run *run = start(session, QUESTION, 4000, NULL);
    rum_event event;
    event.struct_size = sizeof event;
    OK(rum_run_next(run, 0, &event));
    OK(rum_run_free(run));
    MISUSE(rum_run_free(run));
    /* The session is free again. */
    OK(rum_session_rewind(session, 0));
}

void test_run(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model), *other;
    every_algorithm_ends(session);
    events_tell_the_tree(session);
    equal_seeds_give_equal_outcomes(session);
    budgets_are_results(session);
    an_answer_is_held_to_a_grammar(session);
    a_trace_is_kept_and_converted(session);
    a_cancelled_search_goes_on(session, p);
    other = new_session(model);
    options_are_checked(other);
    a_run_is_freed_while_it_goes_on(other);
    OK(rum_session_free(other));
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
