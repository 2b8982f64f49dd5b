/* Opening a model: progress, packing, and an end that is asked for. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

typedef struct watch {
    uint64_t last[2];
    uint64_t total[2];
    int calls;
    int drops;
    int stop_at;
    rum_cancel *cancel;
} watch;

static int32_t follow(void *user, uint32_t stage, uint64_t done, uint64_t total) {
    watch *w = user;
    CHECK(stage <= RUM_LOAD_STAGE_PACKING && done <= total && done > w->last[stage] && w->drops == 0);
    w->last[stage] = done;
    w->total[stage] = total;
    w->calls++;
    if (w->cancel != NULL) OK(rum_cancel_cancel(w->cancel));
    return w->stop_at != 0 && w->calls >= w->stop_at;
}

static void drop_watch(void *user) { ((watch *)user)->drops++; }

static rum_model_options watched(watch *w) {
    rum_model_options options;
    memset(w, 0, sizeof *w);
    OK(rum_model_options_init(&options, sizeof options));
    options.on_progress = follow;
    options.user = w;
    options.drop = drop_watch;
    return options;
}

static void progress_is_told(const paths *p, uint64_t bytes) {
    watch w;
    rum_model_options options = watched(&w);
    rum_model *model = NULL;
    options.load = RUM_LOAD_READ;
    options.pack = 1;
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    CHECK(w.drops == 1 && w.last[RUM_LOAD_STAGE_READING] == bytes && w.total[RUM_LOAD_STAGE_READING] == bytes);
    CHECK(w.last[RUM_LOAD_STAGE_PACKING] == w.total[RUM_LOAD_STAGE_PACKING] && w.last[RUM_LOAD_STAGE_PACKING] > 0);
    OK(rum_model_free(model));
    /* A mapped file is not read, and not packed unless that is asked for. */
    options = watched(&w);
    OK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    CHECK(w.calls == 0 && w.drops == 1);
    OK(rum_model_free(model));
}

static void opening_ends_when_asked(const paths *p) {
    watch w;
    rum_model_options options;
    rum_model *model = (rum_model *)(void *)&w;
    rum_cancel *cancel = NULL;
    int fd, load;
    for (load = 0; load < 2; load++) {
        options = watched(&w);
        options.load = load == 0 ? RUM_LOAD_READ : RUM_LOAD_MMAP;
        options.pack = 1;
        w.stop_at = 1;
        CHECK(rum_model_open(NULL, p->model, NUL, &options, NULL, &model) == RUM_ERR_CANCELLED);
        CHECK(model == NULL && w.calls == 1 && w.drops == 1);
        /* By the token that the callback cancels. */
        options = watched(&w);
        options.load = load == 0 ? RUM_LOAD_READ : RUM_LOAD_MMAP;
        options.pack = 1;
        OK(rum_cancel_new(&cancel));
        w.cancel = cancel;
        CHECK(rum_model_open(NULL, p->model, NUL, &options, cancel, &model) == RUM_ERR_CANCELLED);
        CHECK(model == NULL && w.calls == 1);
        OK(rum_cancel_free(cancel));
    }
    options = watched(&w);
    w.stop_at = 1;
    fd = open(p->model, O_RDONLY);
    CHECK(fd >= 0);
    {
        struct stat stat;
        CHECK(fstat(fd, &stat) == 0);
        CHECK(rum_model_open_fd(NULL, fd, 0, (uint64_t)stat.st_size, &options, NULL, &model) == RUM_ERR_CANCELLED);
    }
    CHECK(close(fd) == 0 && model == NULL && w.calls == 1 && w.drops == 1);
    options = watched(&w);
    w.stop_at = 1;
    CHECK(rum_model_open_memory(NULL, (const uint8_t *)"GGUF", 4, &options, NULL, &model) == RUM_ERR_CANCELLED);
    CHECK(model == NULL && w.calls == 1 && w.drops == 1);
}

static void what_was_given_is_let_go(const paths *p) {
    watch w;
    rum_model_options options = watched(&w);
    rum_model *model = NULL;
    CHECK(rum_model_open(NULL, "/no/such/file", NUL, &options, NULL, &model) == RUM_ERR_IO);
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, NULL));
    options.load = 2;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    CHECK(w.drops == 3 && model == NULL);
    options.struct_size = 0;
    INVALID(rum_model_open(NULL, p->model, NUL, &options, NULL, &model));
    CHECK(w.drops == 3);
}

void test_open(const paths *p) {
    struct stat file;
    CHECK(stat(p->model, &file) == 0);
    progress_is_told(p, (uint64_t)file.st_size);
    opening_ends_when_asked(p);
    what_was_given_is_let_go(p);
}
