/* Tools that are functions of the host, called by a model that writes `Action: double[21]` and then `#### 42`. */
#include <pthread.h>

#include "check.h"

/* What the function does, and what became of it. */
typedef struct host {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum { DOUBLES, FAILS, FAILS_SILENTLY, WRITES_TOO_MUCH, MEDDLES, FREES_ITS_RUN, CANCELS, WAITS } what;
    int calls;
    int drops;
    int may_go;
    rum_reply *reply;
    rum_session *session;
    rum_cancel *cancel;
    rum_run *run;
} host;

static void init(host *h, int what) {
    memset(h, 0, sizeof *h);
    CHECK(pthread_mutex_init(&h->lock, NULL) == 0 && pthread_cond_init(&h->changed, NULL) == 0);
    h->what = what;
}

static void add(host *h, int *counter) {
    pthread_mutex_lock(&h->lock);
    ++*counter;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void await(host *h, const int *counter) {
    pthread_mutex_lock(&h->lock);
    while (*counter == 0) pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

static void drop_host(void *user) { add(user, &((host *)user)->drops); }

static void meddle(host *h) {
    rum_prompt prompt;
    rum_run *run = NULL;
    size_t n;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = "1+1?";
    prompt.text.len = NUL;
    BUSY(rum_run_search(h->session, &prompt, NULL, NULL, &run));
    BUSY(rum_session_n_tokens(h->session, &n));
    CHECK(run == NULL);
}

static int32_t called(void *user, const char *arguments, size_t arguments_len, rum_reply *reply) {
    static char much[1 << 20];
    host *h = user;
    CHECK(strcmp(arguments, "{\"n\":\"21\"}") == 0 && arguments_len == strlen(arguments));
    h->reply = reply;
    add(h, &h->calls);
    INVALID(rum_reply_write(reply, NULL, 1));
    MISUSE(rum_reply_write(NULL, "x", 1));
    switch (h->what) {
    case FAILS:
        OK(rum_reply_write(reply, "no luck", NUL));
        return 7;
    case FAILS_SILENTLY: return 7;
    case WRITES_TOO_MUCH:
        memset(much, 'x', sizeof much);
        OK(rum_reply_write(reply, much, sizeof much - 1));
        CHECK(rum_reply_write(reply, "xx", 2) == RUM_ERR_MEMORY);
        return 0;
    case MEDDLES: meddle(h); break;
    case FREES_ITS_RUN:
        await(h, &h->may_go);
        OK(rum_run_free(h->run));
        break;
    case CANCELS: OK(rum_cancel_cancel(h->cancel)); break;
    case WAITS: await(h, &h->may_go); break;
    case DOUBLES: break;
    }
    OK(rum_reply_write(reply, "4", 1));
    OK(rum_reply_write(reply, "2\xff\n", 3));
    return 0;
}

static rum_function function_of(host *h) {
    rum_function function;
    OK(rum_function_init(&function, sizeof function));
    function.name.ptr = "double";
    function.about.ptr = "Twice a number.";
    function.schema.ptr = "{\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"string\", \"description\": \"a number\"}}, \"required\": [\"n\"]}";
    function.name.len = function.about.len = function.schema.len = NUL;
    function.call = called;
    function.user = h;
    function.drop = drop_host;
    return function;
}

static void functions_are_refused(void) {
    static const char *const schemas[] = {"", "{", "[]", "{}", "{\"properties\": 1}", "{\"properties\": {\"n\": 1}}",
                                          "{\"properties\": {}, \"required\": [\"n\"]}", "{\"properties\": {}, \"required\": 1}"};
    rum_tool *tool = NULL;
    rum_function function;
    host h;
    int i;
    init(&h, DOUBLES);
    for (i = 0; i < 8; i++) {
        function = function_of(&h);
        function.schema.ptr = schemas[i];
        INVALID(rum_tool_new_function(&function, &tool));
    }
    function = function_of(&h);
    function.call = NULL;
    INVALID(rum_tool_new_function(&function, &tool));
    function = function_of(&h);
    function.name.ptr = "two words";
    INVALID(rum_tool_new_function(&function, &tool));
    function = function_of(&h);
    INVALID(rum_tool_new_function(&function, NULL));
    CHECK(h.drops == 11 && tool == NULL);
    INVALID(rum_tool_new_function(NULL, &tool));
    function.struct_size = 1;
    INVALID(rum_tool_new_function(&function, &tool));
    CHECK(h.drops == 11);
    function = function_of(&h);
    OK(rum_tool_new_function(&function, &tool));
    OK(rum_tool_free(tool));
    CHECK(h.drops == 12);
}

/* A run of `react` with the function; the tool and the method are freed before it ends. */
static rum_run *act(rum_session *session, host *h, uint64_t tool_ms, rum_run_options *accompanied) {
    rum_function function = function_of(h);
    rum_method_options options;
    rum_method *method = NULL;
    rum_tool *tool = NULL;
    const rum_tool *tools[1];
    rum_prompt prompt;
    rum_search search;
    rum_run *run = NULL;
    OK(rum_tool_new_function(&function, &tool));
    OK(rum_method_options_init(&options, sizeof options));
    options.name.ptr = "react";
    options.name.len = NUL;
    tools[0] = tool;
    options.tools = tools;
    options.n_tools = 1;
    options.tool_ms = tool_ms;
    OK(rum_method_new(&options, &method));
    OK(rum_tool_free(tool));
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = "What is twice 21?";
    prompt.text.len = NUL;
    prompt.method = method;
    OK(rum_search_init(&search, sizeof search));
    search.n = 1;
    h->session = session;
    OK(rum_run_search(session, &prompt, &search, accompanied, &run));
    OK(rum_method_free(method));
    return run;
}

/* What the model read. */
static void reads(rum_session *session, int what, const char *observation) {
    rum_run_options options;
    rum_result result;
    rum_str trace = {NULL, 0};
    rum_run *run;
    host h;
    init(&h, what);
    OK(rum_run_options_init(&options, sizeof options));
    options.trace = 1;
    run = act(session, &h, 60000, &options);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(strstr(result.text.ptr, observation) != NULL && equals(result.answer, "42"));
    CHECK(result.stop_reason == RUM_STOP_FINISHED && h.calls == 1);
    OK(rum_run_get_trace(run, &trace));
    CHECK(strstr(trace.ptr, "host={") != NULL && strstr(trace.ptr, "\\\"tool\\\":\\\"double\\\"") != NULL);
    OK(rum_run_free(run));
    await(&h, &h.drops);
    MISUSE(rum_reply_write(h.reply, "late", NUL));
    CHECK(h.drops == 1);
}

/* A function that takes too long is left alone, and let go when it returns. */
static void a_slow_function_is_left_alone(rum_session *session) {
    rum_result result;
    rum_run *run;
    host h;
    init(&h, WAITS);
    run = act(session, &h, 20, NULL);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(strstr(result.text.ptr, "took longer than 20 ms") != NULL && h.drops == 0);
    OK(rum_run_free(run));
    CHECK(h.drops == 0);
    add(&h, &h.may_go);
    await(&h, &h.drops);
}

static void a_function_ends_its_run(rum_session *session) {
    rum_run_options options;
    rum_result result;
    rum_run *run;
    host h;
    init(&h, CANCELS);
    OK(rum_cancel_new(&h.cancel));
    OK(rum_run_options_init(&options, sizeof options));
    options.cancel = h.cancel;
    run = act(session, &h, 60000, &options);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_CANCELLED);
    OK(rum_run_free(run));
    await(&h, &h.drops);
    OK(rum_cancel_free(h.cancel));

    /* It even frees it, and goes on. */
    init(&h, FREES_ITS_RUN);
    h.run = act(session, &h, 60000, NULL);
    add(&h, &h.may_go);
    await(&h, &h.drops);
    MISUSE(rum_run_wait(h.run, 0, NULL));
    CHECK(h.drops == 1);

    /* A run that is cancelled from elsewhere does not wait for its function. */
    init(&h, WAITS);
    run = act(session, &h, 3600000, NULL);
    await(&h, &h.calls);
    OK(rum_run_free(run));
    CHECK(h.drops == 0);
    add(&h, &h.may_go);
    await(&h, &h.drops);
}

void test_tool(const paths *p) {
    rum_model *model = NULL;
    rum_session *session;
    OK(rum_model_open(NULL, p->actor, NUL, NULL, NULL, &model));
    session = new_session(model);
    functions_are_refused();
    reads(session, DOUBLES, "Observation: 42\xef\xbf\xbd");
    reads(session, FAILS, "Observation: error: no luck");
    reads(session, FAILS_SILENTLY, "Observation: error: the function returned 7");
    reads(session, WRITES_TOO_MUCH, "xxx");
    reads(session, MEDDLES, "Observation: 42");
    a_slow_function_is_left_alone(session);
    a_function_ends_its_run(session);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
