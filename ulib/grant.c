// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Grants, and the metadata that brings them to others. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"
#include "metadata.h"

_Static_assert(KVX_GRANT_READ == KVXFER_GRANT_READ, "rights");
_Static_assert(KVX_GRANT_WRITE == KVXFER_GRANT_WRITE, "rights");
_Static_assert(sizeof(((struct kvx_grant *)0)->key) == KVXFER_KEY_BYTES, "keys");
_Static_assert(KVX_METADATA_ADDRESSES_MAX == KVXFER_ADDRESSES_MAX, "how many addresses");
_Static_assert(KVX_METADATA_LAYOUTS_MAX == KVXFER_IMPORT_MAX, "how many layouts");

/* For how long the kernel waits for another node when it is not told. */
#define NODE_NS		30000000000ULL

struct kvx_peer {
	struct kvx_metadata metadata;
};

int kvx_grant(struct kvx_agent *agent, struct kvx_grant *grant, struct kvx_handle handle,
	      const struct kvx_grant_opts *from)
{
	struct kvx_grant_opts opts = KVX_GRANT_OPTS_INIT;
	struct kvx_layout_stat stat = KVX_LAYOUT_STAT_INIT;
	struct kvxfer_grant cmd = { .layout = kvx_handle_layout_id(handle) };
	int err;

	memset(grant, 0, sizeof(*grant));
	err = kvx_take_opts(&opts, sizeof(opts), from, "grant");
	if (err)
		return err;
	/* It also says whether the handle is one of this agent's. */
	err = kvx_layout_stat(agent, handle, &stat);
	if (err)
		return err;
	cmd.rights = opts.rights;
	cmd.first_block = opts.first_block;
	cmd.nr_blocks = opts.nr_blocks;
	cmd.expires_ns = opts.expires_ns;
	err = kvx_command(agent, KVXFER_IOC_GRANT, "grant", &cmd.hdr, sizeof(cmd));
	if (err)
		return err;
	grant->handle = handle;
	grant->rights = opts.rights;
	grant->first_block = opts.first_block;
	grant->nr_blocks = opts.nr_blocks ? opts.nr_blocks : stat.num_blocks - opts.first_block;
	memcpy(grant->key, cmd.out_key, sizeof(grant->key));
	return 0;
}

int kvx_revoke(struct kvx_agent *agent, const struct kvx_grant *grant)
{
	struct kvxfer_revoke cmd = { .layout = kvx_handle_layout_id(grant->handle) };

	memcpy(cmd.key, grant->key, sizeof(cmd.key));
	return kvx_wait_command(agent, KVXFER_IOC_REVOKE, "revoke", &cmd.hdr, sizeof(cmd), NULL,
				0);
}

static int describe(struct kvx_agent *agent, const struct kvx_grant *grant,
		    struct kvx_metadata_layout *to)
{
	struct kvx_layout_stat stat = KVX_LAYOUT_STAT_INIT;
	int err = kvx_layout_stat(agent, grant->handle, &stat);

	if (err)
		return err;
	to->layout.handle = grant->handle;
	to->layout.format = stat.format;
	to->layout.num_blocks = stat.num_blocks;
	to->layout.num_layers = stat.num_layers;
	to->layout.outer_dim = stat.outer_dim;
	to->layout.page_size = stat.page_size;
	to->layout.inner_dim = stat.inner_dim;
	to->layout.dtype_width = stat.dtype_width;
	to->layout.region_bytes = stat.region_bytes;
	to->layout.rights = grant->rights;
	to->layout.first_block = grant->first_block;
	to->layout.nr_blocks = grant->nr_blocks;
	memcpy(to->key, grant->key, sizeof(to->key));
	return 0;
}

/* Where this node can be reached. */
static int get_addresses(struct kvx_agent *agent, struct kvx_metadata *metadata)
{
	struct kvxfer_address addresses[KVX_METADATA_ADDRESSES_MAX] = {};
	struct kvxfer_node_addresses cmd = {
		.addresses = (uintptr_t)addresses,
		.nr_addresses = KVX_METADATA_ADDRESSES_MAX,
	};
	int err = kvx_command(agent, KVXFER_IOC_NODE_ADDRESSES, "export metadata", &cmd.hdr,
			      sizeof(cmd));

	if (err)
		return err;
	metadata->info.addresses = cmd.out_nr;
	for (size_t i = 0; i < cmd.out_nr; i++) {
		metadata->addresses[i].family = addresses[i].family == AF_INET ? 4 : 6;
		metadata->addresses[i].port = addresses[i].port;
		memcpy(metadata->addresses[i].addr, addresses[i].addr, sizeof(addresses[i].addr));
	}
	return 0;
}

int kvx_export_metadata(struct kvx_agent *agent, const struct kvx_grant *grants, size_t nr_grants,
			void **blob, size_t *bytes)
{
	struct kvx_metadata metadata = {};
	struct kvx_info info = KVX_INFO_INIT;
	int err;

	*blob = NULL;
	*bytes = 0;
	if (nr_grants > KVX_METADATA_LAYOUTS_MAX)
		return kvx_fail(EINVAL, "export metadata: more than %u layouts",
				KVX_METADATA_LAYOUTS_MAX);
	err = kvx_query(agent, &info);
	if (!err)
		err = get_addresses(agent, &metadata);
	if (err)
		return err;
	metadata.info.boot_id = info.boot_id;
	metadata.info.worker_id = info.worker_id;
	metadata.info.epoch = info.epoch;
	metadata.info.layouts = nr_grants;
	memcpy(metadata.info.name, info.name, sizeof(metadata.info.name));
	metadata.layouts = calloc(nr_grants + 1, sizeof(*metadata.layouts));
	*blob = malloc(kvx_metadata_bytes(metadata.info.addresses, nr_grants));
	if (!metadata.layouts || !*blob)
		err = kvx_fail(ENOMEM, "export metadata: no memory");
	for (size_t i = 0; i < nr_grants && !err; i++)
		err = describe(agent, &grants[i], &metadata.layouts[i]);
	if (!err) {
		kvx_metadata_encode(&metadata, *blob);
		*bytes = kvx_metadata_bytes(metadata.info.addresses, nr_grants);
	} else {
		free(*blob);
		*blob = NULL;
	}
	free(metadata.layouts);
	return err;
}

static int refuse_blob(enum kvx_metadata_error error, const char *what)
{
	static const struct {
		int error;
		const char *text;
	} refusals[] = {
		[KVX_METADATA_MAGIC] = { EINVAL, "this is no metadata of kvxfer [MAGIC]" },
		[KVX_METADATA_NEWER] = {
			EPROTONOSUPPORT, "it is of a newer version than is known here [NEWER]" },
		[KVX_METADATA_TRUNCATED] = { EMSGSIZE, "its end is missing [TRUNCATED]" },
		[KVX_METADATA_LENGTH] = {
			EBADMSG, "its lengths do not fit each other [LENGTH]" },
		[KVX_METADATA_CRC] = { EBADMSG, "it was changed on its way [CRC]" },
		[KVX_METADATA_FIELD] = { EBADMSG, "a number in it cannot be [FIELD]" },
	};

	return kvx_fail(refusals[error].error, "%s: %s", what, refusals[error].text);
}

static void give_addresses(const struct kvx_metadata *metadata, struct kvxfer_address *addresses)
{
	for (size_t i = 0; i < metadata->info.addresses; i++) {
		addresses[i].family = metadata->addresses[i].family == 4 ? AF_INET : AF_INET6;
		addresses[i].port = metadata->addresses[i].port;
		memcpy(addresses[i].addr, metadata->addresses[i].addr, sizeof(addresses[i].addr));
	}
}

/* Wait for another node. No time is 30 s to these commands: the shortest is 1 ns. */
static int node_command(struct kvx_agent *agent, unsigned long nr, const char *what,
			struct kvxfer_hdr *hdr, size_t size, __u64 *timeout_ns)
{
	int err = kvx_wait_command(agent, nr, what, hdr, size, timeout_ns, 1);

	if (err != -EINTR || agent->eintr)
		return err;
	/* What the kernel says when the time is over, but for the last signal. */
	hdr->reason = KVXFER_REASON_PEER_REMOTE;
	hdr->index = ETIMEDOUT;
	return kvx_fail_refused(EHOSTUNREACH, what, hdr);
}

static int import_command(struct kvx_agent *agent, const struct kvx_metadata *metadata,
			  uint64_t timeout_ns)
{
	const struct kvx_peer_info *info = &metadata->info;
	struct kvxfer_layout_import cmd = {
		.boot_id = info->boot_id,
		.worker_id = info->worker_id,
		.epoch = info->epoch,
		.nr_imports = info->layouts,
		.timeout_ns = timeout_ns,
		.nr_addresses = info->addresses,
	};
	struct kvxfer_address addresses[KVX_METADATA_ADDRESSES_MAX] = {};
	struct kvxfer_import *imports = calloc(info->layouts + 1, sizeof(*imports));
	int err;

	if (!imports)
		return kvx_fail(ENOMEM, "import metadata: no memory");
	for (size_t i = 0; i < info->layouts; i++) {
		imports[i].layout = kvx_handle_layout_id(metadata->layouts[i].layout.handle);
		memcpy(imports[i].key, metadata->layouts[i].key, sizeof(imports[i].key));
	}
	give_addresses(metadata, addresses);
	cmd.imports = (uintptr_t)imports;
	cmd.addresses = (uintptr_t)addresses;
	err = node_command(agent, KVXFER_IOC_LAYOUT_IMPORT, "import metadata", &cmd.hdr,
			   sizeof(cmd), &cmd.timeout_ns);
	free(imports);
	return err;
}

static int import_within(struct kvx_agent *agent, const void *blob, size_t bytes,
			 uint64_t timeout_ns, struct kvx_peer **out)
{
	struct kvx_peer *peer = calloc(1, sizeof(*peer));
	enum kvx_metadata_error error;
	struct kvx_metadata *metadata;
	int err = 0;

	if (out)
		*out = NULL;
	if (!peer)
		return kvx_fail(ENOMEM, "import metadata: no memory");
	metadata = &peer->metadata;
	error = kvx_metadata_check(blob, bytes, &metadata->info);
	if (!error) {
		metadata->layouts = calloc(metadata->info.layouts + 1, sizeof(*metadata->layouts));
		if (!metadata->layouts)
			err = kvx_fail(ENOMEM, "import metadata: no memory");
	}
	for (size_t i = 0; !err && !error && i < metadata->info.addresses; i++)
		error = kvx_metadata_address(blob, i, &metadata->addresses[i]);
	for (size_t i = 0; !err && !error && i < metadata->info.layouts; i++)
		error = kvx_metadata_layout(blob, &metadata->info, i, &metadata->layouts[i]);
	if (error)
		err = refuse_blob(error, "import metadata");
	if (!err)
		err = import_command(agent, metadata, timeout_ns);
	if (err || !out)
		kvx_peer_free(peer);
	else
		*out = peer;
	return err;
}

int kvx_import_metadata(struct kvx_agent *agent, const void *blob, size_t bytes,
			struct kvx_peer **peer)
{
	return import_within(agent, blob, bytes, NODE_NS, peer);
}

int kvx_import(struct kvx_agent *agent, const void *blob, size_t bytes, uint64_t timeout_ns,
	       struct kvx_peer **peer)
{
	int err;

	if (timeout_ns)
		return import_within(agent, blob, bytes, timeout_ns, peer);
	if (peer)
		*peer = NULL;
	err = kvx_connect(agent, blob, bytes, 0);
	/* Who is connected answers, or is found to be dead. */
	return err ? err : import_within(agent, blob, bytes, NODE_NS, peer);
}

int kvx_connect(struct kvx_agent *agent, const void *blob, size_t bytes, uint64_t timeout_ns)
{
	struct kvxfer_address addresses[KVX_METADATA_ADDRESSES_MAX] = {};
	struct kvxfer_peer_connect cmd = {
		.hdr.flags = timeout_ns ? 0 : KVXFER_PEER_CONNECT_NOWAIT,
		.addresses = (uintptr_t)addresses,
		.timeout_ns = timeout_ns,
	};
	struct kvx_metadata metadata = {};
	enum kvx_metadata_error error = kvx_metadata_check(blob, bytes, &metadata.info);

	for (size_t i = 0; !error && i < metadata.info.addresses; i++)
		error = kvx_metadata_address(blob, i, &metadata.addresses[i]);
	if (error)
		return refuse_blob(error, "connect");
	give_addresses(&metadata, addresses);
	cmd.boot_id = metadata.info.boot_id;
	cmd.nr_addresses = metadata.info.addresses;
	return node_command(agent, KVXFER_IOC_PEER_CONNECT, "connect", &cmd.hdr, sizeof(cmd),
			    &cmd.timeout_ns);
}

int kvx_peer_info(const struct kvx_peer *peer, struct kvx_peer_info *info)
{
	return kvx_give_struct(info, &peer->metadata.info, sizeof(*info), "peer");
}

int kvx_peer_layout(const struct kvx_peer *peer, size_t index, struct kvx_peer_layout *layout)
{
	if (index >= peer->metadata.info.layouts)
		return kvx_fail(ENOENT, "peer: it has %llu layouts, and none of index %zu",
				(unsigned long long)peer->metadata.info.layouts, index);
	return kvx_give_struct(layout, &peer->metadata.layouts[index].layout, sizeof(*layout),
			       "peer");
}

void kvx_peer_free(struct kvx_peer *peer)
{
	if (!peer)
		return;
	free(peer->metadata.layouts);
	free(peer);
}

int kvx_forget(struct kvx_agent *agent, uint64_t worker_id)
{
	return kvx_forget_on(agent, worker_id, 0);
}

int kvx_forget_on(struct kvx_agent *agent, uint64_t worker_id, uint64_t boot_id)
{
	struct kvxfer_layout_forget cmd = { .worker_id = worker_id, .boot_id = boot_id };

	return kvx_command(agent, KVXFER_IOC_LAYOUT_FORGET, "forget", &cmd.hdr, sizeof(cmd));
}
