/* What the parts of the conformance program share. Each part is one function below and one file of its name. */
#ifndef RUMINATE_TEST_CHECK_H
#define RUMINATE_TEST_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ruminate.h"

/* A length that means "up to the NUL". */
#define NUL SIZE_MAX

/* Ends the program with the place, the text of the condition and the library's last message. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition, rum_last_error());          \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define OK(call) CHECK((call) == RUM_OK)
#define INVALID(call) CHECK((call) == RUM_ERR_INVALID_ARGUMENT)
#define MISUSE(call) CHECK((call) == RUM_ERR_MISUSE)
#define BUSY(call) CHECK((call) == RUM_ERR_BUSY)

/* Where the program finds things, and how long it may take. */
typedef struct paths {
    const char *model;
    const char *head;
    /* A model that calls a tool. */
    const char *actor;
    /* A folder that it may write to. */
    const char *scratch;
    /* Rounds of the leak test. */
    long cycles;
} paths;

extern const char QUESTION[];

rum_model *open_model(const paths *p);
/* One thread, so that tools which watch threads are quick. */
rum_session *new_session(const rum_model *model);
rum_run *start(rum_session *session, const char *question, uint32_t n, rum_run_options *options);
void wait_for(const rum_run *run);
/* Two pairs, and a small adapter that was trained on them. */
rum_preferences *two_pairs(const rum_model *model);
rum_adapter *train_adapter(const rum_model *model);
size_t live(void);
/* Counts calls: a drop function whose user is an int. */
void count_drop(void *user);
rum_str str(const char *text);
int equals(rum_str text, const char *expected);

void test_version(const paths *p);
void test_layout(const paths *p);
void test_misuse(const paths *p);
void test_structs(const paths *p);
void test_open(const paths *p);
void test_backend(const paths *p);
void test_model(const paths *p);
void test_session(const paths *p);
void test_judge(const paths *p);
void test_method(const paths *p);
void test_tool(const paths *p);
void test_run(const paths *p);
void test_device(const paths *p);
void test_learn(const paths *p);
void test_adapter(const paths *p);
void test_collect(const paths *p);
void test_callback(const paths *p);
void test_thread(const paths *p);
void test_panic(const paths *p);
void test_leak(const paths *p);

#endif
