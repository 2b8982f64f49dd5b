/* Adapters: opened, saved, and put beside a session's model. */
#include <math.h>

#include "check.h"

/* The answer of one greedy sample. */
static void answer(rum_session *session, char *text, size_t room) {
    rum_prompt prompt;
    rum_search search;
    rum_run *run = NULL;
    rum_result result;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_search_init(&search, sizeof search));
    search.algo = RUM_ALGO_GREEDY;
    search.max_tokens = 64;
    OK(rum_run_search(session, &prompt, &search, NULL, &run));
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.text.len > 0 && result.text.len < room);
    memcpy(text, result.text.ptr, result.text.len + 1);
    OK(rum_run_free(run));
}

/* Has the session hold some tokens. */
static void generate(rum_session *session) {
    rum_prompt prompt;
    rum_generation generation;
    rum_run *run = NULL;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_generation_init(&generation, sizeof generation));
    generation.max_tokens = 4;
    OK(rum_run_generate(session, &prompt, &generation, NULL, &run));
    wait_for(run);
    OK(rum_run_free(run));
}

static void an_adapter_is_saved_and_opened(const rum_model *model, const rum_adapter *trained, const char *path) {
    rum_adapter *opened = NULL;
    rum_adapter_info a, b;
    rum_model_info info;
    a.struct_size = b.struct_size = sizeof a;
    info.struct_size = sizeof info;
    CHECK(rum_adapter_save(trained, "/no/such/folder/file", NUL) == RUM_ERR_IO);
    OK(rum_adapter_save(trained, path, NUL));
    CHECK(rum_adapter_open(model, "/no/such/file", NUL, &opened) == RUM_ERR_IO);
    CHECK(opened == NULL);
    OK(rum_adapter_open(model, path, NUL, &opened));
    OK(rum_adapter_get_info(trained, &a));
    OK(rum_adapter_get_info(opened, &b));
    OK(rum_model_get_info(model, &info));
    CHECK(equals(a.digest, b.digest.ptr) && a.parameters == b.parameters && a.rank == b.rank && a.alpha == b.alpha);
    CHECK(equals(b.base_fingerprint, info.fingerprint.ptr));
    OK(rum_adapter_free(opened));
}

static void an_adapter_stands_beside_a_session(rum_session *session, const rum_adapter *adapter) {
    char plain[4096], adapted[4096], again[4096];
    const rum_adapter *twice[2];
    float scales[2] = {40, -1};
    rum_memory memory;
    memory.struct_size = sizeof memory;
    twice[0] = twice[1] = adapter;
    answer(session, plain, sizeof plain);
    OK(rum_session_memory(session, &memory));
    CHECK(memory.adapters == 0);
    OK(rum_session_set_adapters(session, twice, scales, 1));
    OK(rum_session_memory(session, &memory));
    CHECK(memory.adapters > 0);
    answer(session, adapted, sizeof adapted);
    CHECK(strcmp(plain, adapted) != 0);
    /* Forty times as much as was trained, and taken away again. */
    scales[1] = -40;
    OK(rum_session_set_adapters(session, twice, scales, 2));
    scales[0] = NAN;
    INVALID(rum_session_set_adapters(session, twice, scales, 1));
    INVALID(rum_session_set_adapters(session, NULL, scales, 1));
    INVALID(rum_session_set_adapters(session, twice, scales, 65));
    OK(rum_session_set_adapters(session, twice, NULL, 1));
    OK(rum_session_set_adapters(session, NULL, NULL, 0));
    answer(session, again, sizeof again);
    CHECK(strcmp(plain, again) == 0);
}

static void keys_and_values_are_those_of_one_set(const rum_model *model, rum_session *session, const rum_adapter *adapter,
                                                 const char *path) {
    rum_session *clone = NULL, *other = NULL;
    size_t n = 0, same = 0;
    generate(session);
    INVALID(rum_session_set_adapters(session, &adapter, NULL, 1));
    CHECK(strstr(rum_last_error(), "tokens") != NULL);
    OK(rum_session_clone(session, &clone));
    OK(rum_session_rewind(session, 0));
    INVALID(rum_session_set_adapters(session, &adapter, NULL, 1));
    OK(rum_session_rewind(clone, 0));
    OK(rum_session_set_adapters(session, &adapter, NULL, 1));
    OK(rum_session_free(clone));
    generate(session);
    OK(rum_session_n_tokens(session, &n));
    OK(rum_session_save(session, path, NUL));
    CHECK(rum_session_load(model, NULL, path, NUL, &other) == RUM_ERR_FORMAT);
    CHECK(other == NULL);
    other = new_session(model);
    CHECK(rum_session_restore(other, path, NUL) == RUM_ERR_FORMAT);
    OK(rum_session_set_adapters(other, &adapter, NULL, 1));
    generate(other);
    OK(rum_session_restore(other, path, NUL));
    OK(rum_session_n_tokens(other, &same));
    CHECK(n == same && n > 0);
    CHECK(rum_session_restore(other, "/no/such/file", NUL) == RUM_ERR_IO);
    OK(rum_session_n_tokens(other, &same));
    CHECK(n == same);
    OK(rum_session_free(other));
}

/* A head reads hidden states of exactly the model that it was fitted on, adapters included. */
static void a_head_refuses_another_trunk(const rum_model *model, rum_session *session, const rum_adapter *adapter,
                                         const paths *p) {
    rum_judge *judge = NULL, *parts[2], *mixed = NULL;
    rum_run_options options;
    rum_prompt prompt;
    rum_run *run = NULL;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_run_options_init(&options, sizeof options));
    OK(rum_session_set_adapters(session, NULL, NULL, 0));
    OK(rum_judge_open_session_head(session, p->head, NUL, &judge));
    options.judge = judge;
    OK(rum_run_search(session, &prompt, NULL, &options, &run));
    BUSY(rum_judge_open_session_head(session, p->head, NUL, &mixed));
    OK(rum_run_free(run));
    run = NULL;
    OK(rum_session_set_adapters(session, &adapter, NULL, 1));
    INVALID(rum_run_search(session, &prompt, NULL, &options, &run));
    INVALID(rum_judge_open_session_head(session, p->head, NUL, &mixed));
    parts[0] = judge;
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &parts[1]));
    OK(rum_judge_mix(RUM_MIX_MEAN, parts, 2, &mixed));
    options.judge = mixed;
    INVALID(rum_run_search(session, &prompt, NULL, &options, &run));
    CHECK(run == NULL);
    OK(rum_judge_free(mixed));
    OK(rum_session_set_adapters(session, NULL, NULL, 0));
    (void)model;
}

static void a_session_in_use_keeps_its_adapters(rum_session *session, const rum_adapter *adapter) {
    rum_run *run = start(session, QUESTION, 4000, NULL);
    BUSY(rum_session_set_adapters(session, &adapter, NULL, 1));
    BUSY(rum_session_restore(session, "x", NUL));
    CHECK(rum_session_set_adapters(session, (const rum_adapter *const *)&run, NULL, 1) == RUM_ERR_MISUSE);
    OK(rum_run_free(run));
}

void test_adapter(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    rum_adapter *adapter = train_adapter(model);
    char file[512], saved[512];
    snprintf(file, sizeof file, "%s/adapter.gguf", p->scratch);
    snprintf(saved, sizeof saved, "%s/adapted-session", p->scratch);
    an_adapter_is_saved_and_opened(model, adapter, file);
    an_adapter_stands_beside_a_session(session, adapter);
    keys_and_values_are_those_of_one_set(model, session, adapter, saved);
    OK(rum_session_rewind(session, 0));
    a_head_refuses_another_trunk(model, session, adapter, p);
    a_session_in_use_keeps_its_adapters(session, adapter);
    /* It stands beside sessions that outlive its handle. */
    OK(rum_session_set_adapters(session, (const rum_adapter *const *)&adapter, NULL, 1));
    OK(rum_adapter_free(adapter));
    MISUSE(rum_adapter_free(adapter));
    generate(session);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
