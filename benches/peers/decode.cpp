// What `ruminate bench decode` measures, measured with llama.cpp: a prompt is prefilled once, shared by all branches,
// then every step decodes one token of every branch, with its logits. Prints one JSON line. Uses llama.h only.

#include "llama.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    std::string model;
    int threads = 1;
    int prompt = 256;
    int gen = 64;
    int branches = 1;
    int seconds = 3600; // Decoding stops here: beside busy neighbours a step may take seconds.
};

struct Rates {
    double prefill = 0; // tokens per second
    double decode = 0;  // tokens per second, over all branches
    int steps = 0;
};

[[noreturn]] void fail(const std::string & message) {
    std::fprintf(stderr, "decode: %s\n", message.c_str());
    std::exit(1);
}

int positive(const std::string & flag, const char * text) {
    char * end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > 1 << 20) fail(flag + " takes a whole number from 1, not " + text);
    return static_cast<int>(value);
}

Options parse(int argc, char ** argv) {
    Options options;
    for (int i = 1; i < argc; i += 2) {
        const std::string flag = argv[i];
        if (i + 1 == argc) fail(flag + " needs a value");
        const char * value = argv[i + 1];
        if (flag == "-m") options.model = value;
        else if (flag == "-t") options.threads = positive(flag, value);
        else if (flag == "-p") options.prompt = positive(flag, value);
        else if (flag == "-g") options.gen = positive(flag, value);
        else if (flag == "-b") options.branches = positive(flag, value);
        else if (flag == "-s") options.seconds = positive(flag, value);
        else fail("unknown option " + flag + "; there are -m MODEL -t THREADS -p PROMPT -g GEN -b BRANCHES -s SECONDS");
    }
    if (options.model.empty()) fail("-m MODEL is missing");
    return options;
}

// The tokens of `ruminate bench decode`: they differ between branches.
llama_token token(int branch, int step, int vocab) {
    const uint64_t mixed = uint64_t(branch) * 0x9E3779B97F4A7C15u ^ uint64_t(step) * 0xD1B54A32D192ED03u;
    return static_cast<llama_token>((mixed >> 16) % uint64_t(vocab));
}

void push(llama_batch & batch, llama_token id, int pos, int seq, bool logits) {
    const int i = batch.n_tokens++;
    batch.token[i] = id;
    batch.pos[i] = pos;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = seq;
    batch.logits[i] = logits;
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// The batch through the model, and one number of every row that was asked for: whatever is computed late is waited for.
void forward(llama_context * context, const llama_batch & batch) {
    if (const int rc = llama_decode(context, batch)) fail("llama_decode returned " + std::to_string(rc));
    for (int i = 0; i < batch.n_tokens; i++) {
        if (!batch.logits[i]) continue;
        const volatile float * row = llama_get_logits_ith(context, i);
        if (!row || row[0] != row[0]) fail("logits are missing or not a number");
    }
}

Rates measure(llama_context * context, llama_batch & batch, const Options & options, int branches) {
    const int vocab = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
    llama_memory_t memory = llama_get_memory(context);
    llama_memory_clear(memory, false);
    Rates rates;

    auto start = Clock::now();
    batch.n_tokens = 0;
    for (int i = 0; i < options.prompt; i++) push(batch, token(0, i, vocab), i, 0, i + 1 == options.prompt);
    forward(context, batch);
    rates.prefill = options.prompt / seconds_since(start);

    for (int b = 1; b < branches; b++) llama_memory_seq_cp(memory, 0, b, -1, -1);
    start = Clock::now();
    while (rates.steps < options.gen && seconds_since(start) < options.seconds) {
        batch.n_tokens = 0;
        for (int b = 0; b < branches; b++) {
            push(batch, token(b + 1, rates.steps, vocab), options.prompt + rates.steps, b, true);
        }
        forward(context, batch);
        rates.steps++;
    }
    rates.decode = rates.steps * branches / seconds_since(start);
    return rates;
}

} // namespace

int main(int argc, char ** argv) {
    const Options options = parse(argc, argv);
    llama_log_set([](ggml_log_level level, const char * text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
    }, nullptr);
    llama_backend_init();
    llama_model * model = llama_model_load_from_file(options.model.c_str(), llama_model_default_params());
    if (!model) fail("cannot load " + options.model);

    // As llama.cpp's own tools set it up for branches that share a prompt: one KV buffer, small sliding windows.
    llama_context_params params = llama_context_default_params();
    params.n_ctx = options.prompt + options.branches * options.gen;
    params.n_batch = std::max<uint32_t>(params.n_batch, std::max(options.prompt, options.branches));
    params.n_seq_max = options.branches;
    params.n_threads = params.n_threads_batch = options.threads;
    params.kv_unified = true;
    params.swa_full = false;
    llama_context * context = llama_init_from_model(model, params);
    if (!context) fail("cannot make a context");

    llama_batch batch = llama_batch_init(static_cast<int>(params.n_batch), 0, 1);
    measure(context, batch, options, 1); // Once unmeasured: the weights come from the disk, buffers are touched.
    const Rates rates = measure(context, batch, options, options.branches);
    std::printf("{\"branches\": %d, \"prefill_tok_s\": %.3f, \"decode_tok_s\": %.3f, \"steps\": %d}\n",
                options.branches, rates.prefill, rates.decode, rates.steps);
    llama_batch_free(batch);
    llama_free(context);
    llama_model_free(model);
    llama_backend_free();
}
