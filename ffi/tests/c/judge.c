/* Judges: built in, from files, and functions of the host. */
#include <math.h>

#include "check.h"

typedef struct host {
    int calls;
    int drops;
    int32_t give;
    float value;
} host;

static int32_t score(void *user, const rum_step *const *steps, size_t n, float *values) {
    host *h = user;
    size_t i;
    h->calls++;
    for (i = 0; i < n; i++) {
        CHECK(steps[i]->struct_size >= sizeof(rum_step) && steps[i]->id > steps[i]->parent);
        CHECK(steps[i]->path.len >= steps[i]->text.len && steps[i]->text.ptr[steps[i]->text.len] == 0);
        values[i] = h->value;
    }
    return h->give;
}

static int32_t verify(void *user, const rum_solution *solution) {
    host *h = user;
    CHECK(solution->struct_size >= sizeof *solution && solution->text.ptr != NULL);
    CHECK(equals(solution->question, QUESTION));
    h->calls++;
    return h->give < 0 ? h->give : solution->answer.ptr != NULL && strcmp(solution->answer.ptr, "27") == 0;
}

static void drop_host(void *user) { ((host *)user)->drops++; }

/* Runs a search with `judge` and gives the status that it ended with. */
static int32_t search_with(rum_session *session, rum_judge *judge) {
    rum_run_options options;
    rum_run *run;
    int32_t status = 1;
    OK(rum_run_options_init(&options, sizeof options));
    options.judge = judge;
    run = start(session, QUESTION, 2, &options);
    wait_for(run);
    OK(rum_run_error(run, &status, NULL));
    OK(rum_run_free(run));
    return status;
}

static void steps_of_the_host_are_scored(void) {
    rum_str steps[2] = {{"2*9=18\n", 7}, {"45-18=28\n", 9}};
    rum_judge *judge = NULL;
    float values[2] = {-1, -1};
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &judge));
    OK(rum_judge_score(judge, QUESTION, NUL, steps, 2, 1, values));
    CHECK(values[0] == 1 && values[1] == 0);
    steps[1].ptr = "45-18=27\n";
    OK(rum_judge_score(judge, QUESTION, NUL, steps, 2, 1, values));
    CHECK(values[0] == 1 && values[1] == 1);
    INVALID(rum_judge_score(judge, QUESTION, NUL, NULL, 2, 1, values));
    INVALID(rum_judge_score(judge, QUESTION, NUL, steps, 2, 1, NULL));
    steps[1].ptr = "\xff";
    steps[1].len = 1;
    INVALID(rum_judge_score(judge, QUESTION, NUL, steps, 2, 1, values));

    OK(rum_judge_free(judge));
    judge = NULL;
    INVALID(rum_judge_new(3, &judge));
    CHECK(judge == NULL);
}

static void judges_are_mixed(rum_session *session) {
    rum_judge *judges[2] = {NULL, NULL}, *mixed = NULL;
    host h = {0, 0, 0, 0.5F};
    rum_str step = {"1+1=2\n", 6};
    float value = -1;
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &judges[0]));
    judges[1] = judges[0];
    BUSY(rum_judge_mix(RUM_MIX_PRODUCT, judges, 2, &mixed));
    CHECK(mixed == NULL);
    INVALID(rum_judge_mix(RUM_MIX_PRODUCT, judges, 0, &mixed));
    INVALID(rum_judge_mix(7, judges, 1, &mixed));
    INVALID(rum_judge_mix(RUM_MIX_PRODUCT, NULL, 1, &mixed));
    OK(rum_judge_new_scorer("half", NUL, score, &h, drop_host, &judges[1]));
    OK(rum_judge_mix(RUM_MIX_PRODUCT, judges, 2, &mixed));
    MISUSE(rum_judge_free(judges[0]));
    MISUSE(rum_judge_free(judges[1]));
    OK(rum_judge_score(mixed, QUESTION, NUL, &step, 1, 1, &value));
    CHECK(value == 0.5F && h.calls == 1);
    CHECK(search_with(session, mixed) == RUM_OK && h.calls > 1);
    OK(rum_judge_free(mixed));
    CHECK(h.drops == 1);
}

static void functions_of_the_host_are_asked(rum_session *session) {
    host h = {0, 0, 0, 0.5F};
    rum_judge *judge = NULL;
    INVALID(rum_judge_new_scorer("x", NUL, NULL, &h, drop_host, &judge));
    INVALID(rum_judge_new_scorer("\xff", NUL, score, &h, drop_host, &judge));
    INVALID(rum_judge_new_verifier("x", NUL, NULL, &h, drop_host, &judge));
    INVALID(rum_judge_new_verifier("x", NUL, verify, &h, drop_host, NULL));
    CHECK(h.drops == 4 && judge == NULL);

    OK(rum_judge_new_scorer("mine", NUL, score, &h, drop_host, &judge));
    CHECK(search_with(session, judge) == RUM_OK && h.calls > 0);
    h.give = 3;
    CHECK(search_with(session, judge) == RUM_ERR_CALLBACK);
    h.give = 0;
    h.value = NAN;
    CHECK(search_with(session, judge) == RUM_ERR_NON_FINITE);
    h.value = 1.5F;
    CHECK(search_with(session, judge) == RUM_ERR_NON_FINITE);
    h.value = 1;
    CHECK(search_with(session, judge) == RUM_OK);
    OK(rum_judge_free(judge));
    CHECK(h.drops == 5);

    h.calls = 0;
    OK(rum_judge_new_verifier("mine", NUL, verify, &h, drop_host, &judge));
    CHECK(search_with(session, judge) == RUM_OK && h.calls > 0);
    h.give = -1;
    CHECK(search_with(session, judge) == RUM_ERR_CALLBACK);
    OK(rum_judge_free(judge));
    CHECK(h.drops == 6);
}

static void judges_come_from_files(const rum_model *model, rum_session *session, const paths *p) {
    rum_judge *judge = NULL;
    rum_str step = {"x", 1};
    rum_session_options options;
    float value = -1;
    CHECK(rum_judge_open_head(model, "/no/such/file", NUL, &judge) == RUM_ERR_IO);
    CHECK(judge == NULL);
    OK(rum_judge_open_head(model, p->head, NUL, &judge));
    INVALID(rum_judge_score(judge, QUESTION, NUL, &step, 1, 1, &value));
    CHECK(search_with(session, judge) == RUM_OK);
    OK(rum_judge_free(judge));

    INVALID(rum_judge_open_model(NULL, 99, p->model, NUL, NULL, 0, NULL, &judge));
    INVALID(rum_judge_open_model(NULL, RUM_CONVENTION_QWEN_PRM, p->model, NUL, NULL, 0, NULL, &judge));
    INVALID(rum_judge_open_model(NULL, RUM_CONVENTION_TOKEN_PAIR, p->model, NUL, p->head, NUL, NULL, &judge));
    CHECK(rum_judge_open_model(NULL, RUM_CONVENTION_TOKEN_PAIR, "/no", NUL, NULL, 0, NULL, &judge) == RUM_ERR_IO);
    CHECK(judge == NULL);
    /* Any model with both labels will do to see its steps go through an engine of their own. */
    OK(rum_session_options_init(&options, sizeof options));
    options.threads = 1;
    options.kv_bytes = 64u << 20;
    OK(rum_judge_open_model(NULL, RUM_CONVENTION_TOKEN_PAIR, p->model, NUL, NULL, 0, &options, &judge));
    OK(rum_judge_score(judge, QUESTION, NUL, &step, 1, 1, &value));
    CHECK(value >= 0 && value <= 1);
    CHECK(search_with(session, judge) == RUM_OK);
    OK(rum_judge_free(judge));
    OK(rum_judge_new(RUM_JUDGE_LOGPROB, &judge));
    OK(rum_judge_score(judge, QUESTION, NUL, &step, 1, 1, &value));
    CHECK(value == 0.5F);
    CHECK(search_with(session, judge) == RUM_OK);
    OK(rum_judge_free(judge));
    OK(rum_judge_new(RUM_JUDGE_ENTROPY, &judge));
    CHECK(search_with(session, judge) == RUM_OK);
    OK(rum_judge_free(judge));
}

void test_judge(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    steps_of_the_host_are_scored();
    judges_are_mixed(session);
    functions_of_the_host_are_asked(session);
    judges_come_from_files(model, session, p);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
