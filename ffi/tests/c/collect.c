/* Samples of questions with known answers, and heads fitted on them. */
#include <unistd.h>

#include "check.h"

#define QUESTIONS 24

typedef struct host {
    int calls;
    int drops;
    int32_t give;
} host;

/* Right and wrong in turns, so that few samples have both. */
static int32_t in_turns(void *user, const rum_solution *solution) {
    host *h = user;
    CHECK(solution->struct_size >= sizeof *solution && solution->question.len > 0 && solution->text.ptr != NULL);
    h->calls++;
    return h->give < 0 ? h->give : h->calls % 2;
}

static void drop_host(void *user) { ((host *)user)->drops++; }

typedef struct set {
    char texts[QUESTIONS][80];
    rum_question questions[QUESTIONS];
    const rum_question *pointers[QUESTIONS];
} set;

static const rum_question *const *ask(set *s) {
    int i;
    for (i = 0; i < QUESTIONS; i++) {
        rum_question *q = &s->questions[i];
        snprintf(s->texts[i], sizeof s->texts[i], "Omar has %d pens and buys 5 more. How many pens does Omar have?", i + 3);
        memset(q, 0, sizeof *q);
        q->struct_size = sizeof *q;
        q->number = (uint64_t)i;
        q->text.ptr = s->texts[i];
        q->text.len = NUL;
        q->answer.ptr = "17";
        q->answer.len = NUL;
        s->pointers[i] = q;
    }
    return s->pointers;
}

static rum_collection few(const char *rows) {
    rum_collection collection;
    OK(rum_collection_init(&collection, sizeof collection));
    collection.n = 2;
    collection.max_tokens = 64;
    collection.rows.ptr = rows;
    collection.rows.len = rows == NULL ? 0 : NUL;
    collection.data.ptr = "pens";
    collection.data.len = NUL;
    return collection;
}

static void collected(rum_run *run, uint32_t stop, const char *figure) {
    rum_result result;
    rum_usage usage;
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == stop && result.algo == UINT32_MAX);
    usage.struct_size = sizeof usage;
    OK(rum_run_get_usage(run, &usage));
    if (strstr(figure, "questions\":2,") != NULL && stop == RUM_STOP_FINISHED) {
        CHECK(usage.prompt_tokens > 0 && usage.policy_tokens > 0 && usage.forward_passes > 0);
        CHECK(usage.peak_bytes > usage.kv_peak_bytes && usage.kv_peak_bytes > 0);
    }
    if (strstr(result.text.ptr, figure) == NULL) fprintf(stderr, "%s\n", result.text.ptr);
    CHECK(strstr(result.text.ptr, figure) != NULL);
    OK(rum_run_free(run));
}

/* The words around a question are part of what a file's rows were drawn with. */
static void methods_put_the_questions(rum_session *session, set *s, const char *rows) {
    rum_collection collection = few(rows);
    rum_method_options options;
    rum_method *few_shot = NULL, *other = NULL, *plan = NULL;
    rum_run *run = NULL;
    OK(rum_method_options_init(&options, sizeof options));
    options.name = str("few-shot");
    options.shots = str("{\"question\": \"What is 3 + 4?\", \"answer\": \"3+4=7\\n#### 7\"}");
    OK(rum_method_new(&options, &few_shot));
    options.shots = str("{\"question\": \"What is 3 + 5?\", \"answer\": \"3+5=8\\n#### 8\"}");
    OK(rum_method_new(&options, &other));
    options.name = str("plan");
    options.shots = str("");
    OK(rum_method_new(&options, &plan));
    collection.method = few_shot;
    OK(rum_run_collect(session, ask(s), 2, &collection, NULL, &run));
    OK(rum_method_free(few_shot));
    collected(run, RUM_STOP_FINISHED, "\"questions\":2,");
    run = NULL;
    collection.method = other;
    INVALID(rum_run_collect(session, ask(s), 3, &collection, NULL, &run));
    collection.rows = str("");
    collection.method = plan;
    INVALID(rum_run_collect(session, ask(s), 2, &collection, NULL, &run));
    CHECK(run == NULL && strstr(rum_last_error(), "plan") != NULL);
    collection.method = few_shot;
    MISUSE(rum_run_collect(session, ask(s), 2, &collection, NULL, &run));
    OK(rum_method_free(other));
    OK(rum_method_free(plan));
}

static void rows_are_collected(rum_session *session, set *s, const char *rows) {
    host h = {0, 0, 0};
    rum_collection collection = few(rows);
    rum_run *run = NULL;
    rum_event event;
    uint64_t done = 0;
    collection.verify = in_turns;
    collection.user = &h;
    collection.drop = drop_host;
    OK(rum_run_collect(session, ask(s), 2, &collection, NULL, &run));
    collected(run, RUM_STOP_FINISHED, "\"questions\":2,");
    CHECK(h.drops == 1 && h.calls == 4);
    /* The file goes on with the questions that it lacks. */
    OK(rum_run_collect(session, ask(s), QUESTIONS, &collection, NULL, &run));
    do {
        event.struct_size = sizeof event;
        OK(rum_run_next(run, UINT64_MAX, &event));
        if (event.kind != RUM_EVENT_PROGRESS) continue;
        CHECK(event.total == QUESTIONS - 2 && event.done == done + 1);
        done = event.done;
    } while (event.kind != RUM_EVENT_DONE);
    CHECK(done == QUESTIONS - 2);
    collected(run, RUM_STOP_FINISHED, "\"questions_in_file\":24,");
    CHECK(h.drops == 2);
    /* Of one set, drawn in one way. */
    collection.seed = 1;
    INVALID(rum_run_collect(session, ask(s), 1, &collection, NULL, &run));
    CHECK(h.drops == 3 && run == NULL);
    h.give = -5;
    collection = few(NULL);
    collection.verify = in_turns;
    collection.user = &h;
    OK(rum_run_collect(session, ask(s), 1, &collection, NULL, &run));
    wait_for(run);
    {
        rum_result result;
        result.struct_size = sizeof result;
        CHECK(rum_run_get_result(run, &result) == RUM_ERR_CALLBACK);
    }
    OK(rum_run_free(run));
}

static void pairs_are_collected(const rum_model *model, rum_session *session, set *s) {
    host h = {0, 0, 0};
    rum_preferences *pairs = NULL;
    rum_pairing pairing;
    rum_collection collection = few(NULL);
    uint32_t layer = 0;
    rum_run *run = NULL;
    size_t n = 0;
    OK(rum_preferences_new(model, &pairs));
    OK(rum_pairing_init(&pairing, sizeof pairing));
    pairing.most = 1;
    collection.pairs = pairs;
    collection.pairing = &pairing;
    collection.layers = &layer;
    collection.n_layers = 1;
    collection.n = 4;
    collection.verify = in_turns;
    collection.user = &h;
    OK(rum_run_collect(session, ask(s), 3, &collection, NULL, &run));
    collected(run, RUM_STOP_FINISHED, "\"questions\":3,");
    OK(rum_preferences_count(pairs, &n));
    CHECK(n <= 3);
    /* By answers: 12 pens and 5 are 17, so that question 9 has right samples. What the host gave is kept, though nothing gets it. */
    collection = few(NULL);
    h.drops = 0;
    collection.user = &h;
    collection.drop = drop_host;
    collection.n = 4000;
    OK(rum_run_collect(session, ask(s) + 9, 1, &collection, NULL, &run));
    CHECK(h.drops == 0);
    OK(rum_run_free(run));
    CHECK(h.drops == 1);
    collection.n = 2;
    OK(rum_run_collect(session, ask(s) + 9, 1, &collection, NULL, &run));
    collected(run, RUM_STOP_FINISHED, "\"samples\":2,");
    CHECK(h.drops == 2);
    OK(rum_preferences_free(pairs));
}

static int32_t cancel_second(void *user, const rum_event *event) {
    int *questions = user;
    if (event->kind == RUM_EVENT_PROGRESS) ++*questions;
    return *questions >= 2;
}

static void collecting_is_cancelled_and_checked(rum_session *session, set *s) {
    rum_collection collection = few(NULL);
    rum_run_options options;
    rum_run *run = NULL, *second = NULL;
    rum_cancel *cancel = NULL;
    uint32_t layers[2] = {0, 1000};
    int questions = 0, drops = 0;
    OK(rum_run_options_init(&options, sizeof options));
    options.on_event = cancel_second;
    options.user = &questions;
    OK(rum_run_collect(session, ask(s), QUESTIONS, &collection, &options, &run));
    collected(run, RUM_STOP_CANCELLED, "\"questions\":2,");
    OK(rum_cancel_new(&cancel));
    OK(rum_cancel_cancel(cancel));
    OK(rum_run_options_init(&options, sizeof options));
    options.cancel = cancel;
    OK(rum_run_collect(session, ask(s), QUESTIONS, &collection, &options, &run));
    collected(run, RUM_STOP_CANCELLED, "\"questions\":0,");
    OK(rum_cancel_free(cancel));
    run = NULL;

    collection.user = &drops;
    collection.drop = count_drop;
    INVALID(rum_run_collect(session, ask(s), 0, &collection, NULL, &run));
    INVALID(rum_run_collect(session, NULL, 1, &collection, NULL, &run));
    INVALID(rum_run_collect(session, ask(s), 1, &collection, NULL, NULL));
    MISUSE(rum_run_collect(NULL, ask(s), 1, &collection, NULL, &run));
    CHECK(drops == 4);
    collection.drop = NULL;
    s->questions[0].text.len = 0;
    INVALID(rum_run_collect(session, (const rum_question *const *)s->pointers, 1, &collection, NULL, &run));
    (void)ask(s);
    s->questions[0].answer.len = 0;
    INVALID(rum_run_collect(session, (const rum_question *const *)s->pointers, 1, &collection, NULL, &run));
    collection.strategy = 9;
    INVALID(rum_run_collect(session, ask(s), 1, &collection, NULL, &run));
    collection = few(NULL);
    collection.n = 0;
    INVALID(rum_run_collect(session, ask(s), 1, &collection, NULL, &run));
    collection = few(NULL);
    collection.layers = layers;
    collection.n_layers = 2;
    INVALID(rum_run_collect(session, ask(s), 1, &collection, NULL, &run));
    layers[1] = 0;
    INVALID(rum_run_collect(session, ask(s), 1, &collection, NULL, &run));
    OK(rum_run_options_init(&options, sizeof options));
    options.checkpoint.ptr = "x";
    options.checkpoint.len = 1;
    collection = few(NULL);
    INVALID(rum_run_collect(session, ask(s), 1, &collection, &options, &run));
    CHECK(run == NULL);
    OK(rum_run_collect(session, ask(s), QUESTIONS, &collection, NULL, &run));
    BUSY(rum_run_collect(session, ask(s), 1, &collection, NULL, &second));
    OK(rum_run_free(run));
}

static void a_head_is_fitted(const rum_model *model, const char *rows, const paths *p) {
    rum_str files[1] = {{NULL, NUL}};
    rum_fitting fitting;
    rum_run_options options;
    rum_judge *judge = NULL;
    rum_cancel *cancel = NULL;
    rum_run *run = NULL;
    rum_result result;
    char path[512];
    double l2[1] = {0.01};
    snprintf(path, sizeof path, "%s/head.gguf", p->scratch);
    (void)remove(path);
    files[0].ptr = rows;
    OK(rum_fitting_init(&fitting, sizeof fitting));
    fitting.kind = RUM_HEAD_LINEAR;
    fitting.objective = RUM_OBJECTIVE_STEP;
    fitting.l2 = l2;
    fitting.n_l2 = 1;
    fitting.threads = 1;
    OK(rum_cancel_new(&cancel));
    OK(rum_cancel_cancel(cancel));
    OK(rum_run_options_init(&options, sizeof options));
    options.cancel = cancel;
    OK(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, &options, &run));
    collected(run, RUM_STOP_CANCELLED, "{}");
    CHECK(access(path, R_OK) != 0);
    OK(rum_cancel_free(cancel));
    OK(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, NULL, &run));
    collected(run, RUM_STOP_FINISHED, "\"test_figures\"");
    OK(rum_judge_open_head(model, path, NUL, &judge));
    OK(rum_judge_free(judge));
    /* Faults of files show in the run. */
    files[0].ptr = "/no/such/file";
    OK(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, NULL, &run));
    wait_for(run);
    result.struct_size = sizeof result;
    CHECK(rum_run_get_result(run, &result) == RUM_ERR_IO);
    OK(rum_run_free(run));
    run = NULL;
    files[0].ptr = rows;
    INVALID(rum_run_fit_head(NULL, files, 0, path, NUL, &fitting, NULL, &run));
    INVALID(rum_run_fit_head(NULL, NULL, 1, path, NUL, &fitting, NULL, &run));
    INVALID(rum_run_fit_head(NULL, files, 1, rows, NUL, &fitting, NULL, &run));
    INVALID(rum_run_fit_head(NULL, files, 1, "", 0, &fitting, NULL, &run));
    INVALID(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, NULL, NULL));
    fitting.n_hidden = 0;
    INVALID(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, NULL, &run));
    fitting.n_hidden = 8;
    fitting.kind = 3;
    INVALID(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, NULL, &run));
    fitting.kind = 0;
    fitting.objective = 3;
    INVALID(rum_run_fit_head(NULL, files, 1, path, NUL, &fitting, NULL, &run));
    CHECK(run == NULL);
}

void test_collect(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    static set s;
    char rows[512], shot_rows[512];
    snprintf(rows, sizeof rows, "%s/rows", p->scratch);
    /* Of an earlier run of this program. */
    (void)remove(rows);
    rows_are_collected(session, &s, rows);
    snprintf(shot_rows, sizeof shot_rows, "%s/shot_rows", p->scratch);
    (void)remove(shot_rows);
    methods_put_the_questions(session, &s, shot_rows);
    CHECK(remove(shot_rows) == 0);
    pairs_are_collected(model, session, &s);
    collecting_is_cancelled_and_checked(session, &s);
    a_head_is_fitted(model, rows, p);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
