/* What the host tells of its device: heat, energy, and memory that the system wants back. */
#include <math.h>

#include "check.h"

typedef struct device {
    double joules;
    double step;
    uint32_t thermal;
    int asked;
    int give;
    int drops;
    int nodes;
    rum_runtime *runtime;
} device;

static int32_t tell(void *user, rum_power *power) {
    device *d = user;
    CHECK(power->struct_size >= sizeof *power && isnan(power->joules) && power->thermal == RUM_THERMAL_NOMINAL);
    CHECK(d->drops == 0);
    power->joules = d->joules;
    power->thermal = d->thermal;
    d->joules += d->step;
    d->asked++;
    return d->give;
}

static void drop_device(void *user) { ((device *)user)->drops++; }

static uint32_t run_on(rum_session *session, device *d, double budget_joules, rum_usage *usage) {
    rum_prompt prompt;
    rum_search search;
    rum_run_options options;
    rum_result result;
    rum_run *run = NULL;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_search_init(&search, sizeof search));
    search.n = 4000;
    search.early_stop = RUM_EARLY_STOP_NEVER;
    search.budget_joules = budget_joules;
    /* Energy that runs out ends it on slow machines, too. */
    search.budget_ms = budget_joules > 0 ? 600000 : 1000;
    OK(rum_run_options_init(&options, sizeof options));
    options.on_power = tell;
    options.user = d;
    options.drop = drop_device;
    OK(rum_run_search(session, &prompt, &search, &options, &run));
    wait_for(run);
    CHECK(d->drops == 1 && d->asked > 0);
    result.struct_size = sizeof result;
    usage->struct_size = sizeof *usage;
    OK(rum_run_get_usage(run, usage));
    if (rum_run_get_result(run, &result) != RUM_OK) {
        CHECK(rum_run_get_result(run, &result) == RUM_ERR_CALLBACK);
        result.stop_reason = UINT32_MAX;
    }
    OK(rum_run_free(run));
    return result.stop_reason;
}

static void heat_and_energy_end_a_run(rum_session *session) {
    static const device COOL = {0, 0, RUM_THERMAL_NOMINAL, 0, 0, 0, 0, NULL};
    device d = COOL;
    rum_usage usage;
    d.step = 1;
    CHECK(run_on(session, &d, 0, &usage) == RUM_STOP_DEADLINE);
    CHECK(usage.joules_measured && usage.joules == d.asked - 1 && d.asked <= 12);
    d = COOL;
    d.step = 10;
    CHECK(run_on(session, &d, 25, &usage) == RUM_STOP_ENERGY && d.asked == 4 && usage.joules == 30);
    d = COOL;
    d.joules = NAN;
    CHECK(run_on(session, &d, 1e-9, &usage) == RUM_STOP_ENERGY);
    d = COOL;
    d.thermal = RUM_THERMAL_CRITICAL;
    CHECK(run_on(session, &d, 0, &usage) == RUM_STOP_HEAT && d.asked == 1);
    /* Hot: half of the time is paused, within the deadline, so that there is half as much to ask about. */
    d = COOL;
    d.thermal = RUM_THERMAL_SERIOUS;
    CHECK(run_on(session, &d, 0, &usage) == RUM_STOP_DEADLINE && usage.wall_ms < 3000 && d.asked <= 6);
    d = COOL;
    d.give = 1;
    CHECK(run_on(session, &d, 0, &usage) == RUM_STOP_CANCELLED);
    d = COOL;
    d.thermal = 4;
    CHECK(run_on(session, &d, 0, &usage) == UINT32_MAX);
}

static void heat_ends_other_runs_too(const rum_model *model, rum_session *session) {
    device d = {0, 0, RUM_THERMAL_CRITICAL, 0, 0, 0, 0, NULL};
    rum_preferences *list = two_pairs(model);
    rum_run_options options;
    rum_prompt prompt;
    rum_result result;
    rum_run *run = NULL;
    result.struct_size = sizeof result;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = QUESTION;
    prompt.text.len = NUL;
    OK(rum_run_options_init(&options, sizeof options));
    options.on_power = tell;
    options.user = &d;
    OK(rum_run_generate(session, &prompt, NULL, &options, &run));
    wait_for(run);
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_HEAT);
    OK(rum_run_free(run));
    OK(rum_run_train(list, NULL, &options, &run));
    wait_for(run);
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_HEAT && strstr(result.text.ptr, "\"steps\":0,") != NULL);
    OK(rum_run_free(run));
    /* Before the files are looked for. */
    {
        rum_str file = {"/no/such/file", 13};
        OK(rum_run_fit_head(NULL, &file, 1, "/no/such/head", NUL, NULL, &options, &run));
    }
    wait_for(run);
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_HEAT && d.asked == 3);
    OK(rum_run_free(run));
    OK(rum_preferences_free(list));
}

/* Says that memory is short when some text has grown. */
static int32_t press(void *user, const rum_event *event) {
    device *d = user;
    if (event->kind == RUM_EVENT_NODE_TEXT && ++d->nodes == 40)
        OK(rum_runtime_set_memory_pressure(d->runtime, RUM_MEMORY_CRITICAL));
    return 0;
}

static void pressure_costs_time_only(const paths *p) {
    device d = {0, 0, 0, 0, 0, 0, 0, NULL};
    rum_model *model = NULL;
    rum_session *session;
    rum_run_options options;
    rum_run *calm, *pressed;
    rum_result a, b;
    rum_usage usage;
    rum_memory before, after;
    OK(rum_runtime_new(NULL, &d.runtime));
    OK(rum_model_open(d.runtime, p->model, NUL, NULL, NULL, &model));
    session = new_session(model);
    calm = start(session, QUESTION, 24, NULL);
    wait_for(calm);
    OK(rum_run_options_init(&options, sizeof options));
    options.on_event = press;
    options.user = &d;
    pressed = start(session, QUESTION, 24, &options);
    wait_for(pressed);
    a.struct_size = b.struct_size = sizeof a;
    usage.struct_size = sizeof usage;
    OK(rum_run_get_result(calm, &a));
    OK(rum_run_get_result(pressed, &b));
    CHECK(equals(a.text, b.text.ptr) && a.score == b.score && a.n_candidates == b.n_candidates);
    OK(rum_run_get_usage(pressed, &usage));
    CHECK(usage.recomputed_tokens > 0);
    /* The run gave back what it did not need any more, and the next one takes it again. */
    before.struct_size = after.struct_size = sizeof before;
    OK(rum_session_memory(session, &before));
    OK(rum_runtime_set_memory_pressure(d.runtime, RUM_MEMORY_NORMAL));
    OK(rum_run_free(calm));
    calm = start(session, QUESTION, 24, NULL);
    wait_for(calm);
    OK(rum_session_memory(session, &after));
    CHECK(after.scratch > before.scratch);
    OK(rum_runtime_set_memory_pressure(d.runtime, RUM_MEMORY_WARNING));
    OK(rum_session_memory(session, &before));
    CHECK(before.scratch < after.scratch && before.kv_limit == UINT64_MAX);
    INVALID(rum_runtime_set_memory_pressure(d.runtime, 3));
    OK(rum_run_free(calm));
    OK(rum_run_free(pressed));
    OK(rum_session_free(session));
    OK(rum_model_free(model));
    OK(rum_runtime_free(d.runtime));
}

void test_device(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    heat_and_energy_end_a_run(session);
    heat_ends_other_runs_too(model, session);
    pressure_costs_time_only(p);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
