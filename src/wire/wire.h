/*
 * wire.h: the protocol between an httpd child and a worker, version 1. docs/protocol.md is the
 * specification, byte by byte. One connection carries one request at a time; after END it is free
 * for the next. Both ends treat the other as hostile.
 */
#ifndef MW_WIRE_H
#define MW_WIRE_H

#include "log.h"

#define MW_WIRE_MAGIC 0x4957534du /* the bytes "MSWI": first word of HELLO */
#define MW_WIRE_VERSION 1u

#define MW_FRAME_HDR 8u                  /* u32 payload length, u8 type, u8 flags, u16 zero */
#define MW_FRAME_PAYLOAD_MAX (16u << 20) /* REQUEST; every other type has its own, lower limit */
#define MW_FRAME_DATA_MAX (64u << 10)    /* BODY, DATA, LOG payload */
#define MW_BODY_INLINE_MAX (16u << 10)   /* a body up to this rides along with its REQUEST */
#define MW_WANT_MAX (1u << 20)           /* bytes of credit that a WANT may leave */
#define MW_FD_LEAD_MAX (64u << 10)  /* bytes of frames between a descriptor and its own frame */
#define MW_BODY_WINDOW (128u << 10) /* bytes of credit that a worker has given at any time */

enum mw_frame_type {
    MW_F_HELLO = 1,     /* both: magic, version, limits, identity */
    MW_F_REQUEST = 2,   /* child -> worker: request block (req.h) */
    MW_F_WANT = 3,      /* worker -> child: credit for body bytes */
    MW_F_BODY = 4,      /* child -> worker: body bytes */
    MW_F_BODY_END = 5,  /* child -> worker: the body's end, clean or why it broke */
    MW_F_BODY_FILE = 6, /* child -> worker, with a descriptor: the whole body, u64 bytes from 0 */
    MW_F_ABORT = 7,     /* child -> worker: the client went away */
    MW_F_HEAD = 8,      /* worker -> child: response head block (rsp.h) */
    MW_F_DATA = 9,      /* worker -> child: response body bytes */
    MW_F_FILE = 10,     /* worker -> child, with a descriptor: i64 offset, i64 length; as DATA */
    MW_F_INFORM = 11,   /* worker -> child: informational response block (rsp.h) */
    MW_F_LOG = 12,      /* worker -> child: level, source, text of one line */
    MW_F_END = 13,      /* worker -> child: u8 enum mw_end */
    MW_F_ASK = 14,      /* worker -> child: is the client still there? */
    MW_F_ALIVE = 15     /* child -> worker: it has not gone; the other answer is ABORT */
};
#define MW_F_LAST MW_F_ALIVE

/* Most bytes of payload that a frame of this type may have; 0 for those without; MW_EPROTO if the type
 * is not one of version 1. */
int64_t mw_frame_limit(unsigned type);
const char *mw_frame_name(unsigned type);

/* 1 if exactly one descriptor comes with each frame of this type; none with any other. */
int mw_frame_has_fd(unsigned type);

/* May a frame of this type have n payload bytes? MW_EPROTO (no such type, too few), MW_ELIMIT. */
MW_MUST_CHECK int mw_frame_check(unsigned type, uint64_t n);

struct mw_frame {
    uint8_t type;
    uint8_t flags;          /* zero in version 1 */
    const uint8_t *payload; /* borrowed */
    uint32_t n;
};

/* The header of a frame, into out. */
void mw_frame_header(uint8_t out[MW_FRAME_HDR], unsigned type, uint32_t n);

/* Look for one frame at p. Returns the bytes it takes (> 0) with *out filled; 0: more bytes are
 * needed, and *need_r (may be NULL) says how many in all; MW_EPROTO or MW_ELIMIT: these bytes
 * are no frame, however many more come. Pure. */
MW_MUST_CHECK int64_t mw_frame_parse(const uint8_t *p, size_t n, struct mw_frame *out,
                                     size_t *need_r);

/* Small payloads. Each encoder's bytes are what the decoder accepts, no more, no less. */
struct mw_hello {
    uint32_t version;
    uint32_t pid;         /* of the sender */
    uint32_t incarnation; /* worker's; 0 from a child */
    uint32_t data_max; /* largest BODY or DATA payload the sender accepts: 1 to MW_FRAME_DATA_MAX */
};
#define MW_HELLO_SIZE 20u
void mw_hello_encode(uint8_t out[MW_HELLO_SIZE], const struct mw_hello *h);
/* Also checks magic and version. */
MW_MUST_CHECK int mw_hello_decode(struct mw_hello *out, const void *p, size_t n);

enum mw_body_end {
    MW_BODY_CLEAN = 0,
    MW_BODY_ABORTED = 1, /* the client went away */
    MW_BODY_TIMEOUT = 2, /* the client was too slow */
    MW_BODY_LIMIT = 3,   /* over LimitRequestBody */
    MW_BODY_BROKEN = 4   /* any other failure */
};
#define MW_BODY_END_LAST MW_BODY_BROKEN
int mw_body_end_error(enum mw_body_end why); /* as mw_chan_ops.read returns it: 0, MW_EABORT, ... */
enum mw_body_end mw_body_end_of(int err);    /* the reverse */

/* WANT. Positions are counted from the beginning of the body, so that both ends know what is under way.
 * With waits == 0 the worker asks ahead of its need: the child sends what it has got of the body and
 * never waits for the client because of it. */
struct mw_want {
    uint64_t have; /* the worker has got the bytes before this one */
    uint64_t upto; /* and takes those before this one: have + 1 to have + MW_WANT_MAX */
    uint8_t waits; /* 1: the application waits for byte `have`, or the end of the body */
};
#define MW_WANT_SIZE 17u
void mw_want_encode(uint8_t out[MW_WANT_SIZE], const struct mw_want *w);

/* FILE: a part of a file, in place of that many bytes of DATA. */
struct mw_file_part {
    int64_t offset; /* >= 0 */
    int64_t n;      /* >= 1; offset + n does not overflow */
};
#define MW_FILE_SIZE 16u
void mw_file_encode(uint8_t out[MW_FILE_SIZE], const struct mw_file_part *f);
MW_MUST_CHECK int mw_file_decode(struct mw_file_part *out, const void *p, size_t n);

/* BODY_FILE: 1 to INT64_MAX bytes from the file's beginning. */
#define MW_BODY_FILE_SIZE 8u
void mw_body_file_encode(uint8_t out[MW_BODY_FILE_SIZE], int64_t length);
MW_MUST_CHECK int mw_body_file_decode(int64_t *out, const void *p, size_t n);

/* END and BODY_END: 0 to last. LOG: a mark of
 * log.h and the rest; both borrow. */
MW_MUST_CHECK int mw_u8_decode(uint8_t *out, uint8_t last, const void *p, size_t n);
MW_MUST_CHECK int mw_want_decode(struct mw_want *out, const void *p, size_t n);
MW_MUST_CHECK int mw_logline_decode(struct mw_mark *mark_r, struct mw_str *text_r, const void *p,
                                    size_t n);

#endif
