/* Many rounds of opening, using and freeing: memory does not grow. */
#include <unistd.h>

#include "check.h"

/* Resident memory in bytes, from Linux' /proc/self/statm; 0 where there is none. */
static long resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long size = 0, pages = 0;
    if (file == NULL) return 0;
    CHECK(fscanf(file, "%ld %ld", &size, &pages) == 2);
    CHECK(fclose(file) == 0);
    return pages * sysconf(_SC_PAGESIZE);
}

static int32_t score(void *user, const rum_step *const *steps, size_t n, float *values) {
    (void)user;
    (void)steps;
    while (n > 0) values[--n] = 1;
    return 0;
}

static void round_of_all(const paths *p, long i) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    rum_judge *judge = NULL;
    rum_cancel *cancel = NULL;
    rum_text *text = NULL;
    OK(rum_judge_new_scorer("s", NUL, score, NULL, NULL, &judge));
    OK(rum_cancel_new(&cancel));
    OK(rum_build_info_json(&text));
    /* A run now and then: it takes most of the time. */
    if (i % 100 == 0) {
        rum_run_options options;
        rum_run *run;
        OK(rum_run_options_init(&options, sizeof options));
        options.judge = judge;
        options.cancel = cancel;
        options.trace = 1;
        run = start(session, "1+1?", 2, &options);
        wait_for(run);
        OK(rum_run_free(run));
    }
    OK(rum_text_free(text));
    OK(rum_cancel_free(cancel));
    OK(rum_judge_free(judge));
    OK(rum_model_free(model));
    OK(rum_session_free(session));
}

void test_leak(const paths *p) {
    long i, warm = p->cycles / 5, before = 0, after;
    for (i = 0; i < p->cycles; i++) {
        if (i == warm) before = resident();
        round_of_all(p, i);
    }
    after = resident();
    printf("  %ld rounds: %ld KiB resident after %ld, %ld KiB in the end\n", p->cycles, before / 1024, warm, after / 1024);
    CHECK(p->cycles < 1000 || after - before < (1L << 20));
}
