/*
 * load.c: find, read, compile and execute script files; keep their modules.
 *
 * Serving threads come here with the GIL for each request and normally find the module; the whole
 * rest is the slow path. A record of a script is never freed: there are as many as script files.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gil.h"
#include "interp.h"
#include "io.h"
#include "pyerr.h"
#include "start.h"
#include "state.h"

#define MODULE_NAME_MAX 48     /* "_mod_wsgi_" and 32 digits */
#define SOURCE_MAX (64u << 20) /* bytes of a script; more is no Python source */

/* What tells one state of a file from another. */
struct stamp {
    int64_t mtime_ns;
    int64_t size;
    uint64_t ino;
    uint64_t dev;
};

struct mw_py_script {
    char *path;
    size_t path_n;
    struct mw_py_script *next; /* in its bucket; atomic: grows at the front while others read */
    pthread_mutex_t import;    /* held while the module is made */
    PyObject *module; /* strong; NULL: not loaded. Changed with the GIL and `import` held */
    unsigned times;   /* how often it was loaded; likewise */
    uint64_t mark;    /* atomic: mw_req_stamp of what is loaded; 0: nothing is, or asks is set */
    pthread_mutex_t look; /* guards those below, for those who have no GIL */
    int loaded;
    int asks; /* it has a reload_required() */
    struct stamp stamp;
    struct stamp noticed; /* what mw_py_load_changed has told of already */
    int wish_noticed;     /* the same of reload_required() */
};

/* -- records -- */

/* The same for paths that differ only in the case of ASCII letters. */
static unsigned bucket_of(struct mw_str path)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < path.n; i++)
        h = (h ^ ((unsigned char)path.p[i] | 0x20)) * 16777619u;
    return (h ^ h >> 16) % MW_PY_SCRIPT_BUCKETS;
}

static int is_script(const struct mw_py_script *s, struct mw_str path)
{
    if (s->path_n != path.n)
        return 0;
    return memcmp(s->path, path.p, path.n) == 0 ||
           (!mw_py_config()->opts.case_sensitive && strncasecmp(s->path, path.p, path.n) == 0);
}

static struct mw_py_script *find(struct mw_py_interp *in, struct mw_str path)
{
    struct mw_py_script *s = __atomic_load_n(&in->script[bucket_of(path)], __ATOMIC_ACQUIRE);

    while (s && !is_script(s, path))
        s = s->next;
    return s;
}

/* GIL held, which keeps two threads from adding the same script. NULL: no memory. */
static struct mw_py_script *find_or_add(struct mw_py_interp *in, struct mw_str path)
{
    struct mw_py_script *s = find(in, path);

    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s || !(s->path = strndup(path.p, path.n))) {
        free(s);
        return NULL;
    }
    s->path_n = path.n;
    pthread_mutex_init(&s->import, NULL);
    pthread_mutex_init(&s->look, NULL);
    struct mw_py_script **bucket = &in->script[bucket_of(path)];
    s->next = *bucket;
    __atomic_store_n(bucket, s, __ATOMIC_RELEASE);
    return s;
}

/* -- the file -- */

static void stamp_of(struct stamp *out, const struct stat *st)
{
    *out = (struct stamp){
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .size = st->st_size,
        .ino = st->st_ino,
        .dev = st->st_dev,
    };
}

static int is_same(const struct stamp *a, const struct stamp *b)
{
    return a->mtime_ns == b->mtime_ns && a->size == b->size && a->ino == b->ino && a->dev == b->dev;
}

/* As httpd makes it of what it has seen of the same file. */
static uint64_t mark_of(const struct stamp *s)
{
    return mw_req_stamp(s->mtime_ns / 1000, s->size, s->ino, s->dev);
}

/* What the request is for, which is not the script itself if that is a handler's. */
static struct mw_str resource_of(const struct mw_req *req)
{
    static const struct mw_str name = {"SCRIPT_FILENAME", 15};
    struct mw_cur it = req->pairs;
    struct mw_str key, value;

    while (mw_req_next(&it, &key, &value))
        if (key.n == name.n && memcmp(key.p, name.p, name.n) == 0)
            return value;
    return req->script;
}

/* GIL held. */
static int call_reload_required(struct mw_py_interp *in, PyObject *module, struct mw_str resource)
{
    PyObject *hook = PyObject_GetAttr(module, in->st->name[MW_N_reload_required]);
    PyObject *path = NULL, *answer = NULL;
    int rv = -1;

    if (hook)
        path = PyUnicode_DecodeFSDefaultAndSize(resource.p, (Py_ssize_t)resource.n);
    if (path)
        answer = PyObject_CallOneArg(hook, path);
    if (answer)
        rv = PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    Py_XDECREF(path);
    Py_XDECREF(hook);
    return rv;
}

static int ask_script(struct mw_py_interp *in, struct mw_py_script *s, const struct mw_req *req)
{
    int rv = 0;

    if (mw_py_enter(in))
        return 0;
    PyObject *module = s->module;
    if (module) {
        Py_INCREF(module);
        rv = call_reload_required(in, module, resource_of(req));
        if (rv < 0)
            mw_py_log_exception(NULL, "WSGI0540",
                                "reload_required() of script '%s' in interpreter '%s'; it is not "
                                "loaded again",
                                s->path, mw_py_interp_name(in));
        Py_DECREF(module);
    }
    mw_py_leave();
    return rv > 0;
}

enum look { LOADED_AS_IT_IS, HAS_CHANGED, MUST_BE_ASKED };

/* Compare what is loaded with the file, of which script_stamp is httpd's view; *now_r is filled if they
 * differ. */
static enum look look_at(struct mw_py_script *s, uint64_t script_stamp, struct stamp *now_r)
{
    uint64_t mark = __atomic_load_n(&s->mark, __ATOMIC_RELAXED);
    struct stamp then;
    struct stat st;

    if (mark && mark == script_stamp)
        return LOADED_AS_IT_IS; /* httpd has looked already */
    pthread_mutex_lock(&s->look);
    int loaded = s->loaded;
    int asks = s->asks;
    then = s->stamp;
    pthread_mutex_unlock(&s->look);
    if (!loaded)
        return LOADED_AS_IT_IS;
    if (stat(s->path, &st) == 0) {
        stamp_of(now_r, &st);
        if (!is_same(&then, now_r))
            return HAS_CHANGED;
    }
    return asks ? MUST_BE_ASKED : LOADED_AS_IT_IS;
}

int mw_py_load_stale(struct mw_py_interp *in, const struct mw_req *req)
{
    struct mw_py_script *s = find(in, req->script);
    struct stamp now;

    if (!s)
        return 0;
    enum look look = look_at(s, req->script_stamp, &now);
    return look == HAS_CHANGED || (look == MUST_BE_ASKED && ask_script(in, s, req));
}

/* Whether nobody was told of this state of the file before. */
static int is_news(struct mw_py_script *s, const struct stamp *now)
{
    pthread_mutex_lock(&s->look);
    int news = !is_same(&s->noticed, now);
    s->noticed = *now;
    pthread_mutex_unlock(&s->look);
    return news;
}

/* Whether reload_required() wants it for the first time. */
static int is_new_wish(struct mw_py_interp *in, struct mw_py_script *s, const struct mw_req *req)
{
    pthread_mutex_lock(&s->look);
    int known = s->wish_noticed;
    pthread_mutex_unlock(&s->look);
    if (known || !ask_script(in, s, req))
        return 0;
    pthread_mutex_lock(&s->look);
    known = s->wish_noticed;
    s->wish_noticed = 1;
    pthread_mutex_unlock(&s->look);
    return !known;
}

int mw_py_load_changed(struct mw_py_interp *in, const struct mw_req *req)
{
    struct mw_py_script *s = find(in, req->script);
    struct stamp now;

    if (!s)
        return 0;
    switch (look_at(s, req->script_stamp, &now)) {
    case HAS_CHANGED:
        return is_news(s, &now);
    case MUST_BE_ASKED:
        return is_new_wish(in, s, req);
    case LOADED_AS_IT_IS:
        break;
    }
    return 0;
}

/* The source of a script as it was when `stamp` was taken. */
struct source {
    char *text; /* NUL-terminated; owned */
    size_t n;
    struct stamp stamp;
};

/* MW_EIO with errno, MW_ENOMEM, MW_ELIMIT. */
static int read_all(int fd, size_t size, struct source *src)
{
    src->text = malloc(size + 1);
    if (!src->text)
        return MW_ENOMEM;
    while (src->n < size) {
        ssize_t k = read(fd, src->text + src->n, size - src->n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return MW_EIO;
        if (k == 0)
            break;
        src->n += (size_t)k;
    }
    src->text[src->n] = 0;
    return 0;
}

static int read_source_nogil(const char *path, struct source *src)
{
    MW_NOGIL_SCOPE;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int rv = fd < 0 || fstat(fd, &st) ? MW_EIO : 0;

    if (!rv && !S_ISREG(st.st_mode)) {
        errno = EISDIR;
        rv = MW_EIO;
    }
    if (!rv && (uint64_t)st.st_size > SOURCE_MAX)
        rv = MW_ELIMIT;
    if (!rv) {
        stamp_of(&src->stamp, &st);
        rv = read_all(fd, (size_t)st.st_size, src);
    }
    mw_io_close(&fd);
    return rv;
}

/* The first part of path that may not be entered, or path itself. Changes path's bytes and puts
 * them back but for the end of the part. */
static const char *first_closed_part(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS))
            return path;
        *slash = '/';
    }
    return path;
}

static enum mw_end report_unreadable(struct mw_py_script *s, struct mw_py_call *call, int err)
{
    char *copy = err == EACCES ? strdup(s->path) : NULL;
    const char *part = copy ? first_closed_part(copy) : s->path;
    enum mw_end how = MW_END_FAILED;

    if (err == EACCES) {
        int is_dir = strcmp(part, s->path) != 0;
        mw_py_say(call, MW_LOG_ERR, "WSGI0083",
                  "script '%s' may not be read: user %ld may not %s '%s'; the request gets 403",
                  s->path, (long)geteuid(), is_dir ? "enter directory" : "read", part);
        how = MW_END_UNREADABLE;
    } else if (err == ENOENT || err == ENOTDIR) {
        mw_py_say(call, MW_LOG_ERR, "WSGI0135", "script '%s' does not exist; the request gets 404",
                  s->path);
        how = MW_END_NO_SCRIPT;
    } else {
        mw_py_say(call, MW_LOG_ERR, "WSGI0105", "script '%s' cannot be read: %s; the request fails",
                  s->path, strerror(err));
    }
    free(copy);
    return how;
}

/* -- the module -- */

/* What a module's name is made of, as new bytes. */
static PyObject *name_seed(const char *path)
{
    PyObject *bytes = PyBytes_FromString(path);

    if (bytes && !mw_py_config()->opts.case_sensitive)
        Py_XSETREF(bytes, PyObject_CallMethod(bytes, "lower", NULL));
    return bytes;
}

/* "_mod_wsgi_<md5 of path>" as a new str. */
static PyObject *module_name(const char *path)
{
    PyObject *md5 = PyImport_ImportModule("_md5");
    PyObject *seed = name_seed(path);
    PyObject *hash = NULL, *digits = NULL, *name = NULL;

    if (!md5) {
        PyErr_Clear();
        md5 = PyImport_ImportModule("hashlib");
    }
    if (md5 && seed)
        hash = PyObject_CallMethod(md5, "md5", "O", seed);
    if (hash)
        digits = PyObject_CallMethod(hash, "hexdigest", NULL);
    if (digits)
        name = PyUnicode_FromFormat("_mod_wsgi_%U", digits);
    Py_XDECREF(digits);
    Py_XDECREF(hash);
    Py_XDECREF(seed);
    Py_XDECREF(md5);
    return name;
}

static int forget_module(PyObject *name)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */

    if (PyDict_DelItem(modules, name) == 0)
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_KeyError))
        return -1;
    PyErr_Clear();
    return 0;
}

static PyObject *compile(const struct mw_py_script *s, const struct source *src, PyObject *file)
{
    if (memchr(src->text, 0, src->n)) {
        PyErr_Format(PyExc_SyntaxError, "'%s' contains null bytes: it is no Python source",
                     s->path);
        return NULL;
    }
    return Py_CompileStringObject(src->text, file, Py_file_input, NULL, -1);
}

/* Who imports, and what for. */
struct importer {
    struct mw_py_interp *in;
    struct mw_py_call *call; /* may be NULL */
    int program;
};

/* A service that has failed is about to end: SystemExit would only spoil what it still has to say. */
static void ignore_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

/* How it ends. */
static enum mw_end import_failed(const struct mw_py_script *s, const struct importer *im,
                                 int executed)
{
    int quits = PyErr_ExceptionMatches(PyExc_SystemExit);

    if (quits && im->program) {
        PyErr_Clear();
        return MW_END_ABORTED;
    }
    if (im->program)
        ignore_signals();
    if (quits) {
        mw_py_log_exception(im->call, "WSGI0107",
                            "script '%s' when it was imported in interpreter '%s'", s->path,
                            mw_py_interp_name(im->in));
        return MW_END_FAILED;
    }
    mw_py_log_exception(im->call, executed ? "WSGI0109" : "WSGI0105",
                        "script '%s' when it was %s in interpreter '%s'; %s", s->path,
                        executed ? "imported" : "compiled", mw_py_interp_name(im->in),
                        im->program ? "the service ends" : "it is tried again at the next request");
    return MW_END_FAILED;
}

/* A new module, also in sys.modules; NULL, the exception is logged, and *how_r is set. */
static PyObject *import(const struct mw_py_script *s, const struct source *src,
                        const struct importer *im, enum mw_end *how_r)
{
    PyObject *file = PyUnicode_DecodeFSDefault(s->path);
    PyObject *name = file ? module_name(s->path) : NULL;
    PyObject *code = name ? compile(s, src, file) : NULL;
    PyObject *module = NULL;

    if (code && !forget_module(name))
        module = PyImport_ExecCodeModuleObject(name, code, file, NULL);
    if (!module)
        *how_r = import_failed(s, im, code != NULL);
    Py_XDECREF(code);
    Py_XDECREF(name);
    Py_XDECREF(file);
    return module;
}

/* Under `import`. The old module goes first: after a failure the next request tries again. */
static enum mw_end load_locked(struct mw_py_script *s, const struct importer *im)
{
    struct source src = {0};
    int rv = read_source_nogil(s->path, &src);
    enum mw_end how = MW_END_FAILED;
    int err = errno;

    if (rv == MW_EIO)
        how = report_unreadable(s, im->call, err);
    else if (rv)
        mw_py_say(im->call, MW_LOG_ERR, "WSGI0105",
                  "script '%s' cannot be read: %s; the request fails", s->path, mw_err_text(rv));
    PyObject *module = rv ? NULL : import(s, &src, im, &how);
    free(src.text);
    int asks = module && PyObject_HasAttr(module, im->in->st->name[MW_N_reload_required]);
    pthread_mutex_lock(&s->look);
    s->asks = asks;
    s->loaded = module != NULL;
    s->stamp = src.stamp;
    __atomic_store_n(&s->mark, module && !asks ? mark_of(&src.stamp) : 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->look);
    Py_XSETREF(s->module, module);
    s->times++;
    return module ? MW_END_COMPLETE : how;
}

static void tell_loaded(const struct mw_py_interp *in, const struct mw_py_ref *ref)
{
    const struct mw_py_config *cfg = mw_py_config();
    const char *group = mw_py_interp_name(in);
    struct mw_py_loaded what = {.path = ref->script,
                                .app_group = {group, strlen(group)},
                                .explicit_group = in != mw_py_interp_first(),
                                .callable = ref->callable};

    if (!cfg->loaded)
        return;
    MW_NOGIL_SCOPE;
    cfg->loaded(cfg->loaded_ctx, &what);
}

/* A new reference to the module, or NULL: logged, and *how_r is set. */
static PyObject *load_module(struct mw_py_interp *in, const struct mw_py_ref *ref,
                             struct mw_py_call *call, enum mw_end *how_r)
{
    struct mw_py_script *s = find_or_add(in, ref->script);

    *how_r = MW_END_FAILED;
    if (!s)
        return NULL;
    if (s->module && !ref->reload)
        return Py_NewRef(s->module);
    unsigned times = s->times;
    mw_gil_mutex_lock(&s->import);
    /* While this thread waited, another may have done what it came for. */
    if (!s->module || (ref->reload && s->times == times))
        *how_r = load_locked(s, &(struct importer){in, call, ref->program});
    PyObject *module = s->module;
    Py_XINCREF(module);
    int is_new = *how_r == MW_END_COMPLETE;
    pthread_mutex_unlock(&s->import);
    if (is_new)
        tell_loaded(in, ref);
    return module;
}

/* -- the callable -- */

/* A new reference, or NULL with or without an exception. A script may have put something else than a module
 * into sys.modules, which then is what was imported. */
static PyObject *look_up(PyObject *module, PyObject *name)
{
    if (PyModule_Check(module))
        return Py_XNewRef(PyDict_GetItemWithError(PyModule_GetDict(module), name));
    PyObject *found = PyObject_GetAttr(module, name);
    if (!found && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    return found;
}

static PyObject *find_callable(struct mw_py_interp *in, PyObject *module,
                               const struct mw_py_ref *ref, struct mw_py_call *call)
{
    PyObject *name = mw_py_environ_text(&in->st->environ, MW_STR("mod_wsgi.callable_object"),
                                        ref->callable);
    PyObject *callable = name ? look_up(module, name) : NULL;

    Py_XDECREF(name);
    if (callable && PyCallable_Check(callable))
        return callable;
    if (PyErr_Occurred())
        mw_py_log_exception(call, "WSGI0089", "looking for '%s' in script '%s'", ref->callable.p,
                            ref->script.p);
    else
        mw_py_say(call, MW_LOG_ERR, "WSGI0089",
                  "script '%.*s' has no callable '%.*s'%s; the request fails", (int)ref->script.n,
                  ref->script.p, (int)ref->callable.n, ref->callable.p,
                  callable ? " (what has that name cannot be called)" : "");
    Py_XDECREF(callable);
    return NULL;
}

PyObject *mw_py_load(struct mw_py_interp *in, const struct mw_py_ref *ref, struct mw_py_call *call,
                     enum mw_end *how_r)
{
    PyObject *module = load_module(in, ref, call, how_r);

    if (!module || ref->callable.n == 0)
        return module;
    *how_r = MW_END_FAILED;
    PyObject *callable = find_callable(in, module, ref, call);
    Py_DECREF(module);
    return callable;
}
