/* ruminate: on-device reasoning. The C interface as C++17: one header, nothing to link beyond libruminate.
 *
 * Objects are move-only and free themselves, in any order. Texts are std::string_view, borrowed as ruminate.h says; functions that
 * would hand out a text to be freed give a std::string. Failures are thrown as rum::error; with RUM_NO_EXCEPTIONS defined, functions
 * return a rum::expected instead. What a function of yours throws inside a callback does not reach the library: the run fails with
 * RUM_ERR_CALLBACK, or is cancelled for a function that gets events.
 *
 * Options are the structs of ruminate.h, filled with their defaults: `rum::search s; s.n = 16;`. What ruminate.h says about threads,
 * errors and units holds here.
 */
#ifndef RUMINATE_HPP
#define RUMINATE_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#ifndef RUM_NO_EXCEPTIONS
#include <stdexcept>
#endif
#if __cplusplus >= 202002L && __has_include(<stop_token>)
#include <stop_token>
#endif

#include "ruminate.h"

namespace rum {

/* A status with its text. */
struct failure {
    rum_status status;
    std::string message;
};

/* A value or a failure, after std::expected. Taking the value of a failure ends the program. */
template <class T> class [[nodiscard]] expected {
public:
    expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    expected(failure error) : state_(std::in_place_index<1>, std::move(error)) {}
    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    T &value() & noexcept { return *std::get_if<0>(&state_); }
    T &&value() && noexcept { return std::move(*std::get_if<0>(&state_)); }
    T &operator*() & noexcept { return value(); }
    T &&operator*() && noexcept { return std::move(*this).value(); }
    T *operator->() noexcept { return std::get_if<0>(&state_); }
    const failure &error() const noexcept { return *std::get_if<1>(&state_); }

private:
    std::variant<T, failure> state_;
};

#ifndef RUM_NO_EXCEPTIONS
/* What is thrown. */
class error : public std::runtime_error {
public:
    error(rum_status status, const std::string &message) : std::runtime_error(message), status_(status) {}
    rum_status status() const noexcept { return status_; }

private:
    rum_status status_;
};
/* What functions give: the value itself, or an exception. */
template <class T> using result = T;
#else
/* What functions give. */
template <class T> using result = expected<T>;
#endif

/* What functions without a value give. */
struct done {};

namespace detail {

inline failure last(rum_status status) { return failure{status, rum_last_error()}; }

template <class T> result<T> give(rum_status status, T value) {
#ifndef RUM_NO_EXCEPTIONS
    if (status != RUM_OK) throw error(status, rum_last_error());
    return value;
#else
    if (status != RUM_OK) return last(status);
    return value;
#endif
}

inline rum_str str(std::string_view text) noexcept { return rum_str{text.data() ? text.data() : "", text.size()}; }
inline const char *data(std::string_view text) noexcept { return text.data() ? text.data() : ""; }

/* A handle that frees itself. */
template <class H, rum_status (*Free)(H *)> class handle {
public:
    handle() noexcept = default;
    explicit handle(H *raw) noexcept : raw_(raw) {}
    handle(handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    handle &operator=(handle &&other) noexcept {
        if (this != &other) reset(std::exchange(other.raw_, nullptr));
        return *this;
    }
    ~handle() { reset(); }
    /* The handle as ruminate.h has it; it stays this object's. */
    H *get() const noexcept { return raw_; }
    /* Gives the handle away. */
    H *release() noexcept { return std::exchange(raw_, nullptr); }
    explicit operator bool() const noexcept { return raw_ != nullptr; }

private:
    void reset(H *raw = nullptr) noexcept {
        Free(raw_);
        raw_ = raw;
    }
    H *raw_ = nullptr;
};

/* The text of `raw`, which is freed. */
inline std::string take(rum_text *raw) {
    handle<rum_text, rum_text_free> text(raw);
    rum_str str{nullptr, 0};
    if (!text || rum_text_get(text.get(), &str) != RUM_OK) return {};
    return std::string(str.ptr, str.len);
}

/* Calls `f`, and gives `otherwise` for what it throws. */
template <class F, class R> R guarded(R otherwise, F &&f) noexcept {
#ifndef RUM_NO_EXCEPTIONS
    try {
        return f();
    } catch (...) {
        return otherwise;
    }
#else
    (void)otherwise;
    return f();
#endif
}

template <class F> void drop(void *user) noexcept { delete static_cast<F *>(user); }

} // namespace detail

/* Borrowed text; empty for one that does not exist. */
inline std::string_view view(const rum_str &str) noexcept { return str.ptr ? std::string_view(str.ptr, str.len) : std::string_view(); }
/* Borrowed text, or nothing. */
inline std::optional<std::string_view> maybe(const rum_str &str) noexcept {
    return str.ptr ? std::optional<std::string_view>(view(str)) : std::nullopt;
}

/* Options with their defaults. A text that is put into one has to live until the call that takes the options. */
template <class S, rum_status (*Init)(S *, std::size_t)> struct options : S {
    options() noexcept : S() { Init(this, sizeof(S)); }
};
using runtime_options = options<rum_runtime_options, rum_runtime_options_init>;
using model_options = options<rum_model_options, rum_model_options_init>;
using session_options = options<rum_session_options, rum_session_options_init>;
using method_options = options<rum_method_options, rum_method_options_init>;
using search = options<rum_search, rum_search_init>;
using generation = options<rum_generation, rum_generation_init>;
using pairing = options<rum_pairing, rum_pairing_init>;
using collection = options<rum_collection, rum_collection_init>;
using training = options<rum_training, rum_training_init>;
using fitting = options<rum_fitting, rum_fitting_init>;

/* A function that a model can call. */
class tool : public detail::handle<rum_tool, rum_tool_free> {
public:
    using handle::handle;
    /* `calculator`, `dates`, `units` or `notes`. */
    static result<tool> make(std::string_view name) {
        rum_tool *raw = nullptr;
        rum_status status = rum_tool_new(detail::data(name), name.size(), &raw);
        return detail::give(status, tool(raw));
    }
    /* Finds passages in the text files of a folder. */
    static result<tool> folder(std::string_view path) {
        rum_tool *raw = nullptr;
        rum_status status = rum_tool_open_folder(detail::data(path), path.size(), &raw);
        return detail::give(status, tool(raw));
    }
    /* Calls `call` with the arguments, a JSON object that fits `schema`; what it returns is what the model reads. What it throws is a
     * failure that the model is told of. Called on threads of their own, on several at once by runs side by side. */
    static result<tool> function(std::string_view name, std::string_view about, std::string_view schema,
                                 std::function<std::string(std::string_view arguments)> call) {
        using F = std::function<std::string(std::string_view)>;
        options<rum_function, rum_function_init> given;
        given.name = detail::str(name);
        given.about = detail::str(about);
        given.schema = detail::str(schema);
        given.call = [](void *user, const char *arguments, std::size_t len, rum_reply *reply) -> std::int32_t {
            return detail::guarded(std::int32_t{-1}, [&]() -> std::int32_t {
                const std::string said = (*static_cast<F *>(user))(std::string_view(arguments, len));
                return rum_reply_write(reply, said.data(), said.size()) == RUM_OK ? 0 : -1;
            });
        };
        given.user = new F(std::move(call));
        given.drop = detail::drop<F>;
        rum_tool *raw = nullptr;
        rum_status status = rum_tool_new_function(&given, &raw);
        return detail::give(status, tool(raw));
    }
};

/* How a question is put: in one prompt, or by a method of several calls. */
class method : public detail::handle<rum_method, rum_method_free> {
public:
    using handle::handle;
    /* The method of that name; `options` are its examples, prompts and limits. The tools are kept by the method. */
    static result<method> make(std::string_view name, const std::vector<const tool *> &tools = {}, method_options options = {}) {
        std::vector<const rum_tool *> raws;
        for (const tool *used : tools) raws.push_back(used->get());
        options.name = detail::str(name);
        options.tools = raws.data();
        options.n_tools = raws.size();
        rum_method *raw = nullptr;
        rum_status status = rum_method_new(&options, &raw);
        return detail::give(status, method(raw));
    }
    /* What there is to choose from, as JSON. */
    static result<std::string> list() {
        rum_text *text = nullptr;
        rum_status status = rum_methods_json(&text);
        return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
    }
};

/* What a run goes on from. */
struct prompt : options<rum_prompt, rum_prompt_init> {
    static prompt question(std::string_view text, rum_strategy strategy = RUM_STRATEGY_DIRECT) noexcept {
        return of(RUM_PROMPT_QUESTION, text, strategy);
    }
    /* `by` has to live until the call that takes the prompt. */
    static prompt question(std::string_view text, const rum::method &by) noexcept {
        prompt made = question(text);
        made.method = by.get();
        return made;
    }
    /* A JSON array of objects with `role` and `content`. */
    static prompt messages(std::string_view json) noexcept { return of(RUM_PROMPT_MESSAGES, json, RUM_STRATEGY_DIRECT); }
    static prompt text_as_it_is(std::string_view text) noexcept { return of(RUM_PROMPT_TEXT, text, RUM_STRATEGY_DIRECT); }
    static prompt of_tokens(const std::vector<std::uint32_t> &tokens) noexcept {
        prompt made = of(RUM_PROMPT_TOKENS, {}, RUM_STRATEGY_DIRECT);
        made.tokens = tokens.data();
        made.n_tokens = tokens.size();
        return made;
    }

private:
    static prompt of(std::uint32_t kind, std::string_view text, std::uint32_t strategy) noexcept {
        prompt made;
        made.kind = kind;
        made.strategy = strategy;
        made.text = detail::str(text);
        return made;
    }
};

/* Ends work early, from any thread. */
class cancel_token : public detail::handle<rum_cancel, rum_cancel_free> {
public:
    using handle::handle;
    static result<cancel_token> make() {
        rum_cancel *raw = nullptr;
        rum_status status = rum_cancel_new(&raw);
        return detail::give(status, cancel_token(raw));
    }
    void cancel() const noexcept { rum_cancel_cancel(get()); }
    bool is_cancelled() const noexcept {
        std::uint32_t is = 0;
        return rum_cancel_is_cancelled(get(), &is) == RUM_OK && is != 0;
    }
};

#ifdef __cpp_lib_jthread
/* Cancels `token` when a stop is requested; both have to outlive it. */
class stop_link {
public:
    stop_link(std::stop_token stop, const cancel_token &token) : callback_(std::move(stop), call{&token}) {}

private:
    struct call {
        const cancel_token *token;
        void operator()() const noexcept { token->cancel(); }
    };
    std::stop_callback<call> callback_;
};
#endif

/* Threads and a memory budget. */
class runtime : public detail::handle<rum_runtime, rum_runtime_free> {
public:
    using handle::handle;
    static result<runtime> make(const runtime_options &options = {}) {
        rum_runtime *raw = nullptr;
        rum_status status = rum_runtime_new(&options, &raw);
        return detail::give(status, runtime(raw));
    }
    result<std::uint64_t> memory() const {
        std::uint64_t used = 0;
        rum_status status = rum_runtime_memory(get(), &used);
        return detail::give(status, used);
    }
    /* How short of memory the system is, until the next call. */
    result<done> set_memory_pressure(rum_memory_pressure level) const {
        rum_status status = rum_runtime_set_memory_pressure(get(), level);
        return detail::give(status, done());
    }
};

/* The devices that RUM_BACKEND_LLAMA can use, as JSON. */
inline result<std::string> devices() {
    rum_text *text = nullptr;
    rum_status status = rum_devices_json(&text);
    return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
}

/* Told while a model is opened: `done` of `total` bytes. Returns whether to go on. */
using progress = std::function<bool(rum_load_stage stage, std::uint64_t done, std::uint64_t total)>;

/* Weights, vocabulary and chat template. */
class model : public detail::handle<rum_model, rum_model_free> {
public:
    using handle::handle;
    static result<model> open(std::string_view path, const model_options &options = {}, const runtime *runtime = nullptr,
                              const cancel_token *cancel = nullptr) {
        rum_model *raw = nullptr;
        rum_status status = rum_model_open(runtime ? runtime->get() : nullptr, detail::data(path), path.size(), &options,
                                           cancel ? cancel->get() : nullptr, &raw);
        return detail::give(status, model(raw));
    }
    /* The same, telling `told` how far it is. */
    static result<model> open_watched(std::string_view path, progress told, model_options options = {},
                                      const runtime *runtime = nullptr, const cancel_token *cancel = nullptr) {
        options.on_progress = [](void *user, std::uint32_t stage, std::uint64_t done, std::uint64_t total) -> std::int32_t {
            return detail::guarded(std::int32_t{1}, [&]() -> std::int32_t {
                return (*static_cast<progress *>(user))(static_cast<rum_load_stage>(stage), done, total) ? 0 : 1;
            });
        };
        options.user = &told;
        options.drop = nullptr;
        return open(path, options, runtime, cancel);
    }
    static result<model> open_memory(const void *data, std::size_t len, const runtime *runtime = nullptr) {
        rum_model *raw = nullptr;
        rum_status status = rum_model_open_memory(runtime ? runtime->get() : nullptr, static_cast<const std::uint8_t *>(data), len,
                                                  nullptr, nullptr, &raw);
        return detail::give(status, model(raw));
    }
    /* What the model at `path` would take with a tree; see rum_model_estimate. */
    static result<rum_estimate> estimate(std::string_view path, rum_estimate tree, const session_options &options = {}) {
        rum_status status = rum_model_estimate(detail::data(path), path.size(), &options, &tree);
        return detail::give(status, tree);
    }
    /* What a session would take on each device, as JSON; see rum_model_estimate_json. */
    static result<std::string> estimate_devices(std::string_view path, const model_options &options, const session_options &session = {}) {
        rum_text *text = nullptr;
        rum_status status = rum_model_estimate_json(detail::data(path), path.size(), &options, &session, &text);
        return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
    }
    result<rum_model_info> info() const {
        rum_model_info info{};
        info.struct_size = sizeof info;
        rum_status status = rum_model_get_info(get(), &info);
        return detail::give(status, info);
    }
    /* A metadata value as text, or nothing. */
    std::optional<std::string_view> meta(std::string_view key) const noexcept {
        rum_str value{nullptr, 0};
        if (rum_model_get_meta(get(), detail::data(key), key.size(), &value) != RUM_OK) return std::nullopt;
        return view(value);
    }
    result<std::vector<std::uint32_t>> tokenize(std::string_view text, std::uint32_t flags = 0) const {
        std::vector<std::uint32_t> tokens(text.size() + 2);
        std::size_t n = 0;
        rum_status status = rum_tokenize(get(), detail::data(text), text.size(), flags, tokens.data(), tokens.size(), &n);
        tokens.resize(status == RUM_OK ? n : 0);
        return detail::give(status, std::move(tokens));
    }
    result<std::string> detokenize(const std::vector<std::uint32_t> &tokens, std::uint32_t flags = 0) const {
        rum_text *text = nullptr;
        rum_status status = rum_detokenize(get(), tokens.data(), tokens.size(), flags, &text);
        return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
    }
    result<std::string> render(std::string_view messages_json, bool add_generation_prompt = true) const {
        rum_text *text = nullptr;
        rum_status status = rum_chat_render(get(), detail::data(messages_json), messages_json.size(), add_generation_prompt, &text);
        return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
    }
};

class session;

/* Small matrices beside those of a model. */
class adapter : public detail::handle<rum_adapter, rum_adapter_free> {
public:
    using handle::handle;
    static result<adapter> open(const model &model, std::string_view path) {
        rum_adapter *raw = nullptr;
        rum_status status = rum_adapter_open(model.get(), detail::data(path), path.size(), &raw);
        return detail::give(status, adapter(raw));
    }
    result<done> save(std::string_view path) const {
        rum_status status = rum_adapter_save(get(), detail::data(path), path.size());
        return detail::give(status, done());
    }
    result<rum_adapter_info> info() const {
        rum_adapter_info info{};
        info.struct_size = sizeof info;
        rum_status status = rum_adapter_get_info(get(), &info);
        return detail::give(status, info);
    }
};

/* Values the steps of a search. */
class judge : public detail::handle<rum_judge, rum_judge_free> {
public:
    using handle::handle;
    static result<judge> make(rum_judge_kind kind) {
        rum_judge *raw = nullptr;
        rum_status status = rum_judge_new(kind, &raw);
        return detail::give(status, judge(raw));
    }
    static result<judge> head(const model &model, std::string_view path) {
        rum_judge *raw = nullptr;
        rum_status status = rum_judge_open_head(model.get(), detail::data(path), path.size(), &raw);
        return detail::give(status, judge(raw));
    }
    /* A head that was fitted on the session's model with its adapters. */
    static result<judge> head(session &session, std::string_view path);
    /* A reward model; `head` for the conventions that have one. */
    static result<judge> reward_model(rum_convention convention, std::string_view path, std::string_view head = {},
                                      const session_options &options = {}, const runtime *runtime = nullptr) {
        rum_judge *raw = nullptr;
        rum_status status = rum_judge_open_model(runtime ? runtime->get() : nullptr, convention, detail::data(path), path.size(),
                                                 detail::data(head), head.size(), &options, &raw);
        return detail::give(status, judge(raw));
    }
    /* Asks `score` for the value of each step, from 0 to 1. */
    static result<judge> scorer(std::string_view name, std::function<float(const rum_step &)> score) {
        using F = std::function<float(const rum_step &)>;
        rum_judge *raw = nullptr;
        auto call = [](void *user, const rum_step *const *steps, std::size_t n, float *values) -> std::int32_t {
            return detail::guarded(std::int32_t{-1}, [&]() -> std::int32_t {
                for (std::size_t i = 0; i < n; i++) values[i] = (*static_cast<F *>(user))(*steps[i]);
                return 0;
            });
        };
        rum_status status = rum_judge_new_scorer(detail::data(name), name.size(), call, new F(std::move(score)), detail::drop<F>, &raw);
        return detail::give(status, judge(raw));
    }
    /* Asks `verify` whether a finished solution is right. */
    static result<judge> verifier(std::string_view name, std::function<bool(const rum_solution &)> verify) {
        using F = std::function<bool(const rum_solution &)>;
        rum_judge *raw = nullptr;
        auto call = [](void *user, const rum_solution *solution) -> std::int32_t {
            return detail::guarded(std::int32_t{-1}, [&]() -> std::int32_t { return (*static_cast<F *>(user))(*solution) ? 1 : 0; });
        };
        rum_status status = rum_judge_new_verifier(detail::data(name), name.size(), call, new F(std::move(verify)), detail::drop<F>, &raw);
        return detail::give(status, judge(raw));
    }
    /* Several judges as one; they are used up on success. */
    static result<judge> mix(rum_mix mix, std::vector<judge> &judges) {
        std::vector<rum_judge *> raws;
        for (const judge &part : judges) raws.push_back(part.get());
        rum_judge *raw = nullptr;
        rum_status status = rum_judge_mix(mix, raws.data(), raws.size(), &raw);
        if (status == RUM_OK) {
            for (judge &part : judges) part.release();
            judges.clear();
        }
        return detail::give(status, judge(raw));
    }
    /* The values of the steps of a solution. */
    result<std::vector<float>> score(std::string_view question, const std::vector<std::string_view> &steps, bool complete) {
        std::vector<rum_str> texts;
        for (std::string_view step : steps) texts.push_back(detail::str(step));
        std::vector<float> values(steps.size());
        rum_status status = rum_judge_score(get(), detail::data(question), question.size(), texts.data(), texts.size(), complete,
                                            values.data());
        return detail::give(status, std::move(values));
    }
};

/* An event; what it points to lives until the next one. */
struct event : rum_event {
    event() noexcept : rum_event() { struct_size = sizeof(rum_event); }
    explicit event(const rum_event &raw) noexcept : rum_event(raw) {}
    bool is(rum_event_kind wanted) const noexcept { return kind == static_cast<std::uint32_t>(wanted); }
    std::string_view text_view() const noexcept { return view(text); }
    std::optional<std::string_view> answer_view() const noexcept { return maybe(answer); }
    std::optional<double> judged() const noexcept { return flags & RUM_EVENT_SCORED ? std::optional<double>(score) : std::nullopt; }
};

/* What accompanies a run. The objects it names have to live until the run is started. */
struct run_options : options<rum_run_options, rum_run_options_init> {
    run_options &with(const rum::judge &used) noexcept { return judge = used.get(), *this; }
    run_options &with(const cancel_token &used) noexcept { return cancel = used.get(), *this; }
    run_options &with_trace() noexcept { return trace = 1, *this; }
    /* `path` has to live until the run is started. */
    run_options &with_checkpoint(std::string_view path) noexcept { return checkpoint = detail::str(path), *this; }
    /* RUM_EVENTS_…. */
    run_options &with_events(std::uint32_t wanted) noexcept { return events = wanted, *this; }
    /* Pushes events to `function`, which returns whether the run should go on. For one run. */
    run_options &with_listener(std::function<bool(const event &)> function) {
        hooks().listen = std::move(function);
        on_event = [](void *given, const rum_event *raw) -> std::int32_t {
            return detail::guarded(std::int32_t{1}, [&]() -> std::int32_t { return static_cast<host *>(given)->listen(rum::event(*raw)) ? 0 : 1; });
        };
        return *this;
    }
    /* Asks `function` about the device's heat and energy; it returns whether the run should go on. For one run. */
    run_options &with_power(std::function<bool(rum_power &)> function) {
        hooks().power = std::move(function);
        on_power = [](void *given, rum_power *power) -> std::int32_t {
            return detail::guarded(std::int32_t{1}, [&]() -> std::int32_t { return static_cast<host *>(given)->power(*power) ? 0 : 1; });
        };
        return *this;
    }

    /* As the functions that start a run take them: the library owns the functions from here on, whether the run starts or not. */
    rum_run_options armed() const noexcept {
        rum_run_options raw = *this;
        if (hooks_ && *hooks_) {
            raw.user = hooks_->release();
            raw.drop = detail::drop<host>;
        } else if (hooks_) {
            raw.on_event = nullptr, raw.on_power = nullptr;
        }
        return raw;
    }

private:
    struct host {
        std::function<bool(const event &)> listen;
        std::function<bool(rum_power &)> power;
    };
    host &hooks() {
        if (!hooks_ || !*hooks_) hooks_ = std::make_shared<std::unique_ptr<host>>(std::make_unique<host>());
        return **hooks_;
    }
    std::shared_ptr<std::unique_ptr<host>> hooks_;
};

/* A search or generation under way, or its result. Texts are borrowed from it. */
class run : public detail::handle<rum_run, rum_run_free> {
public:
    using handle::handle;
    /* The next event; RUM_EVENT_NONE when none came within `timeout_ms`. */
    result<event> next(std::uint64_t timeout_ms = UINT64_MAX) {
        event next;
        rum_status status = rum_run_next(get(), timeout_ms, &next);
        return detail::give(status, next);
    }
    /* Whether the run ended within `timeout_ms`. */
    result<bool> wait(std::uint64_t timeout_ms = UINT64_MAX) const {
        std::uint32_t is_over = 0;
        rum_status status = rum_run_wait(get(), timeout_ms, &is_over);
        return detail::give(status, is_over != 0);
    }
    void cancel() const noexcept { rum_run_cancel(get()); }
    result<rum_usage> usage() const {
        rum_usage usage{};
        usage.struct_size = sizeof usage;
        rum_status status = rum_run_get_usage(get(), &usage);
        return detail::give(status, usage);
    }
    /* What the run came to; its own failure if it failed. */
    result<rum_result> outcome() const {
        rum_result outcome{};
        outcome.struct_size = sizeof outcome;
        rum_status status = rum_run_get_result(get(), &outcome);
        return detail::give(status, outcome);
    }
    result<rum_candidate> candidate(std::size_t index) const {
        rum_candidate candidate{};
        candidate.struct_size = sizeof candidate;
        rum_status status = rum_run_get_candidate(get(), index, &candidate);
        return detail::give(status, candidate);
    }
    /* What training came to. */
    result<rum::adapter> adapter() const {
        rum_adapter *raw = nullptr;
        rum_status status = rum_run_get_adapter(get(), &raw);
        return detail::give(status, rum::adapter(raw));
    }
    /* JSON lines. */
    result<std::string_view> trace() const {
        rum_str trace{nullptr, 0};
        rum_status status = rum_run_get_trace(get(), &trace);
        return detail::give(status, view(trace));
    }

    /* Events until the run is over, for a range-based for. A failed pull ends the range, without exceptions. */
    class range {
    public:
        class iterator {
        public:
            using iterator_category = std::input_iterator_tag;
            using value_type = event;
            using difference_type = std::ptrdiff_t;
            using pointer = const event *;
            using reference = const event &;
            iterator() = default;
            explicit iterator(run *of) : of_(of) { ++*this; }
            const event &operator*() const noexcept { return event_; }
            const event *operator->() const noexcept { return &event_; }
            iterator &operator++() {
#ifndef RUM_NO_EXCEPTIONS
                event_ = of_->next();
#else
                expected<event> next = of_->next();
                if (!next) return of_ = nullptr, *this;
                event_ = *next;
#endif
                if (event_.is(RUM_EVENT_DONE)) of_ = nullptr;
                return *this;
            }
            void operator++(int) { ++*this; }
            bool operator==(const iterator &other) const noexcept { return of_ == other.of_; }
            bool operator!=(const iterator &other) const noexcept { return of_ != other.of_; }

        private:
            run *of_ = nullptr;
            event event_;
        };
        explicit range(run *of) noexcept : of_(of) {}
        iterator begin() const { return iterator(of_); }
        iterator end() const noexcept { return iterator(); }

    private:
        run *of_;
    };
    range events() noexcept { return range(this); }
};

/* Runs a model. */
class session : public detail::handle<rum_session, rum_session_free> {
public:
    using handle::handle;
    static result<session> make(const model &model, const session_options &options = {}) {
        rum_session *raw = nullptr;
        rum_status status = rum_session_new(model.get(), &options, &raw);
        return detail::give(status, session(raw));
    }
    static result<session> load(const model &model, std::string_view path, const session_options &options = {}) {
        rum_session *raw = nullptr;
        rum_status status = rum_session_load(model.get(), &options, detail::data(path), path.size(), &raw);
        return detail::give(status, session(raw));
    }
    result<session> clone() {
        rum_session *raw = nullptr;
        rum_status status = rum_session_clone(get(), &raw);
        return detail::give(status, session(raw));
    }
    result<done> save(std::string_view path) {
        rum_status status = rum_session_save(get(), detail::data(path), path.size());
        return detail::give(status, done());
    }
    result<done> rewind(std::size_t n_tokens) {
        rum_status status = rum_session_rewind(get(), n_tokens);
        return detail::give(status, done());
    }
    result<std::size_t> n_tokens() {
        std::size_t n = 0;
        rum_status status = rum_session_n_tokens(get(), &n);
        return detail::give(status, n);
    }
    result<rum_memory> memory() {
        rum_memory memory{};
        memory.struct_size = sizeof memory;
        rum_status status = rum_session_memory(get(), &memory);
        return detail::give(status, memory);
    }
    /* Goes on from a saved session, with the adapters that stand beside this one. */
    result<done> restore(std::string_view path) {
        rum_status status = rum_session_restore(get(), detail::data(path), path.size());
        return detail::give(status, done());
    }
    /* Puts these adapters, each counted as often as its number says, in place of those before; none takes all away. */
    result<done> set_adapters(const std::vector<std::pair<const adapter *, float>> &adapters) {
        std::vector<const rum_adapter *> raws;
        std::vector<float> scales;
        for (const auto &part : adapters) {
            raws.push_back(part.first->get());
            scales.push_back(part.second);
        }
        rum_status status = rum_session_set_adapters(get(), raws.data(), scales.data(), raws.size());
        return detail::give(status, done());
    }
    result<std::uint64_t> measure_width(const cancel_token *cancel = nullptr) {
        std::uint64_t width = 0;
        rum_status status = rum_session_measure_width(get(), cancel ? cancel->get() : nullptr, &width);
        return detail::give(status, width);
    }
    result<run> solve(const prompt &prompt, const search &search = {}, const run_options &options = {}) {
        rum_run *raw = nullptr;
        const rum_run_options armed = options.armed();
        rum_status status = rum_run_search(get(), &prompt, &search, &armed, &raw);
        return detail::give(status, run(raw));
    }
    result<run> generate(const prompt &prompt, const generation &generation = {}, const run_options &options = {}) {
        rum_run *raw = nullptr;
        const rum_run_options armed = options.armed();
        rum_status status = rum_run_generate(get(), &prompt, &generation, &armed, &raw);
        return detail::give(status, run(raw));
    }
};

inline result<judge> judge::head(session &session, std::string_view path) {
    rum_judge *raw = nullptr;
    rum_status status = rum_judge_open_session_head(session.get(), detail::data(path), path.size(), &raw);
    return detail::give(status, judge(raw));
}

/* Preferences to train on. */
class preferences : public detail::handle<rum_preferences, rum_preferences_free> {
public:
    using handle::handle;
    static result<preferences> make(const model &model) {
        rum_preferences *raw = nullptr;
        rum_status status = rum_preferences_new(model.get(), &raw);
        return detail::give(status, preferences(raw));
    }
    result<done> add_pair(const prompt &prompt, std::string_view chosen, std::string_view rejected, std::uint32_t flags = 0) {
        rum_preference row = empty(prompt, flags);
        row.chosen = detail::str(chosen);
        row.rejected = detail::str(rejected);
        return add(row);
    }
    result<done> add_single(const prompt &prompt, std::string_view completion, bool good, std::uint32_t flags = 0) {
        rum_preference row = empty(prompt, flags | (good ? RUM_PREFERENCE_GOOD : 0u));
        row.completion = detail::str(completion);
        return add(row);
    }
    result<done> add(const rum_preference &row) {
        rum_status status = rum_preferences_add(get(), &row);
        return detail::give(status, done());
    }
    result<std::size_t> add_jsonl(std::string_view lines) {
        std::size_t n = 0;
        rum_status status = rum_preferences_add_jsonl(get(), detail::data(lines), lines.size(), &n);
        return detail::give(status, n);
    }
    result<std::size_t> add_trace(std::string_view trace, std::string_view answer, const pairing &pairing = {}) {
        std::size_t n = 0;
        rum_status status = rum_preferences_add_trace(get(), detail::data(trace), trace.size(), detail::data(answer), answer.size(),
                                                      &pairing, &n);
        return detail::give(status, n);
    }
    result<std::size_t> count() const {
        std::size_t n = 0;
        rum_status status = rum_preferences_count(get(), &n);
        return detail::give(status, n);
    }
    result<std::string> jsonl() const {
        rum_text *text = nullptr;
        rum_status status = rum_preferences_to_jsonl(get(), &text);
        return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
    }
    result<run> train(const training &training = {}, const run_options &options = {}) const {
        rum_run *raw = nullptr;
        const rum_run_options armed = options.armed();
        rum_status status = rum_run_train(get(), &training, &armed, &raw);
        return detail::give(status, run(raw));
    }

private:
    static rum_preference empty(const prompt &prompt, std::uint32_t flags) noexcept {
        rum_preference row;
        rum_preference_init(&row, sizeof row);
        row.prompt = &prompt;
        row.flags = flags;
        return row;
    }
};

/* A question with a known answer. */
struct question {
    std::uint64_t number;
    std::string_view text;
    std::string_view answer;
};

/* Samples solutions of the questions and keeps what `collection` says. With `verify`, that says whether a solution is right. */
inline result<run> collect(session &session, const std::vector<question> &questions, collection how = {}, const run_options &options = {},
                           std::function<bool(const rum_solution &)> verify = nullptr) {
    using F = std::function<bool(const rum_solution &)>;
    std::vector<rum_question> raws;
    std::vector<const rum_question *> pointers;
    for (const question &question : questions)
        raws.push_back(rum_question{sizeof(rum_question), question.number, detail::str(question.text), detail::str(question.answer)});
    for (const rum_question &raw : raws) pointers.push_back(&raw);
    if (verify) {
        how.verify = [](void *user, const rum_solution *solution) -> std::int32_t {
            return detail::guarded(std::int32_t{-1}, [&]() -> std::int32_t { return (*static_cast<F *>(user))(*solution) ? 1 : 0; });
        };
        how.user = new F(std::move(verify));
        how.drop = detail::drop<F>;
    }
    rum_run *raw = nullptr;
    const rum_run_options armed = options.armed();
    rum_status status = rum_run_collect(session.get(), pointers.data(), pointers.size(), &how, &armed, &raw);
    return detail::give(status, run(raw));
}

/* Fits a reward head on files of labelled steps and writes it to `path`. */
inline result<run> fit_head(const std::vector<std::string_view> &files, std::string_view path, const fitting &fitting = {},
                            const run_options &options = {}, const runtime *runtime = nullptr) {
    std::vector<rum_str> raws;
    for (std::string_view file : files) raws.push_back(detail::str(file));
    rum_run *raw = nullptr;
    const rum_run_options armed = options.armed();
    rum_status status = rum_run_fit_head(runtime ? runtime->get() : nullptr, raws.data(), raws.size(), detail::data(path), path.size(),
                                         &fitting, &armed, &raw);
    return detail::give(status, run(raw));
}

/* A trace as a page or as spans. */
inline result<std::string> convert_trace(std::string_view trace, rum_trace_format format, std::string_view name = {}) {
    rum_text *text = nullptr;
    rum_status status = rum_trace_convert(detail::data(trace), trace.size(), format, detail::data(name), name.size(), &text);
    return detail::give(status, status == RUM_OK ? detail::take(text) : std::string());
}

/* Whether this header and the library fit together. */
inline result<done> check_abi() {
    rum_status status = rum_check_abi(RUM_ABI_VERSION);
    return detail::give(status, done());
}

} // namespace rum

#endif /* RUMINATE_HPP */
