/* Models, tokens and memory. */
#include <fcntl.h>
#include <unistd.h>

#include "check.h"

static uint8_t *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    uint8_t *data;
    long size;
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0 && fseek(file, 0, SEEK_SET) == 0);
    data = malloc((size_t)size);
    CHECK(data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size);
    CHECK(fclose(file) == 0);
    *len = (size_t)size;
    return data;
}

static void says_what_it_is(const paths *p, const rum_model *model, const rum_model *other) {
    rum_model_info info, copy;
    rum_str text = {NULL, 0};
    info.struct_size = copy.struct_size = sizeof info;
    OK(rum_model_get_info(model, &info));
    OK(rum_model_get_info(other, &copy));
    CHECK(info.n_vocab > 0 && info.n_embd > 0 && info.n_layer > 0 && info.n_ctx_train > 0 && info.file_bytes > 0);
    CHECK(info.fingerprint.len == 32 && equals(copy.fingerprint, info.fingerprint.ptr));
    CHECK(copy.file_bytes == info.file_bytes);
    OK(rum_model_get_meta(model, "general.architecture", NUL, &text));
    CHECK(equals(text, info.architecture.ptr));
    CHECK(rum_model_get_meta(model, "no.such.key", NUL, &text) == RUM_ERR_NOT_FOUND);
    CHECK(rum_model_get_meta(model, "tokenizer.ggml.tokens", NUL, &text) == RUM_ERR_NOT_FOUND);
    INVALID(rum_model_get_meta(model, "\xff", NUL, &text));
    INVALID(rum_model_get_meta(model, NULL, 3, &text));
    (void)p;
}

static void tokens_come_back(const rum_model *model) {
    static const char text[] = "Leah has 12 apples.";
    uint32_t tokens[64];
    size_t n = 0, again = 0;
    rum_text *back = NULL;
    rum_str str = {NULL, 0};
    CHECK(rum_tokenize(model, text, NUL, 0, NULL, 0, &n) == RUM_ERR_BUFFER_TOO_SMALL);
    CHECK(n > 0 && n < 64);
    tokens[0] = 77777777;
    CHECK(rum_tokenize(model, text, NUL, 0, tokens, n - 1, &again) == RUM_ERR_BUFFER_TOO_SMALL);
    CHECK(again == n && tokens[0] == 77777777);
    OK(rum_tokenize(model, text, sizeof text - 1, 0, tokens, 64, &again));
    CHECK(again == n);
    OK(rum_detokenize(model, tokens, n, 0, &back));
    OK(rum_text_get(back, &str));
    CHECK(equals(str, text));
    OK(rum_text_free(back));
    OK(rum_tokenize(model, "", 0, 0, NULL, 0, &n));
    CHECK(n == 0);
    OK(rum_detokenize(model, NULL, 0, 0, &back));
    OK(rum_text_free(back));
    tokens[0] = UINT32_MAX;
    OK(rum_detokenize(model, tokens, 1, RUM_DETOKENIZE_RENDER_SPECIAL, &back));
    OK(rum_text_get(back, &str));
    CHECK(equals(str, "\xef\xbf\xbd"));
    OK(rum_text_free(back));
    INVALID(rum_tokenize(model, "a\xff", NUL, 0, tokens, 64, &n));
    INVALID(rum_tokenize(model, "a", NUL, 64, tokens, 64, &n));
    INVALID(rum_tokenize(model, NULL, 5, 0, tokens, 64, &n));
    INVALID(rum_tokenize(model, "abc", 3, 0, NULL, 64, &n));
    INVALID(rum_detokenize(model, NULL, 1, 0, &back));
    INVALID(rum_detokenize(model, tokens, SIZE_MAX, 0, &back));
    INVALID(rum_detokenize(model, tokens, 1, 64, &back));
    CHECK(back == NULL);
}

static void conversations_are_rendered(const rum_model *model) {
    rum_model_info info;
    rum_text *text = NULL;
    rum_str str = {NULL, 0};
    const char *talk = "[{\"role\": \"user\", \"content\": \"six pears\"}]";
    info.struct_size = sizeof info;
    OK(rum_model_get_info(model, &info));
    if (info.has_chat_template) {
        OK(rum_chat_render(model, talk, NUL, 1, &text));
        OK(rum_text_get(text, &str));
        CHECK(strstr(str.ptr, "six pears") != NULL);
        OK(rum_text_free(text));
    } else {
        CHECK(rum_chat_render(model, talk, NUL, 1, &text) == RUM_ERR_UNSUPPORTED);
    }
    INVALID(rum_chat_render(model, "{", NUL, 1, &text));
    CHECK(text == NULL);
}

static void opens_what_it_can(const paths *p, const uint8_t *data, size_t len) {
    rum_model_options options;
    rum_model *model = (rum_model *)(void *)&options;
    rum_cancel *cancel = NULL;
    char path[512];
    FILE *file;
    int fd;
    OK(rum_model_options_init(&options, sizeof options));
    CHECK(rum_model_open(NULL, "/no/such/file", NUL, NULL, NULL, &model) == RUM_ERR_IO);
    CHECK(model == NULL && strstr(rum_last_error(), "/no/such/file") != NULL);
    CHECK(rum_model_open_memory(NULL, data, 100, NULL, NULL, &model) == RUM_ERR_FORMAT);
    INVALID(rum_model_open_memory(NULL, NULL, 100, NULL, NULL, &model));
    INVALID(rum_model_open_memory(NULL, data, SIZE_MAX, NULL, NULL, &model));
    INVALID(rum_model_open(NULL, NULL, 1, NULL, NULL, &model));
    options.load = 9;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    options.load = RUM_LOAD_READ;
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    OK(rum_model_free(model));

    OK(rum_cancel_new(&cancel));
    OK(rum_cancel_cancel(cancel));
    CHECK(rum_model_open(NULL, p->model, NUL, NULL, cancel, &model) == RUM_ERR_CANCELLED);
    OK(rum_cancel_free(cancel));

    /* Behind other bytes of a file, as in a package. */
    snprintf(path, sizeof path, "%s/package", p->scratch);
    file = fopen(path, "wb");
    CHECK(file != NULL && fwrite("12345", 1, 5, file) == 5 && fwrite(data, 1, len, file) == len && fclose(file) == 0);
    fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    OK(rum_model_open_fd(NULL, fd, 5, len, NULL, NULL, &model));
    OK(rum_model_free(model));
    CHECK(rum_model_open_fd(NULL, fd, 4, len, NULL, NULL, &model) == RUM_ERR_FORMAT);
    INVALID(rum_model_open_fd(NULL, fd, 6, len, NULL, NULL, &model));
    INVALID(rum_model_open_fd(NULL, fd, UINT64_MAX, len, NULL, NULL, &model));
    INVALID(rum_model_open_fd(NULL, fd, 0, 0, NULL, NULL, &model));
    CHECK(lseek(fd, 0, SEEK_CUR) == 0 && close(fd) == 0);
    CHECK(rum_model_open_fd(NULL, fd, 5, len, NULL, NULL, &model) == RUM_ERR_IO);
    INVALID(rum_model_open_fd(NULL, -1, 5, len, NULL, NULL, &model));

    /* Packed weights are made once and mapped then. */
    snprintf(path, sizeof path, "%s/packed", p->scratch);
    options.packed_cache.ptr = path;
    options.packed_cache.len = NUL;
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    OK(rum_model_free(model));
    CHECK(access(path, R_OK) == 0);
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    OK(rum_model_free(model));
}

static int32_t never(void *user, uint32_t stage, uint64_t done, uint64_t total) {
    (void)user;
    (void)stage;
    (void)done;
    (void)total;
    CHECK(0);
    return 1;
}

/* Once as it was read, once packed; what the budget does not hold is not read at all. */
static void a_file_that_is_read_counts_twice(const paths *p, uint64_t mapped) {
    rum_runtime_options options;
    rum_model_options opening;
    rum_model_info info;
    rum_runtime *runtime = NULL;
    rum_model *model = NULL;
    uint64_t used = 0;
    OK(rum_runtime_options_init(&options, sizeof options));
    OK(rum_model_options_init(&opening, sizeof opening));
    opening.load = RUM_LOAD_READ;
    options.memory_bytes = mapped;
    OK(rum_runtime_new(&options, &runtime));
    CHECK(rum_model_open(runtime, p->model, NUL, &opening, NULL, &model) == RUM_ERR_MEMORY);
    OK(rum_runtime_memory(runtime, &used));
    CHECK(used == 0 && model == NULL);
    OK(rum_runtime_free(runtime));
    options.memory_bytes = 1000;
    OK(rum_runtime_new(&options, &runtime));
    opening.on_progress = never;
    CHECK(rum_model_open(runtime, p->model, NUL, &opening, NULL, &model) == RUM_ERR_MEMORY);
    OK(rum_runtime_free(runtime));
    OK(rum_runtime_new(NULL, &runtime));
    opening.on_progress = NULL;
    OK(rum_model_open(runtime, p->model, NUL, &opening, NULL, &model));
    info.struct_size = sizeof info;
    OK(rum_model_get_info(model, &info));
    OK(rum_runtime_memory(runtime, &used));
    CHECK(used > mapped + info.file_bytes * 9 / 10 && info.file_bytes <= mapped);
    OK(rum_model_free(model));
    OK(rum_runtime_free(runtime));
}

static void memory_is_kept_within(const paths *p) {
    rum_runtime_options options;
    rum_session_options asked;
    rum_estimate estimate;
    rum_runtime *runtime = NULL;
    rum_model *model = NULL;
    rum_session *session = NULL, *second = NULL;
    rum_memory memory;
    uint64_t used = 9;
    OK(rum_estimate_init(&estimate, sizeof estimate));
    OK(rum_session_options_init(&asked, sizeof asked));
    asked.threads = 1;
    OK(rum_model_estimate(p->model, NUL, &asked, &estimate));
    CHECK(estimate.weights > 0 && estimate.scratch > 0 && estimate.kv > 0 && estimate.kv_page > 0);
    CHECK(estimate.total == estimate.weights + estimate.scratch + estimate.kv);
    CHECK(rum_model_estimate("/no/such/file", NUL, NULL, &estimate) == RUM_ERR_IO);
    estimate.branches = UINT64_MAX;
    INVALID(rum_model_estimate(p->model, NUL, NULL, &estimate));

    OK(rum_runtime_options_init(&options, sizeof options));
    options.threads = 5000;
    INVALID(rum_runtime_new(&options, &runtime));
    options.threads = 1;
    options.memory_bytes = estimate.weights - 1;
    OK(rum_runtime_new(&options, &runtime));
    CHECK(rum_model_open(runtime, p->model, NUL, NULL, NULL, &model) == RUM_ERR_MEMORY);
    OK(rum_runtime_memory(runtime, &used));
    CHECK(used == 0);
    OK(rum_runtime_free(runtime));

    a_file_that_is_read_counts_twice(p, estimate.weights);
    options.memory_bytes = estimate.total;
    OK(rum_runtime_new(&options, &runtime));
    OK(rum_model_open(runtime, p->model, NUL, NULL, NULL, &model));
    OK(rum_session_new(model, &asked, &session));
    OK(rum_runtime_memory(runtime, &used));
    CHECK(used == options.memory_bytes);
    memory.struct_size = sizeof memory;
    OK(rum_session_memory(session, &memory));
    CHECK(memory.kv_limit == estimate.kv && memory.weights > 0 && memory.kv == 0);
    CHECK(rum_session_new(model, &asked, &second) == RUM_ERR_MEMORY);
    /* Freed in any order. */
    OK(rum_runtime_free(runtime));
    OK(rum_model_free(model));
    OK(rum_session_memory(session, &memory));
    OK(rum_session_free(session));
}

void test_model(const paths *p) {
    size_t len = 0;
    uint8_t *data = read_file(p->model, &len);
    rum_model *model = open_model(p), *other = NULL;
    OK(rum_model_open_memory(NULL, data, len, NULL, NULL, &other));
    says_what_it_is(p, model, other);
    tokens_come_back(model);
    conversations_are_rendered(model);
    OK(rum_model_free(other));
    OK(rum_model_free(model));
    opens_what_it_can(p, data, len);
    memory_is_kept_within(p);
    free(data);
}
