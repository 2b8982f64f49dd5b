/* Several threads: what they may share, and what is busy. */
#include <pthread.h>

#include "check.h"

#define THREADS 4

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int is_inside;
    int is_open;
} gate;

/* A scorer that stays inside until the gate opens, so that the session is certainly in use. */
static int32_t wait_inside(void *user, const rum_step *const *steps, size_t n, float *values) {
    gate *g = user;
    size_t i;
    (void)steps;
    pthread_mutex_lock(&g->lock);
    g->is_inside = 1;
    pthread_cond_broadcast(&g->changed);
    while (!g->is_open) pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
    for (i = 0; i < n; i++) values[i] = 0.5F;
    return 0;
}

static void *pull_for_ever(void *user) {
    rum_event event;
    do {
        event.struct_size = sizeof event;
        if (rum_run_next(user, UINT64_MAX, &event) == RUM_ERR_BUSY) return user;
    } while (event.kind != RUM_EVENT_DONE);
    return NULL;
}

static void a_session_in_use_is_busy(const rum_model *model) {
    gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    rum_session *session = new_session(model), *clone = NULL, *other = new_session(model);
    rum_run_options options;
    rum_memory memory;
    rum_event event;
    rum_judge *judge = NULL;
    rum_run *run, *second;
    rum_prompt prompt;
    pthread_t puller;
    void *was_busy = NULL;
    uint32_t done = 9;
    int i;
    OK(rum_session_clone(session, &clone));
    OK(rum_judge_new_scorer("waits", NUL, wait_inside, &g, NULL, &judge));
    OK(rum_run_options_init(&options, sizeof options));
    options.judge = judge;
    run = start(session, QUESTION, 2, &options);
    pthread_mutex_lock(&g.lock);
    while (!g.is_inside) pthread_cond_wait(&g.changed, &g.lock);
    pthread_mutex_unlock(&g.lock);

    memory.struct_size = sizeof memory;
    event.struct_size = sizeof event;
    BUSY(rum_session_memory(session, &memory));
    CHECK(strstr(rum_last_error(), "in use") != NULL);
    BUSY(rum_session_memory(clone, &memory));
    OK(rum_session_memory(other, &memory));
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    second = NULL;
    BUSY(rum_run_search(other, &prompt, NULL, &options, &second));
    CHECK(second == NULL);
    OK(rum_run_wait(run, 1, &done));
    CHECK(done == 0);

    /* One thread pulls at a time; which of the two is told so is for chance to say. */
    CHECK(pthread_create(&puller, NULL, pull_for_ever, run) == 0);
    for (i = 0; i < 1000; i++) {
        rum_status status = rum_run_next(run, 1, &event);
        CHECK(status == RUM_OK || status == RUM_ERR_BUSY);
        if (status == RUM_ERR_BUSY) break;
    }
    pthread_mutex_lock(&g.lock);
    g.is_open = 1;
    pthread_cond_broadcast(&g.changed);
    pthread_mutex_unlock(&g.lock);
    CHECK(pthread_join(puller, &was_busy) == 0);
    CHECK(i < 1000 || was_busy != NULL);
    wait_for(run);
    OK(rum_session_memory(session, &memory));
    OK(rum_run_free(run));
    OK(rum_judge_free(judge));
    OK(rum_session_free(session));
    OK(rum_session_free(clone));
    OK(rum_session_free(other));
}

typedef struct worker {
    const rum_model *model;
    char text[2048];
} worker;

/* A session of its own on the shared model, and the shared tokenizer. */
static void *work(void *user) {
    worker *w = user;
    rum_session *session = new_session(w->model);
    rum_run *run = start(session, QUESTION, 2, NULL);
    rum_result result;
    uint32_t tokens[128];
    size_t n = 0;
    int i;
    for (i = 0; i < 50; i++) OK(rum_tokenize(w->model, QUESTION, NUL, 0, tokens, 128, &n));
    MISUSE(rum_text_free((rum_text *)(void *)w));
    CHECK(strlen(rum_last_error()) > 0);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.text.len < sizeof w->text);
    memcpy(w->text, result.text.ptr, result.text.len + 1);
    OK(rum_run_free(run));
    OK(rum_session_free(session));
    return NULL;
}

static void threads_share_a_model(const rum_model *model) {
    pthread_t threads[THREADS];
    static worker workers[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) {
        workers[i].model = model;
        CHECK(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (i = 1; i < THREADS; i++) CHECK(strcmp(workers[0].text, workers[i].text) == 0);
}

static void *free_it(void *user) {
    return rum_run_free(user) == RUM_OK ? user : NULL;
}

/* Of two threads that free one run, one does and the other is told that it was freed. */
static void two_threads_free_one_run(const rum_model *model) {
    int round;
    for (round = 0; round < 20; round++) {
        rum_session *session = new_session(model);
        rum_run *run = start(session, QUESTION, 4000, NULL);
        pthread_t threads[2];
        void *freed[2];
        int i;
        for (i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, free_it, run) == 0);
        for (i = 0; i < 2; i++) CHECK(pthread_join(threads[i], &freed[i]) == 0);
        CHECK((freed[0] == NULL) != (freed[1] == NULL));
        OK(rum_session_free(session));
    }
}

void test_thread(const paths *p) {
    rum_model *model = open_model(p);
    a_session_in_use_is_busy(model);
    threads_share_a_model(model);
    two_threads_free_one_run(model);
    OK(rum_model_free(model));
}
