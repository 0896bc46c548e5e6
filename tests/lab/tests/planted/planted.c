// SPDX-License-Identifier: GPL-2.0-only
/*
 * planted.ko: does on purpose, by what=..., what the lab must find.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *what = "";
module_param(what, charp, 0);

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static DEFINE_SPINLOCK(spin);
static DECLARE_COMPLETION(never);

static noinline void kvx_planted_leak(void)
{
	char *lost = kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(lost);
}

static noinline void kvx_planted_use_after_free(void)
{
	char *gone = kmalloc(100, GFP_KERNEL);

	kfree(gone);
	OPTIMIZER_HIDE_VAR(gone);
	WRITE_ONCE(gone[50], 1);
}

static noinline void kvx_planted_inversion(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);
	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static noinline void kvx_planted_sleep(void)
{
	spin_lock(&spin);
	msleep(20);
	spin_unlock(&spin);
}

static noinline void kvx_planted_shift(void)
{
	unsigned int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	pr_info("planted: %u\n", 1U << by);
}

static int __init kvx_planted_init(void)
{
	if (!strcmp(what, "leak"))
		kvx_planted_leak();
	else if (!strcmp(what, "use-after-free"))
		kvx_planted_use_after_free();
	else if (!strcmp(what, "inversion"))
		kvx_planted_inversion();
	else if (!strcmp(what, "sleep"))
		kvx_planted_sleep();
	else if (!strcmp(what, "shift"))
		kvx_planted_shift();
	else if (!strcmp(what, "hang"))
		wait_for_completion(&never);
	else if (!strcmp(what, "warning"))
		WARN_ON(1);
	else
		return -EINVAL;
	return 0;
}

static void __exit kvx_planted_exit(void)
{
}

module_init(kvx_planted_init);
module_exit(kvx_planted_exit);

MODULE_DESCRIPTION("faults for the lab to find");
MODULE_LICENSE("GPL");
