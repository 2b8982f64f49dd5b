/* Structs that begin with their size: older and newer callers, and sizes that cannot be. */
#include "check.h"

#define INIT(type)                                                                                                     \
    do {                                                                                                               \
        type value;                                                                                                    \
        OK(type##_init(&value, sizeof value));                                                                         \
        CHECK(value.struct_size == sizeof value);                                                                      \
        INVALID(type##_init(NULL, sizeof value));                                                                      \
        INVALID(type##_init(&value, 0));                                                                               \
        INVALID(type##_init(&value, sizeof value - 1));                                                                \
        INVALID(type##_init(&value, SIZE_MAX));                                                                        \
    } while (0)

void test_structs(const paths *p) {
    struct {
        rum_runtime_options now;
        uint64_t later;
    } newer;
    rum_runtime *runtime = NULL;
    rum_usage usage;
    (void)p;
    INIT(rum_runtime_options);
    INIT(rum_model_options);
    INIT(rum_session_options);
    INIT(rum_estimate);
    INIT(rum_function);
    INIT(rum_method_options);
    INIT(rum_prompt);
    INIT(rum_search);
    INIT(rum_generation);
    INIT(rum_run_options);
    INIT(rum_pairing);
    INIT(rum_preference);
    INIT(rum_collection);
    INIT(rum_training);
    INIT(rum_fitting);

    /* A newer program is served as long as it leaves alone what this library does not know. */
    newer.later = 7;
    OK(rum_runtime_options_init(&newer.now, sizeof newer));
    CHECK(newer.now.struct_size == sizeof newer && newer.later == 0);
    OK(rum_runtime_new(&newer.now, &runtime));
    OK(rum_runtime_free(runtime));
    newer.later = 1;
    CHECK(rum_runtime_new(&newer.now, &runtime) == RUM_ERR_UNSUPPORTED);
    CHECK(runtime == NULL);
    newer.now.struct_size = 0;
    INVALID(rum_runtime_new(&newer.now, &runtime));

    usage.struct_size = sizeof usage;
    MISUSE(rum_run_get_usage(NULL, &usage));
    CHECK(usage.struct_size == sizeof usage);
}
