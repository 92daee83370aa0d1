/*
 * main.c: mod_wsgi-ctl, the operator's tool. It speaks to the supervisor of the newest generation over
 * the control socket (WSGIControlSocket); docs/mod_wsgi-ctl.md is its manual.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "order.h"
#include "show.h"
#include "talk.h"
#include "target.h"

#define PATIENCE_MS 3000
#define ORDER_MS 300000
#define TIMEOUT_MAX_S 86400

enum status {
    STATUS_DONE = 0,
    STATUS_FAILED = 1,     /* asked, and not, or not all of it, done */
    STATUS_USAGE = 2,      /* the command line is wrong */
    STATUS_UNREACHABLE = 3 /* nobody listens, or will not listen to this user */
};

struct job {
    struct mw_client client;
    const char *socket;
    const char *target; /* NULL: none */
    int all;            /* --all */
    int json;
    int64_t timeout_ms;
};

/* -- which workers are meant -- */

struct chosen {
    struct mw_client_worker **v;
    size_t n;
};

/* The workers that have a process and are meant. MW_ENOENT: none. */
static int choose(struct mw_client_list *l, const char *target, struct chosen *out)
{
    size_t max = 0;

    for (uint32_t g = 0; g < l->head.ngroups; g++)
        max += l->groups[g].g.nworkers;
    *out = (struct chosen){.v = calloc(max + 1, sizeof(struct mw_client_worker *))};
    if (!out->v)
        return MW_ENOMEM;
    for (uint32_t g = 0; g < l->head.ngroups; g++) {
        for (uint32_t i = 0; i < l->groups[g].g.nworkers; i++) {
            struct mw_client_worker *w = &l->groups[g].workers[i];
            if (w->w.pid && mw_target_is_worker(w, target))
                out->v[out->n++] = w;
        }
    }
    return target && out->n == 0 ? MW_ENOENT : 0;
}

/* What the client's last failure was. */
static int complain(const struct mw_client *c, int err)
{
    fprintf(stderr, "mod_wsgi-ctl: %s\n", c->why[0] ? c->why : mw_err_text(err));
    return c->fd < 0 ? STATUS_UNREACHABLE : STATUS_FAILED;
}

static int no_such(const struct job *j, int may_be_one)
{
    fprintf(stderr, "mod_wsgi-ctl: there is no group%s '%s'\n",
            may_be_one ? ", GROUP/SLOT or process" : "", j->target);
    return STATUS_FAILED;
}

/* -- commands -- */

static int ps(struct job *j)
{
    struct mw_client_list l;
    struct chosen all = {.v = NULL};
    int status = STATUS_DONE;
    int rv = mw_client_list(&j->client, &l);

    if (rv)
        return complain(&j->client, rv);
    rv = choose(&l, NULL, &all);
    if (rv == 0)
        rv = mw_client_reports(&j->client, all.v, all.n);
    if (rv)
        status = complain(&j->client, rv);
    else if (j->json)
        mw_show_list_json(stdout, &l);
    else
        mw_show_list(stdout, &l);
    free(all.v);
    mw_client_list_fini(&l);
    return status;
}

static int stack(struct job *j)
{
    struct mw_client_list l;
    struct chosen some = {.v = NULL};
    int status = STATUS_DONE;
    int rv = mw_client_list(&j->client, &l);

    if (rv)
        return complain(&j->client, rv);
    rv = choose(&l, j->target, &some);
    if (rv == MW_ENOENT) {
        status = no_such(j, 1);
        goto out;
    }
    if (rv == 0)
        rv = mw_client_reports(&j->client, some.v, some.n);
    if (rv == 0)
        rv = mw_client_stacks(&j->client, some.v, some.n);
    if (rv) {
        status = complain(&j->client, rv);
        goto out;
    }
    if (j->json)
        mw_show_stacks_json(stdout, some.v, some.n);
    else
        mw_show_stacks(stdout, some.v, some.n);
    for (size_t i = 0; i < some.n; i++) {
        /* One of many that has left is no failure. */
        if (some.v[i]->problem && !(some.v[i]->gone && some.n > 1))
            status = STATUS_FAILED;
    }
out:
    free(some.v);
    mw_client_list_fini(&l);
    return status;
}

static int carry_out(struct job *j, uint8_t op)
{
    const struct mw_order o = {.op = op,
                               .target = j->target,
                               .json = j->json,
                               .timeout_ms = j->timeout_ms ? j->timeout_ms : ORDER_MS};
    int rv = mw_order_carry_out(&j->client, &o);

    if (rv == 0)
        return STATUS_DONE;
    if (rv == MW_ENOENT && j->client.fd >= 0)
        return no_such(j, op == MW_ADMIN_RECYCLE);
    if (rv == MW_ESTATE || rv == MW_ETIMEOUT)
        return STATUS_FAILED; /* it was said why */
    return complain(&j->client, rv);
}

static int reload(struct job *j)
{
    return carry_out(j, MW_ADMIN_RELOAD);
}

static int recycle(struct job *j)
{
    return carry_out(j, MW_ADMIN_RECYCLE);
}

static int drain(struct job *j)
{
    return carry_out(j, MW_ADMIN_DRAIN);
}

static int resume(struct job *j)
{
    return carry_out(j, MW_ADMIN_RESUME);
}

/* -- command line -- */

static const struct command {
    const char *name;
    int (*run)(struct job *j);
    enum { TARGET_NONE, TARGET_MAY, TARGET_OR_ALL } target;
    const char *help;
} commands[] = {
    {"ps", ps, TARGET_NONE, "groups, processes and the requests they are at"},
    {"stack", stack, TARGET_MAY, "[GROUP[/SLOT]|PID]  Python stacks of live processes"},
    {"reload", reload, TARGET_OR_ALL,
     "GROUP|--all  replace every process, with the code as it is now"},
    {"recycle", recycle, TARGET_OR_ALL, "GROUP[/SLOT]|PID|--all  replace processes"},
    {"drain", drain, TARGET_OR_ALL,
     "GROUP|--all  finish requests, then have no process until resume"},
    {"resume", resume, TARGET_OR_ALL, "GROUP|--all  end drain"},
};

static void usage(FILE *to)
{
    fputs("usage: mod_wsgi-ctl [options] COMMAND [TARGET]\n\n", to);
    for (size_t i = 0; i < MW_ARRAY_LEN(commands); i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(
        to,
        "\n"
        "  --json           answer in JSON\n"
        "  --socket PATH    where the supervisor listens, if not at\n"
        "                   %s\n"
        "  --timeout SECS   how long to wait for workers (3), or for an order to be done (300)\n"
        "  --version, --help\n\n"
        "Exit status: 0 done, 1 not or not all done, 2 wrong usage, 3 no server reached.\n",
        MW_CONTROL_SOCKET);
}

static int misuse(const char *what, const char *on)
{
    fprintf(stderr, "mod_wsgi-ctl: %s%s; mod_wsgi-ctl --help explains\n", what, on);
    return STATUS_USAGE;
}

static int run(struct job *j, const char *name, int nargs)
{
    const struct command *cmd = NULL;

    for (size_t i = 0; i < MW_ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            cmd = &commands[i];
    }
    if (!cmd)
        return misuse("there is no command ", name);
    if (nargs > 1 || (nargs == 1 && cmd->target == TARGET_NONE))
        return misuse("too many arguments for ", name);
    if (cmd->target == TARGET_OR_ALL && (nargs == 1) == j->all)
        return misuse("name one target, or say --all, for ", name);
    if (j->timeout_ms && cmd->target != TARGET_OR_ALL)
        j->client.patience_ms = j->timeout_ms;
    int rv = mw_client_connect(&j->client, j->socket);
    if (rv)
        return complain(&j->client, rv);
    int status = cmd->run(j);
    mw_client_close(&j->client);
    if (fflush(stdout) || ferror(stdout)) {
        perror("mod_wsgi-ctl: standard output");
        return STATUS_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct job j = {.client = {.fd = -1, .patience_ms = PATIENCE_MS}, .socket = MW_CONTROL_SOCKET};
    unsigned long seconds;
    int c;

    while ((c = getopt_long(argc, argv, "ahjs:t:", options, NULL)) != -1) {
        switch (c) {
        case 'a':
            j.all = 1;
            break;
        case 'j':
            j.json = 1;
            break;
        case 's':
            j.socket = optarg;
            break;
        case 't':
            if (!mw_target_number(optarg, TIMEOUT_MAX_S, &seconds) || seconds == 0)
                return misuse("--timeout takes seconds from 1 to 86400, not ", optarg);
            j.timeout_ms = (int64_t)seconds * 1000;
            break;
        case 'V':
            puts("mod_wsgi-ctl " MW_VERSION);
            return STATUS_DONE;
        case 'h':
            usage(stdout);
            return STATUS_DONE;
        default:
            return misuse("an option is wrong", "");
        }
    }
    if (optind == argc) {
        usage(stderr);
        return STATUS_USAGE;
    }
    j.target = optind + 1 < argc ? argv[optind + 1] : NULL;
    return run(&j, argv[optind], argc - optind - 1);
}
