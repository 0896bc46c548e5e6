// SPDX-License-Identifier: GPL-2.0-only
// The public header from C++, linked with the shared library, as an application would.
#include <cstdio>
#include <cstring>

#include <kvxfer.h>

int main()
{
	struct kvx_open_opts opts = KVX_OPEN_OPTS_INIT;
	struct kvx_info info = KVX_INFO_INIT;
	struct kvx_agent *agent = nullptr;

	std::printf("KTAP version 1\n1..1\n");
	opts.device = "/dev/kvxfer-that-is-not";
	bool good = info.size == sizeof(info) && kvx_open(&agent, &opts) < 0 && !agent &&
		std::strstr(kvx_last_error()->text, "no such device") && kvx_version()[0];
	std::printf("%s 1 the_shared_library_serves_cxx\n", good ? "ok" : "not ok");
	return !good;
}
