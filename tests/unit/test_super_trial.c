/*
 * test_super_trial.c: which scripts a successor has to import, and how many are remembered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "trial.h"

static struct mw_str str(const char *s)
{
    return (struct mw_str){s, strlen(s)};
}

static void add(struct mw_trial *t, const char *script, const char *app_group)
{
    struct mw_ctl ctl = {.type = MW_CTL_SCRIPT,
                         .script = str(script),
                         .app_group = str(app_group),
                         .callable = str("application")};

    mw_trial_add(t, &ctl);
}

/* Scripts first to last, of names that are gone when this returns. */
static void add_many(struct mw_trial *t, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        char path[32];

        snprintf(path, sizeof path, "/srv/%u.wsgi", i);
        add(t, path, "");
    }
}

static void assert_named(const struct mw_preload *p, unsigned i)
{
    char path[32];

    snprintf(path, sizeof path, "/srv/%u.wsgi", i);
    assert_string_equal(p->script.p, path);
    assert_string_equal(p->callable.p, "application");
    assert_true(p->must);
}

static void test_trial_01_remembers_up_to_its_limit(void **state)
{
    struct mw_trial t = {0};

    (void)state;
    for (unsigned n = MW_TRIAL_SCRIPTS_MAX - 1; n <= MW_TRIAL_SCRIPTS_MAX + 1; n++) {
        add_many(&t, 1, n);
        assert_int_equal(t.n, n < MW_TRIAL_SCRIPTS_MAX ? n : MW_TRIAL_SCRIPTS_MAX);
        for (unsigned i = 0; i < t.n; i++)
            assert_named(&t.script[i], i + 1);
        mw_trial_clear(&t);
        assert_int_equal(t.n, 0);
    }
    mw_trial_clear(&t);
}

static void test_trial_02_remembers_each_once(void **state)
{
    struct mw_trial t = {0};

    (void)state;
    add(&t, "", "");
    assert_int_equal(t.n, 0);
    for (int i = 0; i < 2; i++) {
        add(&t, "/a", "");
        add(&t, "/a", "one");
        add(&t, "/b", "one");
        assert_int_equal(t.n, 3);
    }
    mw_trial_clear(&t);
}

/* The group's own first; what two workers have is imported once, and no more than the limit beyond the group's. */
static void test_trial_03_a_specification_has_them_all(void **state)
{
    struct mw_preload own[] = {{str("/own"), str(""), 0, str(""), 0},
                               {str("/srv/2.wsgi"), str(""), 0, str(""), 0}};
    struct mw_spec spec = {.preload = own, .npreload = 2};
    struct mw_trial a = {0}, b = {0};
    struct mw_spec s;

    (void)state;
    add_many(&a, 1, 40);
    add_many(&b, 30, 30 + MW_TRIAL_SCRIPTS_MAX - 1);
    assert_int_equal(mw_trial_spec(&s, &spec, 0), 0);
    mw_trial_spec_add(&s, &spec, &a);
    assert_int_equal(s.npreload, 41);
    assert_string_equal(s.preload[0].script.p, "/own");
    assert_false(s.preload[0].must);
    assert_named(&s.preload[1], 2);
    assert_named(&s.preload[2], 1);
    assert_named(&s.preload[40], 40);
    mw_trial_spec_add(&s, &spec, &b);
    assert_int_equal(s.npreload, 2 + MW_TRIAL_SCRIPTS_MAX);
    for (unsigned i = 40; i < s.npreload; i++)
        assert_named(&s.preload[i], i);
    mw_trial_spec_fini(&s);
    mw_trial_clear(&a);
    mw_trial_clear(&b);
}

/* As long as a message can name them. */
static void test_trial_04_the_longest_names_fit(void **state)
{
    static char path[MW_CTL_SCRIPT_MAX + 1], group[MW_CTL_APP_GROUP_MAX + 1];
    struct mw_spec spec = {.name = "blog"};
    struct mw_trial t = {0};
    struct mw_spec s;
    struct mw_buf b;

    (void)state;
    mw_spec_defaults(&spec);
    memset(path, 'p', sizeof path - 1);
    memset(group, 'g', sizeof group - 1);
    for (unsigned i = 0; i < MW_TRIAL_SCRIPTS_MAX; i++) {
        snprintf(path, 8, "/%06u", i);
        path[7] = 'p';
        add(&t, path, group);
    }
    assert_int_equal(t.n, MW_TRIAL_SCRIPTS_MAX);
    assert_int_equal(mw_trial_spec(&s, &spec, 1), 0);
    mw_trial_spec_add(&s, &spec, &t);
    mw_buf_init(&b, MW_SPEC_MAX);
    assert_int_equal(mw_spec_encode(&b, &s), 0);
    assert_true(mw_buf_size(&b) >
                MW_TRIAL_SCRIPTS_MAX * (MW_CTL_SCRIPT_MAX + MW_CTL_APP_GROUP_MAX));
    mw_buf_fini(&b);
    mw_trial_spec_fini(&s);
    mw_trial_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trial_01_remembers_up_to_its_limit),
        cmocka_unit_test(test_trial_02_remembers_each_once),
        cmocka_unit_test(test_trial_03_a_specification_has_them_all),
        cmocka_unit_test(test_trial_04_the_longest_names_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
