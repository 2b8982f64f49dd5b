/* What callbacks may do, and what they are told they may not. */
#include <pthread.h>

#include "check.h"

/* What a callback needs to know; it is complete only when the main thread says so. */
typedef struct scene {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int is_set;
    rum_run *run;
    rum_session *session;
    rum_judge *judge;
    rum_cancel *cancel;
    int events;
    int tried;
    int drops;
    uint32_t last;
} scene;

static void set(scene *s, rum_run *run) {
    pthread_mutex_lock(&s->lock);
    s->run = run;
    s->is_set = 1;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void wait_set(scene *s) {
    pthread_mutex_lock(&s->lock);
    while (!s->is_set) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void drop_scene(void *user) { ((scene *)user)->drops++; }

/* Tries everything on the objects that the run uses. */
static int32_t meddle(void *user, const rum_event *event) {
    scene *s = user;
    rum_session *clone = NULL;
    rum_prompt prompt;
    rum_run *run = NULL;
    rum_memory memory;
    rum_event pulled;
    rum_usage usage;
    rum_result result;
    rum_str step = {"1+1=2\n", 6};
    float value;
    size_t n;
    wait_set(s);
    CHECK(s->last != RUM_EVENT_DONE && s->drops == 0);
    s->events++;
    s->last = event->kind;
    if (s->tried || event->kind != RUM_EVENT_NODE_DONE) return 0;
    s->tried = 1;
    memory.struct_size = sizeof memory;
    pulled.struct_size = sizeof pulled;
    usage.struct_size = sizeof usage;
    result.struct_size = sizeof result;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    BUSY(rum_run_free(s->run));
    BUSY(rum_run_wait(s->run, UINT64_MAX, NULL));
    INVALID(rum_run_next(s->run, 0, &pulled));
    CHECK(rum_run_get_result(s->run, &result) == RUM_ERR_NOT_DONE);
    OK(rum_run_get_usage(s->run, &usage));
    CHECK(!usage.complete && usage.policy_tokens > 0);
    BUSY(rum_run_search(s->session, &prompt, NULL, NULL, &run));
    BUSY(rum_run_generate(s->session, &prompt, NULL, NULL, &run));
    BUSY(rum_session_memory(s->session, &memory));
    BUSY(rum_session_clone(s->session, &clone));
    BUSY(rum_session_rewind(s->session, 0));
    BUSY(rum_session_n_tokens(s->session, &n));
    BUSY(rum_session_measure_width(s->session, NULL, NULL));
    BUSY(rum_session_save(s->session, "/no/such/folder/file", NUL));
    BUSY(rum_judge_score(s->judge, "", 0, &step, 1, 1, &value));
    CHECK(run == NULL && clone == NULL);
    return 0;
}

static void a_callback_is_told_busy(rum_session *session) {
    scene s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0};
    rum_run_options options;
    rum_run *run;
    OK(rum_run_options_init(&options, sizeof options));
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &s.judge));
    s.session = session;
    options.judge = s.judge;
    options.on_event = meddle;
    options.user = &s;
    options.drop = drop_scene;
    run = start(session, QUESTION, 2, &options);
    set(&s, run);
    wait_for(run);
    CHECK(s.tried && s.events > 2 && s.last == RUM_EVENT_DONE && s.drops == 1);
    OK(rum_run_free(run));
    OK(rum_judge_free(s.judge));
    CHECK(s.drops == 1);
}

static int32_t stop(void *user, const rum_event *event) {
    scene *s = user;
    s->events++;
    s->last = event->kind;
    return event->kind == RUM_EVENT_NODE_DONE;
}

static int32_t stop_by_token(void *user, const rum_event *event) {
    scene *s = user;
    if (event->kind == RUM_EVENT_NODE_TEXT) OK(rum_cancel_cancel(s->cancel));
    return 0;
}

static int32_t stop_by_run(void *user, const rum_event *event) {
    scene *s = user;
    wait_set(s);
    if (event->kind == RUM_EVENT_NODE_TEXT) OK(rum_run_cancel(s->run));
    return 0;
}

/* Frees everything that the run was started with; the run goes on. */
static int32_t free_all(void *user, const rum_event *event) {
    scene *s = user;
    if (event->kind == RUM_EVENT_NODE_STARTED && s->session != NULL) {
        OK(rum_session_free(s->session));
        OK(rum_judge_free(s->judge));
        OK(rum_cancel_free(s->cancel));
        s->session = NULL;
    }
    return 0;
}

static void a_callback_ends_the_run(rum_session *session, rum_event_fn function) {
    scene s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0};
    rum_run_options options;
    rum_result result;
    rum_run *run;
    uint32_t is = 0;
    OK(rum_run_options_init(&options, sizeof options));
    OK(rum_cancel_new(&s.cancel));
    options.cancel = s.cancel;
    options.on_event = function;
    options.user = &s;
    options.drop = drop_scene;
    run = start(session, QUESTION, 4000, &options);
    set(&s, run);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_CANCELLED && result.text.len > 0 && s.drops == 1);
    OK(rum_cancel_is_cancelled(s.cancel, &is));
    CHECK(is == (function == stop_by_token));
    OK(rum_run_free(run));
    OK(rum_cancel_free(s.cancel));
}

static void a_run_keeps_what_it_needs(const rum_model *model) {
    scene s = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0};
    rum_run_options options;
    rum_result result;
    rum_run *run;
    s.session = new_session(model);
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &s.judge));
    OK(rum_cancel_new(&s.cancel));
    OK(rum_run_options_init(&options, sizeof options));
    options.judge = s.judge;
    options.cancel = s.cancel;
    options.on_event = free_all;
    options.user = &s;
    run = start(s.session, QUESTION, 2, &options);
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_FINISHED && s.session == NULL);
    OK(rum_run_free(run));
}

void test_callback(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    a_callback_is_told_busy(session);
    a_callback_ends_the_run(session, stop);
    a_callback_ends_the_run(session, stop_by_token);
    a_callback_ends_the_run(session, stop_by_run);
    a_run_keeps_what_it_needs(model);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
