/* A fault inside the library: an error, a poisoned object, and nothing else. Only where the library was built with the feature
 * `panic-test`, whose function the header does not have. */
#include "check.h"

#ifdef RUM_TEST_PANIC
rum_status rum_test_panic(const rum_model *model);

static int logged;

static void log_line(void *user, uint32_t level, rum_str message) {
    (void)user;
    (void)level;
    if (strstr(message.ptr, "asked for") != NULL) logged++;
}

void test_panic(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    rum_session *other = NULL;
    rum_run *run;
    size_t n = 0;
    OK(rum_log_set(RUM_LOG_ERROR, log_line, NULL, NULL));
    CHECK(rum_test_panic(model) == RUM_ERR_INTERNAL);
    CHECK(strstr(rum_last_error(), "asked for") != NULL && logged > 0);
    OK(rum_log_set(RUM_LOG_OFF, NULL, NULL, NULL));
    CHECK(rum_tokenize(model, "x", NUL, 0, NULL, 0, &n) == RUM_ERR_POISONED);
    CHECK(rum_session_new(model, NULL, &other) == RUM_ERR_POISONED);
    CHECK(rum_test_panic(model) == RUM_ERR_POISONED);
    /* Other objects go on. */
    run = start(session, QUESTION, 1, NULL);
    wait_for(run);
    OK(rum_run_free(run));
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
#else
void test_panic(const paths *p) { (void)p; }
#endif
