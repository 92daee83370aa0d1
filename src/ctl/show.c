/*
 * show.c: see show.h.
 */
#include "show.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "utf8.h"

#define SHOWN_MAX (4 * MW_ADMIN_TEXT_MAX)

/* -- for people -- */

/* Not to the terminal: control characters, those above ASCII too, and what is no character. */
static int is_plain(struct mw_str s, size_t n)
{
    unsigned char first = (unsigned char)s.p[0], second = n > 1 ? (unsigned char)s.p[1] : 0;

    if (n <= 1)
        return n == 1 && first >= 0x20 && first != 0x7f && first != '\\';
    return first != 0xc2 || second >= 0xa0;
}

/* Other bytes as \xHH. */
static const char *plain(char out[SHOWN_MAX], struct mw_str s)
{
    size_t at = 0;

    while (s.n > 0 && at + 5 < SHOWN_MAX) {
        size_t n = mw_utf8_length(s);
        if (is_plain(s, n)) {
            memcpy(out + at, s.p, n);
            at += n;
        } else {
            n = 1;
            at += (size_t)snprintf(out + at, SHOWN_MAX - at, "\\x%02x", (unsigned char)s.p[0]);
        }
        s.p += n;
        s.n -= n;
    }
    out[at] = '\0';
    return out;
}

/* "3d04h", "2h13m", "5m07s", "12.3s" */
static const char *span(char out[32], uint64_t ms)
{
    unsigned long long s = ms / 1000;

    if (ms == MW_ADMIN_NEVER)
        snprintf(out, 32, "-");
    else if (s >= 86400)
        snprintf(out, 32, "%llud%02lluh", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        snprintf(out, 32, "%lluh%02llum", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        snprintf(out, 32, "%llum%02llus", s / 60, s % 60);
    else
        snprintf(out, 32, "%llu.%llus", s, (unsigned long long)(ms % 1000 / 100));
    return out;
}

static const char *size(char out[32], uint64_t bytes)
{
    if (bytes == 0)
        snprintf(out, 32, "-");
    else if (bytes < 10u << 20)
        snprintf(out, 32, "%.1fM", (double)bytes / (1 << 20));
    else
        snprintf(out, 32, "%.0fM", (double)bytes / (1 << 20));
    return out;
}

static void show_request(FILE *to, const struct mw_admin_request *r)
{
    char method[SHOWN_MAX], host[SHOWN_MAX], url[SHOWN_MAX], client[SHOWN_MAX], age[32];

    fprintf(to, "      %8s  %s %s%s%s  from %s  thread %lu%s\n", span(age, r->age_ms),
            plain(method, r->method), r->host.n ? "http://" : "", plain(host, r->host),
            plain(url, r->url), plain(client, r->client), (unsigned long)r->thread,
            r->lost ? ", its time is over" : "");
}

static void show_worker(FILE *to, const struct mw_client_worker *w)
{
    char age[32], memory[32], due[32], text[SHOWN_MAX], pid[16] = "-", served[32] = "-";
    int known = w->w.pid && !w->problem;

    if (w->w.pid)
        snprintf(pid, sizeof pid, "%lu", (unsigned long)w->w.pid);
    if (known)
        snprintf(served, sizeof served, "%llu", (unsigned long long)w->report.served);
    fprintf(to, "  %4u %8s  %-10s %8s %6lu %9s %8s", w->w.slot, pid, plain(text, w->w.state),
            span(age, w->w.age_ms), (unsigned long)w->w.busy, served,
            size(memory, known ? w->report.resident : 0));
    if (w->w.pid && w->problem)
        fprintf(to, "  it %s", w->problem);
    if (!w->w.pid && w->w.due_ms != MW_ADMIN_NEVER)
        fprintf(to, "  next start in %s", span(due, w->w.due_ms));
    if (w->w.why.n)
        fprintf(to, "  %s", plain(text, w->w.why));
    fputc('\n', to);
    for (uint32_t i = 0; known && i < w->report.nrequests; i++)
        show_request(to, &w->requests[i]);
}

void mw_show_list(FILE *to, const struct mw_client_list *l)
{
    char name[SHOWN_MAX];

    for (uint32_t g = 0; g < l->head.ngroups; g++) {
        const struct mw_admin_group *ag = &l->groups[g].g;
        fprintf(to, "%sgroup %s: %lu process%s of %lu thread%s, %lu request%s waiting%s\n",
                g ? "\n" : "", plain(name, ag->name), (unsigned long)ag->processes,
                ag->processes == 1 ? "" : "es", (unsigned long)ag->threads,
                ag->threads == 1 ? "" : "s", (unsigned long)ag->waiting,
                ag->waiting == 1 ? "" : "s", ag->drained ? ", drained" : "");
        fprintf(to, "  %4s %8s  %-10s %8s %6s %9s %8s\n", "SLOT", "PID", "STATE", "AGE", "BUSY",
                "SERVED", "MEMORY");
        for (uint32_t i = 0; i < ag->nworkers; i++)
            show_worker(to, &l->groups[g].workers[i]);
    }
}

/* Which request a line such as "Thread 0x00007f12 (most recent call first):" is about, or NULL. */
static const struct mw_admin_request *request_of(const struct mw_client_worker *w, const char *line,
                                                 size_t n)
{
    const char *at = memmem(line, n, "hread 0x", 8);
    char digits[20];

    if (!at || w->problem)
        return NULL;
    size_t left = n - (size_t)(at + 6 - line);
    if (left >= sizeof digits)
        left = sizeof digits - 1;
    memcpy(digits, at + 6, left);
    digits[left] = '\0';
    unsigned long long ident = strtoull(digits, NULL, 16);
    for (uint32_t i = 0; i < w->report.nrequests; i++) {
        if (w->requests[i].ident == ident)
            return &w->requests[i];
    }
    return NULL;
}

/* Takes the first line off *text; without its end. */
static struct mw_str next_line(struct mw_str *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    struct mw_str line = {text->p, end ? (size_t)(end - text->p) : text->n};
    size_t used = line.n + (end != NULL);

    text->p += used;
    text->n -= used;
    return line;
}

static int begins(struct mw_str s, const char *with)
{
    return s.n >= strlen(with) && memcmp(s.p, with, strlen(with)) == 0;
}

/* Threads that are not in Python are left out. */
static void show_stack(FILE *to, const struct mw_client_worker *w)
{
    struct mw_str left = {(const char *)mw_buf_data(&w->stack), mw_buf_size(&w->stack)};
    char text[SHOWN_MAX];

    while (left.n > 0) {
        struct mw_str line = next_line(&left);
        const struct mw_admin_request *r = request_of(w, line.p, line.n);
        if (line.n == 0)
            continue;
        if (begins(left, "  <no Python frame>")) {
            (void)next_line(&left);
            continue;
        }
        fprintf(to, "%s\n", plain(text, line));
        if (r)
            show_request(to, r);
    }
}

void mw_show_stacks(FILE *to, struct mw_client_worker **v, size_t n)
{
    char name[SHOWN_MAX], state[SHOWN_MAX];

    for (size_t i = 0; i < n; i++) {
        const struct mw_client_worker *w = v[i];
        fprintf(to, "%sworker %u of group %s, pid %lu, %s%s%s\n", i ? "\n" : "", w->w.slot,
                plain(name, w->group->g.name), (unsigned long)w->w.pid, plain(state, w->w.state),
                w->problem ? ": it " : "", w->problem ? w->problem : "");
        show_stack(to, w);
    }
}

/* -- JSON -- */

static void json_request(struct mw_json *j, const struct mw_admin_request *r)
{
    mw_json_open(j, NULL, '{');
    mw_json_seconds(j, "age", r->age_ms);
    mw_json_flag(j, "lost", r->lost);
    mw_json_string(j, "method", r->method);
    mw_json_string(j, "host", r->host);
    mw_json_string(j, "url", r->url);
    mw_json_string(j, "client", r->client);
    mw_json_string(j, "script", r->script);
    mw_json_number(j, "thread", r->thread);
    mw_json_number(j, "python_thread", r->ident);
    mw_json_close(j, '}');
}

static void json_problem(struct mw_json *j, const struct mw_client_worker *w)
{
    if (w->problem)
        mw_json_string(j, "problem", (struct mw_str){w->problem, strlen(w->problem)});
    else
        mw_json_null(j, "problem");
}

static void json_report(struct mw_json *j, const struct mw_client_worker *w)
{
    int known = w->w.pid && !w->problem;

    json_problem(j, w);
    if (known) {
        mw_json_number(j, "served", w->report.served);
        mw_json_number(j, "memory", w->report.resident);
    } else {
        mw_json_null(j, "served");
        mw_json_null(j, "memory");
    }
    mw_json_open(j, "requests", '[');
    for (uint32_t i = 0; known && i < w->report.nrequests; i++)
        json_request(j, &w->requests[i]);
    mw_json_close(j, ']');
}

static void json_worker(struct mw_json *j, const struct mw_client_worker *w)
{
    mw_json_open(j, NULL, '{');
    mw_json_number(j, "slot", w->w.slot);
    mw_json_number(j, "pid", w->w.pid);
    mw_json_number(j, "incarnation", w->w.incarnation);
    mw_json_string(j, "state", w->w.state);
    mw_json_seconds(j, "age", w->w.age_ms);
    mw_json_seconds(j, "due", w->w.due_ms);
    mw_json_number(j, "busy", w->w.busy);
    mw_json_number(j, "claimed", w->w.claimed);
    mw_json_number(j, "failures", w->w.fails);
    mw_json_string(j, "why", w->w.why);
    json_report(j, w);
    mw_json_close(j, '}');
}

void mw_show_list_json(FILE *to, const struct mw_client_list *l)
{
    struct mw_json j = {.to = to};

    mw_json_open(&j, NULL, '{');
    mw_json_open(&j, "supervisor", '{');
    mw_json_number(&j, "pid", l->head.pid);
    mw_json_seconds(&j, "age", l->head.age_ms);
    mw_json_close(&j, '}');
    mw_json_open(&j, "groups", '[');
    for (uint32_t g = 0; g < l->head.ngroups; g++) {
        const struct mw_client_group *cg = &l->groups[g];
        mw_json_open(&j, NULL, '{');
        mw_json_string(&j, "name", cg->g.name);
        mw_json_number(&j, "processes", cg->g.processes);
        mw_json_number(&j, "threads", cg->g.threads);
        mw_json_number(&j, "waiting", cg->g.waiting);
        mw_json_flag(&j, "drained", cg->g.drained);
        mw_json_open(&j, "workers", '[');
        for (uint32_t i = 0; i < cg->g.nworkers; i++)
            json_worker(&j, &cg->workers[i]);
        mw_json_close(&j, ']');
        mw_json_close(&j, '}');
    }
    mw_json_close(&j, ']');
    mw_json_close(&j, '}');
    fputc('\n', to);
}

void mw_show_stacks_json(FILE *to, struct mw_client_worker **v, size_t n)
{
    struct mw_json j = {.to = to};

    mw_json_open(&j, NULL, '{');
    mw_json_open(&j, "workers", '[');
    for (size_t i = 0; i < n; i++) {
        const struct mw_client_worker *w = v[i];
        mw_json_open(&j, NULL, '{');
        mw_json_string(&j, "group", w->group->g.name);
        mw_json_number(&j, "slot", w->w.slot);
        mw_json_number(&j, "pid", w->w.pid);
        mw_json_string(&j, "state", w->w.state);
        json_problem(&j, w);
        mw_json_string(
            &j, "stack",
            (struct mw_str){(const char *)mw_buf_data(&w->stack), mw_buf_size(&w->stack)});
        mw_json_open(&j, "requests", '[');
        for (uint32_t k = 0; !w->problem && k < w->report.nrequests; k++)
            json_request(&j, &w->requests[k]);
        mw_json_close(&j, ']');
        mw_json_close(&j, '}');
    }
    mw_json_close(&j, ']');
    mw_json_close(&j, '}');
    fputc('\n', to);
}
