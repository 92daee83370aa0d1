/*
 * samples.h: what several unit tests of base, chan and wire need: cmocka with its own includes, a
 * repeatable source of random numbers, sample blocks and a count of descriptors.
 */
#ifndef MW_TESTS_SAMPLES_H
#define MW_TESTS_SAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "buf.h"
#include "req.h"
#include "rsp.h"

#define assert_str(s, literal)                                     \
    do {                                                           \
        struct mw_str str_ = (s);                                  \
        assert_int_equal(str_.n, sizeof(literal) - 1);             \
        assert_memory_equal(str_.p, literal, sizeof(literal) - 1); \
    } while (0)

/* xorshift32; *state must not be 0. */
uint32_t sample_random(uint32_t *state);

/* A request with every field set and three pairs; its head for comparison. */
extern const struct mw_req sample_req_head;
void sample_req(struct mw_buf *b);

/* 404 with a reason and three fields, one of them Content-Length: 17. */
void sample_rsp(struct mw_buf *b);

/* Build the block again from its view; for decode-encode comparisons. */
void sample_req_rebuild(struct mw_buf *b, const struct mw_req *r);
void sample_rsp_rebuild(struct mw_buf *b, const struct mw_rsp *r);

unsigned sample_open_fds(void);

/* This process can open and receive nothing until setrlimit with what is returned. */
struct rlimit sample_no_more_files(void);

#endif
