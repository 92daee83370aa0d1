/*
 * variables.h: the environment variables that the configuration gives to a group: python-eggs=,
 * env-file=, env=. Called once by the worker's main thread, before it starts Python or gives up its
 * privileges.
 */
#ifndef MW_VARIABLES_H
#define MW_VARIABLES_H

#include "spec.h"

/* The later of the three wins, and all of them over what the process inherited. MW_E* with why, which
 * never holds a value; the process must not serve then. */
MW_MUST_CHECK int mw_variables_set(const struct mw_spec *spec, char *why, size_t cap);

/* Whether lang= or locale= name a locale of this system whose encoding is not UTF-8. The C locale
 * does not count: nobody who names it wants ASCII. */
int mw_variables_other_encoding(const struct mw_spec *spec);

#endif
