/*
 * req.h: a request as one flat, validated block. The same bytes in memory and on the wire: the
 * httpd child builds the block (front/reqbuild.c), the engine reads it (py/environ.c), nothing
 * parses twice.
 *
 * Typed settings of ours come first, then the environ pairs that the application sees. Values are
 * bytes; the engine decodes them as Latin-1 (PEP 3333, "A Note On String Types").
 */
#ifndef MW_REQ_H
#define MW_REQ_H

#include "buf.h"

#define MW_REQ_BLOCK_MAX (16u << 20) /* bytes of a block */
#define MW_REQ_PAIRS_MAX 4096u       /* environ pairs */

enum mw_req_flag {
    MW_REQ_HEAD = 1u << 0,           /* the client's method is HEAD, whatever REQUEST_METHOD says */
    MW_REQ_HTTPS = 1u << 1,          /* wsgi.url_scheme is https */
    MW_REQ_RELOAD = 1u << 2,         /* look whether the script changed (WSGIScriptReloading) */
    MW_REQ_GROUP_EXPLICIT = 1u << 3, /* the application group was configured, not defaulted */
    MW_REQ_BODY = 1u << 4,           /* a body may follow: Content-Length > 0 or chunked */
    MW_REQ_MULTITHREAD = 1u << 5,    /* wsgi.multithread */
    MW_REQ_MULTIPROCESS = 1u << 6,   /* wsgi.multiprocess */
    MW_REQ_IGNORE_ACTIVITY = 1u << 7 /* does not keep its process from inactivity-timeout */
};
#define MW_REQ_FLAGS_ALL 0xffu

/* What our own code needs to know of a request. All strings also are C strings. */
struct mw_req {
    uint32_t flags;              /* enum mw_req_flag */
    int64_t content_length;      /* bytes; -1: unknown (chunked); 0: no body */
    uint64_t start_us;           /* request start in httpd, epoch microseconds */
    uint64_t queue_us;           /* when it began to wait for a daemon thread; 0: embedded */
    uint32_t timeout_ms;         /* from dispatch; then RequestTimeout is raised in it; 0: none */
    uint64_t script_stamp;       /* mw_req_stamp of the script when the request came; 0: unknown */
    struct mw_str script;        /* absolute path of the script file */
    struct mw_str callable;      /* name in the script's globals: "application" */
    struct mw_str app_group;     /* application group; "": main interpreter */
    struct mw_str process_group; /* "": embedded */
    struct mw_str log_id;        /* httpd's %L; "": none */
    uint32_t npairs;
    struct mw_cur pairs; /* for mw_req_next; set by mw_req_view */
};

/* Append a block's head to b; fields npairs and pairs are ignored. Then mw_req_pair for each pair,
 * then mw_req_end. Errors stay in b->err. `at` is what mw_req_begin returned. */
size_t mw_req_begin(struct mw_buf *b, const struct mw_req *head);
void mw_req_pair(struct mw_buf *b, struct mw_str key, struct mw_str value);
MW_MUST_CHECK int mw_req_end(struct mw_buf *b, size_t at, uint32_t npairs);

/* What tells one state of a file from another, as one number; never 0. httpd has looked at the script
 * anyway: who finds the state that it has loaded need not look again. */
uint64_t mw_req_stamp(int64_t mtime_us, int64_t size, uint64_t ino, uint64_t dev);

/* Change queue_us in a finished block (it is known only when a thread was claimed). */
void mw_req_patch_queue_us(uint8_t *block, uint64_t queue_us);

/* The length of the body is known after all: put it into a finished block, as CONTENT_LENGTH too. Views of
 * the block are void afterwards. MW_ELIMIT, MW_ENOMEM. */
MW_MUST_CHECK int mw_req_set_length(struct mw_buf *block, const struct mw_req *req, int64_t length);

/* Check a block fully, then point `out` into it. `out` borrows the block. MW_EPROTO, MW_ELIMIT. */
MW_MUST_CHECK int mw_req_view(struct mw_req *out, const void *block, size_t n);

/* The same for a block that this process has built of C strings: the pairs are taken as they are. */
MW_MUST_CHECK int mw_req_view_own(struct mw_req *out, const void *block, size_t n);

/* Next pair of a viewed request: 1, or 0 at the end. `it` starts as a copy of req->pairs. */
int mw_req_next(struct mw_cur *it, struct mw_str *key, struct mw_str *value);

#endif
