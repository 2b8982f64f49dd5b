/* Sessions and plain generation. */
#include "check.h"

/* Generates greedily and gives the text, which lives as long as the run. */
static rum_run *generate(rum_session *session, const char *question, uint64_t max_tokens, rum_result *result) {
    rum_prompt prompt;
    rum_generation generation;
    rum_run *run = NULL;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = question;
    prompt.text.len = NUL;
    OK(rum_generation_init(&generation, sizeof generation));
    generation.temperature = 0;
    generation.max_tokens = max_tokens;
    OK(rum_run_generate(session, &prompt, &generation, NULL, &run));
    wait_for(run);
    result->struct_size = sizeof *result;
    OK(rum_run_get_result(run, result));
    return run;
}

static void text_is_told_as_it_grows(rum_session *session) {
    char text[4096];
    size_t len = 0;
    rum_event event;
    rum_result result;
    rum_usage usage;
    rum_run *run = generate(session, QUESTION, 64, &result);
    CHECK(result.text.len > 0 && result.algo == UINT32_MAX && result.n_candidates == 0);
    CHECK(result.stop_reason == RUM_STOP_FINISHED || result.stop_reason == RUM_STOP_TOKENS);
    do {
        event.struct_size = sizeof event;
        OK(rum_run_next(run, 0, &event));
        if (event.kind == RUM_EVENT_NODE_TEXT) {
            CHECK(event.node == 1 && len + event.text.len < sizeof text);
            memcpy(text + len, event.text.ptr, event.text.len);
            len += event.text.len;
        }
        if (event.kind == RUM_EVENT_NODE_DONE) CHECK(equals(event.text, result.text.ptr) && event.n_tokens > 0);
        CHECK(event.kind != RUM_EVENT_NONE);
    } while (event.kind != RUM_EVENT_DONE);
    text[len] = 0;
    CHECK(equals(result.text, text));
    usage.struct_size = sizeof usage;
    OK(rum_run_get_usage(run, &usage));
    CHECK(usage.complete && usage.policy_tokens > 0 && usage.prompt_tokens > 0 && usage.forward_passes > 0);
    OK(rum_run_free(run));
}

static void what_is_held_is_not_computed_again(const rum_model *model, rum_session *session, const paths *p) {
    rum_session *clone = NULL, *loaded = NULL;
    rum_result first, again;
    rum_memory before, after;
    char path[512];
    size_t n = 0, m = 0;
    rum_run *a = generate(session, QUESTION, 16, &first), *b;
    OK(rum_session_n_tokens(session, &n));
    CHECK(n > 16);
    before.struct_size = after.struct_size = sizeof before;
    OK(rum_session_memory(session, &before));
    OK(rum_session_clone(session, &clone));
    OK(rum_session_memory(clone, &after));
    CHECK(after.kv == before.kv);

    b = generate(clone, QUESTION, 16, &again);
    CHECK(equals(again.text, first.text.ptr));
    OK(rum_run_free(b));

    snprintf(path, sizeof path, "%s/session", p->scratch);
    OK(rum_session_save(session, path, NUL));
    OK(rum_session_load(model, NULL, path, NUL, &loaded));
    OK(rum_session_n_tokens(loaded, &m));
    CHECK(m == n);
    b = generate(loaded, QUESTION, 16, &again);
    CHECK(equals(again.text, first.text.ptr));
    OK(rum_run_free(b));
    OK(rum_session_free(loaded));
    loaded = NULL;
    CHECK(rum_session_load(model, NULL, p->model, NUL, &loaded) == RUM_ERR_FORMAT);
    CHECK(rum_session_load(model, NULL, "/no/such/file", NUL, &loaded) == RUM_ERR_IO);
    CHECK(rum_session_save(session, "/no/such/folder/file", NUL) == RUM_ERR_IO);
    CHECK(loaded == NULL);

    INVALID(rum_session_rewind(session, n + 1));
    OK(rum_session_rewind(session, 3));
    OK(rum_session_n_tokens(session, &m));
    CHECK(m == 3);
    OK(rum_session_rewind(session, 0));
    b = generate(session, QUESTION, 16, &again);
    CHECK(equals(again.text, first.text.ptr));
    OK(rum_run_free(b));
    /* The text of a run outlives its session. */
    OK(rum_session_free(clone));
    OK(rum_run_free(a));
}

static void prompts_come_in_four_ways(rum_session *session, const rum_model *model) {
    rum_prompt prompt;
    rum_generation generation;
    rum_run *run = NULL;
    uint32_t tokens[256], bad = UINT32_MAX;
    size_t n = 0;
    uint32_t kind;
    OK(rum_tokenize(model, QUESTION, NUL, RUM_TOKENIZE_ADD_SPECIAL, tokens, 256, &n));
    OK(rum_generation_init(&generation, sizeof generation));
    generation.max_tokens = 2;
    for (kind = 0; kind <= RUM_PROMPT_TOKENS; kind++) {
        OK(rum_prompt_init(&prompt, sizeof prompt));
        prompt.kind = kind;
        prompt.strategy = RUM_STRATEGY_COT;
        prompt.text.ptr = kind == RUM_PROMPT_MESSAGES ? "[{\"role\":\"user\",\"content\":\"1+1?\"}]" : QUESTION;
        prompt.text.len = NUL;
        prompt.tokens = tokens;
        prompt.n_tokens = n;
        if (rum_run_generate(session, &prompt, &generation, NULL, &run) == RUM_ERR_UNSUPPORTED) {
            CHECK(kind == RUM_PROMPT_MESSAGES);
            continue;
        }
        CHECK(run != NULL);
        wait_for(run);
        OK(rum_run_free(run));
    }
    prompt.tokens = &bad;
    prompt.n_tokens = 1;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    prompt.n_tokens = 0;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    prompt.kind = 4;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    prompt.kind = RUM_PROMPT_QUESTION;
    prompt.text.len = 0;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    prompt.text.len = NUL;
    prompt.strategy = 2;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    prompt.strategy = RUM_STRATEGY_DIRECT;
    generation.max_tokens = 0;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    generation.max_tokens = 1;
    generation.top_p = 2;
    INVALID(rum_run_generate(session, &prompt, &generation, NULL, &run));
    INVALID(rum_run_generate(session, NULL, NULL, NULL, &run));
    CHECK(run == NULL);
}

static void limits_are_checked(const rum_model *model) {
    rum_session_options options;
    rum_session *session = NULL;
    rum_prompt prompt;
    rum_run *run = NULL;
    rum_str message = {NULL, 0};
    int32_t status = 0;
    uint64_t width = 0;
    rum_cancel *cancel = NULL;
    OK(rum_session_options_init(&options, sizeof options));
    options.threads = 1;
    options.n_ctx = UINT32_MAX;
    INVALID(rum_session_new(model, &options, &session));
    options.n_ctx = 8;
    options.kv_type = 2;
    INVALID(rum_session_new(model, &options, &session));
    options.kv_type = RUM_KV_Q8;
    options.width = 1000000;
    INVALID(rum_session_new(model, &options, &session));
    CHECK(session == NULL);
    options.width = 4;
    OK(rum_session_new(model, &options, &session));
    /* The prompt is longer than the context: the run fails, and says so itself. */
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_run_generate(session, &prompt, NULL, NULL, &run));
    wait_for(run);
    OK(rum_run_error(run, &status, &message));
    CHECK(status == RUM_ERR_CONTEXT_LENGTH && strstr(message.ptr, "context") != NULL);
    OK(rum_run_free(run));
    OK(rum_session_free(session));

    options.n_ctx = 0;
    OK(rum_session_new(model, &options, &session));
    OK(rum_session_measure_width(session, NULL, &width));
    CHECK(width >= 1 && width <= 64);
    OK(rum_cancel_new(&cancel));
    OK(rum_cancel_cancel(cancel));
    CHECK(rum_session_measure_width(session, cancel, NULL) == RUM_ERR_CANCELLED);
    OK(rum_cancel_free(cancel));
    OK(rum_session_free(session));
}

/* Ends the run when the first part of its prompt is computed. */
static int32_t end_first_part(void *user, const rum_event *event) {
    int *parts = user;
    if (event->kind == RUM_EVENT_PROGRESS) ++*parts;
    return event->kind == RUM_EVENT_PROGRESS;
}

static void a_cancelled_prompt_stays_as_far_as_it_was_computed(rum_session *session) {
    uint32_t tokens[400];
    rum_prompt prompt;
    rum_generation generation;
    rum_run_options options;
    rum_event event;
    rum_result result;
    rum_run *run = NULL;
    int parts = 0, i;
    size_t n = 0;
    for (i = 0; i < 400; i++) tokens[i] = (uint32_t)(10 + i % 300);
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.kind = RUM_PROMPT_TOKENS;
    prompt.tokens = tokens;
    prompt.n_tokens = 400;
    OK(rum_generation_init(&generation, sizeof generation));
    generation.max_tokens = 1;
    OK(rum_run_options_init(&options, sizeof options));
    options.on_event = end_first_part;
    options.user = &parts;
    OK(rum_session_rewind(session, 0));
    OK(rum_run_generate(session, &prompt, &generation, &options, &run));
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_CANCELLED && result.text.len == 0 && parts == 1);
    OK(rum_run_free(run));
    OK(rum_session_n_tokens(session, &n));
    CHECK(n > 0 && n < 399);
    /* The rest fits the pass that draws the first token, and is no part of its own. */
    OK(rum_run_generate(session, &prompt, &generation, NULL, &run));
    do {
        event.struct_size = sizeof event;
        OK(rum_run_next(run, UINT64_MAX, &event));
        CHECK(event.kind != RUM_EVENT_PROGRESS);
    } while (event.kind != RUM_EVENT_DONE);
    OK(rum_run_free(run));
    OK(rum_session_n_tokens(session, &n));
    CHECK(n == 400);
    OK(rum_session_rewind(session, 0));
}

void test_session(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    text_is_told_as_it_grows(session);
    what_is_held_is_not_computed_again(model, session, p);
    prompts_come_in_four_ways(session, model);
    a_cancelled_prompt_stays_as_far_as_it_was_computed(session);
    limits_are_checked(model);
    OK(rum_model_free(model));
    OK(rum_session_free(session));
}
