/* What the C interface costs, and how fast work is cancelled: latency MODEL [ROUNDS [PART]]
 * where PART is `overhead`, `decoding`, `prompt`, `scoring`, `training` or `loading`, and all of them without it.
 *
 * Overhead is the time from rum_run_search to the end of rum_run_wait beyond what the library counts for the search itself (its
 * prompt is tokens, so that no template is rendered), and the time that the same search takes longer when all its events are pulled. Latency is the time from rum_cancel_cancel to the
 * end of rum_run_wait, from another thread than the run's, at random moments of the prompt, of decoding, of scoring by a reward model
 * in an engine of its own (the same model), of training, and to the return of rum_model_open while it reads and packs. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ruminate.h"

#define MOST 1000

static const char QUESTION[] = "Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?";

typedef struct tokens {
    uint32_t ids[4096];
    size_t n;
} tokens;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void check(rum_status status) {
    if (status == RUM_OK) return;
    fprintf(stderr, "%s\n", rum_last_error());
    exit(1);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts, and gives the value that this share of all is below. */
static double quantile(double *values, int n, double share) {
    qsort(values, (size_t)n, sizeof *values, by_size);
    return values[(int)(share * (n - 1) + 0.5)];
}

static rum_run *start(rum_session *session, const tokens *text, uint64_t n, uint64_t tokens, uint32_t events, const rum_cancel *cancel) {
    rum_prompt prompt;
    rum_search search;
    rum_run_options options;
    rum_run *run = NULL;
    check(rum_prompt_init(&prompt, sizeof prompt));
    check(rum_search_init(&search, sizeof search));
    check(rum_run_options_init(&options, sizeof options));
    prompt.kind = RUM_PROMPT_TOKENS;
    prompt.tokens = text->ids;
    prompt.n_tokens = text->n;
    search.n = n;
    search.max_tokens = tokens;
    search.early_stop = RUM_EARLY_STOP_NEVER;
    search.stop_at_answer = RUM_STOP_AT_ANSWER_NO;
    options.events = events;
    options.cancel = cancel;
    check(rum_run_search(session, &prompt, &search, &options, &run));
    return run;
}

/* One search of 8 samples; gives its time as the library counts it, and adds what the caller waited beyond that. */
static double search_once(rum_session *session, const tokens *text, uint32_t events, double *beyond) {
    rum_usage usage;
    rum_event event;
    double begin = now_ms(), waited;
    rum_run *run = start(session, text, 8, 64, events, NULL);
    event.struct_size = sizeof event;
    do {
        if (events == 0) break;
        check(rum_run_next(run, UINT64_MAX, &event));
    } while (event.kind != RUM_EVENT_DONE);
    check(rum_run_wait(run, UINT64_MAX, NULL));
    waited = now_ms() - begin;
    usage.struct_size = sizeof usage;
    check(rum_run_get_usage(run, &usage));
    *beyond = waited - usage.wall_ms;
    check(rum_run_free(run));
    return usage.wall_ms;
}

static void overhead(rum_session *session, const tokens *text, int rounds) {
    static double plain[MOST], pulled[MOST], beyond[MOST];
    double ignored;
    int i;
    search_once(session, text, 0, &ignored);
    /* In turns, so that neighbours on the machine slow both down alike. */
    for (i = 0; i < rounds; i++) {
        plain[i] = search_once(session, text, 0, &beyond[i]);
        pulled[i] = search_once(session, text, RUM_EVENTS_ALL, &ignored);
    }
    printf("search: %.2f ms; the call adds %.3f ms; with all events pulled %.2f ms (medians of %d)\n",
           quantile(plain, rounds, 0.5), quantile(beyond, rounds, 0.5), quantile(pulled, rounds, 0.5), rounds);
}

/* What is cancelled. */
typedef struct work {
    const char *path;
    rum_session *session;
    rum_judge *judge;
    rum_preferences *preferences;
    const tokens *text;
} work;

static rum_run *start_search(const work *w, const rum_cancel *cancel) { return start(w->session, w->text, 8, 512, 0, cancel); }

static rum_run *start_scoring(const work *w, const rum_cancel *cancel) {
    rum_prompt prompt;
    rum_search search;
    rum_run_options options;
    rum_run *run = NULL;
    check(rum_prompt_init(&prompt, sizeof prompt));
    check(rum_search_init(&search, sizeof search));
    check(rum_run_options_init(&options, sizeof options));
    prompt.kind = RUM_PROMPT_TOKENS;
    prompt.tokens = w->text->ids;
    prompt.n_tokens = w->text->n;
    prompt.question.ptr = QUESTION;
    prompt.question.len = SIZE_MAX;
    search.algo = RUM_ALGO_BEAM;
    search.n = 16;
    /* Short steps, so that most of the time goes to the judge. */
    search.step_tokens = 4;
    search.max_tokens = 32;
    options.judge = w->judge;
    options.cancel = cancel;
    options.events = 0;
    check(rum_run_search(w->session, &prompt, &search, &options, &run));
    return run;
}

static double scoring_ms(const work *w) {
    double begin = now_ms();
    rum_run *run = start_scoring(w, NULL);
    check(rum_run_wait(run, UINT64_MAX, NULL));
    check(rum_run_free(run));
    return now_ms() - begin;
}

static rum_run *start_training(const work *w, const rum_cancel *cancel) {
    rum_training training;
    rum_run_options options;
    rum_run *run = NULL;
    check(rum_training_init(&training, sizeof training));
    check(rum_run_options_init(&options, sizeof options));
    training.epochs = 1000000;
    options.cancel = cancel;
    options.events = 0;
    check(rum_run_train(w->preferences, &training, &options, &run));
    return run;
}

static void report(const char *what, double *latency, int hit, double pass) {
    if (hit == 0) return;
    printf("cancelled in %s: p50 %.2f ms", what, quantile(latency, hit, 0.5));
    printf(", p99 %.2f ms, worst %.2f ms of %d", quantile(latency, hit, 0.99), latency[hit - 1], hit);
    if (pass > 0) printf("; a pass takes %.2f ms", pass);
    printf("\n");
}

static void nap(double ms) {
    struct timespec pause;
    pause.tv_sec = (time_t)(ms / 1e3);
    pause.tv_nsec = (long)((ms - 1e3 * (double)pause.tv_sec) * 1e6);
    nanosleep(&pause, NULL);
}

static void cancelled(const char *what, rum_run *(*begin_run)(const work *, const rum_cancel *), const work *w, int rounds,
                      double longest_ms) {
    static double latency[MOST];
    double pass = 0;
    int i, hit = 0;
    srand(1);
    for (i = 0; i < rounds; i++) {
        rum_cancel *cancel = NULL;
        rum_run *run;
        rum_result result;
        rum_usage usage;
        double begin;
        check(rum_cancel_new(&cancel));
        run = begin_run(w, cancel);
        nap(longest_ms * rand() / RAND_MAX);
        begin = now_ms();
        check(rum_cancel_cancel(cancel));
        check(rum_run_wait(run, UINT64_MAX, NULL));
        latency[hit] = now_ms() - begin;
        result.struct_size = sizeof result;
        usage.struct_size = sizeof usage;
        check(rum_run_get_result(run, &result));
        check(rum_run_get_usage(run, &usage));
        if (usage.forward_passes > 0) pass = usage.wall_ms / (double)usage.forward_passes;
        if (result.stop_reason == RUM_STOP_CANCELLED) hit++;
        check(rum_run_free(run));
        check(rum_cancel_free(cancel));
    }
    report(what, latency, hit, pass);
}

typedef struct loading {
    const char *path;
    rum_cancel *cancel;
    double end;
    rum_status status;
} loading;

static void *load(void *user) {
    loading *l = user;
    rum_model_options options;
    rum_model *model = NULL;
    check(rum_model_options_init(&options, sizeof options));
    options.load = RUM_LOAD_READ;
    options.pack = 1;
    l->status = rum_model_open(NULL, l->path, SIZE_MAX, &options, l->cancel, &model);
    l->end = now_ms();
    rum_model_free(model);
    return NULL;
}

static void cancelled_loading(const char *path, int rounds) {
    static double latency[MOST];
    loading l = {path, NULL, 0, RUM_OK};
    double begin, whole;
    int i, hit = 0;
    /* The first one finds its file on the disk, the others in memory. */
    load(&l);
    begin = now_ms();
    load(&l);
    whole = l.end - begin;
    for (i = 0; i < rounds; i++) {
        pthread_t thread;
        check(rum_cancel_new(&l.cancel));
        if (pthread_create(&thread, NULL, load, &l) != 0) exit(1);
        nap(0.9 * whole * rand() / RAND_MAX);
        begin = now_ms();
        check(rum_cancel_cancel(l.cancel));
        pthread_join(thread, NULL);
        if (l.status == RUM_ERR_CANCELLED) latency[hit++] = l.end - begin;
        check(rum_cancel_free(l.cancel));
    }
    report("loading", latency, hit, 0);
}

static rum_preferences *preferences(const rum_model *model) {
    rum_preferences *list = NULL;
    rum_preference row;
    rum_prompt prompt;
    int i;
    check(rum_preferences_new(model, &list));
    check(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = SIZE_MAX;
    check(rum_preference_init(&row, sizeof row));
    row.prompt = &prompt;
    row.chosen.ptr = "2*9=18\n45-18=27\n#### 27";
    row.rejected.ptr = "2*9=19\n45-19=26\n#### 26";
    row.chosen.len = row.rejected.len = SIZE_MAX;
    for (i = 0; i < 8; i++) check(rum_preferences_add(list, &row));
    return list;
}

/* Whether the command line wants that part. */
static int wants(int argc, char **argv, const char *part) { return argc < 4 || strcmp(argv[3], part) == 0; }

int main(int argc, char **argv) {
    rum_model *model = NULL;
    rum_session *session = NULL;
    rum_run *run;
    static tokens question, prompt;
    int rounds = argc > 2 ? atoi(argv[2]) : 100;
    rum_model_info info;
    work w = {argv[1], NULL, NULL, NULL, NULL};
    double unused, begin, prompt_ms;
    if (argc < 2 || rounds < 1 || rounds > MOST) return 2;
    check(rum_model_open(NULL, argv[1], SIZE_MAX, NULL, NULL, &model));
    check(rum_session_new(model, NULL, &session));
    info.struct_size = sizeof info;
    check(rum_model_get_info(model, &info));
    check(rum_tokenize(model, QUESTION, SIZE_MAX, RUM_TOKENIZE_ADD_SPECIAL, question.ids, 4096, &question.n));
    /* A prompt that fills half of the context. */
    while (prompt.n + question.n < (info.n_ctx_train < 4096 ? info.n_ctx_train : 4096) / 2) {
        memcpy(prompt.ids + prompt.n, question.ids, question.n * sizeof *question.ids);
        prompt.n += question.n;
    }
    if (wants(argc, argv, "overhead")) overhead(session, &question, rounds);
    w.session = session;
    w.text = &question;
    if (wants(argc, argv, "decoding")) {
        (void)search_once(session, &question, 0, &unused);
        begin = now_ms();
        (void)search_once(session, &question, 0, &unused);
        cancelled("decoding", start_search, &w, rounds, now_ms() - begin);
    }
    if (wants(argc, argv, "prompt")) {
        /* How long the prompt takes: one token behind it. */
        begin = now_ms();
        run = start(session, &prompt, 1, 1, 0, NULL);
        check(rum_run_wait(run, UINT64_MAX, NULL));
        prompt_ms = now_ms() - begin;
        check(rum_run_free(run));
        w.text = &prompt;
        cancelled("the prompt", start_search, &w, rounds, prompt_ms * 0.8);
        w.text = &question;
    }
    if (!wants(argc, argv, "scoring")) {
        /* Nothing to score with is opened. */
    } else if (rum_judge_open_model(NULL, RUM_CONVENTION_TOKEN_PAIR, argv[1], SIZE_MAX, NULL, 0, NULL, &w.judge) == RUM_OK) {
        /* The first one packs the judge's weights. */
        prompt_ms = scoring_ms(&w);
        prompt_ms = scoring_ms(&w);
        cancelled("scoring", start_scoring, &w, rounds, prompt_ms * 0.8);
    } else {
        printf("scoring: %s\n", rum_last_error());
    }
    if (wants(argc, argv, "training")) {
        w.preferences = preferences(model);
        cancelled("training", start_training, &w, rounds, 1000);
    }
    if (wants(argc, argv, "loading")) cancelled_loading(argv[1], rounds);
    check(rum_judge_free(w.judge));
    check(rum_preferences_free(w.preferences));
    check(rum_session_free(session));
    check(rum_model_free(model));
    return 0;
}
