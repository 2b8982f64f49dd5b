/* Preferences, and adapters trained on them. */
#include <math.h>
#include <unistd.h>

#include "check.h"

static const char OTHER[] = "Omar has 12 pens and buys 5 more. How many pens does Omar have?";

static rum_preference pair(const rum_prompt *prompt) {
    rum_preference made;
    OK(rum_preference_init(&made, sizeof made));
    made.prompt = prompt;
    made.chosen.ptr = "2*9=18\n45-18=27\n#### 27";
    made.rejected.ptr = "2*9=19\n45-19=26\n#### 26";
    made.chosen.len = made.rejected.len = NUL;
    return made;
}

static rum_prompt ask(const char *question) {
    rum_prompt prompt;
    OK(rum_prompt_init(&prompt, sizeof prompt));
    prompt.text.ptr = question;
    prompt.text.len = NUL;
    return prompt;
}

/* Small enough for slow tools: one layer, one pair a step. */
static rum_training small(void) {
    rum_training training;
    OK(rum_training_init(&training, sizeof training));
    training.rank = 2;
    training.layers = 1;
    training.batch = 1;
    training.threads = 1;
    training.lr = 0.01;
    training.keep_bytes = 1 << 20;
    return training;
}

rum_preferences *two_pairs(const rum_model *model) {
    rum_preferences *list = NULL;
    rum_prompt prompt = ask(QUESTION), other = ask(OTHER);
    rum_preference first = pair(&prompt), second = pair(&other);
    second.chosen.ptr = "12+5=17\n#### 17";
    second.rejected.ptr = "12+5=";
    second.flags = RUM_PREFERENCE_REJECTED_OPEN;
    second.smoothing = 0.1;
    OK(rum_preferences_new(model, &list));
    OK(rum_preferences_add(list, &first));
    OK(rum_preferences_add(list, &second));
    return list;
}

rum_adapter *train_adapter(const rum_model *model) {
    rum_preferences *list = two_pairs(model);
    rum_training training = small();
    rum_adapter *adapter = NULL;
    rum_run *run = NULL;
    OK(rum_run_train(list, &training, NULL, &run));
    wait_for(run);
    OK(rum_run_get_adapter(run, &adapter));
    OK(rum_run_free(run));
    OK(rum_preferences_free(list));
    return adapter;
}

static void preferences_are_added_and_written(const rum_model *model) {
    rum_preferences *list = two_pairs(model), *copy = NULL;
    rum_prompt prompt = ask(QUESTION);
    rum_preference bad = pair(&prompt), single = pair(&prompt);
    rum_text *text = NULL;
    rum_str lines, again;
    size_t n = 0;
    bad.rejected.ptr = NULL;
    bad.rejected.len = 0;
    CHECK(rum_preferences_add(list, &bad) == RUM_ERR_FORMAT);
    bad = pair(&prompt);
    bad.smoothing = 0.7;
    CHECK(rum_preferences_add(list, &bad) == RUM_ERR_FORMAT);
    bad.smoothing = NAN;
    CHECK(rum_preferences_add(list, &bad) == RUM_ERR_FORMAT);
    bad = pair(&prompt);
    bad.flags = 64;
    INVALID(rum_preferences_add(list, &bad));
    bad = pair(NULL);
    INVALID(rum_preferences_add(list, &bad));
    INVALID(rum_preferences_add(list, NULL));
    single.completion = single.chosen;
    CHECK(rum_preferences_add(list, &single) == RUM_ERR_FORMAT);
    OK(rum_preferences_count(list, &n));
    CHECK(n == 2);

    OK(rum_preferences_to_jsonl(list, &text));
    OK(rum_text_get(text, &lines));
    CHECK(strstr(lines.ptr, "\"rejected_open\":true") != NULL && strstr(lines.ptr, "\"smoothing\":0.1") != NULL);
    OK(rum_preferences_new(model, &copy));
    OK(rum_preferences_add_jsonl(copy, lines.ptr, lines.len, &n));
    CHECK(n == 2);
    {
        rum_text *second = NULL;
        OK(rum_preferences_to_jsonl(copy, &second));
        OK(rum_text_get(second, &again));
        CHECK(equals(again, lines.ptr));
        OK(rum_text_free(second));
    }
    n = 9;
    CHECK(rum_preferences_add_jsonl(copy, "{\"prompt\":\"x\"}", NUL, &n) == RUM_ERR_FORMAT);
    CHECK(rum_preferences_add_jsonl(copy, "no JSON", NUL, &n) == RUM_ERR_FORMAT);
    INVALID(rum_preferences_add_jsonl(copy, NULL, 3, &n));
    CHECK(n == 9);
    OK(rum_preferences_add_jsonl(copy, "", 0, NULL));
    OK(rum_preferences_count(copy, &n));
    CHECK(n == 2);
    OK(rum_text_free(text));
    OK(rum_preferences_free(copy));
    OK(rum_preferences_free(list));
}

static void traces_give_pairs(const rum_model *model, rum_session *session) {
    rum_preferences *list = NULL;
    rum_pairing pairing;
    rum_run_options options;
    rum_run *run;
    rum_str trace = {NULL, 0};
    size_t n = 9, all = 9;
    OK(rum_preferences_new(model, &list));
    OK(rum_pairing_init(&pairing, sizeof pairing));
    OK(rum_run_options_init(&options, sizeof options));
    options.trace = 1;
    run = start(session, QUESTION, 16, &options);
    wait_for(run);
    OK(rum_run_get_trace(run, &trace));
    pairing.most = 2;
    OK(rum_preferences_add_trace(list, trace.ptr, trace.len, "27", NUL, &pairing, &n));
    CHECK(n <= 2);
    /* Nobody finds this one: there is nothing to set against each other. */
    OK(rum_preferences_add_trace(list, trace.ptr, trace.len, "123456789", NUL, NULL, &all));
    CHECK(all == 0);
    OK(rum_preferences_count(list, &all));
    CHECK(all == n);
    n = 9;
    pairing.gap = 0;
    INVALID(rum_preferences_add_trace(list, trace.ptr, trace.len, "27", NUL, &pairing, &n));
    INVALID(rum_preferences_add_trace(list, trace.ptr, trace.len, "", 0, NULL, &n));
    CHECK(rum_preferences_add_trace(list, "{}", 2, "27", NUL, NULL, &n) == RUM_ERR_FORMAT);
    CHECK(n == 9);
    OK(rum_run_free(run));
    OK(rum_preferences_free(list));
}

static void training_tells_its_steps(const rum_model *model, const paths *p) {
    rum_preferences *list = two_pairs(model);
    rum_training training = small();
    rum_adapter *adapter = NULL;
    rum_run *run = NULL;
    rum_event event;
    rum_result result;
    rum_usage usage;
    char log[512], first[64] = "";
    double losses[4];
    int steps = 0, i;
    FILE *file;
    snprintf(log, sizeof log, "%s/steps.jsonl", p->scratch);
    training.log.ptr = log;
    training.log.len = NUL;
    training.test = list;
    training.epochs = 2;
    for (i = 0; i < 2; i++) {
        rum_adapter_info info;
        OK(rum_run_train(list, &training, NULL, &run));
        CHECK(rum_run_get_adapter(run, &adapter) == RUM_ERR_NOT_DONE || i > 0);
        do {
            event.struct_size = sizeof event;
            OK(rum_run_next(run, UINT64_MAX, &event));
            if (event.kind != RUM_EVENT_STEP) continue;
            CHECK(event.total == 4 && event.done >= 1 && event.done <= 4 && strstr(event.text.ptr, "\"loss\"") != NULL);
            CHECK(event.loss > 0 && event.accuracy >= 0 && event.accuracy <= 1 && isfinite(event.margin));
            /* The same seed trains the same adapter. */
            CHECK(i == 0 || losses[event.done - 1] == event.loss);
            losses[event.done - 1] = event.loss;
            steps++;
        } while (event.kind != RUM_EVENT_DONE);
        CHECK(!(event.flags & RUM_EVENT_FAILED));
        result.struct_size = sizeof result;
        OK(rum_run_get_result(run, &result));
        CHECK(result.stop_reason == RUM_STOP_FINISHED && result.algo == UINT32_MAX && result.answer.ptr == NULL);
        CHECK(strstr(result.text.ptr, "\"steps\":4") != NULL && strstr(result.text.ptr, "\"test_after\":{") != NULL);
        usage.struct_size = sizeof usage;
        OK(rum_run_get_usage(run, &usage));
        CHECK(usage.complete && usage.wall_ms > 0);
        if (adapter != NULL) OK(rum_adapter_free(adapter));
        OK(rum_run_get_adapter(run, &adapter));
        info.struct_size = sizeof info;
        OK(rum_adapter_get_info(adapter, &info));
        CHECK(info.rank == 2 && info.parameters > 0 && info.alpha == 4 && info.digest.len == 32);
        CHECK(i == 0 || strcmp(first, info.digest.ptr) == 0);
        strcpy(first, info.digest.ptr);
        OK(rum_adapter_free(adapter));
        adapter = NULL;
        OK(rum_run_free(run));
        run = NULL;
    }
    CHECK(steps == 8);
    file = fopen(log, "r");
    CHECK(file != NULL);
    for (i = 0; fgetc(file) != EOF; i++) {
    }
    CHECK(fclose(file) == 0 && i > 8 * 100);
    OK(rum_preferences_free(list));
}

static int32_t cancel_first(void *user, const rum_event *event) {
    int *steps = user;
    if (event->kind == RUM_EVENT_STEP) ++*steps;
    return event->kind == RUM_EVENT_STEP;
}

static void training_that_was_stopped_goes_on(const rum_model *model, const paths *p) {
    rum_preferences *list = two_pairs(model);
    rum_training training = small();
    rum_run_options options;
    rum_adapter *whole = train_adapter(model), *parts = NULL, *more = NULL;
    rum_adapter_info a, b;
    rum_result result;
    rum_run *run = NULL;
    char path[512];
    int steps = 0;
    snprintf(path, sizeof path, "%s/training", p->scratch);
    /* Of an earlier run of this program that was killed. */
    (void)remove(path);
    OK(rum_run_options_init(&options, sizeof options));
    options.checkpoint.ptr = path;
    options.checkpoint.len = NUL;
    options.on_event = cancel_first;
    options.user = &steps;
    OK(rum_run_train(list, &training, &options, &run));
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_CANCELLED && steps == 1 && access(path, R_OK) == 0);
    OK(rum_run_get_adapter(run, &parts));
    OK(rum_adapter_free(parts));
    OK(rum_run_free(run));
    /* Other parameters are another run. */
    training.seed = 1;
    options.on_event = NULL;
    OK(rum_run_train(list, &training, &options, &run));
    wait_for(run);
    INVALID(rum_run_get_result(run, &result));
    OK(rum_run_free(run));
    training.seed = 0;
    OK(rum_run_train(list, &training, &options, &run));
    wait_for(run);
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_FINISHED && access(path, R_OK) != 0);
    OK(rum_run_get_adapter(run, &parts));
    OK(rum_run_free(run));
    a.struct_size = b.struct_size = sizeof a;
    OK(rum_adapter_get_info(whole, &a));
    OK(rum_adapter_get_info(parts, &b));
    CHECK(strcmp(a.digest.ptr, b.digest.ptr) == 0);
    /* From an adapter to the next one. */
    training.from = whole;
    options.checkpoint.ptr = NULL;
    options.checkpoint.len = 0;
    OK(rum_run_train(list, &training, &options, &run));
    wait_for(run);
    OK(rum_run_get_adapter(run, &more));
    OK(rum_adapter_get_info(more, &b));
    CHECK(strcmp(a.digest.ptr, b.digest.ptr) != 0 && a.parameters == b.parameters);
    OK(rum_run_free(run));
    OK(rum_adapter_free(more));
    OK(rum_adapter_free(parts));
    OK(rum_adapter_free(whole));
    OK(rum_preferences_free(list));
}

static int32_t cancel_last(void *user, const rum_event *event) {
    (void)user;
    return event->kind == RUM_EVENT_STEP && event->done == event->total;
}

/* The steps are done when the last measurement is cancelled: the adapter is there, and the run can come back for the figures. */
static void a_cancelled_measurement_costs_its_figures_alone(const rum_model *model, const paths *p) {
    rum_preferences *list = two_pairs(model);
    rum_training training = small();
    rum_run_options options;
    rum_adapter *adapter = NULL;
    rum_result result;
    rum_run *run = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/measured", p->scratch);
    (void)remove(path);
    training.test = list;
    OK(rum_run_options_init(&options, sizeof options));
    options.checkpoint.ptr = path;
    options.checkpoint.len = NUL;
    options.on_event = cancel_last;
    OK(rum_run_train(list, &training, &options, &run));
    wait_for(run);
    result.struct_size = sizeof result;
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_CANCELLED && strstr(result.text.ptr, "\"steps\":2,") != NULL);
    CHECK(strstr(result.text.ptr, "\"test_before\":{") != NULL && strstr(result.text.ptr, "\"test_after\":null") != NULL);
    OK(rum_run_get_adapter(run, &adapter));
    OK(rum_adapter_free(adapter));
    OK(rum_run_free(run));
    CHECK(access(path, R_OK) == 0);
    options.on_event = NULL;
    OK(rum_run_train(list, &training, &options, &run));
    wait_for(run);
    OK(rum_run_get_result(run, &result));
    CHECK(result.stop_reason == RUM_STOP_FINISHED && strstr(result.text.ptr, "\"test_after\":{") != NULL);
    CHECK(access(path, R_OK) != 0);
    OK(rum_run_free(run));
    OK(rum_preferences_free(list));
}

static void budgets_end_training(const rum_model *model) {
    rum_preferences *list = two_pairs(model);
    rum_training training = small();
    rum_result result;
    rum_run *run = NULL;
    int i;
    result.struct_size = sizeof result;
    for (i = 0; i < 2; i++) {
        training.epochs = 100000;
        training.budget_tokens = i == 0 ? 1 : 0;
        training.budget_ms = i == 1 ? 50 : 0;
        OK(rum_run_train(list, &training, NULL, &run));
        wait_for(run);
        OK(rum_run_get_result(run, &result));
        CHECK(result.stop_reason == (i == 0 ? RUM_STOP_TOKENS : RUM_STOP_DEADLINE));
        CHECK(i != 0 || strstr(result.text.ptr, "\"steps\":1,") != NULL);
        OK(rum_run_free(run));
    }
    OK(rum_preferences_free(list));
}

static void training_is_checked(const rum_model *model) {
    rum_preferences *list = two_pairs(model), *empty = NULL;
    rum_training training = small();
    rum_run_options options;
    rum_judge *judge = NULL;
    rum_run *run = NULL;
    rum_result result;
    int drops = 0;
    OK(rum_preferences_new(model, &empty));
    OK(rum_run_options_init(&options, sizeof options));
    options.user = &drops;
    options.drop = count_drop;
    INVALID(rum_run_train(empty, &training, &options, &run));
    INVALID(rum_run_train(list, &training, &options, NULL));
    CHECK(drops == 2);
    options.trace = 1;
    INVALID(rum_run_train(list, &training, &options, &run));
    options.trace = 0;
    OK(rum_judge_new(RUM_JUDGE_ARITHMETIC, &judge));
    options.judge = judge;
    INVALID(rum_run_train(list, &training, &options, &run));
    OK(rum_judge_free(judge));
    training.loss = 4;
    INVALID(rum_run_train(list, &training, NULL, &run));
    training.loss = RUM_LOSS_IPO;
    training.label_smoothing = 0.1;
    INVALID(rum_run_train(list, &training, NULL, &run));
    training = small();
    training.rank = 0;
    INVALID(rum_run_train(list, &training, NULL, &run));
    training = small();
    training.lr = NAN;
    INVALID(rum_run_train(list, &training, NULL, &run));
    training = small();
    training.projections.ptr = "attn_q, attn_z";
    training.projections.len = NUL;
    INVALID(rum_run_train(list, &training, NULL, &run));
    training = small();
    training.threads = 5000;
    INVALID(rum_run_train(list, &training, NULL, &run));
    training = small();
    training.from = (const rum_adapter *)(const void *)list;
    MISUSE(rum_run_train(list, &training, NULL, &run));
    CHECK(run == NULL);
    /* Pairs are not what KTO takes: that shows in the run. */
    training = small();
    training.loss = RUM_LOSS_KTO;
    OK(rum_run_train(list, &training, NULL, &run));
    wait_for(run);
    result.struct_size = sizeof result;
    INVALID(rum_run_get_result(run, &result));
    OK(rum_run_free(run));
    OK(rum_preferences_free(empty));
    OK(rum_preferences_free(list));
}

void test_learn(const paths *p) {
    rum_model *model = open_model(p);
    rum_session *session = new_session(model);
    preferences_are_added_and_written(model);
    traces_give_pairs(model, session);
    training_tells_its_steps(model, p);
    training_that_was_stopped_goes_on(model, p);
    a_cancelled_measurement_costs_its_figures_alone(model, p);
    budgets_end_training(model);
    training_is_checked(model);
    OK(rum_session_free(session));
    OK(rum_model_free(model));
}
