/* Every function with handles that are none: NULL, freed, of another type, and addresses of other things. */
#include "check.h"

static void refuse_runtime(rum_runtime *bad) {
    uint64_t bytes = 0;
    rum_model *model = NULL;
    rum_run *run = NULL;
    rum_str file = {"x", 1};
    MISUSE(rum_runtime_memory(bad, &bytes));
    MISUSE(rum_runtime_set_memory_pressure(bad, RUM_MEMORY_WARNING));
    if (bad == NULL) return;
    MISUSE(rum_runtime_free(bad));
    MISUSE(rum_model_open(bad, "x", NUL, NULL, NULL, &model));
    MISUSE(rum_model_open_memory(bad, (const uint8_t *)"x", 1, NULL, NULL, &model));
    MISUSE(rum_model_open_fd(bad, 0, 0, 1, NULL, NULL, &model));
    MISUSE(rum_run_fit_head(bad, &file, 1, "y", NUL, NULL, NULL, &run));
    CHECK(model == NULL && run == NULL);
}

static void refuse_cancel(rum_cancel *bad) {
    uint32_t is = 9;
    rum_model *model = NULL;
    MISUSE(rum_cancel_cancel(bad));
    MISUSE(rum_cancel_is_cancelled(bad, &is));
    CHECK(is == 9);
    if (bad == NULL) return;
    MISUSE(rum_cancel_free(bad));
    MISUSE(rum_model_open(NULL, "x", NUL, NULL, bad, &model));
}

static void refuse_model(rum_model *bad) {
    rum_model_info info;
    rum_str text = {NULL, 0};
    rum_text *out = NULL;
    rum_session *session = NULL;
    rum_judge *judge = NULL;
    rum_adapter *adapter = NULL;
    rum_preferences *preferences = NULL;
    size_t n = 9;
    info.struct_size = sizeof info;
    MISUSE(rum_model_get_info(bad, &info));
    MISUSE(rum_model_get_meta(bad, "k", NUL, &text));
    MISUSE(rum_tokenize(bad, "x", NUL, 0, NULL, 0, &n));
    MISUSE(rum_detokenize(bad, NULL, 0, 0, &out));
    MISUSE(rum_chat_render(bad, "[]", NUL, 0, &out));
    MISUSE(rum_session_new(bad, NULL, &session));
    MISUSE(rum_session_load(bad, NULL, "x", NUL, &session));
    MISUSE(rum_judge_open_head(bad, "x", NUL, &judge));
    MISUSE(rum_adapter_open(bad, "x", NUL, &adapter));
    MISUSE(rum_preferences_new(bad, &preferences));
    CHECK(n == 9 && out == NULL && session == NULL && judge == NULL && text.ptr == NULL);
    CHECK(adapter == NULL && preferences == NULL);
    if (bad != NULL) MISUSE(rum_model_free(bad));
}

static void refuse_session(rum_session *bad) {
    rum_session *clone = NULL;
    rum_memory memory;
    rum_prompt prompt;
    rum_run *run = NULL;
    rum_judge *judge = NULL;
    const rum_question *questions[1] = {NULL};
    size_t n = 9;
    memory.struct_size = sizeof memory;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    MISUSE(rum_session_clone(bad, &clone));
    MISUSE(rum_session_n_tokens(bad, &n));
    MISUSE(rum_session_rewind(bad, 0));
    MISUSE(rum_session_memory(bad, &memory));
    MISUSE(rum_session_measure_width(bad, NULL, NULL));
    MISUSE(rum_session_save(bad, "x", NUL));
    MISUSE(rum_session_restore(bad, "x", NUL));
    MISUSE(rum_session_set_adapters(bad, NULL, NULL, 0));
    MISUSE(rum_judge_open_session_head(bad, "x", NUL, &judge));
    MISUSE(rum_run_collect(bad, questions, 1, NULL, NULL, &run));
    MISUSE(rum_run_search(bad, &prompt, NULL, NULL, &run));
    MISUSE(rum_run_generate(bad, &prompt, NULL, NULL, &run));
    CHECK(n == 9 && clone == NULL && run == NULL && judge == NULL);
    if (bad != NULL) MISUSE(rum_session_free(bad));
}

static void refuse_judge(rum_judge *bad) {
    rum_str step = {"x", 1};
    rum_judge *out = NULL;
    float value = 9;
    MISUSE(rum_judge_score(bad, "q", NUL, &step, 1, 1, &value));
    MISUSE(rum_judge_mix(RUM_MIX_MEAN, &bad, 1, &out));
    CHECK(value == 9 && out == NULL);
    if (bad != NULL) MISUSE(rum_judge_free(bad));
}

static void refuse_adapter(rum_adapter *bad) {
    rum_adapter_info info;
    info.struct_size = sizeof info;
    MISUSE(rum_adapter_get_info(bad, &info));
    MISUSE(rum_adapter_save(bad, "x", NUL));
    if (bad != NULL) MISUSE(rum_adapter_free(bad));
}

static void refuse_preferences(rum_preferences *bad) {
    rum_preference preference;
    rum_text *out = NULL;
    rum_run *run = NULL;
    size_t n = 9;
    OK(rum_preference_init(&preference, sizeof preference));
    MISUSE(rum_preferences_add(bad, &preference));
    MISUSE(rum_preferences_add_jsonl(bad, "", 0, &n));
    MISUSE(rum_preferences_add_trace(bad, "", 0, "1", NUL, NULL, &n));
    MISUSE(rum_preferences_count(bad, &n));
    MISUSE(rum_preferences_to_jsonl(bad, &out));
    MISUSE(rum_run_train(bad, NULL, NULL, &run));
    CHECK(n == 9 && out == NULL && run == NULL);
    if (bad != NULL) MISUSE(rum_preferences_free(bad));
}

static void refuse_run(rum_run *bad) {
    rum_event event;
    rum_usage usage;
    rum_result result;
    rum_candidate candidate;
    rum_adapter *adapter = NULL;
    rum_str text = {NULL, 0};
    uint32_t done = 9;
    int32_t status = 9;
    event.struct_size = sizeof event;
    usage.struct_size = sizeof usage;
    result.struct_size = sizeof result;
    candidate.struct_size = sizeof candidate;
    MISUSE(rum_run_next(bad, 0, &event));
    MISUSE(rum_run_wait(bad, 0, &done));
    MISUSE(rum_run_cancel(bad));
    MISUSE(rum_run_get_usage(bad, &usage));
    MISUSE(rum_run_get_result(bad, &result));
    MISUSE(rum_run_get_candidate(bad, 0, &candidate));
    MISUSE(rum_run_error(bad, &status, &text));
    MISUSE(rum_run_get_trace(bad, &text));
    MISUSE(rum_run_get_adapter(bad, &adapter));
    CHECK(adapter == NULL);
    CHECK(done == 9 && status == 9 && text.ptr == NULL);
    if (bad != NULL) MISUSE(rum_run_free(bad));
}

void test_misuse(const paths *p) {
    rum_runtime *runtime = NULL;
    rum_cancel *cancel = NULL;
    rum_judge *judge = NULL;
    rum_preferences *preferences = NULL;
    rum_adapter *adapter = NULL;
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    rum_run *run = start(session, QUESTION, 1, NULL);
    void *bad[4];
    size_t i;
    wait_for(run);
    OK(rum_runtime_new(NULL, &runtime));
    OK(rum_cancel_new(&cancel));
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &judge));
    OK(rum_preferences_new(model, &preferences));

    /* NULL where something is written. */
    INVALID(rum_runtime_new(NULL, NULL));
    INVALID(rum_runtime_memory(runtime, NULL));
    INVALID(rum_cancel_new(NULL));
    INVALID(rum_cancel_is_cancelled(cancel, NULL));
    INVALID(rum_model_open(NULL, p->model, NUL, NULL, NULL, NULL));
    INVALID(rum_model_open_memory(NULL, (const uint8_t *)"x", 1, NULL, NULL, NULL));
    INVALID(rum_model_open_fd(NULL, 0, 0, 1, NULL, NULL, NULL));
    INVALID(rum_model_get_info(model, NULL));
    INVALID(rum_model_get_meta(model, "k", NUL, NULL));
    INVALID(rum_model_estimate(p->model, NUL, NULL, NULL));
    INVALID(rum_tokenize(model, "x", NUL, 0, NULL, 0, NULL));
    INVALID(rum_detokenize(model, NULL, 0, 0, NULL));
    INVALID(rum_chat_render(model, "[]", NUL, 0, NULL));
    INVALID(rum_session_new(model, NULL, NULL));
    INVALID(rum_session_load(model, NULL, "x", NUL, NULL));
    INVALID(rum_session_clone(session, NULL));
    INVALID(rum_session_n_tokens(session, NULL));
    INVALID(rum_session_memory(session, NULL));
    INVALID(rum_judge_new(RUM_JUDGE_ARITHMETIC, NULL));
    INVALID(rum_judge_mix(RUM_MIX_MEAN, &judge, 1, NULL));
    INVALID(rum_judge_open_head(model, p->head, NUL, NULL));
    INVALID(rum_judge_open_model(NULL, 0, p->model, NUL, NULL, 0, NULL, NULL));
    INVALID(rum_judge_new_scorer("n", NUL, NULL, NULL, NULL, NULL));
    INVALID(rum_judge_new_verifier("n", NUL, NULL, NULL, NULL, NULL));
    INVALID(rum_judge_open_session_head(session, p->head, NUL, NULL));
    INVALID(rum_adapter_open(model, "x", NUL, NULL));
    INVALID(rum_preferences_new(model, NULL));
    INVALID(rum_preferences_count(preferences, NULL));
    INVALID(rum_preferences_to_jsonl(preferences, NULL));
    INVALID(rum_run_next(run, 0, NULL));
    INVALID(rum_run_get_usage(run, NULL));
    INVALID(rum_run_get_result(run, NULL));
    INVALID(rum_run_get_candidate(run, 0, NULL));
    INVALID(rum_run_error(run, NULL, NULL));
    INVALID(rum_run_get_trace(run, NULL));
    INVALID(rum_run_get_adapter(run, NULL));
    CHECK(rum_run_get_adapter(run, &adapter) == RUM_ERR_NOT_FOUND);
    INVALID(rum_trace_convert("", 0, RUM_TRACE_HTML, "", 0, NULL));

    OK(rum_runtime_free(runtime));
    OK(rum_cancel_free(cancel));
    OK(rum_judge_free(judge));
    OK(rum_preferences_free(preferences));
    OK(rum_run_free(run));
    OK(rum_session_free(session));
    OK(rum_model_free(model));

    /* NULL may be freed. */
    OK(rum_runtime_free(NULL));
    OK(rum_cancel_free(NULL));
    OK(rum_judge_free(NULL));
    OK(rum_adapter_free(NULL));
    OK(rum_preferences_free(NULL));
    OK(rum_run_free(NULL));
    OK(rum_session_free(NULL));
    OK(rum_model_free(NULL));

    OK(rum_cancel_new(&cancel));
    bad[0] = NULL;
    bad[1] = &bad;
    bad[2] = (void *)((uintptr_t)cancel + 2);
    bad[3] = (void *)~(uintptr_t)0;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        refuse_runtime(bad[i]);
        refuse_cancel(bad[i]);
        refuse_model(bad[i]);
        refuse_session(bad[i]);
        refuse_judge(bad[i]);
        refuse_adapter(bad[i]);
        refuse_preferences(bad[i]);
        refuse_run(bad[i]);
    }
    /* Freed before, and so were these. */
    refuse_runtime(runtime);
    refuse_model(model);
    refuse_session(session);
    refuse_judge(judge);
    refuse_preferences(preferences);
    refuse_run(run);
    /* Of another type. */
    refuse_runtime((rum_runtime *)(void *)cancel);
    refuse_model((rum_model *)(void *)cancel);
    refuse_session((rum_session *)(void *)cancel);
    refuse_judge((rum_judge *)(void *)cancel);
    refuse_adapter((rum_adapter *)(void *)cancel);
    refuse_preferences((rum_preferences *)(void *)cancel);
    refuse_run((rum_run *)(void *)cancel);
    OK(rum_cancel_free(cancel));
    refuse_cancel(cancel);
}
