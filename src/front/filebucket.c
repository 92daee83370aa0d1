/*
 * filebucket.c: httpd's own file bucket, and one of ours for the last byte.
 *
 * The file bucket is what lets httpd send a file by sendfile, or write it without a thread to wait for a
 * slow client. Its own reading takes the end of a file for the end of the data: of a file that has become
 * shorter it would make an answer that is short and looks whole. So the last byte has a bucket whose
 * reading fails if it is not there, which breaks the connection.
 */
#include "filebucket.h"

#include <errno.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_portable.h>

#include "io.h"

#define PIECE_MAX ((apr_off_t)1 << 30) /* of one bucket, whose length may have 32 bits */
#define READ_MAX (64u << 10)           /* bytes of a read where the file is not sent by sendfile */

/* -- the last byte -- */

struct last_byte {
    apr_bucket_refcount refcount; /* first */
    int fd;                       /* owned */
    apr_off_t at;
};

static void last_destroy(void *data)
{
    struct last_byte *last = data;

    if (apr_bucket_shared_destroy(last)) {
        mw_io_close(&last->fd);
        apr_bucket_free(last);
    }
}

static apr_status_t last_read(apr_bucket *b, const char **str, apr_size_t *len,
                              apr_read_type_e block)
{
    struct last_byte *last = b->data;
    char *byte = apr_bucket_alloc(1, b->list);
    ssize_t n;

    (void)block;
    *str = NULL;
    *len = 0;
    do
        n = pread(last->fd, byte, 1, (off_t)last->at);
    while (n < 0 && errno == EINTR);
    if (n != 1) {
        apr_bucket_free(byte);
        return n < 0 ? errno : APR_EGENERAL;
    }
    last_destroy(last);
    apr_bucket_heap_make(b, byte, 1, apr_bucket_free);
    *str = byte;
    *len = 1;
    return APR_SUCCESS;
}

static const apr_bucket_type_t last_type = {"WSGI_LAST_BYTE",
                                            5,
                                            APR_BUCKET_DATA,
                                            last_destroy,
                                            last_read,
                                            apr_bucket_setaside_noop, /* it owns its descriptor */
                                            apr_bucket_shared_split,
                                            apr_bucket_shared_copy};

/* Takes fd. */
static apr_bucket *last_create(apr_bucket_alloc_t *list, int fd, apr_off_t at)
{
    apr_bucket *b = apr_bucket_alloc(sizeof *b, list);
    struct last_byte *last = apr_bucket_alloc(sizeof *last, list);

    last->fd = fd;
    last->at = at;
    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = list;
    b = apr_bucket_shared_make(b, last, 0, 1);
    b->type = &last_type;
    return b;
}

/* -- all before it -- */

/* A file of APR's with a descriptor of its own, which the pool closes, or whatever pool the bucket is set
 * aside for. */
static apr_status_t as_apr_file(apr_file_t **out, int fd, int with_sendfile, apr_pool_t *pool)
{
    apr_int32_t flags = APR_FOPEN_READ | (with_sendfile ? APR_FOPEN_SENDFILE_ENABLED : 0);
    apr_file_t *borrowed = NULL;
    apr_os_file_t os_fd = fd;
    apr_status_t rv = apr_os_file_put(&borrowed, &os_fd, flags, pool);

    *out = NULL;
    if (rv == APR_SUCCESS)
        rv = apr_file_dup(out, borrowed, pool);
    return rv;
}

/* All pieces share what httpd knows of the file: whoever sets one of them aside moves the file to another pool
 * for the others too. */
static void append_part(apr_bucket_brigade *bb, apr_file_t *f, apr_off_t offset, apr_off_t n)
{
    apr_size_t piece = (apr_size_t)(n < PIECE_MAX ? n : PIECE_MAX);
    apr_bucket *rest = apr_bucket_file_create(f, offset, piece, bb->p, bb->bucket_alloc);

    (void)apr_bucket_file_enable_mmap(rest, 0);
    (void)apr_bucket_file_set_buf_size(rest, READ_MAX);
    for (; n > PIECE_MAX; n -= PIECE_MAX) {
        apr_bucket *b;

        (void)apr_bucket_copy(rest, &b);
        APR_BRIGADE_INSERT_TAIL(bb, b);
        rest->start += PIECE_MAX;
    }
    rest->length = (apr_size_t)n;
    APR_BRIGADE_INSERT_TAIL(bb, rest);
}

apr_status_t mw_filebucket_append(apr_bucket_brigade *bb, int fd, apr_off_t offset, apr_off_t n,
                                  int with_sendfile)
{
    apr_file_t *f;
    apr_status_t rv;

    if (n > 1) {
        rv = as_apr_file(&f, fd, with_sendfile, bb->p);
        if (rv != APR_SUCCESS) {
            mw_io_close(&fd);
            return rv;
        }
        append_part(bb, f, offset, n - 1);
    }
    APR_BRIGADE_INSERT_TAIL(bb, last_create(bb->bucket_alloc, fd, offset + n - 1));
    return APR_SUCCESS;
}
