/* The layout of every struct on 64-bit systems: a change breaks programs that were compiled before it. */
#include <stddef.h>

#include "check.h"

/* As C11's _Static_assert, which C99 lacks. */
#define ASSERT(name, condition) typedef char assert_##name[(condition) ? 1 : -1]
#define SIZE(type, size) ASSERT(size_of_##type, sizeof(void *) != 8 || sizeof(type) == (size))
#define AT(type, field, offset) ASSERT(type##_at_##field, sizeof(void *) != 8 || offsetof(type, field) == (offset))

SIZE(rum_str, 16);
SIZE(rum_runtime_options, 24);
SIZE(rum_model_options, 80);
AT(rum_model_options, packed_cache, 16);
AT(rum_model_options, drop, 48);
AT(rum_model_options, device, 64);
SIZE(rum_model_info, 112);
AT(rum_model_info, n_vocab, 56);
AT(rum_model_info, bos, 96);
SIZE(rum_session_options, 48);
AT(rum_session_options, kv_type, 40);
SIZE(rum_memory, 56);
AT(rum_memory, adapters, 48);
SIZE(rum_estimate, 96);
AT(rum_estimate, n_ctx_train, 88);
SIZE(rum_step, 88);
AT(rum_step, complete, 80);
SIZE(rum_solution, 56);
SIZE(rum_function, 80);
AT(rum_function, drop, 72);
SIZE(rum_method_options, 128);
AT(rum_method_options, tools, 72);
AT(rum_method_options, tool_bytes, 104);
AT(rum_method_options, graph, 112);
SIZE(rum_prompt, 72);
AT(rum_prompt, question, 48);
AT(rum_prompt, method, 64);
SIZE(rum_search, 176);
AT(rum_search, budget_joules, 72);
AT(rum_search, early_stop, 88);
AT(rum_search, step_separator, 144);
AT(rum_search, more, 160);
SIZE(rum_generation, 64);
AT(rum_generation, draft, 56);
SIZE(rum_event, 176);
AT(rum_event, loss, 152);
AT(rum_event, text, 32);
AT(rum_event, logprob, 96);
AT(rum_event, total, 144);
SIZE(rum_result, 72);
AT(rum_result, stop_reason, 64);
SIZE(rum_candidate, 48);
SIZE(rum_usage, 104);
AT(rum_usage, complete, 100);
SIZE(rum_run_options, 80);
AT(rum_run_options, events, 64);
AT(rum_run_options, on_power, 72);
SIZE(rum_power, 24);
AT(rum_power, thermal, 16);
SIZE(rum_adapter_info, 80);
AT(rum_adapter_info, alpha, 72);
SIZE(rum_pairing, 32);
SIZE(rum_preference, 80);
AT(rum_preference, flags, 72);
SIZE(rum_question, 48);
SIZE(rum_collection, 144);
AT(rum_collection, n, 96);
AT(rum_collection, strategy, 128);
AT(rum_collection, method, 136);
SIZE(rum_training, 176);
AT(rum_training, lr, 40);
AT(rum_training, projections, 128);
AT(rum_training, test, 168);
SIZE(rum_fitting, 72);
AT(rum_fitting, test, 56);

ASSERT(status_is_32_bits, sizeof(rum_status) == 4);

void test_layout(const paths *p) { (void)p; }
