// llama_decode lets C++ exceptions out (memory for a graph, a backend that fails); through Rust they would end the process.

#include <cstdint>
#include <cstdio>
#include <exception>

struct llama_context;

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
