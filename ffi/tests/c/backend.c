/* What computes: our own engine everywhere, llama.cpp where it was built in and an error that says so elsewhere. */
#include "check.h"

/* Whether the library has llama.cpp. */
static int has_llama(void) {
    rum_text *text = NULL;
    rum_str info = {NULL, 0};
    int has;
    OK(rum_build_info_json(&text));
    OK(rum_text_get(text, &info));
    CHECK(strstr(info.ptr, "\"backends\":[\"native\"") != NULL);
    has = strstr(info.ptr, "\"llama\"") != NULL;
    OK(rum_text_free(text));
    return has;
}

static void devices_are_listed(int has) {
    rum_text *text = NULL;
    rum_str json = {NULL, 0};
    INVALID(rum_devices_json(NULL));
    OK(rum_devices_json(&text));
    OK(rum_text_get(text, &json));
    CHECK(has ? strstr(json.ptr, "\"memory_total\":") != NULL : equals(json, "[]"));
    OK(rum_text_free(text));
}

static rum_model_options options_of(uint32_t backend) {
    rum_model_options options;
    OK(rum_model_options_init(&options, sizeof options));
    CHECK(options.backend == RUM_BACKEND_NATIVE && options.n_gpu_layers == UINT32_MAX);
    options.backend = backend;
    return options;
}

static void options_are_refused(const paths *p) {
    rum_model_options options = options_of(2);
    rum_model *model = NULL;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    options = options_of(RUM_BACKEND_NATIVE);
    options.n_gpu_layers = 0;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    options = options_of(RUM_BACKEND_NATIVE);
    options.device.ptr = "CPU";
    options.device.len = NUL;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    options.backend = RUM_BACKEND_LLAMA;
    options.device.ptr = "\xff";
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    options = options_of(RUM_BACKEND_LLAMA);
    options.pack = 1;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    CHECK(model == NULL);
}

static rum_status price(const paths *p, const char *device, rum_text **text) {
    rum_model_options options = options_of(RUM_BACKEND_LLAMA);
    rum_session_options session;
    OK(rum_session_options_init(&session, sizeof session));
    session.n_ctx = 512;
    options.device.ptr = device;
    options.device.len = NUL;
    return rum_model_estimate_json(p->model, NUL, &options, &session, text);
}

/* What each device would hold is told before anything is loaded, or refused by a build that cannot know. */
static void memory_of_devices_is_told(const paths *p, int has) {
    rum_model_options native = options_of(RUM_BACKEND_NATIVE);
    rum_text *text = NULL;
    rum_str json = {NULL, 0};
    INVALID(rum_model_estimate_json(p->model, NUL, NULL, NULL, NULL));
    CHECK(rum_model_estimate_json(p->model, NUL, NULL, NULL, &text) == RUM_ERR_UNSUPPORTED && text == NULL);
    native.n_gpu_layers = 1;
    INVALID(rum_model_estimate_json(p->model, NUL, &native, NULL, &text));
    if (!has) {
        CHECK(price(p, "CPU", &text) == RUM_ERR_UNSUPPORTED && text == NULL);
        return;
    }
    CHECK(rum_model_estimate_json("/no/such/file", NUL, NULL, NULL, &text) == RUM_ERR_IO);
    INVALID(price(p, "no such device", &text));
    OK(price(p, "CPU", &text));
    OK(rum_text_get(text, &json));
    CHECK(strstr(json.ptr, "\"fits\":true,") != NULL && strstr(json.ptr, "\"name\":\"CPU\",\"gpu\":false,\"weights_bytes\":") != NULL);
    OK(rum_text_free(text));
}

static int lines;

static void count_lines(void *user, uint32_t level, rum_str message) {
    CHECK(user == &lines && level >= RUM_LOG_ERROR && level <= RUM_LOG_DEBUG);
    CHECK(message.len == strlen(message.ptr) && strchr(message.ptr, '\n') == NULL);
    lines += strncmp(message.ptr, "llama.cpp: ", 11) == 0;
}

/* What llama.cpp says while it loads goes to the log that asks for it. */
static void the_other_engine_logs(const paths *p) {
    rum_model_options options = options_of(RUM_BACKEND_LLAMA);
    rum_model *model = NULL;
    OK(rum_log_set(RUM_LOG_DEBUG, count_lines, &lines, NULL));
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    OK(rum_log_set(RUM_LOG_OFF, NULL, NULL, NULL));
    CHECK(lines > 10);
    OK(rum_model_free(model));
}

/* The other engine answers as ours does, and what it cannot do is an error. */
static void the_other_engine_works(const paths *p) {
    rum_model_options options = options_of(RUM_BACKEND_LLAMA);
    rum_model *model = NULL;
    rum_session *session, *clone = NULL;
    rum_preferences *preferences;
    rum_memory memory;
    rum_result result;
    rum_run *run;
    rum_run_options accompanied;
    rum_str trace = {NULL, 0};
    options.device.ptr = "no such device";
    options.device.len = NUL;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    options = options_of(RUM_BACKEND_LLAMA);
    options.n_gpu_layers = 0;
    CHECK(rum_model_open_memory(NULL, (const uint8_t *)"GGUF", 4, &options, NULL, &model) != RUM_OK && model == NULL);
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    session = new_session(model);
    OK(rum_run_options_init(&accompanied, sizeof accompanied));
    accompanied.trace = 1;
    run = start(session, QUESTION, 8, &accompanied);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(equals(result.answer, "27"));
    OK(rum_run_get_trace(run, &trace));
    CHECK(strstr(trace.ptr, "\"backend\":\"llama::0\"") != NULL);
    OK(rum_run_free(run));
    OK(rum_session_clone(session, &clone));
    memory.struct_size = sizeof memory;
    OK(rum_session_memory(clone, &memory));
    CHECK(memory.weights > 0 && memory.kv_peak > 0);
    CHECK(rum_session_save(session, "/no/such/folder/file", NUL) != RUM_OK);
    preferences = two_pairs(model);
    run = NULL;
    CHECK(rum_run_train(preferences, NULL, NULL, &run) == RUM_ERR_UNSUPPORTED && run == NULL);
    OK(rum_preferences_free(preferences));
    OK(rum_session_free(clone));
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}

void test_backend(const paths *p) {
    int has = has_llama();
    devices_are_listed(has);
    options_are_refused(p);
    memory_of_devices_is_told(p, has);
    if (has) {
        the_other_engine_logs(p);
        the_other_engine_works(p);
    } else {
        rum_model_options options = options_of(RUM_BACKEND_LLAMA);
        rum_model *model = NULL;
        CHECK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model) == RUM_ERR_UNSUPPORTED && model == NULL);
        CHECK(strstr(rum_last_error(), "feature `llama`") != NULL);
    }
}
