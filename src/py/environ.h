/*
 * environ.h: request block to environ dictionary.
 *
 * The names of a server's environ are few and come in the same order each time, and most values are
 * those of the request before. So the interpreter keeps, per name, the interned str and the last
 * value's str; both are bounded, and a name or value that is not there is simply made anew. It also
 * keeps a few whole environs: a request with the same names starts as a copy of one and sets only the
 * values that are different.
 */
#ifndef MW_PY_ENVIRON_H
#define MW_PY_ENVIRON_H

#include <Python.h>

#include "base.h"

struct mw_py_call;
struct mw_req;

#define MW_PY_KEYS_MAX 384u      /* names remembered per interpreter */
#define MW_PY_KEYS_BUCKETS 1024u /* a power of two above it */
#define MW_PY_KEY_MAX 64u        /* bytes of a name that is remembered */
#define MW_PY_VALUE_MAX 256u     /* bytes of a value that is remembered */

#define MW_PY_TEMPLATES 8u         /* environs kept per interpreter */
#define MW_PY_TEMPLATE_PAIRS 128u  /* of a request whose environ is kept */
#define MW_PY_TEMPLATE_SCORE 8u    /* unlike requests in a row that a template outlives */
#define MW_PY_TEMPLATE_PAUSE 1000u /* requests between two tries where none can be had */

enum mw_py_key_kind {
    MW_PY_KEY_LATIN1, /* PEP 3333, "Unicode Issues" */
    MW_PY_KEY_PATH,   /* a file name of the server: file system encoding */
    MW_PY_KEY_SECRET  /* Latin-1, and the value is not kept beyond the request */
};

struct mw_py_key {
    PyObject *key;  /* interned str, pure ASCII or Latin-1 */
    PyObject *last; /* the value of the last request that had this name, or NULL */
    uint32_t hash;
    uint16_t follower; /* index + 1 of the name that came after this one last time; 0: none */
    uint8_t kind;      /* enum mw_py_key_kind */
    uint8_t n;         /* bytes of the name */
    char name[MW_PY_KEY_MAX];
};

/* An environ with the names of former requests. Values that are not kept are None in it. */
struct mw_py_template {
    PyObject *dict; /* the constants and the pairs; NULL: there is none yet. Never changed */
    uint32_t n;     /* pairs, in the order of the request */
    unsigned score; /* requests that it served lately, bounded; or the rest of the pause */
    unsigned users; /* threads that are looking at it */
    uint16_t key[MW_PY_TEMPLATE_PAIRS];    /* index of the name */
    PyObject *value[MW_PY_TEMPLATE_PAIRS]; /* borrowed from dict; NULL: not kept */
};

struct mw_py_environ {
    PyObject *constants;              /* dict that every environ starts as a copy of */
    struct mw_py_template *templates; /* MW_PY_TEMPLATES of them, by number of pairs */
    uint32_t places;                  /* index of the first key of ours */
    struct mw_py_key *keys;           /* MW_PY_KEYS_MAX of them */
    uint32_t nkeys;
    uint16_t bucket[MW_PY_KEYS_BUCKETS]; /* index + 1, open addressing; 0: free */
};

int mw_py_environ_init(struct mw_py_environ *env, PyObject *file_wrapper); /* 0 or -1 */
int mw_py_environ_traverse(struct mw_py_environ *env, visitproc visit, void *arg);
void mw_py_environ_clear(struct mw_py_environ *env);

/* What environ.c does not find in the request itself. The objects are borrowed. */
struct mw_py_environ_extra {
    PyObject *input;
    PyObject *errors;
    PyObject *early_hints;
    PyObject *client_disconnected;
    unsigned thread;   /* mod_wsgi.thread_id */
    uint64_t begin_us; /* when this process began with the request; 0: embedded */
    uint64_t now_us;   /* when the application is called */
};

/* A new dict, or NULL with an exception. */
PyObject *mw_py_environ_build(struct mw_py_environ *env, const struct mw_req *req,
                              const struct mw_py_environ_extra *extra);

/* A new str of these bytes as an environ value of that name would be: cached where it can be. */
PyObject *mw_py_environ_text(struct mw_py_environ *env, struct mw_str name, struct mw_str value);

#endif
