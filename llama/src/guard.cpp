// What of llama.cpp cannot be called from Rust: llama_decode lets C++ exceptions out (memory for a graph, a backend that fails), which
// through Rust would end the process; sizes of buffers are told in C++ alone.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>

struct llama_context;
struct ggml_backend_buffer_type;

// As llama.h of the pinned version declares it.
struct llama_batch {
    int32_t n_tokens;
    int32_t * token;
    float * embd;
    int32_t * pos;
    int32_t * n_seq_id;
    int32_t ** seq_id;
    int8_t * logits;
};

extern "C" int32_t llama_decode(llama_context * context, llama_batch batch);

// What llama_decode gives back, or -100 after an exception, whose message then stands in `message`.
extern "C" int32_t ruminate_llama_decode(llama_context * context, const llama_batch * batch, char * message, size_t size) noexcept {
    try {
        return llama_decode(context, *batch);
    } catch (const std::exception & exception) {
        std::snprintf(message, size, "%s", exception.what());
    } catch (...) {
        std::snprintf(message, size, "an exception without a message");
    }
    return -100;
}

// As llama-ext.h of the pinned version declares them.
struct llama_memory_breakdown_data {
    size_t model = 0;
    size_t context = 0;
    size_t compute = 0;
};

std::map<ggml_backend_buffer_type *, llama_memory_breakdown_data> llama_get_memory_breakdown(const llama_context * context);

struct ruminate_buffers {
    ggml_backend_buffer_type * type;
    size_t weights;
    size_t kv;
    size_t compute;
};

// Fills at most `capacity` rows, one for each kind of memory; how many there are, or -1 after an exception.
extern "C" int32_t ruminate_llama_buffers(const llama_context * context, ruminate_buffers * rows, int32_t capacity) noexcept {
    try {
        int32_t n = 0;
        for (const auto & [type, bytes] : llama_get_memory_breakdown(context)) {
            if (n < capacity) {
                rows[n] = { type, bytes.model, bytes.context, bytes.compute };
            }
            n++;
        }
        return n;
    } catch (...) {
        return -1;
    }
}
