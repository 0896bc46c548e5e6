// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvxfer_kunit.ko: the suites run when it is loaded. insmod says 0 whatever they find: read the
 * log.
 */
#include <linux/module.h>

#include "../../kmod/compat.h"

MODULE_DESCRIPTION("KUnit suites of kvxfer");
MODULE_LICENSE("GPL");
KVX_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
KVX_IMPORT_NS(DMA_BUF);
