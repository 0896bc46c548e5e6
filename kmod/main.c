// SPDX-License-Identifier: GPL-2.0-only
/* Load and unload, in mirrored order. */
#include <linux/module.h>
#include <linux/random.h>

#include "compat.h"
#include "kvx.h"
#include "netlink.h"
#include "pool.h"
#include "peer.h"
#include "rdma/net.h"
#include "rdma/rdma.h"
#include "xfer.h"

/* Which node this is, for as long as the module is loaded; never 0. */
u64 kvx_boot_id;

static int __init kvx_init(void)
{
	int err;

	do {
		kvx_boot_id = get_random_u64();
	} while (!kvx_boot_id);

	err = kvx_agents_init();
	if (err)
		return err;
	err = kvx_pools_init();
	if (err)
		goto err_agents_exit;
	err = kvx_xfers_init();
	if (err)
		goto err_pools_exit;
	err = kvx_peers_init();
	if (err)
		goto err_xfers_exit;
	err = kvx_devs_init();
	if (err)
		goto err_peers_exit;
	kvx_nets_listen();
	err = kvx_netlink_init();
	if (err)
		goto err_unlisten;
	err = kvx_chardev_register();
	if (err)
		goto err_netlink_exit;
	pr_info("version %s, ABI %u, boot id %016llx\n", KVX_VERSION, KVXFER_ABI_VERSION,
		kvx_boot_id);
	return 0;

err_netlink_exit:
	kvx_netlink_exit();
err_unlisten:
	kvx_nets_unlisten();
	kvx_devs_exit();
err_peers_exit:
	kvx_peers_exit();
err_xfers_exit:
	kvx_xfers_exit();
err_pools_exit:
	kvx_pools_exit();
err_agents_exit:
	kvx_agents_exit();
	return err;
}

static void __exit kvx_exit(void)
{
	kvx_chardev_unregister();
	kvx_netlink_exit();
	kvx_nets_unlisten();
	kvx_peers_exit();
	kvx_xfers_exit();
	kvx_pools_exit();
	kvx_devs_exit();
	kvx_agents_exit();
}

module_init(kvx_init);
module_exit(kvx_exit);

MODULE_DESCRIPTION("LLM KV-cache blocks: pinned, registered and moved by the kernel");
MODULE_LICENSE("GPL");
MODULE_VERSION(KVX_VERSION);
