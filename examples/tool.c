/* A model that calls a function of the program, which tells standard error of every call: tool MODEL QUESTION */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ruminate.h"

static rum_str str(const char *text) {
    rum_str made;
    made.ptr = text;
    made.len = SIZE_MAX;
    return made;
}

/* The function. Its arguments fit the schema below, so that `n` is there and a text. */
static int32_t twice(void *user, const char *arguments, size_t arguments_len, rum_reply *reply) {
    const char *value = strstr(arguments, "\"n\":\"");
    char said[64];
    double n;
    (void)arguments_len;
    fprintf(user, "double %s\n", arguments);
    if (value == NULL || sscanf(value + 5, "%lf", &n) != 1) {
        /* The model is told so, and may try again. */
        (void)!rum_reply_write(reply, "n has to be a number", SIZE_MAX);
        return 1;
    }
    snprintf(said, sizeof said, "%.15g", 2 * n);
    return rum_reply_write(reply, said, SIZE_MAX) == RUM_OK ? 0 : 1;
}

/* The method `react` with the function and a calculator. */
static rum_status make_method(rum_method **out) {
    rum_function function;
    rum_method_options options;
    rum_tool *tools[2] = {NULL, NULL};
    rum_status status;
    rum_function_init(&function, sizeof function);
    function.name = str("double");
    function.about = str("Twice a number.");
    function.schema = str("{\"type\": \"object\", \"required\": [\"n\"],"
                          " \"properties\": {\"n\": {\"type\": \"string\", \"description\": \"a number\"}}}");
    function.call = twice;
    function.user = stderr;
    rum_method_options_init(&options, sizeof options);
    options.name = str("react");
    options.tools = (const rum_tool *const *)tools;
    options.n_tools = 2;
    status = rum_tool_new_function(&function, &tools[0]);
    if (status == RUM_OK) status = rum_tool_new("calculator", SIZE_MAX, &tools[1]);
    if (status == RUM_OK) status = rum_method_new(&options, out);
    /* The method keeps them. */
    rum_tool_free(tools[0]);
    rum_tool_free(tools[1]);
    return status;
}

int main(int argc, char **argv) {
    rum_model *model = NULL;
    rum_session *session = NULL;
    rum_method *method = NULL;
    rum_run *run = NULL;
    rum_prompt prompt;
    rum_search search;
    rum_result result;
    int failed = 1;
    if (argc != 3) return fprintf(stderr, "usage: tool MODEL QUESTION\n"), 2;
    rum_prompt_init(&prompt, sizeof prompt);
    rum_search_init(&search, sizeof search);
    result.struct_size = sizeof result;
    search.n = 1;
    search.budget_ms = 20000;
    prompt.text = str(argv[2]);
    if (rum_model_open(NULL, argv[1], SIZE_MAX, NULL, NULL, &model) == RUM_OK && rum_session_new(model, NULL, &session) == RUM_OK &&
        make_method(&method) == RUM_OK && (prompt.method = method) != NULL &&
        rum_run_search(session, &prompt, &search, NULL, &run) == RUM_OK && rum_run_wait(run, UINT64_MAX, NULL) == RUM_OK &&
        rum_run_get_result(run, &result) == RUM_OK) {
        printf("%s\n", result.text.ptr);
        failed = 0;
    } else {
        fprintf(stderr, "%s\n", rum_last_error());
    }
    rum_run_free(run);
    rum_method_free(method);
    rum_session_free(session);
    rum_model_free(model);
    return failed;
}
