/*
 * show.h: what the tool prints of groups, workers and requests: for people, or as JSON. Control
 * characters in what workers say never reach the terminal.
 */
#ifndef MW_CTL_SHOW_H
#define MW_CTL_SHOW_H

#include <stdio.h>

#include "talk.h"

void mw_show_list(FILE *to, const struct mw_client_list *l);
void mw_show_list_json(FILE *to, const struct mw_client_list *l);
void mw_show_stacks(FILE *to, struct mw_client_worker **v, size_t n);
void mw_show_stacks_json(FILE *to, struct mw_client_worker **v, size_t n);

#endif
