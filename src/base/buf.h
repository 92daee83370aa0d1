/*
 * buf.h: capped byte buffer and reading cursor. The only pointer arithmetic on bytes that come
 * from, or go to, another process.
 *
 * All integers are little-endian and of fixed width. Both types carry a sticky error: after the
 * first failure every further call is a no-op, so that code reads as a straight line and checks
 * once. Not thread-safe; one owner at a time.
 */
#ifndef MW_BUF_H
#define MW_BUF_H

#include "base.h"

/* Bytes [pos, len) are filled and not yet consumed; the capacity grows up to max. */
struct mw_buf {
    uint8_t *p;
    size_t pos;
    size_t len;
    size_t cap;
    size_t max; /* never holds more than this many bytes */
    int err;    /* 0, MW_ELIMIT or MW_ENOMEM; sticky until mw_buf_clear */
};

void mw_buf_init(struct mw_buf *b, size_t max);
void mw_buf_fini(struct mw_buf *b);
void mw_buf_clear(struct mw_buf *b); /* empties, forgets the error, keeps the memory */
void mw_buf_trim(struct mw_buf *b,
                 size_t keep);              /* if empty and larger than keep: frees the memory */
size_t mw_buf_size(const struct mw_buf *b); /* bytes not yet consumed */
const uint8_t *mw_buf_data(
    const struct mw_buf *b); /* borrowed until the next call that changes b */

void mw_buf_u8(struct mw_buf *b, uint8_t v);
void mw_buf_u16(struct mw_buf *b, uint16_t v);
void mw_buf_u32(struct mw_buf *b, uint32_t v);
void mw_buf_u64(struct mw_buf *b, uint64_t v);
void mw_buf_bytes(struct mw_buf *b, const void *p, size_t n);
void mw_buf_str(struct mw_buf *b,
                struct mw_str s); /* u32 length, bytes, one NUL that is not counted */
void mw_buf_strs(struct mw_buf *b, struct mw_str s, struct mw_str t); /* both, s first */
void mw_buf_cstr(struct mw_buf *b, const char *s); /* as mw_buf_str; NULL is written as "" */

/* Overwrite a u32 written before at `at`, counted from mw_buf_data(). */
void mw_buf_patch_u32(struct mw_buf *b, size_t at, uint32_t v);

/* Room for n bytes at the tail, or NULL (error set). Write there, then commit what was used. */
uint8_t *mw_buf_reserve(struct mw_buf *b, size_t n);
void mw_buf_commit(struct mw_buf *b, size_t n);
void mw_buf_consume(struct mw_buf *b, size_t n); /* drop n bytes from the front */

/* A reading position in borrowed bytes. */
struct mw_cur {
    const uint8_t *p;
    const uint8_t *end;
    int err; /* 0 or MW_EPROTO; sticky */
};

void mw_cur_init(struct mw_cur *c, const void *p, size_t n);
uint8_t mw_cur_u8(struct mw_cur *c); /* 0 after an error, as all getters */
uint16_t mw_cur_u16(struct mw_cur *c);
uint32_t mw_cur_u32(struct mw_cur *c);
uint64_t mw_cur_u64(struct mw_cur *c);
const uint8_t *mw_cur_bytes(struct mw_cur *c, size_t n); /* NULL after an error */

/* What mw_buf_str wrote: checks the NUL behind the bytes and that there is none among them, so the
 * result is also a C string. {"" , 0} after an error. */
struct mw_str mw_cur_str(struct mw_cur *c);

/* The same without the search for a NUL among the bytes: for bytes that are checked elsewhere. */
struct mw_str mw_cur_span(struct mw_cur *c);
size_t mw_cur_left(const struct mw_cur *c);

/* 0 if all was read without error and nothing is left, else MW_EPROTO. */
MW_MUST_CHECK int mw_cur_end(const struct mw_cur *c);

#endif
