/*
 * rsp.h: a response head as one flat block, built by the engine and checked by whoever receives it.
 * A final response and an informational one (103) have the same form.
 *
 * The checks are RFC 9110's (5.1 field names are tokens, 5.5 field values have no CR, LF, NUL or
 * other control character but HTAB, 15 status codes have three digits), so that nothing an
 * application writes can end or begin a message: the same check runs in the engine, to raise in the
 * application, and in the httpd child, because a worker may be hostile.
 */
#ifndef MW_RSP_H
#define MW_RSP_H

#include "buf.h"

#define MW_RSP_HEAD_MAX (256u << 10) /* bytes of a block */
#define MW_RSP_FIELDS_MAX 1000u
#define MW_RSP_INFORM_STATUS 103u /* Early Hints (RFC 8297), the only informational one */
/* Bytes of an informational block, so that none of its lines is longer than httpd's own limit of a
 * line, HUGE_STRING_LEN, which mod_http2 keeps for responses too. */
#define MW_RSP_INFORM_MAX 8192u

struct mw_rsp {
    uint16_t status;        /* 200 to 999: 1xx is never a final response; or 103 */
    struct mw_str reason;   /* may be empty */
    int64_t content_length; /* -1: the application gave none */
    uint32_t nfields;
    struct mw_cur fields; /* for mw_rsp_next; set by mw_rsp_view */
};

/* Why a head was refused; mw_rsp_fault_text says it for a log line or an exception. */
enum mw_rsp_fault {
    MW_RSP_FINE = 0,
    MW_RSP_BAD_STATUS,
    MW_RSP_BAD_REASON,
    MW_RSP_BAD_NAME,
    MW_RSP_BAD_VALUE,
    MW_RSP_BAD_LENGTH, /* Content-Length is not one number, or is given twice */
    MW_RSP_TOO_LARGE,
    MW_RSP_NOT_INFORM, /* an informational response with another status */
    MW_RSP_BAD_INFORM  /* it speaks of the message's length or of the connection */
};
const char *mw_rsp_fault_text(enum mw_rsp_fault fault);

enum mw_rsp_fault mw_rsp_check_status(unsigned status, struct mw_str reason);
enum mw_rsp_fault mw_rsp_check_field(struct mw_str name, struct mw_str value);
/* The same for a field of an informational response: stricter. */
enum mw_rsp_fault mw_rsp_check_inform_field(struct mw_str name, struct mw_str value);

/* Build: begin, field per field, end. No check is made here; errors stay in b->err. */
size_t mw_rsp_begin(struct mw_buf *b, unsigned status, struct mw_str reason);
void mw_rsp_field(struct mw_buf *b, struct mw_str name, struct mw_str value);
MW_MUST_CHECK int mw_rsp_end(struct mw_buf *b, size_t at, uint32_t nfields);

/* Check a block fully (form and contents), then point `out` into it; borrows the block. 0,
 * MW_EPROTO (malformed) or MW_EINVAL (well-formed, but a fault: *fault_r tells). fault_r may be
 * NULL. */
MW_MUST_CHECK int mw_rsp_view(struct mw_rsp *out, const void *block, size_t n,
                              enum mw_rsp_fault *fault_r);

/* The same for an informational response: status 103, no Content-Length, no hop-by-hop field, and at
 * most MW_RSP_INFORM_MAX bytes. */
MW_MUST_CHECK int mw_rsp_view_inform(struct mw_rsp *out, const void *block, size_t n,
                                     enum mw_rsp_fault *fault_r);

/* Next field: 1, or 0 at the end. `it` starts as a copy of rsp->fields. */
int mw_rsp_next(struct mw_cur *it, struct mw_str *name, struct mw_str *value);

/* Connection, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade (RFC 9110
 * 7.6.1): the application may not speak of the connection. */
int mw_rsp_is_hop_by_hop(struct mw_str name);

/* 204 and 304 never have a body (RFC 9110 15.3.5, 15.4.5). */
int mw_rsp_status_has_body(unsigned status);

#endif
