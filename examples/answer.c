/* Answers a question within half a second: answer MODEL QUESTION */
#include <stdio.h>

#include "ruminate.h"

int main(int argc, char **argv) {
    rum_model *model = NULL;
    rum_session *session = NULL;
    rum_run *run = NULL;
    rum_prompt prompt;
    rum_search search;
    rum_result result;
    int failed = 1;

    if (argc != 3) return 2;
    rum_prompt_init(&prompt, sizeof prompt);
    prompt.text.ptr = argv[2];
    prompt.text.len = SIZE_MAX;
    rum_search_init(&search, sizeof search);
    search.budget_ms = 500;
    result.struct_size = sizeof result;

    if (rum_model_open(NULL, argv[1], SIZE_MAX, NULL, NULL, &model) == RUM_OK &&
        rum_session_new(model, NULL, &session) == RUM_OK &&
        rum_run_search(session, &prompt, &search, NULL, &run) == RUM_OK &&
        rum_run_wait(run, UINT64_MAX, NULL) == RUM_OK && rum_run_get_result(run, &result) == RUM_OK) {
        printf("%s\n", result.answer.ptr != NULL ? result.answer.ptr : "no answer");
        failed = 0;
    } else {
        fprintf(stderr, "%s\n", rum_last_error());
    }
    rum_run_free(run);
    rum_session_free(session);
    rum_model_free(model);
    return failed;
}
