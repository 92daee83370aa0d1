/*
 * environ.c: builds the environ of a request. Called by wsgi.c with the GIL held; everything it
 * keeps is in struct mw_py_environ. It must never trust the request's names to be few: what does
 * not fit into the tables is made for one request and forgotten.
 */
#include "environ.h"

#include <string.h>

#include "interp.h"
#include "req.h"
#include "version.h"

/* -- names -- */

static uint32_t hash_name(struct mw_str s)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 16777619u;
    return h;
}

static int is_name(const struct mw_py_key *k, struct mw_str s)
{
    return k->n == s.n && memcmp(k->name, s.p, s.n) == 0;
}

static int kind_of(struct mw_str s)
{
    static const struct {
        struct mw_str name;
        int kind;
    } rows[] = {
        {{"DOCUMENT_ROOT", 13}, MW_PY_KEY_PATH},
        {{"SCRIPT_FILENAME", 15}, MW_PY_KEY_PATH},
        {{"HTTP_AUTHORIZATION", 18}, MW_PY_KEY_SECRET},
        {{"HTTP_PROXY_AUTHORIZATION", 24}, MW_PY_KEY_SECRET},
        {{"HTTP_COOKIE", 11}, MW_PY_KEY_SECRET},
    };

    for (size_t i = 0; i < MW_ARRAY_LEN(rows); i++)
        if (rows[i].name.n == s.n && memcmp(rows[i].name.p, s.p, s.n) == 0)
            return rows[i].kind;
    return MW_PY_KEY_LATIN1;
}

/* A new key at the free bucket; NULL with an exception. */
static struct mw_py_key *add_key(struct mw_py_environ *env, uint32_t bucket, uint32_t hash,
                                 struct mw_str s)
{
    struct mw_py_key *k = &env->keys[env->nkeys];
    PyObject *key = PyUnicode_DecodeLatin1(s.p, (Py_ssize_t)s.n, NULL);

    if (!key)
        return NULL;
    PyUnicode_InternInPlace(&key);
    *k = (struct mw_py_key){
        .key = key, .hash = hash, .kind = (uint8_t)kind_of(s), .n = (uint8_t)s.n};
    memcpy(k->name, s.p, s.n);
    env->bucket[bucket] = (uint16_t)++env->nkeys;
    return k;
}

/* The remembered name; NULL without an exception if it cannot be remembered. */
static struct mw_py_key *look_up(struct mw_py_environ *env, struct mw_str s)
{
    if (s.n > MW_PY_KEY_MAX)
        return NULL;
    uint32_t hash = hash_name(s);
    uint32_t at = hash & (MW_PY_KEYS_BUCKETS - 1);
    while (env->bucket[at]) {
        struct mw_py_key *k = &env->keys[env->bucket[at] - 1];
        if (k->hash == hash && is_name(k, s))
            return k;
        at = (at + 1) & (MW_PY_KEYS_BUCKETS - 1);
    }
    return env->nkeys < MW_PY_KEYS_MAX ? add_key(env, at, hash, s) : NULL;
}

/* look_up, but first where *prev led to the last time. Advances *prev. */
static struct mw_py_key *follow(struct mw_py_environ *env, struct mw_py_key **prev, struct mw_str s)
{
    struct mw_py_key *k = *prev && (*prev)->follower ? &env->keys[(*prev)->follower - 1] : NULL;

    if (!k || !is_name(k, s)) {
        k = look_up(env, s);
        if (*prev && k)
            (*prev)->follower = (uint16_t)(k - env->keys + 1);
    }
    *prev = k;
    return k;
}

/* -- values -- */

static PyObject *decode(int kind, struct mw_str s)
{
    if (kind == MW_PY_KEY_PATH) {
        PyObject *path = PyUnicode_DecodeFSDefaultAndSize(s.p, (Py_ssize_t)s.n);
        if (path)
            return path;
        PyErr_Clear();
    }
    return PyUnicode_DecodeLatin1(s.p, (Py_ssize_t)s.n, NULL);
}

static int is_value(PyObject *last, struct mw_str s)
{
    return (size_t)PyUnicode_GET_LENGTH(last) == s.n &&
           memcmp(PyUnicode_1BYTE_DATA(last), s.p, s.n) == 0;
}

/* May k keep this value: one byte per character, and these are the bytes that came. */
static int is_kept(const struct mw_py_key *k, PyObject *value, size_t n)
{
    if (n > MW_PY_VALUE_MAX || k->kind == MW_PY_KEY_SECRET)
        return 0;
    return k->kind == MW_PY_KEY_LATIN1 || PyUnicode_IS_ASCII(value);
}

/* A new reference. k may be NULL. */
static PyObject *text(struct mw_py_key *k, struct mw_str s)
{
    if (k && k->last && is_value(k->last, s))
        return Py_NewRef(k->last);
    PyObject *value = decode(k ? k->kind : MW_PY_KEY_LATIN1, s);
    if (value && k && is_kept(k, value, s.n))
        Py_XSETREF(k->last, Py_NewRef(value));
    return value;
}

PyObject *mw_py_environ_text(struct mw_py_environ *env, struct mw_str name, struct mw_str value)
{
    struct mw_py_key *k = look_up(env, name);

    if (!k && PyErr_Occurred())
        return NULL;
    return text(k, value);
}

/* -- dictionary -- */

struct builder {
    struct mw_py_environ *env;
    struct mw_py_key *prev;
    PyObject *dict;
};

/* Takes value, which may be NULL with an exception. 0 or -1. */
static int put_as(struct builder *b, struct mw_py_key *k, struct mw_str name, PyObject *value)
{
    PyObject *key = NULL;
    int rv = -1;

    if (!value)
        return -1;
    if (k)
        key = Py_NewRef(k->key);
    else if (!PyErr_Occurred())
        key = PyUnicode_DecodeLatin1(name.p, (Py_ssize_t)name.n, NULL);
    if (key)
        rv = PyDict_SetItem(b->dict, key, value);
    Py_XDECREF(key);
    Py_DECREF(value);
    return rv;
}

static int put(struct builder *b, struct mw_str name, PyObject *value)
{
    return put_as(b, follow(b->env, &b->prev, name), name, value);
}

static int put_text(struct builder *b, struct mw_str name, struct mw_str value)
{
    struct mw_py_key *k = follow(b->env, &b->prev, name);

    return put_as(b, k, name, text(k, value));
}

static int put_bool(struct builder *b, struct mw_str name, uint32_t on)
{
    return put(b, name, Py_NewRef(on ? Py_True : Py_False));
}

/* -- what every request has -- */

/* Keys that are ours and in every environ. Having them in the constants gives the copy its size at
 * once. */
enum place {
    URL_SCHEME,
    MULTITHREAD,
    MULTIPROCESS,
    INPUT,
    ERRORS,
    EARLY_HINTS,
    CLIENT_DISCONNECTED,
    PROCESS_GROUP,
    APPLICATION_GROUP,
    CALLABLE_OBJECT,
    THREAD_ID,
    REQUEST_START,
    QUEUE_START,
    QUEUE_TIME,
    DAEMON_START,
    APPLICATION_START,
    PLACES
};

static const struct mw_str place_names[PLACES] = {
    [URL_SCHEME] = {"wsgi.url_scheme", 15},
    [MULTITHREAD] = {"wsgi.multithread", 16},
    [MULTIPROCESS] = {"wsgi.multiprocess", 17},
    [INPUT] = {"wsgi.input", 10},
    [ERRORS] = {"wsgi.errors", 11},
    [EARLY_HINTS] = {"wsgi.early_hints", 16},
    [CLIENT_DISCONNECTED] = {"wsgi.client_disconnected", 24},
    [PROCESS_GROUP] = {"mod_wsgi.process_group", 22},
    [APPLICATION_GROUP] = {"mod_wsgi.application_group", 26},
    [CALLABLE_OBJECT] = {"mod_wsgi.callable_object", 24},
    [THREAD_ID] = {"mod_wsgi.thread_id", 18},
    [REQUEST_START] = {"mod_wsgi.request_start", 22},
    [QUEUE_START] = {"mod_wsgi.queue_start", 20},
    [QUEUE_TIME] = {"mod_wsgi.queue_time", 19},
    [DAEMON_START] = {"mod_wsgi.daemon_start", 21},
    [APPLICATION_START] = {"mod_wsgi.application_start", 26},
};

/* Takes value, which may be NULL with an exception. 0 or -1. */
static int set(struct builder *b, enum place place, PyObject *value)
{
    int rv = value ? PyDict_SetItem(b->dict, b->env->keys[b->env->places + place].key, value) : -1;

    Py_XDECREF(value);
    return rv;
}

static int set_text(struct builder *b, enum place place, struct mw_str value)
{
    return set(b, place, text(&b->env->keys[b->env->places + place], value));
}

static int set_bool(struct builder *b, enum place place, uint32_t on)
{
    return set(b, place, Py_NewRef(on ? Py_True : Py_False));
}

static int set_time(struct builder *b, enum place place, uint64_t us)
{
    return set(b, place, PyFloat_FromDouble((double)us / 1e6));
}

static int set_wsgi(struct builder *b, const struct mw_req *req,
                    const struct mw_py_environ_extra *extra)
{
    struct mw_str scheme = req->flags & MW_REQ_HTTPS ? MW_STR("https") : MW_STR("http");

    return set_text(b, URL_SCHEME, scheme) ||
           set_bool(b, MULTITHREAD, req->flags & MW_REQ_MULTITHREAD) ||
           set_bool(b, MULTIPROCESS, req->flags & MW_REQ_MULTIPROCESS) ||
           set(b, INPUT, Py_NewRef(extra->input)) || set(b, ERRORS, Py_NewRef(extra->errors)) ||
           set(b, EARLY_HINTS, Py_NewRef(extra->early_hints)) ||
           set(b, CLIENT_DISCONNECTED, Py_NewRef(extra->client_disconnected));
}

/* From the beginning of the wait for a thread until this one had the request; 0: embedded, or the clock was
 * set. */
static uint64_t waited_us(const struct mw_req *req, const struct mw_py_environ_extra *extra)
{
    return req->queue_us && extra->begin_us > req->queue_us ? extra->begin_us - req->queue_us : 0;
}

static int set_own(struct builder *b, const struct mw_req *req,
                   const struct mw_py_environ_extra *extra)
{
    if (set_text(b, PROCESS_GROUP, req->process_group) ||
        set_text(b, APPLICATION_GROUP, req->app_group) ||
        set_text(b, CALLABLE_OBJECT, req->callable) ||
        set(b, THREAD_ID, PyLong_FromUnsignedLong(extra->thread)) ||
        set_time(b, REQUEST_START, req->start_us) || set_time(b, QUEUE_START, req->queue_us) ||
        set_time(b, QUEUE_TIME, waited_us(req, extra)) ||
        set_time(b, DAEMON_START, extra->begin_us) || set_time(b, APPLICATION_START, extra->now_us))
        return -1;
    return req->log_id.n ? put_text(b, MW_STR("mod_wsgi.request_id"), req->log_id) : 0;
}

/* -- templates -- */

static struct mw_py_template *template_for(struct mw_py_environ *env, const struct mw_req *req)
{
    return req->npairs <= MW_PY_TEMPLATE_PAIRS ? &env->templates[req->npairs % MW_PY_TEMPLATES]
                                               : NULL;
}

static void forget_template(struct mw_py_template *t)
{
    PyObject *dict = t->dict;

    *t = (struct mw_py_template){.dict = NULL};
    Py_XDECREF(dict);
}

/* Begin with the copy of an environ whose names were the same ones in the same order, and set what is
 * different. 1: done; 0: the names are others, nothing is done; -1 with an exception. */
static int copy_template(struct builder *b, struct mw_py_template *t, const struct mw_req *req)
{
    struct mw_cur it = req->pairs;
    struct mw_str name, value;
    uint32_t i = 0;
    int rv = 0;

    b->dict = PyDict_Copy(t->dict);
    if (!b->dict)
        return -1;
    for (; rv == 0 && i < t->n && mw_req_next(&it, &name, &value); i++) {
        struct mw_py_key *k = &b->env->keys[t->key[i]];
        if (!is_name(k, name))
            break;
        if (!t->value[i] || !is_value(t->value[i], value))
            rv = put_as(b, k, name, text(k, value));
    }
    if (rv == 0 && i == t->n)
        return 1;
    Py_CLEAR(b->dict);
    return rv;
}

/* What may be kept of the value of the pair just put. Borrowed from k, or NULL. */
static PyObject *kept_value(const struct mw_py_key *k, struct mw_str value)
{
    return k->last && is_value(k->last, value) ? k->last : NULL;
}

/* The name of the last pair was there before: whatever these pairs say is set in their order. */
static void keep_order(struct mw_py_template *t)
{
    for (uint32_t i = 0; i <= t->n; i++)
        if (t->key[i] == t->key[t->n])
            t->value[i] = NULL;
}

/* 0, or -1 with an exception or because of a name that is not remembered. */
static int fill_template(struct builder *b, struct mw_py_template *t, const struct mw_req *req)
{
    struct mw_cur it = req->pairs;
    struct mw_str name, value;

    for (; mw_req_next(&it, &name, &value); t->n++) {
        struct mw_py_key *k = follow(b->env, &b->prev, name);
        Py_ssize_t before = PyDict_GET_SIZE(t->dict);
        PyObject *kept = k ? kept_value(k, value) : NULL;
        if (!k || PyDict_SetItem(t->dict, k->key, kept ? kept : Py_None))
            return -1;
        t->key[t->n] = (uint16_t)(k - b->env->keys);
        t->value[t->n] = kept;
        if (PyDict_GET_SIZE(t->dict) == before)
            keep_order(t);
    }
    return 0;
}

/* Have a template for requests like this one, which got its environ without. One that serves others is
 * not given up for a single request, and where it cannot be had it is not tried each time. */
static void learn(struct mw_py_environ *env, struct mw_py_template *t, const struct mw_req *req)
{
    struct builder b = {.env = env};

    if (t->users || t->score > 0) {
        t->score -= t->score > 0;
        return;
    }
    forget_template(t);
    t->dict = PyDict_Copy(env->constants);
    if (!t->dict || fill_template(&b, t, req)) {
        PyErr_Clear();
        forget_template(t);
        t->score = MW_PY_TEMPLATE_PAUSE;
    }
}

/* -- building -- */

static int put_pairs(struct builder *b, const struct mw_req *req)
{
    struct mw_cur it = req->pairs;
    struct mw_str key, value;

    while (mw_req_next(&it, &key, &value))
        if (put_text(b, key, value))
            return -1;
    return 0;
}

static int build_new(struct builder *b, const struct mw_req *req)
{
    b->dict = PyDict_Copy(b->env->constants);
    return b->dict ? put_pairs(b, req) : -1;
}

/* The environ with the request's pairs, but not what is ours. 0, or -1 with an exception. */
static int begin(struct builder *b, const struct mw_req *req)
{
    struct mw_py_template *t = template_for(b->env, req);
    int rv = 0;

    if (t && t->dict && t->n == req->npairs) {
        t->users++; /* a codec may be Python code and give up the GIL */
        rv = copy_template(b, t, req);
        t->users--;
    }
    if (rv > 0)
        t->score += t->score < MW_PY_TEMPLATE_SCORE;
    if (rv == 0) {
        rv = build_new(b, req);
        if (rv == 0 && t)
            learn(b->env, t, req);
    }
    return rv < 0 ? -1 : 0;
}

PyObject *mw_py_environ_build(struct mw_py_environ *env, const struct mw_req *req,
                              const struct mw_py_environ_extra *extra)
{
    struct builder b = {.env = env};

    /* Ours last: a variable of the configuration cannot replace what PEP 3333 prescribes. */
    if (begin(&b, req) || set_wsgi(&b, req, extra) || set_own(&b, req, extra))
        Py_CLEAR(b.dict);
    return b.dict;
}

/* -- life -- */

static int put_constants(struct builder *b, PyObject *file_wrapper)
{
    const unsigned *v = mw_py_config()->server_version;

    return put(b, MW_STR("wsgi.version"), Py_BuildValue("(ii)", 1, 0)) ||
           put_bool(b, MW_STR("wsgi.run_once"), mw_py_config()->run_once) ||
           put(b, MW_STR("wsgi.input_terminated"), Py_NewRef(Py_True)) ||
           put(b, MW_STR("wsgi.file_wrapper"), Py_NewRef(file_wrapper)) ||
           put(b, MW_STR("mod_wsgi.version"), mw_py_version_tuple()) ||
           put(b, MW_STR("apache.version"), Py_BuildValue("(III)", v[0], v[1], v[2]));
}

/* None of these names was there before, so the keys are in a row. */
static int put_places(struct builder *b)
{
    b->env->places = b->env->nkeys;
    for (int i = 0; i < PLACES; i++)
        if (put(b, place_names[i], Py_NewRef(Py_None)))
            return -1;
    return b->env->nkeys == b->env->places + PLACES ? 0 : -1;
}

int mw_py_environ_init(struct mw_py_environ *env, PyObject *file_wrapper)
{
    env->keys = PyMem_Calloc(MW_PY_KEYS_MAX, sizeof *env->keys);
    env->templates = PyMem_Calloc(MW_PY_TEMPLATES, sizeof *env->templates);
    env->constants = PyDict_New();
    if (!env->keys || !env->templates || !env->constants) {
        PyErr_NoMemory();
        return -1;
    }
    struct builder b = {.env = env, .dict = env->constants};
    return put_constants(&b, file_wrapper) || put_places(&b) ? -1 : 0;
}

int mw_py_environ_traverse(struct mw_py_environ *env, visitproc visit, void *arg)
{
    Py_VISIT(env->constants); /* the others are str objects, which are in no cycle */
    for (uint32_t i = 0; env->templates && i < MW_PY_TEMPLATES; i++)
        Py_VISIT(env->templates[i].dict);
    return 0;
}

void mw_py_environ_clear(struct mw_py_environ *env)
{
    Py_CLEAR(env->constants);
    for (uint32_t i = 0; env->templates && i < MW_PY_TEMPLATES; i++)
        forget_template(&env->templates[i]);
    PyMem_Free(env->templates);
    env->templates = NULL;
    for (uint32_t i = 0; env->keys && i < env->nkeys; i++) {
        Py_CLEAR(env->keys[i].key);
        Py_CLEAR(env->keys[i].last);
    }
    PyMem_Free(env->keys);
    env->keys = NULL;
    env->nkeys = 0;
    memset(env->bucket, 0, sizeof env->bucket);
}
