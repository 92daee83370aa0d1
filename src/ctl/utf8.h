/*
 * utf8.h: which bytes are characters. Pure.
 */
#ifndef MW_CTL_UTF8_H
#define MW_CTL_UTF8_H

#include "base.h"

/* Bytes of the UTF-8 character (RFC 3629) at the front of s, which is not empty; 0: it is none. */
size_t mw_utf8_length(struct mw_str s);

#endif
