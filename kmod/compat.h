/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one file that knows that kernels differ. The sources are written for the newest interface;
 * what older kernels lack is supplied here.
 */
#ifndef KVX_COMPAT_H
#define KVX_COMPAT_H

#include <kunit/visibility.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kvxfer needs Linux 6.1 or newer"
#endif

/* The namespace's name became a string. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define KVX_IMPORT_NS(ns)	MODULE_IMPORT_NS(ns)
#else
#define KVX_IMPORT_NS(ns)	MODULE_IMPORT_NS(#ns)
#endif

#endif /* KVX_COMPAT_H */
