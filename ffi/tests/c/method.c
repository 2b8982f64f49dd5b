/* Ways to put a question: what there is, what is refused, and runs with them. */
#include "check.h"

/* A file of the scratch folder. */
static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static rum_method_options named(const char *name) {
    rum_method_options options;
    OK(rum_method_options_init(&options, sizeof options));
    options.name = str(name);
    return options;
}

/* The status of making a method, which is freed. */
static rum_status made(const rum_method_options *options) {
    rum_method *method = NULL;
    rum_status status = rum_method_new(options, &method);
    CHECK((status == RUM_OK) == (method != NULL));
    OK(rum_method_free(method));
    return status;
}

static void what_there_is_is_listed(void) {
    static const char *const names[] = {
        "\"direct\"", "\"cot\"", "\"few-shot\"", "\"memory\"", "\"plan\"", "\"refine\"", "\"verify\"", "\"debate\"",
        "\"tree-of-thoughts\"", "\"graph-of-thoughts\"", "\"react\"", "\"program\"", "\"ensemble\"", "\"calculator\"", "\"plan-step\"",
        "\"cost\"", "\"about\"", "\"kind\":\"method\"", "\"schema\"",
    };
    rum_text *listed = NULL;
    rum_str json = {NULL, 0};
    size_t i;
    INVALID(rum_methods_json(NULL));
    OK(rum_methods_json(&listed));
    OK(rum_text_get(listed, &json));
    for (i = 0; i < sizeof names / sizeof *names; i++) CHECK(strstr(json.ptr, names[i]) != NULL);
    OK(rum_text_free(listed));
}

static void tools_are_made_and_refused(const paths *p) {
    rum_tool *tool = NULL;
    char path[4096];
    OK(rum_tool_new("calculator", NUL, &tool));
    INVALID(rum_tool_new("calculator", NUL, NULL));
    OK(rum_tool_free(tool));
    MISUSE(rum_tool_free(tool));
    OK(rum_tool_free(NULL));
    INVALID(rum_tool_new("hammer", NUL, &tool));
    CHECK(tool == NULL && strstr(rum_last_error(), "calculator") != NULL);
    CHECK(rum_tool_open_folder("/no/such/folder", NUL, &tool) == RUM_ERR_IO);
    INVALID(rum_tool_open_folder(p->scratch, NUL, NULL));
    CHECK(tool == NULL);
    snprintf(path, sizeof path, "%s/notes.txt", p->scratch);
    write_file(path, "A jeep holds four.\n");
    OK(rum_tool_open_folder(p->scratch, NUL, &tool));
    OK(rum_tool_free(tool));
    CHECK(remove(path) == 0);
}

static void methods_are_refused(const paths *p) {
    static const char shots[] = "{\"question\": \"1+1?\", \"answer\": \"#### 2\"}\n\n{\"question\": \"2+2?\", \"answer\": \"#### 4\"}\n";
    rum_method_options options = named("plan");
    const rum_tool *tools[2];
    rum_tool *tool = NULL;
    char path[4096];
    OK(made(&options));
    INVALID(rum_method_new(&options, NULL));
    INVALID(rum_method_new(NULL, (rum_method **)&tool));
    options = named("tot");
    INVALID(made(&options));
    options = named("few-shot");
    INVALID(made(&options));
    options.shots = str(shots);
    OK(made(&options));
    options.n_shots = 0;
    INVALID(made(&options));
    options = named("ensemble");
    OK(made(&options));
    options.shots = str(shots);
    OK(made(&options));
    options = named("memory");
    options.shots = str("no JSON");
    CHECK(made(&options) == RUM_ERR_FORMAT);
    options.shots = str("{\"question\": 1}");
    CHECK(made(&options) == RUM_ERR_FORMAT);
    options.shots = str("");
    options.shots_path = str("/no/such/file");
    CHECK(made(&options) == RUM_ERR_IO);
    snprintf(path, sizeof path, "%s/shots.jsonl", p->scratch);
    write_file(path, shots);
    options.shots_path = str(path);
    OK(made(&options));
    options.name = str("cot");
    INVALID(made(&options));
    CHECK(remove(path) == 0);

    options = named("graph-of-thoughts");
    options.graph = str("[{\"operation\": \"generate\", \"n\": 2}, {\"operation\": \"refine\", \"after\": [0]}]");
    OK(made(&options));
    options.shots = str(shots);
    INVALID(made(&options));
    options.shots = str("");
    options.graph = str("[{\"operation\": \"refine\", \"after\": [0]}]");
    INVALID(made(&options));
    options.graph = str("[{\"operation\": ");
    CHECK(made(&options) == RUM_ERR_FORMAT || made(&options) == RUM_ERR_INVALID_ARGUMENT);
    options.name = str("plan");
    options.graph = str("[]");
    INVALID(made(&options));

    options = named("plan");
    options.prompts = str("/no/such/folder");
    CHECK(made(&options) == RUM_ERR_IO);
    options.prompts = str(p->scratch);
    snprintf(path, sizeof path, "%s/plan-step.txt", p->scratch);
    write_file(path, "Now {{ step }}{{ cut }}\n");
    OK(made(&options));
    write_file(path, "Now {{ step\n");
    INVALID(made(&options));
    CHECK(remove(path) == 0);
    snprintf(path, sizeof path, "%s/plan-stepp.txt", p->scratch);
    write_file(path, "x");
    INVALID(made(&options));
    CHECK(remove(path) == 0);

    options = named("react");
    INVALID(made(&options));
    options.n_tools = 1;
    INVALID(made(&options));
    OK(rum_tool_new("units", NUL, &tool));
    tools[0] = tool;
    tools[1] = tool;
    options.tools = tools;
    OK(made(&options));
    options.n_tools = 2;
    INVALID(made(&options));
    options.n_tools = 1000;
    INVALID(made(&options));
    options.n_tools = 1;
    options.tool_ms = 0;
    INVALID(made(&options));
    options.tool_ms = 1;
    options.tool_bytes = 99;
    INVALID(made(&options));
    options.tool_bytes = 100;
    OK(made(&options));
    tools[0] = (const rum_tool *)(const void *)&options;
    MISUSE(made(&options));
    OK(rum_tool_free(tool));
}

static void wait_free(rum_run *run, rum_result *result) {
    int32_t status = 1;
    wait_for(run);
    OK(rum_run_error(run, &status, NULL));
    CHECK(status == RUM_OK);
    result->struct_size = sizeof *result;
    OK(rum_run_get_result(run, result));
}

static void questions_are_put(const rum_model *model, rum_session *session) {
    rum_method_options options = named("few-shot");
    rum_method *method = NULL;
    rum_prompt prompt;
    rum_search search;
    rum_result result;
    rum_run *run = NULL;
    rum_preferences *preferences = NULL;
    rum_preference preference;
    options.shots = str("{\"question\": \"What is 3 + 4?\", \"answer\": \"3+4=7\\n#### 7\"}");
    OK(rum_method_new(&options, &method));
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text = str(QUESTION);
    prompt.method = method;
    OK(rum_search_init(&search, sizeof search));
    search.n = 2;
    /* One prompt: for searches and generations alike. */
    OK(rum_run_search(session, &prompt, &search, NULL, &run));
    wait_free(run, &result);
    CHECK(result.algo != UINT32_MAX && result.text.len > 0);
    OK(rum_run_free(run));
    OK(rum_run_generate(session, &prompt, NULL, NULL, &run));
    wait_free(run, &result);
    OK(rum_run_free(run));
    run = NULL;
    prompt.kind = RUM_PROMPT_TEXT;
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
    prompt.kind = RUM_PROMPT_QUESTION;
    MISUSE(rum_method_free((rum_method *)(void *)session));
    OK(rum_method_free(method));
    MISUSE(rum_method_free(method));
    MISUSE(rum_run_search(session, &prompt, &search, NULL, &run));
    OK(rum_method_free(NULL));

    /* Several calls: for searches alone. The method is freed while it is at work. */
    options = named("refine");
    OK(rum_method_new(&options, &method));
    prompt.method = method;
    INVALID(rum_run_generate(session, &prompt, NULL, NULL, &run));
    CHECK(strstr(rum_last_error(), "refine") != NULL);
    OK(rum_preferences_new(model, &preferences));
    OK(rum_preference_init(&preference, sizeof preference));
    preference.prompt = &prompt;
    INVALID(rum_preferences_add(preferences, &preference));
    OK(rum_preferences_free(preferences));
    prompt.question = str("another");
    INVALID(rum_run_search(session, &prompt, &search, NULL, &run));
    CHECK(run == NULL);
    prompt.question.ptr = NULL;
    prompt.question.len = 0;
    search.budget_tokens = 200;
    OK(rum_run_search(session, &prompt, &search, NULL, &run));
    OK(rum_method_free(method));
    wait_free(run, &result);
    CHECK(result.algo == UINT32_MAX && result.text.len > 0);
    OK(rum_run_free(run));
}

void test_method(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    what_there_is_is_listed();
    tools_are_made_and_refused(p);
    methods_are_refused(p);
    questions_are_put(model, session);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
