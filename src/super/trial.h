/*
 * trial.h: what a successor has to show before it takes the place of a worker that serves: that it can
 * import the scripts the other one has. Supervisor only.
 */
#ifndef MW_TRIAL_H
#define MW_TRIAL_H

#include "ctl.h"
#include "spec.h"

/* Scripts of one worker, and of its group, that are remembered; later ones load on demand. All of them have to
 * fit into one specification, and their import into startup-timeout. */
#define MW_TRIAL_SCRIPTS_MAX 128u

/* Scripts that one worker has loaded, or that have changed, as its SCRIPT and RECYCLE messages named them. Owns
 * the strings. */
struct mw_trial {
    struct mw_preload *script; /* room for `cap` of them; most workers have one */
    unsigned n, cap;
};

/* Remember the script of such a message, if it has one, there is room for it, and it is not known. */
void mw_trial_add(struct mw_trial *t, const struct mw_ctl *ctl);
void mw_trial_clear(struct mw_trial *t);

/* The group's specification for a successor: with `whole`, it must import all of the group's own scripts;
 * add: and those that a worker of the group has. Borrows spec and the trials. mw_trial_spec_fini. MW_ENOMEM. */
MW_MUST_CHECK int mw_trial_spec(struct mw_spec *out, const struct mw_spec *spec, int whole);
void mw_trial_spec_add(struct mw_spec *out, const struct mw_spec *spec, const struct mw_trial *t);
void mw_trial_spec_fini(struct mw_spec *s);

#endif
