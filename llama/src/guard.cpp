// What of llama.cpp cannot be called from Rust: llama_decode lets C++ exceptions out (memory for a graph, a backend that fails), which
// through Rust would end the process; sizes of buffers are told in C++ alone. Which file this code lies in is asked of the system.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

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

// Writes the path of the library or program that holds this code, in UTF-8, ended by a zero; 0, or -1 when it is not known or too long.
extern "C" int32_t ruminate_llama_file(char * path, size_t size) noexcept {
#ifdef _WIN32
    HMODULE module = nullptr;
    wchar_t wide[4096];
    const DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    if (!GetModuleHandleExW(flags, reinterpret_cast<LPCWSTR>(&ruminate_llama_file), &module)) {
        return -1;
    }
    const DWORD n = GetModuleFileNameW(module, wide, 4096);
    if (n == 0 || n == 4096) {
        return -1;
    }
    return WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, static_cast<int>(size), nullptr, nullptr) > 0 ? 0 : -1;
#else
    Dl_info info;
    if (!dladdr(reinterpret_cast<const void *>(&ruminate_llama_file), &info) || !info.dli_fname) {
        return -1;
    }
    const int n = std::snprintf(path, size, "%s", info.dli_fname);
    return n > 0 && static_cast<size_t>(n) < size ? 0 : -1;
#endif
}
