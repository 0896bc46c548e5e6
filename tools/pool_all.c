// SPDX-License-Identifier: GPL-2.0-only
/* kvxfer pool list --all: the pools of everybody. A part of cmd_pool.c. */
#include <inttypes.h>
#include <stdio.h>
#include <netlink/genl/genl.h>

#include "netlink.h"

static struct nla_policy policy[KVXFER_NL_POOL_MAX + 1] = {
	[KVXFER_NL_POOL_ID] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_NAME] = { .type = NLA_STRING },
	[KVXFER_NL_POOL_KIND] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_BYTES] = { .type = NLA_U64 },
	[KVXFER_NL_POOL_UID] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_GID] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_MODE] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_LINKED] = { .type = NLA_U8 },
	[KVXFER_NL_POOL_OPENS] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_MAPS] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_LAYOUTS] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_PID] = { .type = NLA_U32 },
	[KVXFER_NL_POOL_AGE_NS] = { .type = NLA_U64 },
};

static struct kvx_pool_stat read_pool(struct nlattr **attrs)
{
	struct kvx_pool_stat st = KVX_POOL_STAT_INIT;

	st.id = netlink_u32(attrs[KVXFER_NL_POOL_ID]);
	snprintf(st.name, sizeof(st.name), "%s", netlink_text(attrs[KVXFER_NL_POOL_NAME]));
	st.kind = netlink_u32(attrs[KVXFER_NL_POOL_KIND]);
	st.bytes = netlink_u64(attrs[KVXFER_NL_POOL_BYTES]);
	st.uid = netlink_u32(attrs[KVXFER_NL_POOL_UID]);
	st.gid = netlink_u32(attrs[KVXFER_NL_POOL_GID]);
	st.mode = netlink_u32(attrs[KVXFER_NL_POOL_MODE]);
	st.linked = netlink_bool(attrs[KVXFER_NL_POOL_LINKED]);
	st.opens = netlink_u32(attrs[KVXFER_NL_POOL_OPENS]);
	st.maps = netlink_u32(attrs[KVXFER_NL_POOL_MAPS]);
	st.layouts = netlink_u32(attrs[KVXFER_NL_POOL_LAYOUTS]);
	st.pid = netlink_u32(attrs[KVXFER_NL_POOL_PID]);
	st.age_ns = netlink_u64(attrs[KVXFER_NL_POOL_AGE_NS]);
	return st;
}

static void heading(void)
{
	printf("%-5s %-20s %10s %-7s %-9s %-9s %-4s %6s %5s %7s %7s %5s\n", "ID", "NAME", "SIZE",
	       "KIND", "OWNER", "GROUP", "MODE", "OPENS", "MAPS", "LAYOUTS", "PID", "AGE");
}

static void print_row(const struct kvx_pool_stat *st)
{
	const char *name = st->linked ? st->name : st->name[0] ? "(unlinked)" : "-";
	char size[16], age[16], uid[16], gid[16];

	cli_format_size(size, st->bytes);
	cli_format_age(age, st->age_ns);
	printf("%-5" PRIu32 " %-20s %10s %-7s %-9s %-9s %04" PRIo32 " %6" PRIu32 " %5" PRIu32
	       " %7" PRIu32 " %7" PRIu32 " %5s\n", st->id, name, size, pool_kind_name(st->kind),
	       cli_user_name(st->uid, uid), cli_group_name(st->gid, gid), st->mode, st->opens,
	       st->maps, st->layouts, st->pid, age);
}

static void each(struct nlmsghdr *hdr, void *arg)
{
	struct nlattr *attrs[KVXFER_NL_POOL_MAX + 1];
	struct json *js = arg;
	struct kvx_pool_stat st;

	if (genlmsg_parse(hdr, 0, attrs, KVXFER_NL_POOL_MAX, policy) < 0)
		return;
	st = read_pool(attrs);
	if (!js) {
		print_row(&st);
		return;
	}
	json_begin(js, NULL, '{');
	json_number(js, "id", st.id);
	json_text(js, "name", st.name);
	json_text(js, "kind", pool_kind_name(st.kind));
	json_number(js, "bytes", st.bytes);
	json_number(js, "uid", st.uid);
	json_number(js, "gid", st.gid);
	json_number(js, "mode", st.mode);
	json_number(js, "opens", st.opens);
	json_number(js, "maps", st.maps);
	json_number(js, "layouts", st.layouts);
	json_number(js, "linked", st.linked);
	json_number(js, "pid", st.pid);
	json_number(js, "age_ns", st.age_ns);
	json_end(js, '}');
}

int pool_list_all(bool json)
{
	return netlink_list(KVXFER_NL_CMD_POOL_GET, "pools", heading, each, json);
}
