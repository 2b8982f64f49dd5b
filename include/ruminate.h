/* ruminate: on-device reasoning. The C interface.
 *
 * Written by cbindgen from ffi/src; `RUM_WRITE_HEADER=1 cargo test -p ruminate-ffi --test header` writes it again.
 *
 * HANDLES. Every `rum_x *` is a handle. It is a number in a table and never followed, so a stale one, one of another type and
 * NULL are refused with RUM_ERR_MISUSE, freeing twice included; none of them is undefined behaviour. What a function hands out
 * through a last parameter `out` is yours to free with `rum_x_free`, in any order: what was made from an object keeps it alive.
 * `_free` takes NULL. `rum_handle_count` tells what is left.
 *
 * STATUS. Every function that can fail returns a rum_status. Out-parameters are written when it is RUM_OK and only then, but
 * handles are set to NULL on failure. `rum_last_error` has a text for a person, per thread. A run has an error of its own.
 *
 * BORROWED TEXT. A rum_str that you get by a `_get` function is borrowed from the object in the first argument and lives as
 * long as it. What an event points to lives until the next pull, or until the callback returns.
 *
 * THREADS. A parameter `const rum_x *` may be used by any number of threads at once; one that is not const by one thread at a
 * time, any thread: a second one gets RUM_ERR_BUSY and nothing happens. Only do not free an object while another thread reads
 * text that is borrowed from it.
 *
 * STRUCTS begin with their size: fill them with their `_init` function, or, where they are only written, set `struct_size` to
 * `sizeof`. The library reads and writes no more than that, so that programs and libraries of different versions fit together.
 * Enumerations travel as uint32_t and are checked.
 *
 * TEXT goes in as a pointer and a length, UTF-8; a length of SIZE_MAX means NUL-terminated.
 *
 * CALLBACKS get your `user` pointer first, and are called with no lock of the library held. Their drop function is called
 * exactly once, also when the function that was given it fails. They must not throw C++ exceptions or longjmp.
 *
 * NOTHING ELSE HAPPENS: nothing is written to standard output or standard error, no signal handler is installed, nothing needs
 * to be initialised, and nothing in the library ends the process. A fault inside it gives RUM_ERR_INTERNAL; the object of that
 * call then answers RUM_ERR_POISONED and can be freed.
 *
 * Units are in the names: _ms are milliseconds, _bytes are bytes, _tokens are tokens. Everything here is there since version
 * 0.1.0 (RUM_ABI_VERSION 1) unless its comment says otherwise.
 */


#ifndef RUMINATE_H
#define RUMINATE_H

#include <stddef.h>
#include <stdint.h>

/* Marks functions whose status should be looked at. Define it before to have none. */
#ifndef RUM_MUST_USE
#if defined(__GNUC__) || defined(__clang__)
#define RUM_MUST_USE __attribute__((warn_unused_result))
#else
#define RUM_MUST_USE
#endif
#endif

// The version of this interface. Functions, struct fields and numbers are only ever added to it; if something had to be taken
// away, this number, and the library's soname, would change.
#define RUM_ABI_VERSION 1

// Puts the tokens around a text that the model wants there (see `rum_tokenize`).
#define RUM_TOKENIZE_ADD_SPECIAL 1

// Reads the names of control tokens, such as `<|im_end|>`, as those tokens. Not for text of unknown origin, which could
// otherwise speak with the system's voice.
#define RUM_TOKENIZE_PARSE_SPECIAL 2

// Spells control tokens out (see `rum_detokenize`).
#define RUM_DETOKENIZE_RENDER_SPECIAL 1

// `flags`: the node takes the most likely tokens instead of drawing them.
#define RUM_EVENT_GREEDY 1

// `flags`: `score` holds a judge's value.
#define RUM_EVENT_SCORED 2

// `flags`: the run failed; see `rum_run_error`.
#define RUM_EVENT_FAILED 4

// `events` of `rum_run_options`: nodes that start, end and close.
#define RUM_EVENTS_NODES 1

// `events` of `rum_run_options`: text as it grows.
#define RUM_EVENTS_TEXT 2

// `events` of `rum_run_options`: progress of the prompt, and of learning.
#define RUM_EVENTS_PROGRESS 4

// `events` of `rum_run_options`: all of them.
#define RUM_EVENTS_ALL 7

// `flags` of `rum_preference`: the chosen completion does not end its turn, because it is a step, or was cut off.
#define RUM_PREFERENCE_CHOSEN_OPEN 1

// `flags` of `rum_preference`: the rejected completion does not end its turn.
#define RUM_PREFERENCE_REJECTED_OPEN 2

// `flags` of `rum_preference`: the single completion does not end its turn.
#define RUM_PREFERENCE_COMPLETION_OPEN 4

// `flags` of `rum_preference`: the single completion got a thumb up; without it, down.
#define RUM_PREFERENCE_GOOD 8

// What became of a call: 0 for success, negative for a failure. Numbers are never given another meaning; a later version
// may add some, so treat an unknown negative number as a failure.
enum rum_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Done. Out-parameters are written in this case only.
    RUM_OK = 0,
    // An argument is out of its documented range: NULL where that is not allowed, text that is not UTF-8, an unknown
    // number of an enumeration, a `struct_size` that does not fit.
    RUM_ERR_INVALID_ARGUMENT = -1,
    // A handle is NULL, was freed, is of another type, or was never given out.
    RUM_ERR_MISUSE = -2,
    // The object is in use: by a run, by another thread, or by the callback that this call comes from.
    RUM_ERR_BUSY = -3,
    // An earlier call on this object ended in `RUM_ERR_INTERNAL`. Only freeing it is possible.
    RUM_ERR_POISONED = -4,
    // The library broke its own rule; please report it.
    RUM_ERR_INTERNAL = -5,
    // The operating system refused a file operation, or to start a thread.
    RUM_ERR_IO = -6,
    // A file's bytes break its format, or disagree with themselves.
    RUM_ERR_FORMAT = -7,
    // The file or request is sound but needs something that this library does not have.
    RUM_ERR_UNSUPPORTED = -8,
    // More tokens than the context holds.
    RUM_ERR_CONTEXT_LENGTH = -9,
    // A memory budget would have been exceeded.
    RUM_ERR_MEMORY = -10,
    // Weights, logits or scores held NaN or infinity.
    RUM_ERR_NON_FINITE = -11,
    // A cancel token or a deadline ended a call that is no run. (A run that is cancelled has a result.)
    RUM_ERR_CANCELLED = -12,
    // A mapped file changed while it was in use; what was computed from it was thrown away.
    RUM_ERR_FILE_CHANGED = -13,
    // The caller's buffer is too small; the length that it needs was written.
    RUM_ERR_BUFFER_TOO_SMALL = -14,
    // There is nothing of that name or index.
    RUM_ERR_NOT_FOUND = -15,
    // The run has not ended yet.
    RUM_ERR_NOT_DONE = -16,
    // A callback of the host reported a failure.
    RUM_ERR_CALLBACK = -17,
    // The header that the program was compiled with does not fit this library.
    RUM_ERR_ABI = -18,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_status rum_status;
#else
typedef int32_t rum_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an event says.
enum rum_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing happened within the time waited.
    RUM_EVENT_NONE = 0,
    // `done` of `total` tokens of the prompt are computed; questions are sampled, or fits made, in a run that learns.
    RUM_EVENT_PROGRESS = 1,
    // `node` began to grow from `parent`.
    RUM_EVENT_NODE_STARTED = 2,
    // `node` received `text`, whole characters only. Pieces that nobody pulled yet come as one.
    RUM_EVENT_NODE_TEXT = 3,
    // `node` stopped growing: everything about it is there.
    RUM_EVENT_NODE_DONE = 4,
    // `node` was pruned: nothing will go on from it.
    RUM_EVENT_NODE_CLOSED = 5,
    // The run ended; the last event, and given again for every further pull.
    RUM_EVENT_DONE = 6,
    // A training step ended, `done` of `total`: `loss`, `accuracy` and `margin` are those before it, `text` is all of its figures as
    // one JSON object.
    RUM_EVENT_STEP = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_event_kind rum_event_kind;
#else
typedef uint32_t rum_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Judges that need no file.
enum rum_judge_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Recomputes the sums in the text: 0 when one is wrong, 1 when there are some and all are right, else 0.5.
    RUM_JUDGE_ARITHMETIC = 0,
    // How likely the step's tokens were under the model.
    RUM_JUDGE_LOGPROB = 1,
    // How sure the model was of its choices.
    RUM_JUDGE_ENTROPY = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_judge_kind rum_judge_kind;
#else
typedef uint32_t rum_judge_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How the values of several judges become one.
enum rum_mix
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Their product: each judge has a veto.
    RUM_MIX_PRODUCT = 0,
    // Their mean.
    RUM_MIX_MEAN = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_mix rum_mix;
#else
typedef uint32_t rum_mix;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Families of reward models: the text that each was trained on.
enum rum_convention
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Math-Shepherd.
    RUM_CONVENTION_MATH_SHEPHERD = 0,
    // RLHFlow.
    RUM_CONVENTION_RLHFLOW = 1,
    // A `+` or `-` behind each step, steps apart by an empty line.
    RUM_CONVENTION_TOKEN_PAIR = 2,
    // A chat model that is asked yes or no.
    RUM_CONVENTION_GENERATIVE = 3,
    // Qwen2.5-Math-PRM; needs a head file.
    RUM_CONVENTION_QWEN_PRM = 4,
    // Skywork-o1 PRM; needs a head file.
    RUM_CONVENTION_SKYWORK = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_convention rum_convention;
#else
typedef uint32_t rum_convention;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How much a message matters.
enum rum_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing at all.
    RUM_LOG_OFF = 0,
    // A call that breaks the contract (a stale handle), a fault inside the library, or an error of llama.cpp.
    RUM_LOG_ERROR = 1,
    // Models opened, runs started and ended; warnings of llama.cpp.
    RUM_LOG_INFO = 2,
    // All that llama.cpp says while it loads and runs, in builds with it: hundreds of lines for a model.
    RUM_LOG_DEBUG = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_log_level rum_log_level;
#else
typedef uint32_t rum_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What computes a model.
enum rum_backend
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The engine of this library, on the processor.
    RUM_BACKEND_NATIVE = 0,
    // llama.cpp: CUDA, Metal and Vulkan, and more architectures; in builds that `rum_build_info_json` says so of.
    RUM_BACKEND_LLAMA = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_backend rum_backend;
#else
typedef uint32_t rum_backend;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a file is brought into memory.
enum rum_load
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Map the file: pages are loaded on first use and shared with other processes. A program that shortens the file meanwhile
    // ends this process (SIGBUS on Unix); other changes are noticed and reported.
    RUM_LOAD_MMAP = 0,
    // Copy the whole file into memory: later changes have no effect. The copy stays beside the packed weights, so that the model takes
    // about twice its file's bytes, as it does when it is opened from memory or by a descriptor.
    RUM_LOAD_READ = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_load rum_load;
#else
typedef uint32_t rum_load;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What takes time while a model is opened.
enum rum_load_stage
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Bytes are brought into memory: not where a file is mapped.
    RUM_LOAD_STAGE_READING = 0,
    // Weights are packed for the processor, or written to the packed cache.
    RUM_LOAD_STAGE_PACKING = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_load_stage rum_load_stage;
#else
typedef uint32_t rum_load_stage;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Why a run ended. None of these is an error: the best answer so far is there.
enum rum_stop_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The algorithm had what it wanted; the text came to its end.
    RUM_STOP_FINISHED = 0,
    // The tokens ran out: drawn, or trained on.
    RUM_STOP_TOKENS = 1,
    // The deadline passed.
    RUM_STOP_DEADLINE = 2,
    // A sample alone outgrew the memory for keys and values and was cut short.
    RUM_STOP_MEMORY = 3,
    // The energy is spent.
    RUM_STOP_ENERGY = 4,
    // Cancelled: by a token, by a callback, or by freeing the run.
    RUM_STOP_CANCELLED = 5,
    // The context is full (plain generation; in a search that ends a node).
    RUM_STOP_CONTEXT = 6,
    // For a reason that this version has no number for.
    RUM_STOP_OTHER = 7,
    // The device is too hot, as the host says.
    RUM_STOP_HEAT = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_stop_reason rum_stop_reason;
#else
typedef uint32_t rum_stop_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a `rum_prompt` holds.
enum rum_prompt_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // `text` is a question: it is put into the words of `strategy` and through the model's chat template, if it has one. Where that
    // says how the model marks its thinking, a search looks for answers behind it; so it does for `RUM_PROMPT_MESSAGES`.
    RUM_PROMPT_QUESTION = 0,
    // `text` is a conversation, as for `rum_chat_render`.
    RUM_PROMPT_MESSAGES = 1,
    // `text` is what the model goes on from, as it is; names of control tokens in it are read as those tokens.
    RUM_PROMPT_TEXT = 2,
    // `tokens` are what the model goes on from.
    RUM_PROMPT_TOKENS = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_prompt_kind rum_prompt_kind;
#else
typedef uint32_t rum_prompt_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a question is put.
enum rum_strategy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The question alone, for models that reason without being told to.
    RUM_STRATEGY_DIRECT = 0,
    // "Step by step", with the answer on a last line after `####`.
    RUM_STRATEGY_COT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_strategy rum_strategy;
#else
typedef uint32_t rum_strategy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Ways to search.
enum rum_algo
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // One text, the most likely token each time.
    RUM_ALGO_GREEDY = 0,
    // Independent samples and a vote over their answers.
    RUM_ALGO_BEST_OF_N = 1,
    // Independent samples and a majority vote, whatever a judge says.
    RUM_ALGO_SELF_CONSISTENCY = 2,
    // Step-wise beam search by the judge's values.
    RUM_ALGO_BEAM = 3,
    // Diverse verifier tree search: beams in subtrees that do not compete.
    RUM_ALGO_DVTS = 4,
    // Beam search whose steps are valued by where a greedy rollout leads.
    RUM_ALGO_LOOKAHEAD = 5,
    // Reward-balanced search: children in proportion to a softmax of values.
    RUM_ALGO_REBASE = 6,
    // Monte-Carlo tree search over steps.
    RUM_ALGO_MCTS = 7,
    // Tree of Thoughts.
    RUM_ALGO_TREE_OF_THOUGHTS = 8,
    // Particle filtering: steps resampled by their values.
    RUM_ALGO_PARTICLE_FILTER = 9,
    // Many samples, the worse half of which is dropped again and again.
    RUM_ALGO_SPECULATIVE_REJECTION = 10,
    // One line of thought held to a length.
    RUM_ALGO_BUDGET_FORCING = 11,
    // Samples that end early when the model becomes unsure.
    RUM_ALGO_DEEP_CONF = 12,
    // Looks at the question's first samples and chooses.
    RUM_ALGO_AUTO = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_algo rum_algo;
#else
typedef uint32_t rum_algo;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How finished texts become one answer.
enum rum_vote
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // By majority; with a judge, weighted.
    RUM_VOTE_DEFAULT = 0,
    // The answer with the most votes.
    RUM_VOTE_MAJORITY = 1,
    // The answer whose texts' values add up to the most.
    RUM_VOTE_WEIGHTED = 2,
    // The answer of the text with the best value.
    RUM_VOTE_BEST = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_vote rum_vote;
#else
typedef uint32_t rum_vote;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// When fewer samples are enough, where a majority decides.
enum rum_early_stop
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Never.
    RUM_EARLY_STOP_NEVER = 0,
    // When the leader leads with at least the probability `early_stop_value`, between 0.5 and 1 (Adaptive-Consistency).
    RUM_EARLY_STOP_BETA = 1,
    // When `early_stop_value` consecutive samples agree; at least 2.
    RUM_EARLY_STOP_WINDOW = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_early_stop rum_early_stop;
#else
typedef uint32_t rum_early_stop;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a judge's values of a text's steps become one.
enum rum_aggregation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // As the judge says.
    RUM_AGGREGATION_DEFAULT = 0,
    // The last step's.
    RUM_AGGREGATION_LAST = 1,
    // The least of all steps.
    RUM_AGGREGATION_MIN = 2,
    // The product of all steps.
    RUM_AGGREGATION_PRODUCT = 3,
    // The mean of all steps.
    RUM_AGGREGATION_MEAN = 4,
    // The mean of the last `aggregation_window` steps.
    RUM_AGGREGATION_WINDOW = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_aggregation rum_aggregation;
#else
typedef uint32_t rum_aggregation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Whether a complete line `#### answer` ends a solution.
enum rum_stop_at_answer
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // As the prompt's strategy says; without one it does not.
    RUM_STOP_AT_ANSWER_DEFAULT = 0,
    // It does.
    RUM_STOP_AT_ANSWER_YES = 1,
    // It does not.
    RUM_STOP_AT_ANSWER_NO = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_stop_at_answer rum_stop_at_answer;
#else
typedef uint32_t rum_stop_at_answer;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How keys and values are kept.
enum rum_kv
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Half precision.
    RUM_KV_F16 = 0,
    // 8 bits, for a little more than half the memory.
    RUM_KV_Q8 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_kv rum_kv;
#else
typedef uint32_t rum_kv;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a trace can become.
enum rum_trace_format
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // One HTML page that shows the tree and needs no network.
    RUM_TRACE_HTML = 0,
    // OpenTelemetry spans with OpenInference's attributes: JSON, one document on each line.
    RUM_TRACE_OPENINFERENCE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_trace_format rum_trace_format;
#else
typedef uint32_t rum_trace_format;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How short of memory the system is, as iOS, macOS and Android tell their programs.
enum rum_memory_pressure
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Not at all.
    RUM_MEMORY_NORMAL = 0,
    // Sessions give back what they do not use, and a search under way half of its keys and values: fewer branches grow at once, and
    // what is needed again is computed again.
    RUM_MEMORY_WARNING = 1,
    // The same with three quarters.
    RUM_MEMORY_CRITICAL = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_memory_pressure rum_memory_pressure;
#else
typedef uint32_t rum_memory_pressure;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How hot the device is: the four states of Apple's `ProcessInfo.ThermalState`; Android's thermal status 0 to 3 and more map onto
// them.
enum rum_thermal
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Cool.
    RUM_THERMAL_NOMINAL = 0,
    // Warm. Nothing changes.
    RUM_THERMAL_FAIR = 1,
    // Hot. The run pauses half of the time.
    RUM_THERMAL_SERIOUS = 2,
    // Too hot. The run ends with `RUM_STOP_HEAT` and the best answer so far.
    RUM_THERMAL_CRITICAL = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_thermal rum_thermal;
#else
typedef uint32_t rum_thermal;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a preference is held against.
enum rum_loss
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Direct preference optimization, over pairs.
    RUM_LOSS_DPO = 0,
    // Identity preference optimization, over pairs.
    RUM_LOSS_IPO = 1,
    // Simple preference optimization, over pairs, without a reference.
    RUM_LOSS_SIMPO = 2,
    // Kahneman-Tversky optimization, over single completions.
    RUM_LOSS_KTO = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_loss rum_loss;
#else
typedef uint32_t rum_loss;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What network a head is.
enum rum_head_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Whichever does better on questions that neither was fitted on.
    RUM_HEAD_AUTO = 0,
    // Logistic regression.
    RUM_HEAD_LINEAR = 1,
    // One hidden layer.
    RUM_HEAD_MLP = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_head_kind rum_head_kind;
#else
typedef uint32_t rum_head_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a solution's outcome is the label of.
enum rum_objective
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The product of its steps' values: one bad step makes a solution wrong.
    RUM_OBJECTIVE_PRODUCT = 0,
    // Every step's value by itself: the chance of a right answer from there on.
    RUM_OBJECTIVE_STEP = 1,
    // Right solutions above wrong ones of the same question, by a linear head.
    RUM_OBJECTIVE_RANKING = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum rum_objective rum_objective;
#else
typedef uint32_t rum_objective;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A LoRA adapter: small matrices beside those of one model. Never changes, so that any number of threads and sessions may use it.
typedef struct rum_adapter rum_adapter;

// Ends work early when asked, from any thread.
//
// One token may be given to any number of calls and runs. It stays cancelled; make a new one for the next run. Freeing it
// ends nothing.
typedef struct rum_cancel rum_cancel;

// Values the steps of a search, from 0 to 1. One run at a time; a second one gives `RUM_ERR_BUSY`.
typedef struct rum_judge rum_judge;

// How a question is put: in one prompt, which any search algorithm goes on from, or by a method of several calls, which takes the
// algorithm's place. Never changes, so that any number of runs may use it at once.
typedef struct rum_method rum_method;

// A model: weights, vocabulary and chat template. Never changes, so that any number of threads and sessions may use it.
typedef struct rum_model rum_model;

// Preferences to train on: pairs of a better and a worse completion, or single completions with a thumb up or down.
//
// Any number of threads may add to it and read it at once; what is trained on is what was there when training began.
typedef struct rum_preferences rum_preferences;

// What a function of the host says to one call, while it is called.
typedef struct rum_reply rum_reply;

// A search, a generation or learning under way, or its result.
typedef struct rum_run rum_run;

// Threads and a memory budget, shared by the models opened with it.
typedef struct rum_runtime rum_runtime;

// Runs a model: keys and values, buffers, threads. One run at a time; another call meanwhile gives `RUM_ERR_BUSY`. Sessions
// of one model share its weights and run side by side.
typedef struct rum_session rum_session;

// A text that belongs to the caller. Free it with `rum_text_free`.
typedef struct rum_text rum_text;

// A function that the model can call by name. Any number of methods and runs may use it at once. There is none that reaches a
// network or starts a program, unless it is a function of the host that does.
typedef struct rum_tool rum_tool;

// Text as a pointer and its length in bytes.
//
// Out of the library it is UTF-8 and also ends with a NUL that `len` does not count; `ptr` is NULL for a text that does
// not exist. Into the library it is UTF-8; a `len` of `SIZE_MAX` means that the text ends with a NUL, and NULL with length 0
// is the empty text.
typedef struct rum_str {
    const char *ptr;
    size_t len;
} rum_str;

// Takes a message of `level` (a `rum_log_level`); `message` is valid during the call only.
//
// Called from any thread, also from several at once, with no lock of the library held. It may call the library; what that
// would log is then left out. It must not throw or jump out.
typedef void (*rum_log_fn)(void *user, uint32_t level, struct rum_str message);

// Releases what `user` points to. Called exactly once, from whichever thread lets go last, also when the function that was
// given it fails. May be NULL. Must not call the library.
typedef void (*rum_drop_fn)(void *user);

// How a runtime is made. Fill it with `rum_runtime_options_init`.
typedef struct rum_runtime_options {
    size_t struct_size;
    // Threads of one session; 0 for all processors that the process may use. The answers do not depend on it.
    uint64_t threads;
    // Bytes that all models and sessions together may take (weights, keys and values, buffers); 0 for no limit.
    uint64_t memory_bytes;
} rum_runtime_options;

// Told while a model is opened: `done` of `total` bytes of a `rum_load_stage`. Returning anything but 0 cancels: the function
// that opens gives `RUM_ERR_CANCELLED`. Called on the thread that opens, with no lock held. It must not throw or jump out.
typedef int32_t (*rum_load_fn)(void *user, uint32_t stage, uint64_t done, uint64_t total);

// How a model is opened. Fill it with `rum_model_options_init`.
typedef struct rum_model_options {
    size_t struct_size;
    // A `rum_load`; for `rum_model_open` with `RUM_BACKEND_NATIVE` alone.
    uint32_t load;
    // 1 to pack all weights at once, so that the first forward pass has nothing to pack; takes seconds for gigabytes.
    uint32_t pack;
    // A file for the packed weights, or no text: made when it is missing or does not fit, mapped otherwise, so that the first
    // forward pass has nothing to pack. A mapped model is known by its size and time, another one by all of its bytes, whose digest
    // takes tenths of a second for each gigabyte.
    struct rum_str packed_cache;
    // Told how far opening is, or NULL.
    rum_load_fn on_progress;
    // The first argument of `on_progress`.
    void *user;
    // Called with `user` once, before the function that opens returns, and also when it fails; unless the options themselves
    // are refused because of their `struct_size`.
    rum_drop_fn drop;
    // A `rum_backend`. `RUM_BACKEND_LLAMA` opens files alone, has no packed weights, and no training; it looks at what could end the
    // opening before and after the file is loaded. `RUM_ERR_UNSUPPORTED` in a build without it.
    uint32_t backend;
    // Layers on a GPU, from the last one on; `UINT32_MAX`, the default, for all of them. For `RUM_BACKEND_LLAMA`.
    uint32_t n_gpu_layers;
    // The only devices to use, by the names that `rum_devices_json` lists, with commas between; or no text for whatever there is. For
    // `RUM_BACKEND_LLAMA`.
    struct rum_str device;
} rum_model_options;

// What a model is. Texts are borrowed from the model.
typedef struct rum_model_info {
    size_t struct_size;
    // `general.architecture`.
    struct rum_str architecture;
    // `general.name`, or the empty text.
    struct rum_str name;
    // 32 hexadecimal digits that depend on all metadata and every tensor's name, shape, type and place.
    struct rum_str fingerprint;
    // Tokens in the vocabulary.
    uint64_t n_vocab;
    // Width of the residual stream.
    uint64_t n_embd;
    // Transformer layers.
    uint64_t n_layer;
    // Tokens that the model was trained to hold.
    uint64_t n_ctx_train;
    // Bytes of the model's files.
    uint64_t file_bytes;
    // The token that begins a text; `UINT32_MAX` for none.
    uint32_t bos;
    // The token that ends a text; `UINT32_MAX` for none.
    uint32_t eos;
    // 1 if the file has a chat template.
    uint32_t has_chat_template;
    // 0.
    uint32_t reserved;
} rum_model_info;

// How a session is made. Fill it with `rum_session_options_init`.
typedef struct rum_session_options {
    size_t struct_size;
    // Threads of one forward pass; 0 for the runtime's. The answers do not depend on it.
    uint64_t threads;
    // Tokens that one branch may hold; 0 for what the model was trained for, at most 4096.
    uint64_t n_ctx;
    // Bytes that keys and values of all branches may take; 0 for what is left of the runtime's memory budget, and no limit
    // where it has none. Never exceeded: a search then decodes fewer branches at once.
    uint64_t kv_bytes;
    // Branches worth decoding at once; 0 for 8, until `rum_session_measure_width`.
    uint64_t width;
    // A `rum_kv`.
    uint32_t kv_type;
    // 0.
    uint32_t reserved;
} rum_session_options;

// Bytes in use by a session and its clones.
typedef struct rum_memory {
    size_t struct_size;
    // Weights, shared by all sessions of the model: as in its files or packed, or both where the files were read.
    uint64_t weights;
    // Keys and values of all branches.
    uint64_t kv;
    // The most that they ever took.
    uint64_t kv_peak;
    // What they may take; `UINT64_MAX` for no limit.
    uint64_t kv_limit;
    // Activations and other buffers.
    uint64_t scratch;
    // Adapters in use.
    uint64_t adapters;
} rum_memory;

// Bytes that a session would take, and the tree that it is asked about.
typedef struct rum_estimate {
    size_t struct_size;
    // In: tokens of the prompt, which all branches share.
    uint64_t prompt_tokens;
    // In: branches that grow at once.
    uint64_t branches;
    // In: tokens that each branch adds.
    uint64_t branch_tokens;
    // Out: the model, mapped and packed; the bytes of its files come on top where they are read.
    uint64_t weights;
    // Out: activations of the largest forward pass.
    uint64_t scratch;
    // Out: keys and values of the tree.
    uint64_t kv;
    // Out: weights, scratch and tree together.
    uint64_t total;
    // Out: keys and values of one token of one branch.
    uint64_t kv_per_token;
    // Out: keys and values are taken in pages of this many bytes,
    uint64_t kv_page;
    // Out: which hold this many tokens.
    uint64_t page_tokens;
    // Out: tokens that the model was trained to hold.
    uint64_t n_ctx_train;
} rum_estimate;

// A finished step, as a scorer of the host sees it. Valid during the call only.
typedef struct rum_step {
    size_t struct_size;
    // Its number, unique within one search; the prompt is 0.
    uint64_t id;
    // The number of the step that it goes on from.
    uint64_t parent;
    // The text of this step alone.
    struct rum_str text;
    // The text from the prompt's end to this step's end.
    struct rum_str path;
    // The tokens of this step alone.
    const uint32_t *tokens;
    // How many tokens.
    size_t n_tokens;
    // Sum of the natural logarithms of its drawn tokens' probabilities under the model.
    double logprob;
    // 1 if the solution ends with this step.
    uint32_t complete;
    // 0.
    uint32_t reserved;
} rum_step;

// Values steps: writes to `values` one number from 0 to 1 for each of the `n` steps and returns 0. Another number is a failure:
// it ends the run with `RUM_ERR_CALLBACK`.
//
// Called on the run's thread with no lock held; all steps that became ready together come in one call. A call on the same
// session from here gives `RUM_ERR_BUSY`; cancelling is allowed. It must not throw or jump out.
typedef int32_t (*rum_score_fn)(void *user, const struct rum_step *const *steps, size_t n, float *values);

// A finished solution, as a verifier of the host sees it. Valid during the call only.
typedef struct rum_solution {
    size_t struct_size;
    // The question of the search.
    struct rum_str question;
    // The whole solution.
    struct rum_str text;
    // The answer found in it; NULL when there is none.
    struct rum_str answer;
} rum_solution;

// Whether a solution is right: returns 1 for yes and 0 for no. A negative number is a failure: it ends the run with
// `RUM_ERR_CALLBACK`. Called as `rum_score_fn` is.
typedef int32_t (*rum_verify_fn)(void *user, const struct rum_solution *solution);

// Called when the model calls the function. `arguments` is a JSON object of `arguments_len` bytes with a NUL behind them, checked
// against the schema's types and required names; valid during the call. What the function says goes into `reply` by
// `rum_reply_write`. It returns 0; another number is a failure, which the model is told together with what was written: the run
// goes on.
//
// Called on a thread of its own with no lock held, and on several at once by runs side by side. One that takes longer than the
// method's `tool_ms`, or whose run ends meanwhile, is left alone: nobody reads its reply, and it may still use `user`. A call on the
// run's session from here gives `RUM_ERR_BUSY`; cancelling is allowed, and so is freeing the run. It must not throw or jump out.
typedef int32_t (*rum_tool_fn)(void *user, const char *arguments, size_t arguments_len, struct rum_reply *reply);

// A function of the host, for `rum_tool_new_function`. Fill it with `rum_function_init`.
typedef struct rum_function {
    size_t struct_size;
    // What the model calls it: letters, digits and `_`.
    struct rum_str name;
    // What it does, in a line for the model.
    struct rum_str about;
    // The JSON Schema of its arguments: an object with `properties`, each with its `type` and `description`, and `required`. The
    // first of `required` takes an argument that the model gives without a name.
    struct rum_str schema;
    // The function.
    rum_tool_fn call;
    // Its first argument.
    void *user;
    // Called with `user` once, when the tool, the last method with it and the last call are gone, and also when the tool cannot be
    // made; unless the struct is refused because of its `struct_size`.
    rum_drop_fn drop;
} rum_function;

// What a method works with. Fill it with `rum_method_options_init`. Everything in it is copied, read or kept alive.
typedef struct rum_method_options {
    size_t struct_size;
    // One of the names that `rum_methods_json` lists.
    struct rum_str name;
    // Worked examples for `few-shot`, `memory` and, if it is to have some, `ensemble`: JSON lines, each an object with `question` and
    // `answer`, whose last line should be `#### answer`; or no text.
    struct rum_str shots;
    // A file of such lines, whose examples come behind those in `shots`; or no text.
    struct rum_str shots_path;
    // A folder of prompts that stand in the place of the built-in ones that `rum_methods_json` names, in files `NAME.txt`; or no text.
    // A file of another name is an error.
    struct rum_str prompts;
    // What `react` may call: `n_tools` tools of different names.
    const struct rum_tool *const *tools;
    // How many tools.
    size_t n_tools;
    // Examples that stand before a question: the first, of `memory` those that resemble it most. Default: 4.
    uint64_t n_shots;
    // Milliseconds that one call of a tool may take, from 1 to an hour; then it is left alone. Default: 2,000.
    uint64_t tool_ms;
    // Bytes of what a tool says that the model reads, from 100 to 65,536; the rest is cut. Default: 2,000.
    uint64_t tool_bytes;
    // The operations of `graph-of-thoughts`: a JSON list of `generate`, `score`, `keep_best`, `aggregate` and `refine`, each with the
    // places of those that it follows, such as `[{"operation": "generate", "n": 4}, {"operation": "score", "samples": 2, "after":
    // [0]}, {"operation": "keep_best", "n": 1, "after": [1]}]`; or no text for the usual ones.
    struct rum_str graph;
} rum_method_options;

// What a run goes on from. Fill it with `rum_prompt_init`. Everything in it is copied when the run starts.
typedef struct rum_prompt {
    size_t struct_size;
    // A `rum_prompt_kind`.
    uint32_t kind;
    // A `rum_strategy`; for a question.
    uint32_t strategy;
    // The question, conversation or text.
    struct rum_str text;
    // The tokens; for `RUM_PROMPT_TOKENS`.
    const uint32_t *tokens;
    // How many tokens.
    size_t n_tokens;
    // The question as judges are told it; without it, `text` where that is a question. None of a method of several calls.
    struct rum_str question;
    // How a question is put, instead of `strategy`; or NULL. One of several calls is for searches alone, and takes the place of the
    // algorithm.
    const struct rum_method *method;
} rum_prompt;

// How to search, and what it may cost. Fill it with `rum_search_init`, then change what you like: fields are taken as they
// stand. A budget of 0 is no limit; one that runs out is no error but a `rum_stop_reason`.
typedef struct rum_search {
    size_t struct_size;
    // A `rum_algo`. Default: best of n.
    uint32_t algo;
    // A `rum_vote`.
    uint32_t vote;
    // Samples, beams, particles, leaves or simulations, at most; from 1 to 4096. Default: 8.
    uint64_t n;
    // Tokens of one solution, at most. Default: 512.
    uint64_t max_tokens;
    // Decides every random number: equal seeds and budgets in tokens give equal outcomes.
    uint64_t seed;
    // Tokens drawn over all branches; 0 for no limit.
    uint64_t budget_tokens;
    // Milliseconds from the start to the answer, missed by at most one forward pass; 0 for no limit.
    uint64_t budget_ms;
    // Bytes of keys and values of all branches; 0 for no limit.
    uint64_t budget_kv_bytes;
    // Bytes of weights, keys and values and buffers together; 0 for no limit.
    uint64_t budget_bytes;
    // Joules from the start to the answer, measured or estimated; 0 for no limit.
    double budget_joules;
    // The value of `early_stop`.
    double early_stop_value;
    // A `rum_early_stop`. Default: beta at 0.95.
    uint32_t early_stop;
    // 0 takes the most likely token; else from 0.001 to 100. Default: 0.8.
    float temperature;
    // Keeps that many of the most likely tokens; 0 keeps all.
    uint32_t top_k;
    // Keeps the fewest most likely tokens whose probabilities add up to this; 1 keeps all.
    float top_p;
    // Keeps tokens at least this fraction as likely as the most likely one; 0 keeps all.
    float min_p;
    // Makes tokens of the last `repetition_window` less likely, from 0.1 to 10; 1 is off.
    float repetition_penalty;
    // Tokens that the repetition penalty looks back on.
    uint32_t repetition_window;
    // A `rum_stop_at_answer`.
    uint32_t stop_at_answer;
    // Children that compete for one place in beam search, DVTS and lookahead.
    uint32_t beam_width;
    // Steps of a lookahead rollout.
    uint32_t lookahead;
    // A `rum_aggregation`.
    uint32_t aggregation;
    // For `RUM_AGGREGATION_WINDOW`.
    uint32_t aggregation_window;
    // Tokens of one step, at most.
    uint32_t step_tokens;
    // Steps of one solution, at most.
    uint32_t max_steps;
    // What ends a step; without it, a line end.
    struct rum_str step_separator;
    // More parameters, as a JSON object with the names and values that traces have under `params`, such as
    // `{"mcts": {"parallel": 4}}`; or no text. They count more than the fields above, and a name that there is not is refused. `grammar`
    // holds the answer to a form, in builds with grammars: `{"grammar": {"form": {"regex": "[0-9]+"}, "after": "####"}}`; other forms are
    // `json_schema`, `choice` and `lark`. `{"thinking": null}` has answers looked for in all of a text.
    struct rum_str more;
} rum_search;

// How to generate one text. Fill it with `rum_generation_init`, then change what you like: fields are taken as they stand.
typedef struct rum_generation {
    size_t struct_size;
    // Tokens to generate, at most. Default: 512.
    uint64_t max_tokens;
    // Milliseconds from the start, missed by at most one forward pass; 0 for no limit.
    uint64_t budget_ms;
    // Decides every random number.
    uint64_t seed;
    // 0 takes the most likely token; else from 0.001 to 100. Default: 0.8.
    float temperature;
    // Keeps that many of the most likely tokens; 0 keeps all. Default: 40.
    uint32_t top_k;
    // Keeps the fewest most likely tokens whose probabilities add up to this; 1 keeps all. Default: 0.95.
    float top_p;
    // Keeps tokens at least this fraction as likely as the most likely one; 0 keeps all. Default: 0.05.
    float min_p;
    // Makes tokens of the last `repetition_window` less likely, from 0.1 to 10; 1 is off.
    float repetition_penalty;
    // Tokens that the repetition penalty looks back on.
    uint32_t repetition_window;
    // At temperature 0: tokens that the text so far proposes for each pass, at most 64. The output is the same.
    uint32_t draft;
    // 0.
    uint32_t reserved;
} rum_generation;

// Something that happened in a run. Nodes are numbered from 1 in the order of their creation, the same for every schedule; 0 is
// the prompt. A plain generation is one node.
//
// What it points to lives until the next pull from the run, or until the callback returns.
typedef struct rum_event {
    size_t struct_size;
    // A `rum_event_kind`.
    uint32_t kind;
    // `RUM_EVENT_GREEDY`, `RUM_EVENT_SCORED`, `RUM_EVENT_FAILED`.
    uint32_t flags;
    // The node's number.
    uint64_t node;
    // The number of the node that it goes on from.
    uint64_t parent;
    // The new text, the node's whole text, or the text of the result.
    struct rum_str text;
    // The answer found in the text from the prompt's end to here, or that of the result; NULL when there is none.
    struct rum_str answer;
    // Why the node stopped: `eog`, `answer`, `step`, `length`, `context`, `tokens`, `memory`, `confidence`, `whole` (all that its
    // grammar lets it be) or `interrupted`.
    struct rum_str end;
    // The node's tokens.
    const uint32_t *tokens;
    // How many tokens.
    size_t n_tokens;
    // Sum of the natural logarithms of its tokens' probabilities under the model.
    double logprob;
    // What the text from the prompt's end to here is worth, from 0 to 1.
    double value;
    // What a judge makes of the node, from 0 to 1, if `flags` say so.
    double score;
    // Milliseconds that the run has taken so far.
    double wall_ms;
    // Tokens that the run has drawn so far.
    uint64_t policy_tokens;
    // Units done.
    uint64_t done;
    // Units in all.
    uint64_t total;
    // A training step's mean loss.
    double loss;
    // The share of its pairs whose chosen completion is paid more, or of single completions that are paid on the side of their thumb.
    double accuracy;
    // By how much, on average.
    double margin;
} rum_event;

// Takes an event of a run; returning anything but 0 cancels the run.
//
// Called on the run's thread with no lock held, one event at a time, `RUM_EVENT_DONE` last; a slow one slows the run down. What
// the event points to lives until it returns. A call on the run's session from here gives `RUM_ERR_BUSY`, and so does
// `rum_run_free` and `rum_run_wait` on the run itself; cancelling is allowed. It must not throw or jump out.
typedef int32_t (*rum_event_fn)(void *user, const struct rum_event *event);

// What the host knows of the device's heat and energy; filled by the host's function.
typedef struct rum_power {
    size_t struct_size;
    // Joules that the device, or its battery, has spent since any moment that stays the same during the run; NaN, which it is
    // before the call, when the host does not know. Then the energy is counted or estimated as without the function.
    double joules;
    // A `rum_thermal`; `RUM_THERMAL_NOMINAL` before the call.
    uint32_t thermal;
    // 0.
    uint32_t reserved;
} rum_power;

// Fills `power` and returns 0; another number cancels the run. Asked before forward passes, training steps and fits, at most ten times
// a second, on the run's thread with no lock held. It must not throw or jump out.
typedef int32_t (*rum_power_fn)(void *user, struct rum_power *power);

// What accompanies a run. Fill it with `rum_run_options_init`.
typedef struct rum_run_options {
    size_t struct_size;
    // Values the steps of a search, or NULL.
    struct rum_judge *judge;
    // Ends the run early, or NULL.
    const struct rum_cancel *cancel;
    // Gets the run's events; without it they wait to be pulled with `rum_run_next`.
    rum_event_fn on_event;
    // The first argument of `on_event` and `on_power`.
    void *user;
    // Called with `user` once, after the last event, whether there is a function for events or not, and also when the run cannot be
    // started; unless the options themselves are refused because of their `struct_size`.
    rum_drop_fn drop;
    // A file in which a cancelled search is kept, with its keys and values, or no text: a run with the same arguments goes on
    // with it. The file is removed when the search ends of itself. Training is kept in it on the way, and when its budget runs
    // out, too.
    struct rum_str checkpoint;
    // Which events are told: `RUM_EVENTS_…`. The default is all; 0 leaves `RUM_EVENT_DONE`.
    uint32_t events;
    // 1 to keep a trace of a search, for `rum_run_get_trace`.
    uint32_t trace;
    // Tells the run of the device's heat and energy, or NULL; gets `user`, too. Every run heeds it.
    rum_power_fn on_power;
} rum_run_options;

// What a run has spent. Of runs that learn, collecting samples tells what a search does, and training and fitting tell time and energy
// alone: their reports have the rest.
typedef struct rum_usage {
    size_t struct_size;
    // Tokens of the prompt.
    uint64_t prompt_tokens;
    // Tokens drawn, over all branches.
    uint64_t policy_tokens;
    // Tokens computed by a judge's own model.
    uint64_t reward_tokens;
    // Drawn tokens whose keys and values were given up for want of memory and computed again.
    uint64_t recomputed_tokens;
    // Forward passes.
    uint64_t forward_passes;
    // Forward passes of a judge's own model.
    uint64_t reward_passes;
    // The most bytes that keys and values took after any pass.
    uint64_t kv_peak_bytes;
    // The most bytes that weights, keys and values and buffers took at once.
    uint64_t peak_bytes;
    // Milliseconds from the start to the answer.
    double wall_ms;
    // Of those, milliseconds in the judge.
    double reward_ms;
    // Energy in joules.
    double joules;
    // 1 if the processor or the host counted the joules, 0 if they are an estimate.
    uint32_t joules_measured;
    // 1 once the run has ended; until then only `policy_tokens` and `wall_ms` are kept up to date, when a node ends.
    uint32_t complete;
} rum_usage;

// What a run came to. Texts are borrowed from the run.
typedef struct rum_result {
    size_t struct_size;
    // The answer; NULL when no text holds one.
    struct rum_str answer;
    // The text that gave the answer, or the best text without one; empty when nothing could be produced. Of a run that learns,
    // its report: one JSON object.
    struct rum_str text;
    // What `text` is worth, from 0 to 1: the judge's values of its steps as one; without a judge, the geometric mean of its
    // tokens' probabilities. NaN without tokens.
    double score;
    // The seed.
    uint64_t seed;
    // How many candidates `rum_run_get_candidate` has.
    size_t n_candidates;
    // A `rum_stop_reason`.
    uint32_t stop_reason;
    // The `rum_algo`; `UINT32_MAX` for a run that is no search, and for a method of several calls, which needs none.
    uint32_t algo;
} rum_result;

// One class of equal answers. Texts are borrowed from the run.
typedef struct rum_candidate {
    size_t struct_size;
    // The answer.
    struct rum_str answer;
    // Samples that gave it.
    uint64_t votes;
    // The sum of its samples' values.
    double weight;
    // What its best sample is worth, from 0 to 1.
    double score;
} rum_candidate;

// What an adapter is. Texts are borrowed from the adapter.
typedef struct rum_adapter_info {
    size_t struct_size;
    // `general.name`, or the empty text.
    struct rum_str name;
    // 32 hexadecimal digits that depend on every number in it.
    struct rum_str digest;
    // The fingerprint of the model that it was made for; the empty text when it does not say.
    struct rum_str base_fingerprint;
    // Numbers in all its matrices.
    uint64_t parameters;
    // Its largest inner width.
    uint64_t rank;
    // It counts alpha / rank times, or once where this is 0.
    double alpha;
} rum_adapter_info;

// Which pairs are made: at every branching point the best ways to go on are set against the worst, by the share of right solutions
// below them. Fill it with `rum_pairing_init`.
typedef struct rum_pairing {
    size_t struct_size;
    // Pairs of one branching point, at most. Default: 4.
    uint64_t most;
    // The two shares of right solutions are at least this far apart, above 0 and at most 1. Default: 0.5.
    double gap;
    // 1 to trust a pair by how often its sides were visited (MCTS-DPO), which labels it with a smoothing.
    uint32_t by_visits;
    // 0.
    uint32_t reserved;
} rum_pairing;

// One preference: `chosen` and `rejected`, or `completion` alone. Fill it with `rum_preference_init`.
typedef struct rum_preference {
    size_t struct_size;
    // What the completions go on from.
    const struct rum_prompt *prompt;
    // The better completion; NULL for none.
    struct rum_str chosen;
    // The worse one; NULL for none.
    struct rum_str rejected;
    // A single completion; NULL for none.
    struct rum_str completion;
    // How likely the preference is the wrong way round, from 0 to 0.5; less than 0, as by default, for the training's own.
    double smoothing;
    // `RUM_PREFERENCE_…`.
    uint32_t flags;
    // 0.
    uint32_t reserved;
} rum_preference;

// How samples are drawn, and what is kept of them. Fill it with `rum_collection_init`, then change what you like.
typedef struct rum_collection {
    size_t struct_size;
    // A file of labelled steps for `rum_run_fit_head`, or no text. It grows question by question; questions that it holds are not
    // asked again, so that a run that was stopped goes on.
    struct rum_str rows;
    // Names the question set; with a question's number it names the question. A file holds questions of one set only.
    struct rum_str data;
    // Gets preference pairs of the samples, or NULL.
    const struct rum_preferences *pairs;
    // Which pairs, or NULL for the defaults.
    const struct rum_pairing *pairing;
    // Layers, from 0, whose hidden states are kept, `UINT32_MAX` for the state after the final norm; NULL for a layer two thirds up
    // and the state after the final norm.
    const uint32_t *layers;
    // How many layers.
    size_t n_layers;
    // Whether a solution is right; NULL compares its answer with the question's. Otherwise as for `rum_judge_new_verifier`.
    rum_verify_fn verify;
    // The first argument of `verify`.
    void *user;
    // Called with `user` once, when the run is over, and also when it cannot be started; unless the struct itself is refused because
    // of its `struct_size`.
    rum_drop_fn drop;
    // Samples of every question. Default: 16.
    uint64_t n;
    // Tokens of one sample, at most. Default: 512.
    uint64_t max_tokens;
    // Decides every random number, together with a question's number.
    uint64_t seed;
    // Default: 0.8.
    float temperature;
    // Keeps the fewest most likely tokens whose probabilities add up to this; 1 keeps all.
    float top_p;
    // A `rum_strategy`: how a question is put.
    uint32_t strategy;
    // 0.
    uint32_t reserved;
    // How a question is put, instead of `strategy`: one of a single prompt, such as `few-shot`; or NULL.
    const struct rum_method *method;
} rum_collection;

// A question with a known answer. Set `struct_size` first.
typedef struct rum_question {
    size_t struct_size;
    // Its number in its set; no two are equal.
    uint64_t number;
    // The question.
    struct rum_str text;
    // The right answer; not looked at where the host's function decides.
    struct rum_str answer;
} rum_question;

// How an adapter is trained, and what that may cost. Fill it with `rum_training_init`, then change what you like.
typedef struct rum_training {
    size_t struct_size;
    // A `rum_loss`. Default: DPO.
    uint32_t loss;
    // Inner width of the adapter. Default: 8.
    uint32_t rank;
    // How strongly the model is held to what it was; 0 for the loss's own: 0.1, and 2 for SimPO.
    double beta;
    // How often preferences are the wrong way round, from 0 to 0.5; for DPO.
    double label_smoothing;
    // Weight of the chosen completion's own log-probability beside a pair's loss. Default: 1; not for KTO.
    double sft;
    // Largest learning rate: reached after a tenth of the steps, then falling to 0. Default: 0.0001.
    double lr;
    // The adapter counts alpha / rank times; 0 for twice the rank.
    double alpha;
    // Layers from the top that are trained; 0 for all.
    uint64_t layers;
    // Passes over the preferences. Default: 1.
    uint64_t epochs;
    // Preferences of one step. Default: 8.
    uint64_t batch;
    // Tokens of a prompt with its completions, at most; longer preferences are left out. Default: 1024.
    uint64_t max_tokens;
    // Bytes for what would else be computed twice. Default: 256 MiB. The runtime's memory budget is charged with them, and with the
    // adapter and what the optimizer keeps of it, until all of that is given back a moment behind the run's end, which `rum_run_free`
    // waits for; buffers of a pass are not counted.
    uint64_t keep_bytes;
    // Decides the first adapter and the order of the preferences.
    uint64_t seed;
    // Milliseconds of training; 0 for no limit. Measuring `test` a second time comes behind it.
    uint64_t budget_ms;
    // Tokens of the passes; 0 for no limit. Missed by at most one step.
    uint64_t budget_tokens;
    // Threads; 0 for the runtime's.
    uint64_t threads;
    // The matrices that are trained, with commas between: attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down; all of
    // them without text.
    struct rum_str projections;
    // A file that gets a JSON line for every step, or no text.
    struct rum_str log;
    // An adapter to go on from, or NULL; its rank and matrices stay.
    const struct rum_adapter *from;
    // Preferences to measure on, before and after, or NULL. Not afterwards in a run that was cancelled or had no time for it before.
    const struct rum_preferences *test;
} rum_training;

// How a reward head is fitted. Fill it with `rum_fitting_init`.
typedef struct rum_fitting {
    size_t struct_size;
    // A `rum_head_kind`.
    uint32_t kind;
    // A `rum_objective`.
    uint32_t objective;
    // Units of the hidden layer, from 1 to 4096. Default: 64.
    uint64_t n_hidden;
    // Decides the first weights of a hidden layer and the order of its batches.
    uint64_t seed;
    // Threads; 0 for the runtime's. The head does not depend on it.
    uint64_t threads;
    // Penalties on the weights to choose from; NULL for 0.0001, 0.001, 0.01 and 0.1.
    const double *l2;
    // How many penalties, at most 64.
    size_t n_l2;
    // Labelled steps of other questions for the figures, or no text: then 15 % of the questions give them.
    struct rum_str test;
} rum_fitting;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// A short name of a status, such as `busy`; `unknown` for a number that this library never gives. Valid for the life of
// the process. From any thread.
const char *rum_status_name(int32_t status);

// The text: borrowed from `text`, valid until that is freed. From any thread, concurrently.
RUM_MUST_USE rum_status rum_text_get(const struct rum_text *text, struct rum_str *out);

// Frees a text; NULL is fine. `RUM_ERR_MISUSE` for one that was freed before.
rum_status rum_text_free(struct rum_text *text);

// The library's version, "MAJOR.MINOR.PATCH", NUL-terminated and valid for the life of the process. From any thread.
const char *rum_version(void);

// The library's `RUM_ABI_VERSION`. From any thread.
uint32_t rum_abi_version(void);

// `RUM_ERR_ABI` unless a program that was compiled with this header version can use the library: call it first, as
// `rum_check_abi(RUM_ABI_VERSION)`. From any thread.
RUM_MUST_USE rum_status rum_check_abi(uint32_t version);

// What this build is and can do, as one JSON object: `version`, `abi`, `target`, `profile`, `isa` (the instruction set that
// kernels use here), `isas` (all that this machine has) and `backends` (`native`, and `llama` where it was built in). The caller frees `out`. From any thread.
RUM_MUST_USE
rum_status rum_build_info_json(struct rum_text **out);

// Writes the number of handles in use, of all types, to `out`: 0 when a program has freed all that it was given. From any
// thread.
RUM_MUST_USE
rum_status rum_handle_count(size_t *out);

// What went wrong in this thread's latest call, for a person; "" after a success. Every other function clears it when it
// begins. Valid until the next call on the same thread. A run has an error of its own: `rum_run_error`.
const char *rum_last_error(void);

// Sends messages up to `level` (a `rum_log_level`) to `log`, in the whole process; `RUM_LOG_OFF` or a NULL `log` ends it.
// There is no log otherwise: the library writes to no stream.
//
// `log` is called with `user`; `drop` is called with it once, when another log was set and the last message under way was
// delivered, and also when this function fails. From any thread.
rum_status rum_log_set(uint32_t level,
                       rum_log_fn log,
                       void *user,
                       rum_drop_fn drop);

// A new token that nobody has cancelled. Free it with `rum_cancel_free`.
RUM_MUST_USE rum_status rum_cancel_new(struct rum_cancel **out);

// Asks everything that has this token to end. It does so within one layer of one forward pass, or when a callback of the host
// returns. Always allowed: from any thread, and from a callback. Not for signal handlers: it takes a lock.
rum_status rum_cancel_cancel(const struct rum_cancel *cancel);

// Writes 1 to `out` if `rum_cancel_cancel` was called, else 0. From any thread, concurrently.
RUM_MUST_USE rum_status rum_cancel_is_cancelled(const struct rum_cancel *cancel, uint32_t *out);

// Frees a token, also while something uses it; NULL is fine. `RUM_ERR_MISUSE` for one that was freed before.
rum_status rum_cancel_free(struct rum_cancel *cancel);

// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
rum_status rum_runtime_options_init(struct rum_runtime_options *options, size_t struct_size);

// A new runtime; NULL for the default options. Where a runtime is asked for, NULL stands for one with those. Free it with
// `rum_runtime_free`.
RUM_MUST_USE
rum_status rum_runtime_new(const struct rum_runtime_options *options,
                           struct rum_runtime **out);

// Writes to `used` how many bytes of the memory budget are taken: by weights, and by the room that sessions were given for keys,
// values and buffers, whether they fill it or not. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_runtime_memory(const struct rum_runtime *runtime,
                              uint64_t *used);

// Frees a runtime; NULL is fine. Models opened with it go on.
rum_status rum_runtime_free(struct rum_runtime *runtime);

// Tells all sessions of models that were opened with `runtime` how short of memory the system is: a `rum_memory_pressure`, which
// lasts until the next call. Answers do not depend on it, except that a single line of thought keeps its keys and values in any
// case. Judges with a model of their own are left alone. Returns at once; a search reacts before its next pass. From any thread,
// concurrently, and from callbacks.
RUM_MUST_USE
rum_status rum_runtime_set_memory_pressure(const struct rum_runtime *runtime,
                                           uint32_t level);

// The devices that `RUM_BACKEND_LLAMA` can use here, as one JSON array of objects with `name`, `description`, `memory_free` and
// `memory_total` in bytes, and `gpu` (whether layers can be put on it); empty in a build without it. The caller frees `out`. From any
// thread.
RUM_MUST_USE
rum_status rum_devices_json(struct rum_text **out);

// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
rum_status rum_model_options_init(struct rum_model_options *options, size_t struct_size);

// Opens the GGUF file at `path` and, where it is the first of a split model, the others beside it.
//
// `runtime` and `options` may be NULL for the defaults, `cancel` for none; it is looked at between stages, between MiB that are
// read and between matrices that are packed. The caller frees `out`. Errors: `RUM_ERR_IO`, `RUM_ERR_FORMAT`, `RUM_ERR_UNSUPPORTED`,
// `RUM_ERR_MEMORY` when the runtime's budget does not hold the packed weights, and the file beside them where it is read;
// `RUM_ERR_CANCELLED`.
RUM_MUST_USE
rum_status rum_model_open(const struct rum_runtime *runtime,
                          const char *path,
                          size_t path_len,
                          const struct rum_model_options *options,
                          const struct rum_cancel *cancel,
                          struct rum_model **out);

// Opens a GGUF file that lies in memory. The `len` bytes at `data` are copied, so they may go when the call returns. Otherwise
// as `rum_model_open`.
RUM_MUST_USE
rum_status rum_model_open_memory(const struct rum_runtime *runtime,
                                 const uint8_t *data,
                                 size_t len,
                                 const struct rum_model_options *options,
                                 const struct rum_cancel *cancel,
                                 struct rum_model **out);

// Opens a GGUF file that is `len` bytes of the file `fd` from `offset` on, such as an asset inside a package. They are read into
// memory; the descriptor stays the caller's, and its position does not matter and does not change. Otherwise as
// `rum_model_open`. `RUM_ERR_UNSUPPORTED` on systems other than Unix.
RUM_MUST_USE
rum_status rum_model_open_fd(const struct rum_runtime *runtime,
                             int32_t fd,
                             uint64_t offset,
                             uint64_t len,
                             const struct rum_model_options *options,
                             const struct rum_cancel *cancel,
                             struct rum_model **out);

// What the model is. Set `out->struct_size` first; texts are borrowed from `model`. From any thread, concurrently.
RUM_MUST_USE rum_status rum_model_get_info(const struct rum_model *model, struct rum_model_info *out);

// The file's metadata value of `key` as text, borrowed from `model`; `RUM_ERR_NOT_FOUND` for a key that is not there or has an
// array. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_model_get_meta(const struct rum_model *model,
                              const char *key,
                              size_t key_len,
                              struct rum_str *out);

// Frees a model; NULL is fine. Its sessions and runs go on, and its memory is given back with the last of them.
rum_status rum_model_free(struct rum_model *model);

// The tokens of `text`. `flags` are `RUM_TOKENIZE_ADD_SPECIAL` and `RUM_TOKENIZE_PARSE_SPECIAL`.
//
// `tokens` has room for `capacity` of them, and `n_tokens` gets their number. When that is more than `capacity` the call
// gives `RUM_ERR_BUFFER_TOO_SMALL`, writes `n_tokens` all the same and no token: ask with NULL and 0 first, or with room for
// the text's bytes and 2 more, which is always enough. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_tokenize(const struct rum_model *model,
                        const char *text,
                        size_t text_len,
                        uint32_t flags,
                        uint32_t *tokens,
                        size_t capacity,
                        size_t *n_tokens);

// The text of `n_tokens` tokens; bytes that are not UTF-8 become U+FFFD, and so does a token outside the vocabulary. `flags` is
// 0 or `RUM_DETOKENIZE_RENDER_SPECIAL`. The caller frees `out`. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_detokenize(const struct rum_model *model,
                          const uint32_t *tokens,
                          size_t n_tokens,
                          uint32_t flags,
                          struct rum_text **out);

// The text of a conversation, by the model's chat template. `messages` is a JSON array of objects with the texts `role` and
// `content`; with `add_generation_prompt` other than 0 the text ends where the answer begins.
//
// The caller frees `out`. Errors: `RUM_ERR_UNSUPPORTED` for a model without a template, `RUM_ERR_INVALID_ARGUMENT` for JSON of
// another form and for a conversation that the template refuses. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_chat_render(const struct rum_model *model,
                           const char *messages,
                           size_t messages_len,
                           uint32_t add_generation_prompt,
                           struct rum_text **out);

// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
rum_status rum_session_options_init(struct rum_session_options *options, size_t struct_size);

// A new session on `model`; `options` may be NULL. The caller frees `out`. Errors: `RUM_ERR_INVALID_ARGUMENT` for a context
// longer than the model was trained for, `RUM_ERR_MEMORY` when the runtime's budget is spent, `RUM_ERR_IO` when no threads
// can be started. From any thread.
RUM_MUST_USE
rum_status rum_session_new(const struct rum_model *model,
                           const struct rum_session_options *options,
                           struct rum_session **out);

// A session that goes on from where `session` stands. Keys and values are shared until the two differ, so nothing is copied.
//
// Both run on one engine: while one has a run, the other is busy too. The caller frees `out`, before or after `session`.
RUM_MUST_USE
rum_status rum_session_clone(struct rum_session *session,
                             struct rum_session **out);

// Writes to `out` how many tokens the session holds after its latest generation.
RUM_MUST_USE rum_status rum_session_n_tokens(struct rum_session *session, size_t *out);

// Cuts what the session holds back to its first `n_tokens` tokens, and frees the keys and values of the rest; 0 empties it.
// `RUM_ERR_INVALID_ARGUMENT` for more than it holds.
RUM_MUST_USE
rum_status rum_session_rewind(struct rum_session *session,
                              size_t n_tokens);

// Bytes in use by the session and its clones. Set `out->struct_size` first.
RUM_MUST_USE rum_status rum_session_memory(struct rum_session *session, struct rum_memory *out);

// Times decoding at widths from 1 to 64 and sets how many branches a search decodes at once to the fewest that reach nine
// tenths of the best rate; writes that number to `out` if it is not NULL.
//
// About 30 forward passes, 630 tokens in all; `cancel` may be NULL. `RUM_ERR_CANCELLED`, and the old width, when it is cancelled
// before every width was tried once. Outcomes of searches within a budget in tokens do not depend on the width.
RUM_MUST_USE
rum_status rum_session_measure_width(struct rum_session *session,
                                     const struct rum_cancel *cancel,
                                     uint64_t *out);

// Frees a session; NULL is fine. A run on it goes on, and its memory is given back with its last clone and run.
rum_status rum_session_free(struct rum_session *session);

// Writes what the session holds, with its keys and values, to the file at `path`, whole or not at all: a file that was there
// before stays until the new one is complete.
RUM_MUST_USE
rum_status rum_session_save(struct rum_session *session,
                            const char *path,
                            size_t path_len);

// A new session that goes on from the file that `rum_session_save` wrote with the same model, context and format of keys and
// values; `options` may be NULL. The caller frees `out`. `RUM_ERR_FORMAT` for a damaged file, and one of another model or of one
// with adapters, for which there is `rum_session_restore`.
RUM_MUST_USE
rum_status rum_session_load(const struct rum_model *model,
                            const struct rum_session_options *options,
                            const char *path,
                            size_t path_len,
                            struct rum_session **out);

// Has `session` go on from the file that `rum_session_save` wrote with the same model, adapters, context and format of keys and
// values; what it holds is dropped. On failure nothing has changed. Otherwise as `rum_session_load`.
RUM_MUST_USE
rum_status rum_session_restore(struct rum_session *session,
                               const char *path,
                               size_t path_len);

// Fills `estimate` with a usual tree: a prompt of 256 tokens, 8 branches of 512. `struct_size` is `sizeof *estimate`.
rum_status rum_estimate_init(struct rum_estimate *estimate, size_t struct_size);

// Prices the model at `path` with session options `options` (NULL for the defaults) and the tree that `estimate` describes,
// and writes the rest of `estimate`. Only the file's header is read; nothing is loaded. From any thread.
RUM_MUST_USE
rum_status rum_model_estimate(const char *path,
                              size_t path_len,
                              const struct rum_session_options *options,
                              struct rum_estimate *estimate);

// What a session of the model at `path` would take on each device, before anything is loaded: `RUM_BACKEND_LLAMA`'s own plan, to which
// drivers add something. Of `options` the backend, the layers and the devices are read, and nothing is called; `session` may be NULL for
// the defaults.
//
// One JSON object: `fits`, and `devices`, an array of objects with `name`, `gpu`, `weights_bytes`, `kv_bytes`, `scratch_bytes`,
// `total_bytes`, `free_bytes` and `fits` (null where a device does not tell what is free). The caller frees `out`. From any thread.
// Errors: `RUM_ERR_UNSUPPORTED` for `RUM_BACKEND_NATIVE`, which `rum_model_estimate` prices, in a build without llama.cpp and for a file
// that it refuses; `RUM_ERR_INVALID_ARGUMENT` for a device that there is not.
RUM_MUST_USE
rum_status rum_model_estimate_json(const char *path,
                                   size_t path_len,
                                   const struct rum_model_options *options,
                                   const struct rum_session_options *session,
                                   struct rum_text **out);

// A judge of a `rum_judge_kind`. The caller frees `out`.
RUM_MUST_USE rum_status rum_judge_new(uint32_t kind, struct rum_judge **out);

// Several judges as one: `n` of them at `judges`, mixed by a `rum_mix`. How a text's steps are put together is the first one's
// affair.
//
// On success the judges belong to the new one and their handles are freed; on failure nothing has changed. The caller frees
// `out`. `RUM_ERR_BUSY` while one of them is used by a run.
RUM_MUST_USE
rum_status rum_judge_mix(uint32_t mix,
                         struct rum_judge *const *judges,
                         size_t n,
                         struct rum_judge **out);

// The judge's values of a solution that the host has: `n` steps that follow each other, one text each, of which the last ends
// the solution if `complete` is not 0. `values` gets `n` numbers from 0 to 1.
//
// For judges of texts: `RUM_ERR_INVALID_ARGUMENT` from a head, which reads hidden states that texts do not have. Judges by how
// sure the model was know nothing of a text and give 0.5.
RUM_MUST_USE
rum_status rum_judge_score(struct rum_judge *judge,
                           const char *question,
                           size_t question_len,
                           const struct rum_str *steps,
                           size_t n,
                           uint32_t complete,
                           float *values);

// Frees a judge; NULL is fine. A run that uses it goes on.
rum_status rum_judge_free(struct rum_judge *judge);

// The reward head in the GGUF file at `path`, which reads the hidden states of `model` at no cost. `RUM_ERR_INVALID_ARGUMENT`
// unless it was fitted on exactly that model, and from a search on a session whose model has adapters beside it. The caller
// frees `out`.
RUM_MUST_USE
rum_status rum_judge_open_head(const struct rum_model *model,
                               const char *path,
                               size_t path_len,
                               struct rum_judge **out);

// As `rum_judge_open_head`, for a head that was fitted on the session's model with the adapters that stand beside it now.
RUM_MUST_USE
rum_status rum_judge_open_session_head(struct rum_session *session,
                                       const char *path,
                                       size_t path_len,
                                       struct rum_judge **out);

// The reward model in the GGUF file at `path`, in an engine of its own with `options` (NULL for the defaults), read as
// `convention` (a `rum_convention`) says. `head` is the path of its head file, with length 0 for a convention without one.
//
// `runtime` may be NULL for the defaults; its memory budget is charged, for keys and values as for a session's. The caller frees
// `out`.
RUM_MUST_USE
rum_status rum_judge_open_model(const struct rum_runtime *runtime,
                                uint32_t convention,
                                const char *path,
                                size_t path_len,
                                const char *head,
                                size_t head_len,
                                const struct rum_session_options *options,
                                struct rum_judge **out);

// A judge that asks the host's function `score` for the values of steps. `name` is what messages and traces call it.
//
// `score` is called with `user`; `drop` is called with it once, when the judge and the last run that uses it are gone, and also
// when this function fails. The caller frees `out`.
RUM_MUST_USE
rum_status rum_judge_new_scorer(const char *name,
                                size_t name_len,
                                rum_score_fn score,
                                void *user,
                                rum_drop_fn drop,
                                struct rum_judge **out);

// A judge that asks the host's function `verify` whether a finished solution is right: worth 1 or 0. A step that finishes none is
// worth 0.5. Otherwise as `rum_judge_new_scorer`.
RUM_MUST_USE
rum_status rum_judge_new_verifier(const char *name,
                                  size_t name_len,
                                  rum_verify_fn verify,
                                  void *user,
                                  rum_drop_fn drop,
                                  struct rum_judge **out);

// The built-in tool of that name: `calculator`, `dates`, `units` or `notes`, which `rum_methods_json` describes. Notes are kept
// for one question. The caller frees `out`.
RUM_MUST_USE
rum_status rum_tool_new(const char *name,
                        size_t name_len,
                        struct rum_tool **out);

// The tool `search`, which finds passages in the `.txt` and `.md` files of the folder at `path` and of the folders in it. They are
// read once, here; links are not followed. `RUM_ERR_INVALID_ARGUMENT` for more than 2,000 files or 32 MiB of text. The caller frees
// `out`.
RUM_MUST_USE
rum_status rum_tool_open_folder(const char *path,
                                size_t path_len,
                                struct rum_tool **out);

// Frees a tool; NULL is fine. Methods that were made with it go on.
rum_status rum_tool_free(struct rum_tool *tool);

// Fills `function` with nothing. `struct_size` is `sizeof *function`.
rum_status rum_function_init(struct rum_function *function, size_t struct_size);

// A tool that calls a function of the host. What it said is kept with traces and saved searches, and not asked again by those
// who go on with them. The caller frees `out`.
RUM_MUST_USE
rum_status rum_tool_new_function(const struct rum_function *function,
                                 struct rum_tool **out);

// Appends `len` bytes at `text` to what the function says to this call. Bytes that are no UTF-8 and control characters are replaced
// before the model reads them. `RUM_ERR_MEMORY`, and nothing is appended, past 1 MiB; `RUM_ERR_MISUSE` once the function has returned.
RUM_MUST_USE
rum_status rum_reply_write(struct rum_reply *reply,
                           const char *text,
                           size_t len);

// Fills `options` with the defaults, without a name. `struct_size` is `sizeof *options`.
rum_status rum_method_options_init(struct rum_method_options *options, size_t struct_size);

// The way to put questions that `options` describe; a `rum_prompt` names it. The caller frees `out`.
//
// `RUM_ERR_INVALID_ARGUMENT` for a name that there is not, for examples where none are used and none where they are, and for
// `react` without a tool; `RUM_ERR_FORMAT` for lines that are no examples; `RUM_ERR_IO` for files that cannot be read.
RUM_MUST_USE
rum_status rum_method_new(const struct rum_method_options *options,
                          struct rum_method **out);

// What there is to choose from, as one JSON object. `methods`: each with its `name`, what it is `about` with its paper, its `cost` in
// calls of the model, and its `kind`: `prompt`, or `method` for several calls. `tools`: the built-in ones, each with its `name`,
// `about` and `schema`. `prompts`: the words of all methods by name, as a folder may replace them. The caller frees `out`. From any
// thread.
RUM_MUST_USE
rum_status rum_methods_json(struct rum_text **out);

// Frees a method; NULL is fine. Runs that use it go on.
rum_status rum_method_free(struct rum_method *method);

// Fills `prompt` with an empty question. `struct_size` is `sizeof *prompt`.
rum_status rum_prompt_init(struct rum_prompt *prompt, size_t struct_size);

// Fills `search` with the defaults: eight samples at temperature 0.8, 512 tokens each, no budget. `struct_size` is
// `sizeof *search`.
rum_status rum_search_init(struct rum_search *search, size_t struct_size);

// Fills `generation` with the defaults. `struct_size` is `sizeof *generation`.
rum_status rum_generation_init(struct rum_generation *generation, size_t struct_size);

// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
rum_status rum_run_options_init(struct rum_run_options *options, size_t struct_size);

// Starts a search for the answer to `prompt` in a thread of its own; `search` and `options` may be NULL for the defaults.
//
// The session, and the judge if there is one, are busy until the run ends; what the session holds does not matter and does not
// change. A budget that runs out and a cancellation are results, not errors. Everything in the structs is copied or kept alive.
// The caller frees `out`. Errors found before the search starts are given here, later ones by `rum_run_error`.
RUM_MUST_USE
rum_status rum_run_search(struct rum_session *session,
                          const struct rum_prompt *prompt,
                          const struct rum_search *search,
                          const struct rum_run_options *options,
                          struct rum_run **out);

// Starts the generation of one text behind `prompt` in a thread of its own; `generation` and `options` may be NULL for the
// defaults, and a judge, a trace and a checkpoint are none of its options.
//
// `prompt` is the whole text: what the session already holds of its beginning is not computed again, the rest of what it holds
// is dropped. So a conversation is given as a whole each time. A run that ends while the prompt is computed leaves the session with the
// part that was. Otherwise as `rum_run_search`.
RUM_MUST_USE
rum_status rum_run_generate(struct rum_session *session,
                            const struct rum_prompt *prompt,
                            const struct rum_generation *generation,
                            const struct rum_run_options *options,
                            struct rum_run **out);

// Pulls the next event of a run. Set `event->struct_size` first; what the event points to lives until the next pull from the run.
//
// Waits up to `timeout_ms` milliseconds (0 not at all, `UINT64_MAX` for ever) and gives `RUM_EVENT_NONE` when there was none.
// The last one is `RUM_EVENT_DONE`, whether the run succeeded or failed. One thread at a time: `RUM_ERR_BUSY` for a second one.
// `RUM_ERR_INVALID_ARGUMENT` for a run that pushes its events.
RUM_MUST_USE
rum_status rum_run_next(struct rum_run *run,
                        uint64_t timeout_ms,
                        struct rum_event *event);

// Waits up to `timeout_ms` milliseconds (`UINT64_MAX` for ever) for the run to end, and writes to `done` whether it has: 1 or 0.
// `RUM_ERR_BUSY` from a callback of the run. `done` may be NULL. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_run_wait(const struct rum_run *run,
                        uint64_t timeout_ms,
                        uint32_t *done);

// Asks the run to end, as a cancel token does. Always allowed, also from its callbacks. From any thread, concurrently.
rum_status rum_run_cancel(const struct rum_run *run);

// Cancels the run if it is under way, waits for its thread and frees it; NULL is fine. `RUM_ERR_BUSY`, and nothing is done, from a
// callback of the run.
rum_status rum_run_free(struct rum_run *run);

// What the run has spent; `out->complete` says whether it has ended. Set `out->struct_size` first. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_run_get_usage(const struct rum_run *run,
                             struct rum_usage *out);

// What the run came to. Set `out->struct_size` first; texts are borrowed from `run`. `RUM_ERR_NOT_DONE` while it is under way;
// the run's own error if it failed. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_run_get_result(const struct rum_run *run,
                              struct rum_result *out);

// The answer number `index` of those that were voted on, best first; `RUM_ERR_NOT_FOUND` past the last. Otherwise as
// `rum_run_get_result`.
RUM_MUST_USE rum_status rum_run_get_candidate(const struct rum_run *run, size_t index, struct rum_candidate *out);

// Why the run failed: writes its status to `status` (`RUM_OK` for one that did not) and a text for a person, borrowed from `run`, to
// `message`, which may be NULL. `RUM_ERR_NOT_DONE` while it is under way. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_run_error(const struct rum_run *run,
                         int32_t *status,
                         struct rum_str *message);

// The trace of a search that was started with `trace` set: JSON lines, borrowed from `run`. `RUM_ERR_NOT_FOUND` for a run without
// one, `RUM_ERR_NOT_DONE` while it is under way. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_run_get_trace(const struct rum_run *run,
                             struct rum_str *out);

// Turns a trace, JSON lines, into a `rum_trace_format`. `name` is what a page calls it. The caller frees `out`.
// `RUM_ERR_FORMAT` for a damaged trace. From any thread.
RUM_MUST_USE
rum_status rum_trace_convert(const char *trace,
                             size_t trace_len,
                             uint32_t format,
                             const char *name,
                             size_t name_len,
                             struct rum_text **out);

// Opens the adapter in the GGUF file at `path`, as llama.cpp and `rum_adapter_save` write it. `RUM_ERR_INVALID_ARGUMENT` for one of
// another model than `model`. The caller frees `out`.
RUM_MUST_USE
rum_status rum_adapter_open(const struct rum_model *model,
                            const char *path,
                            size_t path_len,
                            struct rum_adapter **out);

// The adapter that a run of `rum_run_train` came to, as it was when the run ended, whatever ended it. The caller frees `out`.
// `RUM_ERR_NOT_FOUND` for a run that trained none, `RUM_ERR_NOT_DONE` while it is under way. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_run_get_adapter(const struct rum_run *run,
                               struct rum_adapter **out);

// What the adapter is. Set `out->struct_size` first; texts are borrowed from `adapter`. From any thread, concurrently.
RUM_MUST_USE rum_status rum_adapter_get_info(const struct rum_adapter *adapter, struct rum_adapter_info *out);

// Writes the adapter to the GGUF file at `path`, in llama.cpp's format, whole or not at all: a file that was there before stays until
// the new one is complete. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_adapter_save(const struct rum_adapter *adapter,
                            const char *path,
                            size_t path_len);

// Puts `n` adapters beside the session's model in place of those before; 0 takes all away. Each counts as often as its number in
// `scales` says, once where `scales` is NULL. The adapters may be freed; the session's clones share them.
//
// `RUM_ERR_INVALID_ARGUMENT`, and nothing has changed, while the session or a clone holds tokens, whose keys and values would not
// fit (`rum_session_rewind` to 0), for an adapter of another model, and for a scale that is not finite. The adapters' bytes are
// counted by `rum_session_memory`, not by the runtime's memory budget.
RUM_MUST_USE
rum_status rum_session_set_adapters(struct rum_session *session,
                                    const struct rum_adapter *const *adapters,
                                    const float *scales,
                                    size_t n);

// Frees an adapter; NULL is fine. Sessions that it stands beside go on.
rum_status rum_adapter_free(struct rum_adapter *adapter);

// Fills `pairing` with the defaults. `struct_size` is `sizeof *pairing`.
rum_status rum_pairing_init(struct rum_pairing *pairing, size_t struct_size);

// Fills `preference` with none. `struct_size` is `sizeof *preference`.
rum_status rum_preference_init(struct rum_preference *preference, size_t struct_size);

// An empty list of preferences for `model`. The caller frees `out`.
RUM_MUST_USE rum_status rum_preferences_new(const struct rum_model *model, struct rum_preferences **out);

// Appends one preference, which is copied. `RUM_ERR_FORMAT` unless it is a pair or a single completion. From any thread,
// concurrently.
RUM_MUST_USE
rum_status rum_preferences_add(const struct rum_preferences *preferences,
                               const struct rum_preference *preference);

// Appends the rows of `text`, one JSON object a line: `prompt`, `chosen`, `rejected`, or `prompt`, `completion`, `label`, as
// `rum_preferences_to_jsonl` and `ruminate learn collect --pairs` write them; all or none. Writes how many to `n` if it is not NULL.
// `RUM_ERR_FORMAT` names the line. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_preferences_add_jsonl(const struct rum_preferences *preferences,
                                     const char *text,
                                     size_t text_len,
                                     size_t *n);

// Appends pairs from the tree of a search, by its trace (`rum_run_get_trace`): solutions whose answer equals `answer` are right.
// `pairing` may be NULL for the defaults. Writes how many to `n` if it is not NULL; none where all solutions are right, or all wrong.
// None either where all solutions come to more than 256 MiB, each counted from the prompt on with four bytes a token.
// `RUM_ERR_INVALID_ARGUMENT` for a trace of another model. From any thread, concurrently.
RUM_MUST_USE
rum_status rum_preferences_add_trace(const struct rum_preferences *preferences,
                                     const char *trace,
                                     size_t trace_len,
                                     const char *answer,
                                     size_t answer_len,
                                     const struct rum_pairing *pairing,
                                     size_t *n);

// Writes how many preferences there are to `n`. From any thread, concurrently.
RUM_MUST_USE rum_status rum_preferences_count(const struct rum_preferences *preferences, size_t *n);

// All preferences as text, one JSON object a line, for `rum_preferences_add_jsonl` and `ruminate learn dpo`. The caller frees `out`.
// From any thread, concurrently.
RUM_MUST_USE
rum_status rum_preferences_to_jsonl(const struct rum_preferences *preferences,
                                    struct rum_text **out);

// Frees a list of preferences; NULL is fine. Runs that use it go on.
rum_status rum_preferences_free(struct rum_preferences *preferences);

// Fills `collection` with the defaults: 16 samples at temperature 0.8, 512 tokens each, of which nothing is kept.
// `struct_size` is `sizeof *collection`.
rum_status rum_collection_init(struct rum_collection *collection, size_t struct_size);

// Starts sampling solutions of the `n_questions` questions at `questions` in a thread of its own, and keeps what `collection` says:
// labelled steps for a reward head, preference pairs for an adapter, or both. `options` may be NULL.
//
// Everything is copied. Events are `RUM_EVENT_PROGRESS`, questions done; the result's text is a report as JSON. A cancelled run
// keeps what it has of whole questions. A question that is longer than the context gives nothing. The session is busy until the run
// ends. The caller frees `out`.
RUM_MUST_USE
rum_status rum_run_collect(struct rum_session *session,
                           const struct rum_question *const *questions,
                           size_t n_questions,
                           const struct rum_collection *collection,
                           const struct rum_run_options *options,
                           struct rum_run **out);

// Fills `training` with the defaults: DPO of rank 8 on all matrices, one pass in steps of 8 preferences. `struct_size` is
// `sizeof *training`.
rum_status rum_training_init(struct rum_training *training,
                             size_t struct_size);

// Starts training an adapter on `preferences` in a thread of its own; `training` and `options` may be NULL for the defaults.
//
// Events are `RUM_EVENT_STEP`; the result's text is a report as JSON, its stop reason `RUM_STOP_FINISHED`, `RUM_STOP_TOKENS`,
// `RUM_STOP_DEADLINE` or `RUM_STOP_CANCELLED`, and `rum_run_get_adapter` gives the adapter in each case. With a checkpoint, a run
// that was stopped or killed goes on where it was. A cancellation ends it within one layer of one pass. The model does not change
// and may be used meanwhile. Not every fault is found before the run starts: see `rum_run_error`. The caller frees `out`.
RUM_MUST_USE
rum_status rum_run_train(const struct rum_preferences *preferences,
                         const struct rum_training *training,
                         const struct rum_run_options *options,
                         struct rum_run **out);

// Fills `fitting` with the defaults. `struct_size` is `sizeof *fitting`.
rum_status rum_fitting_init(struct rum_fitting *fitting, size_t struct_size);

// Starts fitting a reward head on the `n` files of labelled steps at `files`, all of one model, in a thread of its own. It is
// written to the file at `path`, for `rum_judge_open_head`, once the run has finished; a cancelled run writes none.
//
// `runtime`, `fitting` and `options` may be NULL for the defaults. Events are `RUM_EVENT_PROGRESS`, fits made; the result's text is
// a report as JSON. Of the questions, 70 % are fitted on, 15 % choose and calibrate, 15 % give the figures. Files that cannot be read
// and parts without right and wrong solutions are errors of the run. The caller frees `out`.
RUM_MUST_USE
rum_status rum_run_fit_head(const struct rum_runtime *runtime,
                            const struct rum_str *files,
                            size_t n,
                            const char *path,
                            size_t path_len,
                            const struct rum_fitting *fitting,
                            const struct rum_run_options *options,
                            struct rum_run **out);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RUMINATE_H */
