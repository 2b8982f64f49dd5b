/* Versions, names and messages. */
#include "check.h"

static int logged;

static void log_line(void *user, uint32_t level, rum_str message) {
    rum_text *text = NULL;
    CHECK(user == &logged && level >= RUM_LOG_ERROR && message.len == strlen(message.ptr));
    /* A log function may call the library; what that would log is left out. */
    MISUSE(rum_text_free((rum_text *)&logged));
    OK(rum_build_info_json(&text));
    OK(rum_text_free(text));
    logged++;
}

void test_version(const paths *p) {
    static const int32_t codes[] = {
        RUM_OK,          RUM_ERR_INVALID_ARGUMENT, RUM_ERR_MISUSE,          RUM_ERR_BUSY,       RUM_ERR_POISONED,
        RUM_ERR_INTERNAL, RUM_ERR_IO,              RUM_ERR_FORMAT,          RUM_ERR_UNSUPPORTED, RUM_ERR_CONTEXT_LENGTH,
        RUM_ERR_MEMORY,  RUM_ERR_NON_FINITE,       RUM_ERR_CANCELLED,       RUM_ERR_FILE_CHANGED, RUM_ERR_BUFFER_TOO_SMALL,
        RUM_ERR_NOT_FOUND, RUM_ERR_NOT_DONE,       RUM_ERR_CALLBACK,        RUM_ERR_ABI,
    };
    rum_text *info = NULL;
    rum_str json = {NULL, 0};
    int drops = 0;
    size_t i;
    (void)p;
    CHECK(strchr(rum_version(), '.') != NULL);
    CHECK(rum_abi_version() == RUM_ABI_VERSION);
    CHECK(rum_check_abi(RUM_ABI_VERSION + 1) == RUM_ERR_ABI);
    CHECK(strstr(rum_last_error(), "ABI") != NULL);
    OK(rum_check_abi(RUM_ABI_VERSION));
    CHECK(strcmp(rum_last_error(), "") == 0);
    for (i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK(codes[i] == -(int32_t)i);
        CHECK(strcmp(rum_status_name(codes[i]), "unknown") != 0);
    }
    CHECK(strcmp(rum_status_name(1), "unknown") == 0 && strcmp(rum_status_name(-999), "unknown") == 0);
    INVALID(rum_handle_count(NULL));
    INVALID(rum_build_info_json(NULL));
    OK(rum_build_info_json(&info));
    OK(rum_text_get(info, &json));
    CHECK(strstr(json.ptr, rum_version()) != NULL && json.len == strlen(json.ptr));
    INVALID(rum_text_get(info, NULL));
    OK(rum_text_free(info));
    MISUSE(rum_text_free(info));
    MISUSE(rum_text_get(info, &json));
    OK(rum_text_free(NULL));

    INVALID(rum_log_set(99, log_line, &drops, count_drop));
    CHECK(drops == 1);
    OK(rum_log_set(RUM_LOG_INFO, log_line, &logged, NULL));
    MISUSE(rum_text_free(info));
    CHECK(logged == 1);
    OK(rum_log_set(RUM_LOG_OFF, NULL, &drops, count_drop));
    CHECK(drops == 2);
    MISUSE(rum_text_free(info));
    CHECK(logged == 1);
}
