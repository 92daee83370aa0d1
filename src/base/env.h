/*
 * env.h: environment variables as an operator writes them: KEY=VALUE, one by one or in a file with a
 * line for each. Pure but for reading the file. Values may be secrets: no message ever holds one.
 */
#ifndef MW_ENV_H
#define MW_ENV_H

#include "base.h"

#define MW_ENV_FILE_MAX (64u << 10) /* bytes of a file */

/* name and value are NUL-terminated and valid during the call only. Not 0: stop, and return it. */
typedef int mw_env_fn(void *ctx, const char *name, const char *value);

/* Split one "KEY=VALUE" in place. The key is letters, digits and '_', no digit first. A value in
 * quotes, single or double, loses them and nothing else: no escapes, no expansion. MW_EINVAL, and
 * why is a sentence's end, such as "has no '='". */
MW_MUST_CHECK int mw_env_split(char *text, const char **name, const char **value, const char **why);

/* Each line of text[0..n), which is NUL-terminated and may be changed; empty lines and those that begin with '#' do not
 * count, blanks around KEY and VALUE neither. Calls set for all, or, when a line is wrong, for
 * none: then MW_EINVAL, *line_r its number from 1, and why as above. set NULL: only look. */
MW_MUST_CHECK int mw_env_lines(char *text, size_t n, mw_env_fn *set, void *ctx, unsigned *line_r,
                               const char **why);

/* mw_env_lines of a file, a regular one of at most MW_ENV_FILE_MAX bytes. On MW_E* why names
 * the file and, where one is wrong, the line. */
MW_MUST_CHECK int mw_env_file(const char *path, mw_env_fn *set, void *ctx, char *why, size_t cap);

#endif
