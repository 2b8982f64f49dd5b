/* The conformance program: every function of the C interface on a real model.
 *
 * Usage: conformance MODEL HEAD ACTOR SCRATCH CYCLES [TEST] */
#include "check.h"

const char QUESTION[] = "Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?";

static const struct {
    const char *name;
    void (*run)(const paths *p);
} TESTS[] = {
    {"version", test_version},   {"layout", test_layout}, {"structs", test_structs}, {"misuse", test_misuse},
    {"open", test_open},         {"backend", test_backend}, {"model", test_model},   {"session", test_session}, {"judge", test_judge},
    {"method", test_method},     {"tool", test_tool},     {"run", test_run},         {"device", test_device},
    {"learn", test_learn},       {"adapter", test_adapter}, {"collect", test_collect}, {"callback", test_callback},
    {"thread", test_thread},     {"panic", test_panic},   {"leak", test_leak},
};

rum_model *open_model(const paths *p) {
    rum_model *model = NULL;
    OK(rum_model_open(NULL, p->model, NUL, NULL, NULL, &model));
    return model;
}

rum_session *new_session(const rum_model *model) {
    rum_session_options options;
    rum_session *session = NULL;
    OK(rum_session_options_init(&options, sizeof options));
    options.threads = 1;
    OK(rum_session_new(model, &options, &session));
    return session;
}

rum_run *start(rum_session *session, const char *question, uint32_t n, rum_run_options *options) {
    rum_prompt prompt;
    rum_search search;
    rum_run *run = NULL;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = question;
    prompt.text.len = NUL;
    OK(rum_search_init(&search, sizeof search));
    search.n = n;
    search.early_stop = RUM_EARLY_STOP_NEVER;
    OK(rum_run_search(session, &prompt, &search, options, &run));
    return run;
}

void wait_for(const rum_run *run) {
    uint32_t done = 0;
    OK(rum_run_wait(run, UINT64_MAX, &done));
    CHECK(done == 1);
}

size_t live(void) {
    size_t n = 0;
    OK(rum_handle_count(&n));
    return n;
}

void count_drop(void *user) { ++*(int *)user; }

rum_str str(const char *text) {
    rum_str made;
    made.ptr = text;
    made.len = NUL;
    return made;
}

int equals(rum_str text, const char *expected) {
    return text.ptr != NULL && text.len == strlen(expected) && memcmp(text.ptr, expected, text.len + 1) == 0;
}

int main(int argc, char **argv) {
    paths p;
    size_t i;
    if (argc < 6) {
        fprintf(stderr, "usage: conformance MODEL HEAD ACTOR SCRATCH CYCLES [TEST]\n");
        return 2;
    }
    p.model = argv[1];
    p.head = argv[2];
    p.actor = argv[3];
    p.scratch = argv[4];
    p.cycles = atol(argv[5]);
    OK(rum_check_abi(RUM_ABI_VERSION));
    for (i = 0; i < sizeof TESTS / sizeof *TESTS; i++) {
        if (argc > 6 && strcmp(argv[6], TESTS[i].name) != 0) continue;
        TESTS[i].run(&p);
        CHECK(live() == 0);
        printf("  %s\n", TESTS[i].name);
        fflush(stdout);
    }
    return 0;
}
