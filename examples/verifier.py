"""A search whose answers Python checks, through ctypes: python3 verifier.py LIBRUMINATE.SO MODEL"""

import ctypes as c
import sys

QUESTION = b"Leah has $45 and buys 2 toys for $9 each. How many dollars does Leah have left?"
FOREVER, NUL = 2**64 - 1, c.c_size_t(-1).value


class Str(c.Structure):
    _fields_ = [("ptr", c.c_char_p), ("len", c.c_size_t)]


class Solution(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("question", Str), ("text", Str), ("answer", Str)]


class Prompt(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("kind", c.c_uint32), ("strategy", c.c_uint32), ("text", Str),
                ("tokens", c.c_void_p), ("n_tokens", c.c_size_t), ("question", Str), ("method", c.c_void_p)]


class Options(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("judge", c.c_void_p), ("cancel", c.c_void_p), ("on_event", c.c_void_p),
                ("user", c.c_void_p), ("drop", c.c_void_p), ("checkpoint", Str), ("events", c.c_uint32), ("trace", c.c_uint32),
                ("on_power", c.c_void_p)]


class Result(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("answer", Str), ("text", Str), ("score", c.c_double), ("seed", c.c_uint64),
                ("n_candidates", c.c_size_t), ("stop_reason", c.c_uint32), ("algo", c.c_uint32)]


Verify = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.POINTER(Solution))


@Verify
def verify(_user, solution):
    answer = solution.contents.answer.ptr or b""
    return int(answer.isdigit() and int(answer) + 2 * 9 == 45)


def main(library, path):
    rum = c.CDLL(library)
    rum.rum_last_error.restype = c.c_char_p

    def call(function, *arguments):
        if getattr(rum, function)(*arguments) != 0:
            raise RuntimeError(rum.rum_last_error().decode())

    def make(function, *arguments):
        handle = c.c_void_p()
        call(function, *arguments, c.byref(handle))
        return handle

    def struct(kind, init=None):
        value = kind(c.sizeof(kind))
        if init:
            call(init, c.byref(value), c.c_size_t(c.sizeof(kind)))
        return value

    model = make("rum_model_open", None, path.encode(), c.c_size_t(NUL), None, None)
    session = make("rum_session_new", model, None)
    judge = make("rum_judge_new_verifier", b"accounts", c.c_size_t(NUL), verify, None, None)
    prompt, options = struct(Prompt, "rum_prompt_init"), struct(Options, "rum_run_options_init")
    prompt.text, options.judge = Str(QUESTION, len(QUESTION)), judge
    run = make("rum_run_search", session, c.byref(prompt), None, c.byref(options))
    call("rum_run_wait", run, c.c_uint64(FOREVER), None)
    result = struct(Result)
    call("rum_run_get_result", run, c.byref(result))
    print(f"answer: {(result.answer.ptr or b'none').decode()}, worth {result.score:.2f}")
    for kind, handle in [("run", run), ("judge", judge), ("session", session), ("model", model)]:
        call(f"rum_{kind}_free", handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
