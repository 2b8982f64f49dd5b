/* Searches for an answer within a deadline, shows how far it is, and gives the best answer so far on Ctrl-C:
 * solve MODEL MILLISECONDS QUESTION */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "ruminate.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    /* Cancelling takes a lock, which a signal handler must not: the loop below looks at this. */
    interrupted = 1;
}

static int complain(const char *doing) {
    fprintf(stderr, "%s: %s\n", doing, rum_last_error());
    return 1;
}

/* Pulls events until the run is over. */
static int watch(rum_run *run, const rum_cancel *cancel) {
    rum_event event;
    unsigned samples = 0;
    do {
        event.struct_size = sizeof event;
        if (rum_run_next(run, 50, &event) != RUM_OK) return complain("waiting");
        if (interrupted && rum_cancel_cancel(cancel) != RUM_OK) return complain("cancelling");
        if (event.kind == RUM_EVENT_NODE_DONE && ++samples % 100 == 0) {
            fprintf(stderr, "%u samples, %.1f s\n", samples, event.wall_ms / 1000);
        }
    } while (event.kind != RUM_EVENT_DONE);
    return 0;
}

/* Prints what the run came to. */
static int report(const rum_run *run) {
    rum_result result;
    rum_usage usage;
    rum_candidate candidate;
    size_t i;
    result.struct_size = sizeof result;
    usage.struct_size = sizeof usage;
    candidate.struct_size = sizeof candidate;
    if (rum_run_get_result(run, &result) != RUM_OK) return complain("the search");
    if (rum_run_get_usage(run, &usage) != RUM_OK) return complain("the usage");
    for (i = 0; i < result.n_candidates; i++) {
        if (rum_run_get_candidate(run, i, &candidate) != RUM_OK) return complain("a candidate");
        fprintf(stderr, "%4llu votes for %s\n", (unsigned long long)candidate.votes, candidate.answer.ptr);
    }
    fprintf(stderr, "%llu tokens, %.0f ms\n", (unsigned long long)usage.policy_tokens, usage.wall_ms);
    if (result.stop_reason == RUM_STOP_DEADLINE) fprintf(stderr, "the deadline came first\n");
    if (result.stop_reason == RUM_STOP_CANCELLED) fprintf(stderr, "cancelled\n");
    printf("%s\n", result.answer.ptr != NULL ? result.answer.ptr : result.text.ptr);
    return 0;
}

static int solve(rum_session *session, const rum_cancel *cancel, uint64_t ms, const char *question) {
    rum_prompt prompt;
    rum_search search;
    rum_run_options options;
    rum_judge *judge = NULL;
    rum_run *run = NULL;
    int failed;
    if (rum_prompt_init(&prompt, sizeof prompt) != RUM_OK || rum_search_init(&search, sizeof search) != RUM_OK ||
        rum_run_options_init(&options, sizeof options) != RUM_OK) {
        return complain("the options");
    }
    prompt.text.ptr = question;
    prompt.text.len = SIZE_MAX;
    /* As many samples as the time allows, weighted by whether their sums are right. */
    search.n = 4096;
    search.early_stop = RUM_EARLY_STOP_NEVER;
    search.budget_ms = ms;
    if (rum_judge_new(RUM_JUDGE_ARITHMETIC, &judge) != RUM_OK) return complain("the judge");
    options.judge = judge;
    options.cancel = cancel;
    options.events = RUM_EVENTS_NODES;
    if (rum_run_search(session, &prompt, &search, &options, &run) != RUM_OK) return complain("starting");
    failed = watch(run, cancel) || report(run);
    rum_run_free(run);
    rum_judge_free(judge);
    return failed;
}

int main(int argc, char **argv) {
    rum_model *model = NULL;
    rum_session *session = NULL;
    rum_cancel *cancel = NULL;
    int failed;
    if (argc != 4) {
        fprintf(stderr, "usage: solve MODEL MILLISECONDS QUESTION\n");
        return 2;
    }
    signal(SIGINT, on_interrupt);
    if (rum_check_abi(RUM_ABI_VERSION) != RUM_OK || rum_cancel_new(&cancel) != RUM_OK) return complain("the library");
    if (rum_model_open(NULL, argv[1], SIZE_MAX, NULL, cancel, &model) != RUM_OK) return complain("the model");
    if (rum_session_new(model, NULL, &session) != RUM_OK) return complain("the session");
    failed = solve(session, cancel, strtoull(argv[2], NULL, 10), argv[3]);
    rum_session_free(session);
    rum_model_free(model);
    rum_cancel_free(cancel);
    return failed;
}
